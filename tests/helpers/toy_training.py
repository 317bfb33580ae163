"""A toy problem that ResNet1d-18 learns in a few epochs, and a run of it."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgpipe.config.train import TrainConfig
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.data.placement import TrainSignals
from ecgpipe.train_ecg.loop.training import Trained, TrainingData, TrainInputs, train
from ecgpipe.train_ecg.losses.objective import RecordTexts
from ecgpipe.train_ecg.starting_point import StartingPoint
from ecgpipe.train_ecg.trained_model import ModelEncoder
from ecgpipe.train_ecg.two_towers import ModelShape

# In float32: `auto` is bfloat16 on some of the machines that run the tests.
CONFIG = TrainConfig(
    epochs=3, global_batch_size=8, projection_dim=16, checkpoint_minutes=0, precision="float32"
)
SHAPE = ModelShape(
    encoder="resnet1d18",
    n_leads=12,
    samples=64,
    rate_hz=100,
    normalisation="fixed",
    text_width=10,
    projection_dim=16,
    temperature=0.07,
    learn_temperature=True,
)
N_CLASSES = 4


def toy_data(n: int = 40) -> tuple[TrainingData, np.ndarray]:
    """ECGs whose class is the lead that moves; one text vector a class."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, N_CLASSES, n)
    signals = rng.normal(0, 50, (n, 12, 64))
    signals[np.arange(n), classes * 3] += 900 * np.sin(np.arange(64) / 3)
    stored = signals.astype(np.int16)
    vectors = rng.normal(5, 1, (N_CLASSES, 10)).astype(np.float32)
    data = TrainingData(
        signals=TrainSignals(lambda slots: stored[slots], np.arange(n), 12, 64),
        texts=RecordTexts(
            texts_NK=classes[:, None], labels_NL=classes[:, None], vectors_RW=vectors
        ),
        read_signals=lambda slots: stored[slots],
        record_ids=[f"ecg {number}" for number in range(n)],
    )
    return data, classes


DATA, CLASSES = toy_data()
ALL = np.arange(len(CLASSES))


def accuracy(encoder: ModelEncoder) -> Mapping[str, float]:
    scores = encoder.encode_ecg(ALL) @ encoder.encode_vectors(DATA.texts.vectors_RW).T
    return {"macro_auroc": float((scores.argmax(axis=1) == CLASSES).mean())}


def run(
    folder: Path,
    stop: Stop | None = None,
    *,
    key: str = "k",
    shape: ModelShape = SHAPE,
    data: TrainingData = DATA,
    validate: Callable[[ModelEncoder], Mapping[str, float]] = accuracy,
    on_begin: Callable[[], None] = lambda: None,
    start: StartingPoint | None = None,
    **settings: Any,
) -> Trained:
    """Train the toy problem in `folder`, with these settings changed."""
    config = dataclasses.replace(CONFIG, **settings)
    stop = Stop() if stop is None else stop
    return train(
        TrainInputs(
            config=config,
            shape=shape,
            data=data,
            folder=folder,
            run_key=key,
            about={"vectors": "f"},
            on_validate=validate,
            stop=stop,
            start=start,
            on_begin=on_begin,
        )
    )


class StopAfter(Stop):
    """Asked once a step; says yes from the n-th time on."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.left = n

    def __bool__(self) -> bool:
        self.left -= 1
        if self.left < 0:
            self.request("SIGTERM")
        return super().__bool__()
