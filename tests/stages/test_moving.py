"""A project in another folder: nothing is done again, unless a recording is another one there."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_experiment import Experiment, worked

TASK = Path("evaluate/tasks/rhythm.yaml")


def project(folder: Path, original: Experiment, ecgs: Path) -> Experiment:
    """The finished experiment as a folder that holds all it needs, with its own task and list of
    findings; all paths are relative."""
    shutil.copytree(original.folder / "work", folder / "work")
    shutil.copytree(ecgs, folder / "data")
    shutil.copyfile("evaluate/taxonomies/findings98.csv", folder / "findings.csv")
    text = TASK.read_text(encoding="utf-8").replace("name: rhythm", "name: mine")
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    experiment = Experiment.__new__(Experiment)
    experiment.folder, experiment.path = folder, folder / "pipeline.yaml"
    settings = yaml.safe_load(original.path.read_text())
    settings["data"]["sources"][0]["table"] = "data/records.csv"
    settings["data"]["taxonomy"] = "findings.csv"
    settings["eval"]["tasks"] = ["findings", "mine.yaml"]
    experiment.path.write_text(yaml.safe_dump(settings, allow_unicode=True))
    return experiment


def moved(experiment: Experiment, folder: Path) -> Experiment:
    """As by `cp -r`, with other times, and the first place gone."""
    shutil.copytree(experiment.folder, folder)
    shutil.rmtree(experiment.folder)
    for file in folder.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    other = Experiment.__new__(Experiment)
    other.folder, other.path = folder, folder / "pipeline.yaml"
    return other


def test_a_moved_project_has_nothing_to_do(
    tmp_path: Path, finished: tuple[Experiment, dict[str, Any]], ecgs: Path
) -> None:
    here = project(tmp_path / "project", finished[0], ecgs)
    assert worked(here.did()) == ["eval"]  # its own task; the data are those of another folder
    there = moved(here, tmp_path / "other" / "moved")
    started = time.monotonic()
    assert worked(there.did()) == []
    assert time.monotonic() - started < 5
    assert not list((there.folder / "work" / "runs").glob("*.old-*"))


def test_the_first_run_after_a_move_trains_nothing(
    experiment: Experiment, tmp_path: Path, ecgs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data under another mount, named by a variable."""
    settings = yaml.safe_load(experiment.path.read_text())
    settings["data"]["sources"][0]["table"] = "${ECGPIPE_DATA}/records.csv"
    experiment.path.write_text(yaml.safe_dump(settings, allow_unicode=True))
    shutil.copytree(ecgs, tmp_path / "mount")
    monkeypatch.setenv("ECGPIPE_DATA", str(tmp_path / "mount"))
    assert worked(experiment.did()) == []
    monkeypatch.setenv("ECGPIPE_DATA", str(ecgs))
    assert worked(experiment.did()) == []


def test_a_recording_that_is_another_after_the_move_is_trained_on(
    experiment: Experiment, tmp_path: Path, ecgs: Path
) -> None:
    mount = tmp_path / "mount"
    shutil.copytree(ecgs, mount)
    first, second = sorted(mount.rglob("*.dat"))[:2]
    headers = [file.with_suffix(".hea").read_text() for file in (first, second)]
    first.write_bytes(second.read_bytes())
    first.with_suffix(".hea").write_text(headers[1].replace(second.stem, first.stem))
    settings = yaml.safe_load(experiment.path.read_text())
    settings["data"]["sources"][0]["table"] = str(mount / "records.csv")
    experiment.path.write_text(yaml.safe_dump(settings, allow_unicode=True))
    code, _, err = experiment.run("prepare")
    assert code == 0
    assert "nothing to do" not in err
    code, _, err = experiment.run("eval")
    assert code != 0
    assert "holds no finished model of these settings" in err
