"""Training of the connector between an encoder and a frozen language model.

Owns the loop: order, steps, validation, the best epoch, and going on after a stop. The order is a
function of the epoch, so that a stopped training ends with the weights of one that was not. The
language model is something that gives a loss; the loop knows no files of models. N = ECGs,
P = tokens, F = width of the encoder.

Source: AdamW with 5e-4 on plain text without a chat template is ELM's `--update connector`.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ecgpipe.errors import StoppedEarly
from ecgpipe.files import write_atomic
from ecgpipe.progress import progress
from ecgpipe.stopping import Stop
from ecgpipe.write_report.connector import Connector

BATCH = 16
_LEARNING_RATE = 5e-4
_MIN_STEPS = 200
_MOST_VALIDATED = 256
_BUCKET = 8  # batches among which texts of like length come together
_LARGEST_GRADIENT = 1.0
_MEASURED = 2048
"""ECGs from which the scale of features is taken, at least, if there are so many."""


class Loss(Protocol):
    """A language model, frozen."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def width(self) -> int:
        """W."""

    def loss(self, prefix_BPW: torch.Tensor, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """The mean cross-entropy of these texts' tokens behind these vectors."""


@dataclass(frozen=True)
class Examples:
    """ECGs with their reports."""

    tokens_NPF: npt.NDArray[np.float16]
    """Tokens of each ECG's feature map."""

    ids: Sequence[Sequence[int]]
    """(N,) the language model's tokens of each report."""


@dataclass(frozen=True)
class Trained:
    """A connector of the best epoch, and how the training went."""

    connector: Connector
    losses: list[float]
    """Validation loss after each epoch, in nats a token."""

    best_epoch: int
    """Counted from 1."""


def n_epochs(n_train: int) -> int:
    """So many that there are a few hundred steps, and at least one."""
    return max(1, math.ceil(_MIN_STEPS / max(1, math.ceil(n_train / BATCH))))


def train_connector(
    model: Loss, train: Examples, validation: Examples, checkpoint: Path, key: str, stop: Stop
) -> Trained:
    """Train, or go on where an earlier call stopped.

    Args:
        model: the language model.
        train: at least one ECG.
        validation: choose the epoch; the first 256 are used. Without any the last epoch is taken.
        checkpoint: the file that a stop leaves; one of another key is begun anew.
        key: of everything that the weights depend on.
        stop: checked after each step.

    Raises:
        StoppedEarly: a stop was requested; the checkpoint has everything.
        StoreError: the checkpoint cannot be written.
    """
    run = _Run(model, train, validation, key)
    run.resume(checkpoint)
    epochs, steps = n_epochs(len(train.ids)), math.ceil(len(train.ids) / BATCH)
    left = epochs * steps - run.epoch * steps - run.step
    with progress("writer", left, "steps") as tick:
        while run.epoch < epochs:
            for batch in run.batches():
                loss = run.train_step(batch)
                tick(1, f"epoch {run.epoch + 1}, loss {loss:.3f}{run.note()}")
                if stop:
                    run.save(checkpoint)
                    raise StoppedEarly(
                        f"Stopped by {stop.cause} in epoch {run.epoch + 1} of {epochs} of the"
                        " writer; everything is saved. Run the same command again to go on."
                    )
            run.end_epoch()
            run.save(checkpoint)
    return run.result()


class _Run:
    """The state of a training."""

    def __init__(self, model: Loss, train: Examples, validation: Examples, key: str) -> None:
        self._model, self._train, self._validation, self._key = model, train, validation, key
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self._connector = Connector(train.tokens_NPF.shape[2], model.width)
        some = train.tokens_NPF[:: max(1, len(train.tokens_NPF) // _MEASURED)]
        self._connector.standardise_by(torch.from_numpy(some))
        self._connector.to(model.device)
        self._optimizer = torch.optim.AdamW(self._connector.parameters(), lr=_LEARNING_RATE)
        self.epoch = self.step = 0
        self._losses: list[float] = []
        self._best = _copy(self._connector)

    def batches(self) -> Iterator[npt.NDArray[np.int64]]:
        """What is left of this epoch."""
        lengths = np.array([len(text) for text in self._train.ids])
        rng = np.random.default_rng(self.epoch)
        order = rng.permutation(len(lengths))
        batches: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(order), BATCH * _BUCKET):
            some = order[start : start + BATCH * _BUCKET]
            some = some[np.argsort(lengths[some], kind="stable")]
            batches += [some[first : first + BATCH] for first in range(0, len(some), BATCH)]
        for place in rng.permutation(len(batches))[self.step :]:
            yield batches[place]

    def train_step(self, batch: npt.NDArray[np.int64]) -> float:
        """One step; its loss."""
        loss = self._loss(self._train, batch)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._connector.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        self.step += 1
        return float(loss.detach())

    def end_epoch(self) -> None:
        """Validate, and keep the weights if they are the best so far."""
        self.epoch, self.step = self.epoch + 1, 0
        self._losses.append(self._validated())
        if self._losses[-1] <= min(self._losses) or math.isnan(self._losses[-1]):
            self._best = _copy(self._connector)

    def note(self) -> str:
        """For the line of progress."""
        return f", validation {self._losses[-1]:.3f}" if self._losses else ""

    def result(self) -> Trained:
        """The best epoch's weights."""
        self._connector.load_state_dict(self._best)
        known = [math.inf if math.isnan(loss) else loss for loss in self._losses]
        best = known.index(min(known)) if min(known) < math.inf else len(known) - 1
        return Trained(self._connector.eval(), self._losses, best + 1)

    def save(self, path: Path) -> None:
        """Write everything into one file."""
        tensors = {f"connector.{k}": v for k, v in self._connector.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self._best.items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{k}": v for k, v in state.items()}
        state = {"key": self._key, "epoch": self.epoch, "step": self.step, "losses": self._losses}
        whole = {name: value.contiguous() for name, value in tensors.items()}
        write_atomic(path, save(whole, {"state": json.dumps(state)}))

    def resume(self, path: Path) -> None:
        """Take over what `save` wrote, if it is of this training."""
        state, tensors = _read(path)
        if state.get("key") != self._key:
            return
        self.epoch, self.step, self._losses = state["epoch"], state["step"], state["losses"]
        self._connector.load_state_dict(_below("connector.", tensors))
        self._best = _below("best.", tensors)
        adam: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _below("adam.", tensors).items():
            number, _, what = name.partition(".")
            adam.setdefault(int(number), {})[what] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": adam, "param_groups": groups})

    def _loss(self, examples: Examples, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        tokens = torch.from_numpy(examples.tokens_NPF[rows]).float().to(self._model.device)
        return self._model.loss(self._connector(tokens), [examples.ids[row] for row in rows])

    @torch.no_grad()
    def _validated(self) -> float:
        n = min(len(self._validation.ids), _MOST_VALIDATED)
        if not n:
            return math.nan
        total, tokens = 0.0, 0
        order = np.argsort([len(text) for text in self._validation.ids[:n]], kind="stable")
        for start in range(0, n, BATCH):
            rows = order[start : start + BATCH]
            here = sum(len(self._validation.ids[row]) + 1 for row in rows)
            total += float(self._loss(self._validation, rows)) * here
            tokens += here
        return total / tokens


def _copy(connector: Connector) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in connector.state_dict().items()}


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A checkpoint's state and tensors; nothing if there is none that can be read."""
    try:
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            return state, {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return {}, {}
