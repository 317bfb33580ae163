"""`ecgpipe gc` and what is expensive: runs go by name only, evaluations that are asked for stay."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from signal_stores import bytes_of
from toy_experiment import Experiment, worked

from ecgpipe.files import only_one
from ecgpipe.heartbeat import heartbeat
from ecgpipe.processes import Share


def gc(experiment: Experiment, *arguments: str, code: int = 0) -> dict[str, Any]:
    found, out, err = experiment.run("gc", "--json", *arguments)
    assert found == code, err
    if code:
        return {"error": err}
    summary: dict[str, Any] = json.loads(out.splitlines()[-1])["gc"]
    return summary


def names(found: dict[str, Any]) -> list[str]:
    return [one["name"] for one in found["unneeded"]]


def runs(experiment: Experiment) -> Path:
    return experiment.folder / "work" / "runs"


def copy_run(experiment: Experiment, name: str) -> Path:
    return Path(shutil.copytree(runs(experiment) / "toy", runs(experiment) / name, symlinks=True))


def test_of_a_finished_experiment_everything_is_needed(experiment: Experiment) -> None:
    before = bytes_of(experiment.folder / "work")
    found = gc(experiment, "--remove")
    assert (found["unneeded"], found["remarks"]) == ([], [])
    assert bytes_of(experiment.folder / "work") == before


def test_a_run_goes_only_by_its_name(experiment: Experiment) -> None:
    copies = {name: copy_run(experiment, name) for name in ("toy.old-1", "other")}
    found = gc(experiment, "--remove")
    assert sorted(names(found)) == ["runs/other", "runs/toy.old-1"]
    assert all(folder.exists() for folder in copies.values())
    found = gc(experiment, "--remove", "--run", "toy.old-1")
    assert found["freed_bytes"] > 0
    assert [folder.exists() for folder in copies.values()] == [False, True]
    assert worked(experiment.did()) == []


@pytest.mark.parametrize("name", ["toy", "typo"])
def test_a_run_that_is_not_on_the_list_is_refused_before_anything_is_removed(
    experiment: Experiment, name: str
) -> None:
    old = copy_run(experiment, "toy.old-1")
    error = gc(experiment, "--remove", "--run", "toy.old-1", "--run", name, code=2)["error"]
    assert f"--run {name} is not on the list" in error
    assert "Those listed are: toy.old-1." in error
    assert old.exists()
    assert "give both" in gc(experiment, "--run", "toy.old-1", code=2)["error"]


def test_the_runs_of_a_sweep_belong_to_its_file(experiment: Experiment) -> None:
    copy_run(experiment, "toy+seed=1")
    assert names(gc(experiment)) == []
    copy_run(experiment, "toy+seed=1.old-1")
    assert names(gc(experiment)) == ["runs/toy+seed=1.old-1"]


def test_the_signals_of_a_sweep_over_data_stay(experiment: Experiment) -> None:
    """Two runs that pipeline.yaml itself does not need the signals of."""
    settings = ("--set", "data.rate_hz=50", "--set", "name=toy+rate_hz=50")
    code, out, err = experiment.run("prepare", "--json", *settings)
    assert code == 0, err
    store = Path(json.loads(out)["prepare"]["signals"])
    assert f"signals/{store.name}" in names(gc(experiment))
    run = copy_run(experiment, "toy+rate_hz=50")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["rate_hz"] = 50
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert names(gc(experiment)) == []
    (run / "config.yaml").write_text("nothing: known")
    found = gc(experiment, "--remove")
    assert "What runs/toy+rate_hz=50 needs is unknown" in found["remarks"][0]
    assert store.exists()


def test_a_model_that_another_run_began_with_stays(experiment: Experiment) -> None:
    base = copy_run(experiment, "base")
    assert names(gc(experiment)) == ["runs/base"]
    settings = yaml.safe_load(experiment.path.read_text())
    settings["train"]["init_from"] = "work/runs/base"
    second = experiment.folder / "second.yaml"
    second.write_text(yaml.safe_dump({**settings, "name": "second"}))
    assert names(gc(experiment, "-c", str(second))) == []
    # The file is not given, but the run that it made remembers.
    run = copy_run(experiment, "second")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["train"]["init_from"] = str(base)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert names(gc(experiment)) == ["runs/second"]


def test_a_run_with_anything_else_in_its_folder_stays(
    experiment: Experiment, exported: Path
) -> None:
    shutil.copytree(exported, copy_run(experiment, "other") / "for-tokyo")
    found = gc(experiment, "--remove")
    assert names(found) == []
    assert "also holds 1 files or folders" in found["remarks"][0]


def test_a_run_that_is_trained_stays(experiment: Experiment) -> None:
    """`toy` may take back what was set aside."""
    old = copy_run(experiment, "toy.old-1")
    with only_one(runs(experiment) / ".toy.lock", "trains this run"):
        found = gc(experiment, "--remove", "--run", "toy.old-1")
    assert "runs/toy.old-1 is left alone: a process trains it." in found["remarks"]
    with heartbeat(experiment.folder / "work" / "status" / "toy", "eval", Share()):
        found = gc(experiment, "--remove", "--run", "toy.old-1")
    assert "eval of toy runs on" in found["remarks"][-1]
    assert old.exists()


def test_an_evaluation_that_the_file_asks_for_stays_though_another_is_shown(
    experiment: Experiment,
) -> None:
    def evaluate(*arguments: str) -> Path:
        code, _, err = experiment.run("eval", *arguments)
        assert code == 0, err
        return (runs(experiment) / "toy" / "eval").resolve()

    own = evaluate()
    other = evaluate("--set", "eval.bootstrap_draws=101")
    assert own != other
    assert names(gc(experiment)) == []  # the one is asked for, the other shown
    assert evaluate() == own
    found = gc(experiment, "--remove")
    assert names(found) == [f"runs/toy/evals/{other.name}"]
    assert (own.exists(), other.exists()) == (True, False)
    assert worked(experiment.did()) == []


def test_where_the_language_model_is_missing_no_evaluation_goes(experiment: Experiment) -> None:
    code, _, err = experiment.run("eval", "--set", "eval.bootstrap_draws=101")
    assert code == 0, err
    code, _, err = experiment.run("eval")
    assert code == 0, err
    settings = yaml.safe_load(experiment.path.read_text())
    settings["text"]["model"] = "./gone"
    experiment.path.write_text(yaml.safe_dump(settings))
    found = gc(experiment, "--remove")
    assert names(found) == []
    assert "The evaluations of runs/toy are left alone" in found["remarks"][0]


def test_text_vectors_stay_whoever_needs_them(experiment: Experiment) -> None:
    vectors = experiment.folder / "work" / "embeddings"
    before = bytes_of(vectors)
    settings = yaml.safe_load(experiment.path.read_text())
    settings["text"] |= {"pooling": "mean", "prompt": "{text}"}
    experiment.path.write_text(yaml.safe_dump({**settings, "name": "stranger"}))
    found = gc(experiment, "--remove", "--run", "toy")
    assert names(found) == ["runs/toy"]
    assert not (runs(experiment) / "toy").exists()
    assert bytes_of(vectors) == before
