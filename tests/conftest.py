"""Fixtures that several rooms' tests share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import make_ecgs
import pytest
import skips
import tiny_models
import torch
from slurm_cluster import SlurmCluster, running_cluster, why_not
from toy_experiment import Experiment, worked

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.config.file import load_config
from ecgpipe.evaluate.analyses.registry import ANALYSES
from ecgpipe.stages.apply.content import applied_run
from ecgpipe.stages.experiment import Experiment as OpenedExperiment

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Tests compare English; whoever runs them may have a Japanese locale.
os.environ["ECGPIPE_LANG"] = "en"

# In every test, whichever ran before: there is a process of tests for each core.
torch.set_num_threads(1)


# What `make test-fast` leaves out: tests with these fixtures run a whole pipeline or a Slurm, and
# tests in these files start many processes or train. Together they take most of the time.
PIPELINES = {"finished", "applied", "exported", "evaluated", "experiment", "fresh", "slurm"}
LONG_FILES = {
    "test_benchmarks.py", "test_cluster.py", "test_containers.py", "test_crash.py",
    "test_disk_failures.py", "test_format_fuzz.py", "test_golden_losses.py",
    "test_language_model.py", "test_model_fetch.py", "test_model_hub.py", "test_no_network.py",
    "test_onnx_encoder.py", "test_page_in_browser.py", "test_prediction.py",
    "test_prediction_files.py", "test_prepare_kills.py",
    "test_preparation.py", "test_prepare_shards.py", "test_ranks.py", "test_reading.py",
    "test_report_in_browser.py", "test_run_log.py", "test_several_processes.py",
    "test_starting_point.py", "test_train_kills.py", "test_training.py", "test_workers.py",
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, and put their files first: at the end one process would wait for the other. A
    Slurm, which mostly waits for itself, comes before all.
    """
    slow, slurm = set(), set()
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.path.name in LONG_FILES or PIPELINES & fixtures:
            item.add_marker(pytest.mark.pipeline)
            slow.add(item.path)
        if "slurm" in fixtures:
            slurm.add(item.path)
    items.sort(key=lambda item: (item.path not in slurm, item.path not in slow))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was skipped."""
    skips.pytest_terminal_summary(terminalreporter)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real ECGs; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("ECGPIPE_DATA", "../shared/data"))
    if not (folder / "ptbxl").is_dir():
        pytest.skip("no real ECGs: set ECGPIPE_DATA to the folder that holds ptbxl/, mitdb/, ...")
    return folder.resolve()


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights and a byte tokenizer, as a local folder."""
    return tiny_models.save_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT with random weights, as a local folder."""
    return tiny_models.save_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def ecgs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ecgs")
    make_ecgs.make_ecgs(folder, n_patients=60, seed=0)
    return folder


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, ecgs: Path
) -> tuple[Experiment, dict[str, Any]]:
    """An experiment that was run once; tests that change it work on a copy."""
    experiment = Experiment(tmp_path_factory.mktemp("finished"), tiny_llama, ecgs)
    experiment.draws = True
    return experiment, experiment.did()


@pytest.fixture(scope="session")
def applied(finished: tuple[Experiment, dict[str, Any]]) -> AppliedModel:
    """The finished experiment's model, put to use."""
    return applied_run(OpenedExperiment(load_config(finished[0].path)))


@pytest.fixture(scope="session")
def exported(
    tmp_path_factory: pytest.TempPathFactory, finished: tuple[Experiment, dict[str, Any]]
) -> Path:
    """The finished experiment's model as a folder; not to be changed."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    code, _, err = finished[0].run("export", "--to", str(folder))
    assert code == 0, err
    return folder


@pytest.fixture(scope="session")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, finished: tuple[Experiment, dict[str, Any]]
) -> Experiment:
    """The finished experiment with all that can stand beside the tasks; not to be changed."""
    experiment = finished[0].copy(tmp_path_factory.mktemp("evaluated"))
    experiment.draws = True
    analyses = ", ".join(ANALYSES)
    # The held-out wordings of the bank have no vectors yet.
    assert worked(experiment.did("--set", f"eval.analyses=[{analyses}]")) == ["embed", "eval"]
    return experiment


@pytest.fixture
def experiment(tmp_path: Path, finished: tuple[Experiment, dict[str, Any]]) -> Experiment:
    """A copy of the finished experiment."""
    return finished[0].copy(tmp_path)


@pytest.fixture
def fresh(tmp_path: Path, tiny_llama: Path, ecgs: Path) -> Experiment:
    return Experiment(tmp_path, tiny_llama, ecgs)


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """A real Slurm with two nodes, for the tests of one file; they may leave jobs behind."""
    if reason := why_not():
        pytest.skip(reason)
    with running_cluster() as cluster:
        yield cluster
