"""What a run writes down, TensorBoard's files included, as TensorBoard reads them."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecgpipe.train_ecg.loop.run_log import RunLog

FIGURES = {"loss": 1.5, "accuracy": 0.25}


def entry(epoch: int, loss: float) -> dict[str, object]:
    return {"epoch": epoch, "loss": loss, "loss_floor": None, "val": {"macro_auroc": loss / 10}}


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = events.EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    return [(event.step, round(event.value, 6)) for event in read.Scalars(tag)]


def test_tensorboard_shows_steps_and_epochs_on_one_axis(tmp_path: Path) -> None:
    log = RunLog(tmp_path, steps_per_epoch=10, on=True)
    log.rewind([], 0)
    log.step(1, 5, FIGURES)
    log.step(1, 10, {**FIGURES, "loss": 1.25})
    log.epoch([entry(1, 2.0)])
    assert scalars(tmp_path, "step/loss") == [(5, 1.5), (10, 1.25)]
    assert scalars(tmp_path, "epoch/loss") == [(10, 2.0)]
    assert scalars(tmp_path, "epoch/macro_auroc") == [(10, 0.2)]


def test_what_a_resumed_run_does_again_is_shown_once(tmp_path: Path) -> None:
    """Killed in the third epoch, the last checkpoint of the first."""
    log = RunLog(tmp_path, steps_per_epoch=10, on=True)
    log.rewind([], 0)
    history = []
    for epoch in (1, 2):
        history.append(entry(epoch, 2.0))
        log.step(epoch, 10 * epoch, FIGURES)
        log.epoch(history)
    time.sleep(1.1)  # TensorBoard reads files in the order of the second in their names
    again = RunLog(tmp_path, steps_per_epoch=10, on=True)
    again.rewind(history[:1], 10)
    again.step(2, 20, {**FIGURES, "loss": 0.5})
    again.epoch([*history[:1], entry(2, 1.0)])
    assert scalars(tmp_path, "step/loss") == [(10, 1.5), (20, 0.5)]
    assert scalars(tmp_path, "epoch/loss") == [(10, 2.0), (20, 1.0)]
    lines = (tmp_path / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]


@pytest.mark.parametrize("last", ["log.step(1, 5, figures)", "log.epoch([entry])"])
def test_a_process_that_dies_leaves_what_it_wrote(tmp_path: Path, last: str) -> None:
    program = f"""
import os, pathlib
from ecgpipe.train_ecg.loop.run_log import RunLog
figures, entry = {FIGURES!r}, {entry(1, 2.0)!r}
log = RunLog(pathlib.Path({str(tmp_path)!r}), steps_per_epoch=5, on=True)
log.rewind([], 0)
{last}
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    tag = "step/loss" if "step(" in last else "epoch/loss"
    assert [step for step, _ in scalars(tmp_path, tag)] == [5]


def test_without_tensorboard_the_lines_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    log = RunLog(tmp_path, steps_per_epoch=10, on=True)
    log.rewind([], 0)
    log.step(1, 10, FIGURES)
    log.epoch([entry(1, 2.0)])
    assert not (tmp_path / "tensorboard").exists()
    assert json.loads((tmp_path / "steps.jsonl").read_text())["loss"] == 1.5
    assert json.loads((tmp_path / "log.jsonl").read_text())["epoch"] == 1


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    log = RunLog(tmp_path, steps_per_epoch=10, on=False)
    log.rewind([], 0)
    log.step(1, 10, FIGURES)
    log.epoch([entry(1, 2.0)])
    assert not list(tmp_path.iterdir())
