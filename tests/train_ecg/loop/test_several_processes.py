"""Several processes train what one trains: the same losses, the same decisions."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from paths import HELPERS
from several_processes import SETTINGS, STEPS, train_toy
from toy_experiment import python

from ecgpipe.config.train import TrainConfig


def train_in(
    folder: Path, processes: int, name: str, dtype: str, encoder: str, **more: Any
) -> None:
    folder.mkdir(exist_ok=True)
    if processes == 1:  # this process has imported torch already
        before = torch.get_default_dtype()
        torch.set_default_dtype(getattr(torch, dtype))
        try:
            train_toy(folder, name, encoder, **more)
        finally:
            torch.set_default_dtype(before)
        return
    program = str(HELPERS / "several_processes.py")
    done = subprocess.run(
        [*python(processes), program, str(folder), name, dtype, encoder, json.dumps(more)],
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


@pytest.mark.parametrize(
    ("name", "encoder", "processes"),
    [
        ("sampled", "cnn1d", 2),
        *(pytest.param(name, "cnn1d", 2, marks=pytest.mark.slow) for name in SETTINGS),
        pytest.param("sentence", "resnet1d18", 4, marks=pytest.mark.slow),
        pytest.param("all", "vit1d", 4, marks=pytest.mark.slow),
    ],
)
def test_several_processes_have_the_losses_of_one(
    tmp_path: Path, name: str, encoder: str, processes: int
) -> None:
    """In double precision; in single precision rounding grows (docs/lab-log.md)."""
    more = {"encoder_norm": "batch"} if encoder == "vit1d" else {}  # it has a norm of its own
    for each in (1, processes):
        train_in(tmp_path / str(each), each, name, "float64", encoder, lr=1e-4, **more)
    one = losses(tmp_path / "1")
    assert len(one) == STEPS
    assert one[-1] < one[0]
    np.testing.assert_allclose(losses(tmp_path / str(processes)), one, rtol=1e-10)


def test_a_run_goes_on_with_other_processes_as_if_with_the_same(tmp_path: Path) -> None:
    """A job that is put back in the queue may get fewer nodes than it had."""
    settings = ("siglip", "float64", "cnn1d")
    train_in(tmp_path / "moved", 2, *settings, epochs=1, lr=1e-4)
    train_in(tmp_path / "moved", 1, *settings, epochs=3, lr=1e-4)
    train_in(tmp_path / "stayed", 1, *settings, epochs=3, lr=1e-4)
    assert len(losses(tmp_path / "stayed")) == STEPS
    np.testing.assert_allclose(losses(tmp_path / "moved"), losses(tmp_path / "stayed"), rtol=1e-10)


@pytest.mark.parametrize("asked", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_all_processes_stop_where_one_was_asked_to(tmp_path: Path, asked: int) -> None:
    """Asked while the first epoch was validated; before a step of the second they agree."""
    settings = ("siglip", "float32", "cnn1d")
    train_in(tmp_path / "run", 2, *settings, epochs=3, stopping=asked)
    said = [(tmp_path / "run" / f"stopped-{rank}").read_text() for rank in (0, 1)]
    assert all("in epoch 2, after step 0 of 10" in line for line in said)
    assert "by a signal to this process alone in" in said[asked]
    assert "by another process in" in said[1 - asked]
    assert len(losses(tmp_path / "run")) == 10


def test_all_processes_use_the_metrics_of_the_first(tmp_path: Path) -> None:
    """With batch norm they may differ, and the processes would wait for each other for ever."""
    train_in(tmp_path / "two", 2, "sentence", "float32", "cnn1d", own_metrics=True)
    lines = (tmp_path / "two" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["val"]["macro_auroc"] for line in lines] == [0.0] * len(lines)


def test_every_setting_is_one_that_training_knows() -> None:
    for settings in SETTINGS.values():
        TrainConfig(**settings)
    assert {field.name for field in dataclasses.fields(TrainConfig)} >= set(SETTINGS["sampled"])
