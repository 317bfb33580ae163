"""Several processes train what one trains: the same losses, step by step."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgpipe.config import AugmentConfig, TrainConfig

PROGRAM = """
import sys
sys.path[:0] = ["tests"]
import torch
torch.set_num_threads(1)
torch.set_default_dtype(getattr(torch, sys.argv[3]))
from pathlib import Path
from test_several_processes import train_toy
train_toy(Path(sys.argv[1]), sys.argv[2], sys.argv[4], "own figures" in sys.argv)
"""

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
STEPS = 50


def train_toy(
    folder: Path, name: str, encoder: str, own_figures: bool = False, **more: Any
) -> None:
    """Fifty steps of a global batch of 64, with group norm, every step logged."""
    from ecgpipe.stopping import Stop
    from ecgpipe.train_ecg.objective import RecordTexts
    from ecgpipe.train_ecg.pairing import padded
    from ecgpipe.train_ecg.placement import SignalShelf
    from ecgpipe.train_ecg.training import TrainingData, train
    from ecgpipe.train_ecg.two_towers import ModelShape

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
        # Small steps: AdamW makes of a gradient near 0 a whole step of either sign, so that at 1e-3
        # the last bit of a float32 grows to 1e-4 within fifty steps.
        lr=1e-4,
        encoder=encoder,
        epochs=STEPS // 10,
        global_batch_size=64,
        projection_dim=16,
        encoder_norm="group",
        **{"log_every": 1, **SETTINGS[name], **more},
    )
    sets = sorted(set(map(tuple, findings)))
    single = config.text != "sentence"
    vectors = random.normal(3, 1, (8 if single else len(sets), 10)).astype(np.float32)
    texts = findings if single else [[sets.index(tuple(own))] for own in findings]
    data = TrainingData(
        signals=SignalShelf(lambda slots: stored[slots], np.arange(n), 12, 100),
        texts=RecordTexts(texts_NK=padded(texts), labels_NL=padded(findings), vectors_FW=vectors),
        read_signals=lambda slots: stored[slots],
        record_ids=[str(number) for number in range(n)],
    )
    shape = ModelShape(
        encoder=encoder,
        n_leads=12,
        samples=100,
        rate_hz=100,
        normalisation="fixed",
        text_width=10,
        projection_dim=16,
        temperature=0.07,
        learn_temperature=True,
        encoder_norm="group",
        pair_bias=config.loss == "siglip",
    )
    rank, epochs = int(os.environ.get("RANK", "0")), itertools.count()

    def validate(encoder: object) -> dict[str, float]:
        # The second process believes that every epoch is better, the first that none is.
        return {"macro_auroc": float(rank * next(epochs)) if own_figures else float("nan")}

    train(config, shape, data, folder, "k", {}, validate, Stop())


def losses(folder: Path, processes: int, *arguments: str) -> list[float]:
    launcher = [
        *("-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"),
        *("--nproc-per-node", str(processes)),
    ]
    script = folder / "toy.py"
    folder.mkdir()
    script.write_text(PROGRAM)
    done = subprocess.run(
        [
            sys.executable,
            *(launcher if processes > 1 else []),
            str(script),
            str(folder),
            *arguments,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (folder / "steps.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.parametrize(
    "name",
    [
        "sampled",
        *(pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS if name != "sampled"),
    ],
)
def test_two_processes_have_the_losses_of_one(tmp_path: Path, name: str) -> None:
    one = losses(tmp_path / "one", 1, name, "float64", "cnn1d")
    two = losses(tmp_path / "two", 2, name, "float64", "cnn1d")
    assert len(one) == len(two) == STEPS
    assert one[-1] < one[0]
    np.testing.assert_allclose(two, one, rtol=1e-10)


def test_processes_that_validate_otherwise_follow_the_first(tmp_path: Path) -> None:
    """As with batch norm, whose statistics each has of its own; else they wait for ever."""
    losses(tmp_path / "two", 2, "sentence", "float32", "cnn1d", "own figures")
    lines = (tmp_path / "two" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["val"]["macro_auroc"] for line in lines] == [0.0] * len(lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sentence", "sampled", "all"])
def test_in_single_precision_they_begin_alike(tmp_path: Path, name: str) -> None:
    """Later rounding grows: after fifty steps of this toy to some hundredths (docs/lab-log.md)."""
    one = losses(tmp_path / "one", 1, name, "float32", "resnet1d18")
    two = losses(tmp_path / "two", 2, name, "float32", "resnet1d18")
    np.testing.assert_allclose(two[:2], one[:2], rtol=1e-5)


def test_every_setting_is_one_that_training_knows() -> None:
    for settings in SETTINGS.values():
        TrainConfig(**settings)
    assert {field.name for field in dataclasses.fields(TrainConfig)} >= set(SETTINGS["sampled"])
