"""What the training benchmark trains on: simulated signals and texts, made cheaply, with no files.

Each record is the same strip of noise from another place on: speed does not depend on what a signal
shows. N = records, K = texts of one record, F = texts in all, W = width of a text vector.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ecgpipe.config.presets import PRESETS
from ecgpipe.config.train import TrainConfig
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.data.inputs import NO_READING
from ecgpipe.train_ecg.data.placement import TrainSignals
from ecgpipe.train_ecg.loop.training import TrainingData, TrainInputs
from ecgpipe.train_ecg.losses.objective import RecordTexts
from ecgpipe.train_ecg.two_towers import ModelShape

N_LEADS = 12
Text = Literal["sentence", "sampled_finding", "all_findings"]

_FINDINGS_A_RECORD = 3
_NO_READING_EVERY = 9973


@dataclass(frozen=True)
class Sizes:
    """Sizes of the data and of the work."""

    records: int
    samples: int
    rate_hz: int
    text_width: int
    sentences: int
    findings: int
    batches: tuple[int, ...]
    epochs_timed: int
    least_steps: int
    """Steps of an epoch that is cut short."""
    steps_profiled: int
    steps_an_epoch_checked: int
    matrices: tuple[int, ...]
    bf16_tolerance: float
    """Mean relative difference of the losses to float32's."""


FULL = Sizes(
    records=37_285,
    samples=5000,
    rate_hz=500,
    text_width=4096,
    sentences=4000,
    findings=98,
    batches=(32, 256),
    epochs_timed=2,
    least_steps=20,
    steps_profiled=50,
    steps_an_epoch_checked=17,
    matrices=(4096, 8192, 16_384),
    # A CPU has 0.0025. Another seed differs by 0.039, a tenth of the learning rate by 0.058.
    bf16_tolerance=0.01,
)
MINIATURE = Sizes(
    records=64,
    samples=128,
    rate_hz=125,
    text_width=16,
    sentences=20,
    findings=6,
    batches=(8,),
    epochs_timed=2,
    least_steps=2,
    steps_profiled=2,
    steps_an_epoch_checked=4,
    matrices=(128, 256),
    bf16_tolerance=0.1,
)


def training_data(sizes: Sizes, text: Text, n_records: int) -> TrainingData:
    """The first `n_records` of the simulated split."""
    slots = np.arange(n_records)
    read = _reader(sizes)
    return TrainingData(
        signals=TrainSignals(read, slots, N_LEADS, sizes.samples),
        texts=_texts(sizes, text, n_records),
        read_signals=read,
        record_ids=[str(slot) for slot in slots],
    )


def paper_config(text: Text, batch: int, **more: Any) -> TrainConfig:
    """`preset: paper`, but for the text, the batch and what else is given."""
    loss = "siglip" if text == "all_findings" else "clip"
    settings = {"text": text, "loss": loss, "global_batch_size": batch, "checkpoint_minutes": 1e6}
    return TrainConfig(**{**PRESETS["paper"], **settings, **more})


def train_inputs(
    config: TrainConfig, sizes: Sizes, data: TrainingData, folder: Path, stop: Stop
) -> TrainInputs:
    """What `train` needs; validation costs nothing."""
    return TrainInputs(
        config=config,
        shape=model_shape(config, sizes),
        data=data,
        folder=folder,
        run_key="k",
        about={},
        on_validate=lambda _: {"macro_auroc": 0.5},
        stop=stop,
    )


def model_shape(config: TrainConfig, sizes: Sizes) -> ModelShape:
    """The model that these settings ask for."""
    return ModelShape.of(config, N_LEADS, sizes.samples, sizes.rate_hz, sizes.text_width)


def _reader(sizes: Sizes) -> Any:
    rng = np.random.default_rng(0)
    strip_LS = rng.normal(0, 300, (N_LEADS, sizes.samples + sizes.records)).astype(np.int16)
    strip_LS[:, ::_NO_READING_EVERY] = NO_READING
    windows_LNS = np.lib.stride_tricks.sliding_window_view(strip_LS, sizes.samples, axis=1)

    def read(slots: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
        signal_NLS = np.empty((len(slots), N_LEADS, sizes.samples), np.int16)
        for place, slot in enumerate(slots):
            signal_NLS[place] = windows_LNS[:, slot]
        return signal_NLS

    return read


def _texts(sizes: Sizes, text: Text, n_records: int) -> RecordTexts:
    rng = np.random.default_rng(1)
    findings_NK = _distinct(_zipf(rng, sizes.findings, (n_records, _FINDINGS_A_RECORD)))
    sentences_N1 = _zipf(rng, sizes.sentences, (n_records, 1))
    n_texts = sizes.sentences if text == "sentence" else sizes.findings
    # Vectors of one language model share a large common part.
    vectors_RW = rng.normal(0, 1, (n_texts, sizes.text_width)) + rng.normal(0, 3, sizes.text_width)
    return RecordTexts(
        texts_NK=sentences_N1 if text == "sentence" else findings_NK,
        labels_NL=findings_NK,
        vectors_RW=vectors_RW.astype(np.float32),
    )


def _zipf(rng: np.random.Generator, n: int, shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Numbers 0 to n - 1, the k-th as often as 1 / (k + 1) says."""
    chances = 1 / np.arange(1, n + 1)
    return rng.choice(n, shape, p=chances / chances.sum())


def _distinct(numbers_NK: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each row's numbers once, and -1 behind them."""
    falling_NK = -np.sort(-numbers_NK, axis=1)
    falling_NK[:, 1:][falling_NK[:, 1:] == falling_NK[:, :-1]] = -1
    return -np.sort(-falling_NK, axis=1)
