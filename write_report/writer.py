"""Reports that a frozen language model writes, from what a trained connector tells it of an ECG.

Owns the folder of a trained writer, `ecgpipe-writer/1`: connector.safetensors, and config.json with
the encoder, the language model and the data that it belongs to; and greedy writing with a limit.
Knows the language model only as something that continues vectors with text. N = ECGs, P = tokens,
W = width of the language model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.errors import StoreError
from ecgpipe.files import read_json_object, sha256_file, write_atomic, write_json_atomic
from ecgpipe.write_report.connector import Connector
from ecgpipe.write_report.rung import Body, Ecgs, RungName

FORMAT = "ecgpipe-writer/1"
WEIGHTS, CARD = "connector.safetensors", "config.json"
N_TOKENS = 16
"""P: of 10 s each stands for 0.6 s, about a beat."""

_AT_ONCE = 16
_MEND = "Run `ecgpipe eval-reports`, which trains it."


class Writing(Protocol):
    """A language model, frozen."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def width(self) -> int:
        """W."""

    def write(self, prefix_BPW: torch.Tensor, limit: int) -> list[tuple[str, bool]]:
        """A text for each row, and whether it ended within `limit` tokens."""


def save_writer(folder: Path, connector: Connector, about: Mapping[str, Any]) -> None:
    """Write a trained writer; config.json comes last and holds the digest of the weights.

    Raises:
        StoreError: the folder is not writable or the disk is full.
    """
    weights = {name: value.cpu().contiguous() for name, value in connector.state_dict().items()}
    write_atomic(folder / WEIGHTS, save(weights))
    card = {"format": FORMAT, **about, "sha256": sha256_file(folder / WEIGHTS)}
    write_json_atomic(folder / CARD, card)


def read_writer(folder: Path, key: str) -> tuple[Connector, dict[str, Any]] | None:
    """A trained writer and its config.json; None unless there is a whole one with this key."""
    try:
        card = read_json_object(folder / CARD, ("format", "key", "sha256", "limit"), _MEND)
        if card["format"] != FORMAT or card["key"] != key:
            return None
        if sha256_file(folder / WEIGHTS) != card["sha256"]:
            return None
        weights = load_file(folder / WEIGHTS)
    except (StoreError, OSError, SafetensorError):
        return None
    width, features = weights["linear1.weight"].shape
    connector = Connector(features, width)
    connector.load_state_dict(weights)
    return connector.eval(), card


@dataclass(frozen=True)
class WrittenReports:
    """A trained connector between a model and its language model."""

    digest: str
    model: AppliedModel
    connector: Connector
    writing: Writing
    limit: int
    """The most tokens of a text: as many as the longest that it learned from has."""

    name: Final[RungName] = "written"

    def bodies(self, ecgs: Ecgs) -> list[Body]:
        """(N,) what it writes; `limit` is said of a text that did not end."""
        found: list[Body] = []
        for start in range(0, len(ecgs.signal_uv), _AT_ONCE):
            signal_uv = ecgs.signal_uv[start : start + _AT_ONCE]
            tokens_BPF = torch.from_numpy(self.model.feature_tokens(signal_uv, N_TOKENS))
            with torch.inference_mode():
                prefix_BPW = self.connector(tokens_BPF.to(self.writing.device))
            for text, ended in self.writing.write(prefix_BPW, self.limit):
                about = {} if ended else {"limit": self.limit}
                found.append(Body({"ja": text, "en": text}, about))
        return found
