"""The model folder: what training writes, and what evaluation and inference load.

Owns `model.safetensors` with `config.json` (`ecgpipe-model/1`), which holds everything that must be
the same at inference: leads, rate, length, scaling, the text model's fingerprint and the prompt.
N = records, L = leads, S = samples, F = width of the encoder, D = joint width, W = width of a text
vector, s = places of the encoder's feature map, P = tokens.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch.nn import functional

from ecgpipe.config.train import PlacementSetting
from ecgpipe.errors import CheckpointError, StoreError
from ecgpipe.files import read_json, sha256_file, write_atomic, write_json_atomic
from ecgpipe.torch_device import own_device
from ecgpipe.train_ecg.data.placement import PlacedSignals, ReadSignals, TrainSignals
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers

FORMAT = "ecgpipe-model/1"
# On a CPU, ResNet1d-18 encodes 64 ECGs of 12 x 1000 a third faster than 256, thanks to caches.
_ENCODE_BATCH = {"cpu": 64, "cuda": 256}

Tensors = Mapping[str, torch.Tensor]

ChangeSignals = Callable[[npt.NDArray[np.int16], npt.NDArray[np.int64]], npt.NDArray[np.int16]]
"""Signals (n, L, S) as stored and their slots (n,) to other signals of the same kind."""

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ModelCard:
    """config.json of a model folder."""

    shape: ModelShape
    about: dict[str, Any]
    """Run, epoch, fingerprint, prompt, digests, provenance."""


def save_model(folder: Path, weights: Tensors, shape: ModelShape, about: Mapping[str, Any]) -> None:
    """Write a model folder; config.json comes last and holds the digest of the weights.

    Raises:
        StoreError: the folder is not writable or the disk is full.
    """
    path = folder / "model.safetensors"
    write_atomic(path, save({key: value.contiguous() for key, value in weights.items()}))
    card = {"format": FORMAT, "shape": asdict(shape), "sha256": sha256_file(path), **about}
    write_json_atomic(folder / "config.json", card)


def read_card(folder: Path) -> ModelCard | None:
    """Read config.json; None if there is no finished model.

    Raises:
        CheckpointError: config.json is damaged or of another format.
    """
    if not (folder / "config.json").exists():
        return None
    try:
        card = read_json(folder / "config.json")
        if card["format"] != FORMAT:
            raise CheckpointError(f"{folder} has format {card['format']!r}, not {FORMAT!r}.")
        return ModelCard(ModelShape(**card.pop("shape")), card)
    except (StoreError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder}/config.json is damaged: {error}") from error


def load_model(folder: Path) -> tuple[TwoTowers, ModelCard]:
    """Load a trained model onto the CPU in float32, in evaluation mode.

    Raises:
        CheckpointError: there is none, it is damaged, or weights and config do not match.
    """
    card = read_card(folder)
    path = folder / "model.safetensors"
    if card is None:
        raise CheckpointError(f"{folder} has no finished model. Run `ecgpipe train`.")
    if not path.exists() or sha256_file(path) != card.about["sha256"]:
        raise CheckpointError(
            f"{path} does not match its config.json: it is damaged, or training was stopped while"
            " writing it. Run `ecgpipe train`."
        )
    model = TwoTowers(card.shape).float()  # a program may have changed torch's default dtype
    try:
        model.load_state_dict(load_tensors(path))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} is not the model that its config.json describes: {error}"
        ) from error
    return model.eval(), card


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file onto the CPU.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


class ModelEncoder:
    """Encodes stored ECGs and text vectors with a model, in batches, without gradients."""

    def __init__(
        self,
        model: TwoTowers,
        read_signals: ReadSignals,
        device: torch.device | None = None,
        keep: PlacementSetting = "stream",
    ) -> None:
        """Move the model to the device.

        Args:
            model: whose encoders are used.
            read_signals: slots (n,) to int16 (n, L, S); called by another thread, one batch ahead.
            device: where; None for this process's own.
            keep: where the signals of the last slots stay for the next call that has the same,
                as train.placement; `stream` keeps none.
        """
        self._device = device or own_device()
        self._model = model.to(self._device)
        self._read_signals = read_signals
        self._keep: PlacementSetting = keep
        self._kept: tuple[bytes, PlacedSignals] | None = None

    def encode_ecg(self, slots: npt.NDArray[np.int64]) -> Vectors:
        """(N, D) unit vectors of the ECGs in these slots."""
        return self._in_batches(slots, self._model.encode_ecg, self._model.shape.projection_dim)

    @torch.inference_mode()
    def encode_blank(self) -> Vectors:
        """(D,) unit vector of a recording that is 0 mV throughout."""
        shape = self._model.shape
        blank = torch.zeros(1, shape.n_leads, shape.samples, dtype=torch.int16)
        with self._evaluating():
            vector: Vectors = self._model.encode_ecg(blank.to(self._device))[0].cpu().numpy()
        return vector

    def encode_changed(self, slots: npt.NDArray[np.int64], change: ChangeSignals) -> Vectors:
        """(N, D) unit vectors of these ECGs after `change`, which gets a batch at a time."""
        width = self._model.shape.projection_dim
        return self._in_batches(slots, self._model.encode_ecg, width, change)

    def features(self, slots: npt.NDArray[np.int64]) -> Vectors:
        """(N, F) the encoder's features of these ECGs, before the projection."""
        return self._in_batches(slots, self._model.ecg_features, self._model.encoder.width)

    def feature_tokens(self, slots: npt.NDArray[np.int64], n_tokens: int) -> Vectors:
        """(N, n_tokens, F) means of the encoder's features over equal parts of the time."""
        width = self._model.encoder.width

        def encode(signal_BLS: torch.Tensor) -> torch.Tensor:
            map_BFs = self._model.ecg_feature_map(signal_BLS)
            parts_BFP = functional.adaptive_avg_pool1d(map_BFs, n_tokens)
            return parts_BFP.transpose(1, 2).flatten(1)

        return self._in_batches(slots, encode, n_tokens * width).reshape(-1, n_tokens, width)

    @property
    def text_mean(self) -> Vectors:
        """(W,) the mean of the training texts' vectors, which is subtracted from a text vector."""
        mean: Vectors = self._model.text_mean_W.cpu().numpy()
        return mean

    @torch.inference_mode()
    def project(self, features_NF: Vectors) -> Vectors:
        """(N, D) unit vectors of ECGs, from their features."""
        features = torch.from_numpy(features_NF).to(self._device)
        projected: Vectors = self._model.project_ecg(features).cpu().numpy()
        return projected

    @torch.inference_mode()
    def _in_batches(
        self,
        slots: npt.NDArray[np.int64],
        encode: Callable[[torch.Tensor], torch.Tensor],
        width: int,
        change: ChangeSignals | None = None,
    ) -> Vectors:
        vectors = [np.empty((0, width), np.float32)]
        size = _ENCODE_BATCH[self._device.type]
        n_whole = len(slots) - len(slots) % size
        signals = self._placed(slots, change)
        places = np.arange(len(slots))
        with self._evaluating():
            for some in (places[:n_whole].reshape(-1, size), places[None, n_whole:]):
                if some.size:
                    vectors += [encode(batch).cpu().numpy() for batch in signals.batches(some)]
        return np.concatenate(vectors)

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        """The model in evaluation mode, and then in the one it was in."""
        was_training = self._model.training
        self._model.eval()
        try:
            yield
        finally:
            self._model.train(was_training)

    def _placed(self, slots: npt.NDArray[np.int64], change: ChangeSignals | None) -> PlacedSignals:
        """The signals of these slots, read before if they are kept."""

        def read(some: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
            signals = self._read_signals(some)
            return signals if change is None else change(signals, some)

        shape = self._model.shape
        wanted = TrainSignals(read, slots, shape.n_leads, shape.samples)
        if change is not None or self._keep == "stream":
            return wanted.place("stream", self._device)
        if self._kept is None or self._kept[0] != slots.tobytes():
            self._kept = None  # first, so that both need not fit
            self._kept = slots.tobytes(), wanted.place(self._keep, self._device)
        return self._kept[1]

    @torch.inference_mode()
    def encode_vectors(self, text_NW: Vectors) -> Vectors:
        """(N, D) unit vectors of text vectors (N, W)."""
        text = torch.from_numpy(text_NW).to(self._device)
        encoded: Vectors = self._model.encode_text(text).cpu().numpy()
        return encoded

    @torch.inference_mode()
    def place_texts(self, text_NW: Vectors) -> Vectors:
        """(N, W) text vectors, centred; (N, K) on the model's axes if it has any."""
        placed: Vectors = (
            self._model.place_texts(torch.from_numpy(text_NW).to(self._device)).cpu().numpy()
        )
        return placed

    @property
    def pair_logits(self) -> tuple[float, float | None]:
        """Scale and bias that turn a cosine into a logit; None if the model has no bias."""
        model = self._model
        bias = float(model.bias.detach()) if model.shape.pair_bias else None
        return float(model.log_scale.detach().exp()), bias
