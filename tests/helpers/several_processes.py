"""A toy run that several processes can train.

As a program: several_processes.py FOLDER NAME DTYPE ENCODER JSON, where NAME is one of SETTINGS,
DTYPE is torch's default, and JSON holds more arguments of `train_toy`.
"""

import atexit
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgpipe.config.train import AugmentConfig, TrainConfig
from ecgpipe.errors import StoppedEarly
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.data.pairing import pad_rows
from ecgpipe.train_ecg.data.placement import TrainSignals
from ecgpipe.train_ecg.losses.objective import RecordTexts
from ecgpipe.train_ecg.two_towers import ModelShape

SETTINGS = {
    "sentence": {},
    "sampled": {
        "text": "sampled_finding",
        "duplicates": "mask",
        "augment": AugmentConfig(shift_s=0.1, noise_mv=0.01, drop_lead=0.2),
    },
    "soft": {"duplicates": "soft"},
    "siglip": {"text": "sampled_finding", "loss": "siglip", "duplicates": "mask"},
    "all": {"text": "all_findings", "loss": "siglip", "balance": "sqrt"},
}
STEPS = 30


def train_toy(
    folder: Path,
    name: str,
    encoder: str,
    own_metrics: bool = False,
    stopping: int | None = None,
    **more: Any,
) -> None:
    """Thirty steps of a global batch of 64, every step logged; with group norm by default."""
    # Imported here so that its exit handler is registered last and runs before that of `main`.
    from ecgpipe.train_ecg.loop.training import TrainingData, TrainInputs, train

    random = np.random.default_rng(0)
    n = 64 * 10
    findings = [
        sorted(random.choice(8, random.integers(1, 4), replace=False).tolist()) for _ in range(n)
    ]
    signals = random.normal(0, 80, (n, 12, 100))
    for record, own in enumerate(findings):
        signals[record, own] += 700 * np.sin(np.arange(100) / 4)
    stored = signals.astype(np.int16)
    config = TrainConfig(
        encoder=encoder,
        global_batch_size=64,
        projection_dim=16,
        precision="float32",
        **{
            "log_every": 1,
            "epochs": STEPS // 10,
            "encoder_norm": "group",
            **SETTINGS[name],
            **more,
        },
    )
    sets = sorted(set(map(tuple, findings)))
    single = config.text != "sentence"
    vectors = random.normal(3, 1, (8 if single else len(sets), 10)).astype(np.float32)
    texts = findings if single else [[sets.index(tuple(own))] for own in findings]
    data = TrainingData(
        signals=TrainSignals(lambda slots: stored[slots], np.arange(n), 12, 100),
        texts=RecordTexts(
            texts_NK=pad_rows(texts), labels_NL=pad_rows(findings), vectors_RW=vectors
        ),
        read_signals=lambda slots: stored[slots],
        record_ids=[str(number) for number in range(n)],
    )
    shape = ModelShape.of(config, 12, 100, 100, 10)
    rank, epochs = int(os.environ.get("RANK", "0")), itertools.count()
    stop = Stop()

    def validate(encoder: object) -> dict[str, float]:
        if rank == stopping:
            stop.request("a signal to this process alone")
        # By the second process's metrics every epoch is better, by the first's none is.
        return {"macro_auroc": float(rank * next(epochs)) if own_metrics else float("nan")}

    try:
        train(
            TrainInputs(
                config=config,
                shape=shape,
                data=data,
                folder=folder,
                run_key="k",
                about={},
                on_validate=validate,
                stop=stop,
            )
        )
    except StoppedEarly as stopped:
        (folder / f"stopped-{rank}").write_text(str(stopped))


def threads_of_gloo() -> list[str]:
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def main() -> None:
    """Train in this process, one of several if the launcher says so."""
    folder, name, dtype, encoder, more = sys.argv[1:]
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, dtype))
    # Runs last: a gloo thread that outlives the interpreter may abort it and lose the exit status.
    atexit.register(lambda: threads_of_gloo() and os._exit(70))
    train_toy(Path(folder), name, encoder, **json.loads(more))


if __name__ == "__main__":
    main()
