"""Several processes train what one trains: the same losses, the same weights."""

import dataclasses
import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_experiment import python

from ecgpipe.config.train import AugmentConfig, TrainConfig

PROGRAM = """
import atexit, json, os, sys
sys.path[:0] = ["tests/helpers", "tests/train_ecg/loop"]
import torch
torch.set_num_threads(1)
torch.set_default_dtype(getattr(torch, sys.argv[3]))
from pathlib import Path
from test_several_processes import threads_of_gloo, train_toy
# The last act. A thread that outlives the interpreter may abort the process, whose status is lost.
atexit.register(lambda: threads_of_gloo() and os._exit(70))
train_toy(Path(sys.argv[1]), sys.argv[2], sys.argv[4], **json.loads(sys.argv[5]))
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
    folder: Path,
    name: str,
    encoder: str,
    own_figures: bool = False,
    stopping: int | None = None,
    **more: Any,
) -> None:
    """Fifty steps of a global batch of 64, every step logged; with group norm by default."""
    from ecgpipe.errors import StoppedEarly
    from ecgpipe.stopping import Stop
    from ecgpipe.train_ecg.data.pairing import padded
    from ecgpipe.train_ecg.data.placement import SignalShelf
    from ecgpipe.train_ecg.loop.training import TrainingData, train
    from ecgpipe.train_ecg.losses.objective import RecordTexts
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
        encoder=encoder,
        global_batch_size=64,
        projection_dim=16,
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
        encoder_norm=config.encoder_norm,
        pair_bias=config.loss == "siglip",
    )
    rank, epochs = int(os.environ.get("RANK", "0")), itertools.count()
    stop = Stop()

    def validate(encoder: object) -> dict[str, float]:
        if rank == stopping:
            stop.request("a signal to this process alone")
        # The second process believes that every epoch is better, the first that none is.
        return {"macro_auroc": float(rank * next(epochs)) if own_figures else float("nan")}

    try:
        train(config, shape, data, folder, "k", {}, validate, stop)
    except StoppedEarly as stopped:
        (folder / f"stopped-{rank}").write_text(str(stopped))


def threads_of_gloo() -> list[str]:
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def train_in(folder: Path, processes: int, *arguments: str, **more: Any) -> None:
    script = folder / "toy.py"
    folder.mkdir(exist_ok=True)
    script.write_text(PROGRAM)
    done = subprocess.run(
        [*python(processes), str(script), str(folder), *arguments, json.dumps(more)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def losses(folder: Path) -> list[float]:
    lines = (folder / "steps.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def weights(folder: Path) -> bytes:
    (file,) = (folder / "model").glob("*.safetensors")
    return file.read_bytes()


@pytest.mark.parametrize(
    ("encoder", "name", "several"),
    [
        ("cnn1d", "sampled", (2,)),
        pytest.param("resnet1d18", "sentence", (2, 4), marks=pytest.mark.slow),
        pytest.param("vit1d", "all", (2, 4), marks=pytest.mark.slow),
    ],
)
def test_a_batch_in_parts_is_trained_to_the_bit_alike_on_any_number_of_processes(
    tmp_path: Path, encoder: str, name: str, several: tuple[int, ...]
) -> None:
    """In single precision, at the paper's learning rate, with batch norm where there is one."""
    for processes in (1, *several):
        settings = (name, "float32", encoder)
        more = {"batch_parts": max(several), "encoder_norm": "batch"}
        train_in(tmp_path / str(processes), processes, *settings, **more)
    one = losses(tmp_path / "1")
    assert len(one) == STEPS
    assert one[-1] < one[0]
    for processes in several:
        assert losses(tmp_path / str(processes)) == one
        assert weights(tmp_path / str(processes)) == weights(tmp_path / "1")


def test_a_run_goes_on_with_other_processes_as_if_with_the_same(tmp_path: Path) -> None:
    """A job that is put back in the queue may get fewer nodes than it had."""
    settings = ("siglip", "float32", "cnn1d")
    train_in(tmp_path / "moved", 2, *settings, batch_parts=2, epochs=2)
    train_in(tmp_path / "moved", 1, *settings, batch_parts=2, epochs=5)
    train_in(tmp_path / "stayed", 1, *settings, batch_parts=2, epochs=5)
    assert losses(tmp_path / "moved") == losses(tmp_path / "stayed")
    assert weights(tmp_path / "moved") == weights(tmp_path / "stayed")


@pytest.mark.parametrize("asked", [0, 1])
def test_all_processes_stop_where_one_was_asked_to(tmp_path: Path, asked: int) -> None:
    """Asked while the first epoch was validated; before a step of the second they agree."""
    settings = ("siglip", "float32", "cnn1d")
    train_in(tmp_path / "run", 2, *settings, batch_parts=2, epochs=3, stopping=asked)
    said = [(tmp_path / "run" / f"stopped-{rank}").read_text() for rank in (0, 1)]
    assert all("in epoch 2, after step 0 of 10" in line for line in said)
    assert "by a signal to this process alone in" in said[asked]
    assert "by another process in" in said[1 - asked]
    assert len(losses(tmp_path / "run")) == 10


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_batch_that_is_parted_by_processes_has_the_losses_of_the_whole(
    tmp_path: Path, name: str
) -> None:
    """In double precision. In single precision rounding grows (docs/lab-log.md): hence parts."""
    for processes in (1, 2):
        train_in(tmp_path / str(processes), processes, name, "float64", "cnn1d", lr=1e-4)
    np.testing.assert_allclose(losses(tmp_path / "2"), losses(tmp_path / "1"), rtol=1e-10)


def test_processes_that_validate_otherwise_follow_the_first(tmp_path: Path) -> None:
    """As with batch norm, whose statistics each has of its own; else they wait for ever."""
    train_in(tmp_path / "two", 2, "sentence", "float32", "cnn1d", own_figures=True)
    lines = (tmp_path / "two" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["val"]["macro_auroc"] for line in lines] == [0.0] * len(lines)


def test_every_setting_is_one_that_training_knows() -> None:
    for settings in SETTINGS.values():
        TrainConfig(**settings)
    assert {field.name for field in dataclasses.fields(TrainConfig)} >= set(SETTINGS["sampled"])
