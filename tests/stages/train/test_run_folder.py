"""A run's folder: nothing is overwritten or moved silently, and what fits comes back."""

import itertools
import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ecgpipe.config.data import DataConfig, TableSource
from ecgpipe.config.file import config_as_yaml
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.text import TextConfig
from ecgpipe.config.train import TrainConfig
from ecgpipe.stages.train.run_folder import RunFolder
from ecgpipe.workspace import Workspace

CONTENTS = {"other recordings": "r", "other texts": "t", "other vectors": "v"}
NOT_IN_KEY = frozenset({"name", "work_dir", "notice", "train.placement", "eval"})


def config(text: str = "some/model", **train: Any) -> PipelineConfig:
    return PipelineConfig(
        name="toy",
        data=DataConfig(sources=(TableSource(kind="table", table=Path("records.csv")),)),
        text=TextConfig(model=text),
        train=TrainConfig(**{"epochs": 5, **train}),
    )


def run_folder(work: Path, key: str = "k", **settings: Any) -> RunFolder:
    return RunFolder(Workspace(work, "toy"), config(**settings), key, NOT_IN_KEY, lambda: CONTENTS)


def make_run(
    work: Path, name: str, key: str, values: list[float], *, begun: bool = False, **settings: Any
) -> Path:
    """A run as training leaves it, with a checkpoint after its epochs."""
    run = work / "runs" / name
    step = run / "checkpoints" / f"step-{10 * len(values):08d}"
    step.mkdir(parents=True)
    history = [{"val": {"macro_auroc": value}} for value in values]
    state = {"history": history, "step_metrics": [[1.0, 1.0, 1.0]] if begun else []}
    (step / "state.json").write_text(json.dumps(state))
    (run / "run.json").write_text(json.dumps({"run_key": key}))
    (run / "config.yaml").write_text(config_as_yaml(config(**settings)))
    return run


def names(work: Path) -> dict[str, str]:
    """The key of each run, by its folder."""
    return {
        path.parent.name: json.loads(path.read_text())["run_key"]
        for path in (work / "runs").glob("*/run.json")
    }


@pytest.mark.parametrize(
    ("values", "begun", "settings", "fits"),
    [
        ([0.1, 0.2], False, {}, True),
        ([0.1] * 5, False, {}, True),  # done
        ([0.1] * 5, True, {}, False),  # a sixth epoch was started, and the settings say five
        ([0.1] * 6, False, {}, False),
        ([0.5, 0.1, 0.1], False, {"patience": 2}, True),  # ended early
        ([0.5, 0.1, 0.1, 0.9], False, {"patience": 2}, False),  # would have ended earlier
        ([0.5, 0.1, 0.1, 0.9], False, {"patience": 3}, True),
    ],
)
def test_a_run_can_be_continued_unless_it_trained_for_longer(
    tmp_path: Path, values: list[float], begun: bool, settings: dict[str, Any], fits: bool
) -> None:
    make_run(tmp_path, "toy", "k", values, begun=begun)
    assert run_folder(tmp_path, **settings).fits() is fits
    assert run_folder(tmp_path, **settings).is_longer() is not fits
    assert not run_folder(tmp_path, "other", **settings).fits()


def test_the_furthest_run_with_these_settings_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "toy", "k", [0.1])
    make_run(tmp_path, "toy.old-1", "k", [0.1, 0.2, 0.3])
    make_run(tmp_path, "toy.old-2", "k", [0.1, 0.2])
    make_run(tmp_path, "toy.old-10", "k", [0.1] * 9)  # too long
    make_run(tmp_path, "toy.old-11", "other", [0.1] * 4)
    make_run(tmp_path, "toy+seed=1.old-1", "k", [0.1] * 4)  # another run's
    run_folder(tmp_path).take_back()
    run = tmp_path / "runs" / "toy"
    assert (run / "checkpoints" / "step-00000030").exists()
    assert set(names(tmp_path)) == {
        "toy", "toy.old-2", "toy.old-10", "toy.old-11", "toy.old-12", "toy+seed=1.old-1",
    }  # fmt: skip
    said = capsys.readouterr().err
    assert "is not as far as one with the same settings; it was kept as toy.old-12" in said
    assert "toy.old-1, a run with these settings, was moved back" in said


def test_a_run_that_is_as_far_as_any_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "toy", "k", [0.1, 0.2])
    make_run(tmp_path, "toy.old-1", "k", [0.1, 0.2])
    folder = run_folder(tmp_path)
    folder.take_back()
    folder.begin()
    assert names(tmp_path) == {"toy": "k", "toy.old-1": "k"}
    assert capsys.readouterr().err == ""


def test_changed_settings_are_named_if_the_key_depends_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(
        tmp_path, "toy", "before", [0.1], text="x" * 90, lr=0.1, placement="stream", loss="siglip"
    )
    run_folder(tmp_path, "k", encoder="cnn1d").begin()
    said = capsys.readouterr().err
    assert "had other settings (text.model, train.encoder was resnet1d18 and is cnn1d," in said
    assert "and 1 more); it was kept as toy.old-1" in said
    assert "xxx" not in said
    assert "placement" not in said
    assert names(tmp_path) == {"toy": "k", "toy.old-1": "before"}


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            CONTENTS | {"other texts": "u"},
            "was made from something else (other texts); it was kept",
        ),
        (
            {name: "x" for name in CONTENTS} | {"other recordings": "r"},
            "had these settings, but was made from something else (other texts, other vectors);",
        ),
        (CONTENTS, "had other data, texts or vectors, or was made by another version"),
        (None, "had other data, texts or vectors, or was made by another version"),
        ({}, "had other data, texts or vectors, or was made by another version"),
        ([], "had other data, texts or vectors, or was made by another version"),
    ],
)
def test_what_a_run_of_the_same_settings_was_made_from_is_told(
    tmp_path: Path, before: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a correction in the table; earlier versions kept no digests of the parts."""
    run = make_run(tmp_path, "toy", "before", [0.1])
    (run / "run.json").write_text(json.dumps({"run_key": "before", "contents": before}))
    run_folder(tmp_path).begin()
    assert said in capsys.readouterr().err
    assert json.loads((run / "run.json").read_text())["contents"] == CONTENTS


@pytest.mark.parametrize("content", ["", "[1]", "a: ["])
def test_a_run_with_damaged_files_is_set_aside_too(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, "toy", "before", [0.1])
    (run / "config.yaml").write_text(content)
    (run / "run.json").write_text(content)
    run_folder(tmp_path).begin()
    assert (tmp_path / "runs" / "toy.old-1" / "checkpoints").exists()
    said = capsys.readouterr().err
    assert "has no readable settings; it was kept as toy.old-1" in said


def test_a_model_without_its_checkpoints_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when somebody freed disk space."""
    run = make_run(tmp_path, "toy", "k", [0.1])
    (run / "model").mkdir()
    (run / "model" / "config.json").write_text("{}")
    shutil.rmtree(run / "checkpoints")
    run_folder(tmp_path).begin()
    assert (tmp_path / "runs" / "toy.old-1" / "model" / "config.json").exists()
    assert "has lost its checkpoints; it was kept as toy.old-1" in capsys.readouterr().err


def test_before_training_only_a_finished_run_comes_back(tmp_path: Path) -> None:
    """Training may still be refused, and the current run must stay then."""
    make_run(tmp_path, "toy", "other", [0.1])
    make_run(tmp_path, "toy.old-1", "k", [0.1, 0.2])
    run_folder(tmp_path).take_back(done_only=True)
    assert names(tmp_path) == {"toy": "other", "toy.old-1": "k"}
    done = make_run(tmp_path, "toy.old-2", "k", [0.1] * 5)
    (done / "model").mkdir()
    (done / "model" / "config.json").write_text("{}")
    run_folder(tmp_path).take_back(done_only=True)
    assert names(tmp_path) == {"toy": "k", "toy.old-1": "k", "toy.old-3": "other"}


class Killed(BaseException):
    pass


def killed_after(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill before the n-th rename, counted from 0."""
    renames, rename = itertools.count(), Path.rename

    def counted(self: Path, target: Path) -> Path:
        if next(renames) == n:
            raise Killed
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", counted)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "config.yaml"
    }


def test_a_kill_while_runs_are_moved_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        work = tmp_path / str(n)
        run = make_run(work, "toy", "before", [0.3])
        wanted = contents(make_run(work, "toy.old-1", "k", [0.1, 0.2]))
        before = contents(run)
        with monkeypatch.context() as patch:
            killed_after(n, patch)
            with suppress(Killed):
                run_folder(work).take_back()
        folder = run_folder(work)
        folder.take_back()
        assert folder.fits(), n
        assert contents(run) == wanted, n
        assert contents(work / "runs" / "toy.old-2") == before, n
        assert len(list((work / "runs").iterdir())) == 2, n


def test_a_run_is_set_aside_under_the_next_number(tmp_path: Path) -> None:
    make_run(tmp_path, "toy", "before", [0.1])
    make_run(tmp_path, "toy.old-3", "k", [0.1, 0.2])
    make_run(tmp_path, "toy+seed=1.old-7", "k", [0.1, 0.2, 0.3])
    run_folder(tmp_path).take_back()
    assert names(tmp_path) == {"toy": "k", "toy.old-4": "before", "toy+seed=1.old-7": "k"}


def test_a_new_run_starts_without_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(tmp_path)
    folder.take_back()
    folder.begin()
    assert names(tmp_path) == {"toy": "k"}
    assert folder.fits()
    assert capsys.readouterr().err == ""
