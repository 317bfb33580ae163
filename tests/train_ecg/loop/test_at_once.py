"""Runs of a sweep at the same time: each ends with the model it would have alone."""

import dataclasses
import gc
import hashlib
import io
import itertools
import signal
import threading
import time
import weakref
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import CONFIG, DATA, SHAPE, accuracy
from toy_experiment import Experiment

from ecgpipe.config.data import DataConfig, TableSource
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.text import TextConfig
from ecgpipe.config.train import TrainConfig
from ecgpipe.errors import ConfigError, EcgpipeError, StoppedEarly
from ecgpipe.progress import one_of_several, progress
from ecgpipe.stages.shelves import Shelves
from ecgpipe.stages.stage_result import Outcome, raise_failures, without_frames
from ecgpipe.stages.train.at_once import check_at_once
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.own_stream import own_stream, remark_on_cores, stream_of_this_run
from ecgpipe.train_ecg.loop.training import train
from ecgpipe.train_ecg.torch_errors import told

DONE = Outcome("train", True, "2 epochs", {})


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def models(folder: Path) -> dict[str, str]:
    """The digest of each run's weights, by the run's name."""
    return {
        path.parents[1].name: digest(path)
        for path in folder.glob("work/runs/*/model/model.safetensors")
    }


@pytest.mark.parametrize("placement", ["memory", "stream"])
def test_threads_that_train_beside_each_other_do_as_each_alone(
    tmp_path: Path, placement: str
) -> None:
    seeds = (0, 1, 2)
    met = threading.Barrier(len(seeds), timeout=120)

    def trained(folder: Path, seed: int, *, wait: bool = False) -> None:
        config = dataclasses.replace(CONFIG, seed=seed, epochs=1, placement=placement)
        if wait:
            met.wait()  # all begin in the same moment: weights are drawn from one random state
        train(config, SHAPE, DATA, folder, "k", {}, accuracy, Stop())

    for seed in seeds:
        trained(tmp_path / f"alone-{seed}", seed)
    threads = [
        threading.Thread(
            target=trained, args=(tmp_path / f"beside-{seed}", seed), kwargs={"wait": True}
        )
        for seed in seeds
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone, beside = (
        [digest(tmp_path / f"{how}-{seed}" / "model" / "model.safetensors") for seed in seeds]
        for how in ("alone", "beside")
    )
    assert len(set(alone)) == len(seeds)
    assert beside == alone


def test_two_seeds_at_once_are_the_two_one_by_one(experiment: Experiment) -> None:
    cnn = ("--set", "train.encoder=cnn1d")
    code, _, err = experiment.run("train", "--seeds", "0..1", "--at-once", "2", *cnn)
    assert code == 0, err
    at_once = {name: value for name, value in models(experiment.folder).items() if "seed" in name}
    assert set(at_once) == {"toy+seed=0", "toy+seed=1"}
    for name in at_once:
        assert f"{name}: train: 2 epochs trained" in err
        assert f"{name}: train: signals in memory" in err
    for name in at_once:  # kept, but no longer where they would be found
        run = experiment.folder / "work" / "runs" / name
        run.rename(experiment.folder / name)
    code, _, err = experiment.run("train", "--seeds", "0..1", *cnn)
    assert code == 0, err
    one_by_one = {n: value for n, value in models(experiment.folder).items() if "seed" in n}
    assert one_by_one == at_once
    code, _, err = experiment.run("run", "--seeds", "0..1", "--at-once", "2", *cnn)
    assert code == 0, err
    assert err.count("train: nothing to do: 2 epochs trained") == 2
    assert len(list(experiment.folder.glob("work/runs/toy+seed=*/eval/report.md"))) == 2


def test_a_run_that_fails_is_named_and_the_others_are_trained(experiment: Experiment) -> None:
    code, _, err = experiment.run(
        "train", "--grid", "train.global_batch_size=4096,16,8", "--at-once", "2",
        "--set", "train.encoder=cnn1d",
    )  # fmt: skip
    assert code == 2
    assert "toy+global_batch_size=4096: The training split has" in err
    assert "1 of 3 runs failed, for the reasons above: toy+global_batch_size=4096." in err
    assert set(models(experiment.folder)) == {
        "toy", "toy+global_batch_size=16", "toy+global_batch_size=8",
    }  # fmt: skip


def test_a_signal_stops_all_runs_and_the_same_command_goes_on(experiment: Experiment) -> None:
    settings = (
        "--set", "train.epochs=10", "--set", "train.encoder=cnn1d",
        "--set", "train.checkpoint_minutes=0",
    )  # fmt: skip
    command = ("train", "--seeds", "0..2", "--at-once", "2", *settings)
    process = experiment.start(*command)
    for seed in (0, 1):
        wait_for(experiment.folder, f"work/runs/toy+seed={seed}/checkpoints/step-*")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    assert "3 of 3 runs were stopped" in err
    for seed in (0, 1):
        assert f"toy+seed={seed}: Stopped by SIGTERM in epoch" in err
    runs = experiment.folder / "work" / "runs"
    assert not (runs / "toy+seed=2").exists()
    code, _, err = experiment.run(*command)
    assert code == 0, err
    at_once = models(experiment.folder)
    assert {f"toy+seed={seed}" for seed in range(3)} < set(at_once)
    (runs / "toy+seed=1").rename(experiment.folder / "stopped and resumed")
    assert experiment.run("train", "--seeds", "1", *settings)[0] == 0
    assert models(experiment.folder)["toy+seed=1"] == at_once["toy+seed=1"]


def wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 120
    while not list(folder.glob(pattern)):
        assert time.monotonic() < deadline, f"no {pattern}"
        time.sleep(0.05)


def settings(name: str, **train_settings: Any) -> PipelineConfig:
    return PipelineConfig(
        name=name,
        data=DataConfig(sources=(TableSource(kind="table", table=Path("records.csv")),)),
        text=TextConfig(model="some/model"),
        train=TrainConfig(**train_settings),
    )


def test_processes_that_train_one_run_cannot_train_several(monkeypatch: pytest.MonkeyPatch) -> None:
    check_at_once([settings("a"), settings("b")])
    with pytest.raises(ConfigError, match=r"b has train\.compile"):
        check_at_once([settings("a"), settings("b", compile=True)])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"2 processes were started.*leave out --at-once"):
        check_at_once([settings("a")])


def test_a_stop_is_told_before_a_failure_and_a_bug_before_both() -> None:
    raise_failures({"a": DONE, "b": DONE})
    failed = EcgpipeError("the loss is not finite")
    with pytest.raises(EcgpipeError, match="1 of 2 runs failed, for the reasons above: b") as met:
        raise_failures({"a": DONE, "b": failed})
    assert met.value.exit_code == 1
    with pytest.raises(StoppedEarly, match="1 of 3 runs were stopped"):
        raise_failures({"a": DONE, "b": failed, "c": StoppedEarly("by SIGTERM")})
    with pytest.raises(ZeroDivisionError):
        raise_failures({"a": StoppedEarly("by SIGTERM"), "b": ZeroDivisionError()})


def test_what_a_failed_run_held_does_not_live_to_the_end_of_a_sweep() -> None:
    class Model:
        pass

    def fail(kind: type[Exception]) -> weakref.ref[Model]:
        model = Model()
        try:
            try:
                raise RuntimeError(model)
            except RuntimeError as cause:
                raise kind("the loss is not finite") from cause
        except kind as error:
            kept.append(without_frames(error))
        return weakref.ref(model)

    kept: list[Exception] = []
    held = fail(EcgpipeError)
    gc.collect()
    assert held() is None
    assert str(kept[0]) == "the loss is not finite"
    fail(ZeroDivisionError)
    assert (
        kept[1].__traceback__ is not None
    )  # nobody foresaw it: where it comes from is all there is


def test_a_thread_that_is_one_of_several_shows_its_name_and_no_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with one_of_several("toy+seed=1"), progress("train", 2, "steps", stream=stream) as tick:
        tick(2)
    assert stream.getvalue().startswith("toy+seed=1: train: 2 of 2 steps (100 %)")
    assert stream.getvalue().count("\n") == 1


def test_a_shelf_is_kept_while_any_run_uses_it_and_the_last_one_longer() -> None:
    class Shelf:
        pass

    shelves = Shelves()
    first = shelves.shared("a", Shelf)
    assert shelves.shared("b", Shelf) is not first
    assert shelves.shared("a", Shelf) is first  # a run that lives has it still
    was = id(first)
    del first
    assert id(shelves.shared("a", Shelf)) == was  # the last one asked for
    made: list[int] = []
    for key in ("b", "a"):
        gc.collect()
        shelves.shared(key, lambda: made.append(1) or Shelf())
    assert len(made) == 2  # nobody had either


class FakeStream:
    """PyTorch's pool in small: four streams, handed out in turn."""

    handles = itertools.cycle([11, 12, 13, 14])

    def __init__(self) -> None:
        self.cuda_stream = next(self.handles)
        self.waited_for = False

    def synchronize(self) -> None:
        self.waited_for = True


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr("ecgpipe.train_ecg.loop.own_stream._left", [])


def test_a_sweep_of_many_runs_keeps_to_few_streams(fake_gpu: None) -> None:
    """Libraries keep memory for each stream they ever worked in."""
    streams = set()
    for _ in range(3):
        with own_stream(), own_stream():
            streams.add(id(stream_of_this_run()))
    assert len(streams) == 1


def test_no_two_runs_share_a_cuda_stream(fake_gpu: None) -> None:
    with own_stream():
        outer = stream_of_this_run()
        for _ in range(7):  # more often than there are streams
            with own_stream():
                inner = stream_of_this_run()
                assert inner.cuda_stream != outer.cuda_stream
            assert inner.waited_for
        assert stream_of_this_run() is outer
        with own_stream(), own_stream(), own_stream():
            with pytest.raises(EcgpipeError, match="4 runs train on this GPU already"):
                with own_stream():
                    pass
    assert stream_of_this_run() is None


def test_too_few_cores_for_all_runs_are_told_of_where_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert remark_on_cores(2) is None
    assert "4 runs of 4 threads share 8 cores" in str(remark_on_cores(4))
    assert "OMP_NUM_THREADS to 2" in str(remark_on_cores(4))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert remark_on_cores(4) is None


def test_a_gpu_that_is_too_small_for_all_names_the_way_out(fake_gpu: None) -> None:
    with (
        pytest.raises(EcgpipeError, match=r"too small for so many runs at once \(--at-once\)"),
        own_stream(),
        told(CONFIG, 1),
    ):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
    with own_stream():  # and its stream is free again
        assert stream_of_this_run() is not None
