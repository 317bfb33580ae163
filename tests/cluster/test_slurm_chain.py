"""`ecgpipe submit` on a real Slurm: a whole chain, and one that everything happens to.

The data are some ECGs of PTB-XL, or simulated ones where those are missing; the language model is
tiny. A training batch is computed in two parts, so one process and two give the same model.
"""

import csv
import itertools
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import make_ecgs
import numpy as np
import pytest
from slurm_chain import ODD, Chain, frozen, times_of, was_asked_to_stop
from slurm_cluster import SlurmCluster, running_cluster, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

N_RECORDS = 120
NAME = "試験 $1"
STAGES = ("prepare", "embed", "train", "eval")
EPOCHS = 4


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """With time for some steps on a busy machine: a job that has saved ends before."""
    with running_cluster(grace_s=60) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The `data` settings: a cut of PTB-XL, or what the simulator makes."""
    whole = Path(os.environ.get("ECGPIPE_DATA", "../shared/data")).resolve() / "ptbxl"
    if not whole.is_dir():
        ecgs = tmp_path_factory.mktemp("ecgs")
        make_ecgs.make_ecgs(ecgs, n_patients=75, seed=0)
        source = {"kind": "table", "table": str(ecgs / "records.csv")}
        return {"sources": [source], "taxonomy": "findings98"}
    folder = tmp_path_factory.mktemp("ptbxl")
    for name in ("records500", "scp_statements.csv"):
        (folder / name).symlink_to(whole / name)
    with (whole / "ptbxl_database.csv").open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        rows = [row for row, _ in zip(table, range(N_RECORDS), strict=False)]
    with (folder / "ptbxl_database.csv").open("w", newline="", encoding="utf-8") as file:
        cut = csv.DictWriter(file, table.fieldnames or [])
        cut.writeheader()
        cut.writerows(rows)
    source = {"kind": "ptbxl", "root": str(folder), "split_column": None}
    return {"sources": [source], "taxonomy": "ptbxl"}


@pytest.fixture(scope="module")
def settings(data: dict[str, Any], tiny_llama: Path) -> dict[str, Any]:
    job = {"cpus": 1, "hours": 0.5}
    return {
        "name": NAME,
        "data": {
            **data,
            "split": {"fractions": [0.7, 0.15, 0.15]},
            "rate_hz": 100,
            "workers": 1,
        },
        "text": {"model": str(tiny_llama), "dtype": "float32"},
        "train": {
            "preset": "paper",
            "precision": "float32",
            "epochs": EPOCHS,
            "global_batch_size": 4,
            "encoder_norm": "group",  # so that two processes compute the gradients of one
            "log_every": 1,
        },
        "eval": {
            "bootstrap_draws": 100,
            "random_encoders": 1,
            "min_positives": 2,
            "analyses": ["retrieval"],
        },
        "cluster": {
            "scheduler": "slurm",
            "queue": "low",
            "scratch": "$NOT_SET",
            "prepare": {**job, "shards": 2},
            "embed": {**job, "shards": 4, "gpus": 1},
            "train": {**job, "nodes": 2, "gpus": 1},
            "eval": {**job, "gpus": 0},
        },
    }


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any], slurm: SlurmCluster
) -> Chain:
    """A chain that runs without disturbance."""
    chain = Chain(tmp_path_factory.mktemp("undisturbed") / ODD, settings, slurm)
    began = time.monotonic()
    jobs = chain.submit()
    assert tuple(jobs) == STAGES
    ended = slurm.wait(jobs["eval"], 240)
    assert ended.state == "COMPLETED", chain.logs()
    print(f"undisturbed chain: {time.monotonic() - began:.1f} s")
    check_order(slurm, jobs)
    return chain


@pytest.fixture(autouse=True)
def left_nothing(slurm: SlurmCluster) -> Iterator[None]:
    yield
    slurm.clear()


def check_order(slurm: SlurmCluster, jobs: dict[str, str]) -> None:
    """Check that no job started before every task of the previous job had ended."""
    runs = {stage: times_of(slurm, job) for stage, job in jobs.items()}
    stages = [stage for stage in STAGES if stage in jobs]
    for before, after in itertools.pairwise(stages):
        assert min(start for start, _ in runs[after]) >= max(end for _, end in runs[before])


def test_a_chain_computes_what_one_process_computes(
    tmp_path: Path, settings: dict[str, Any], undisturbed: Chain
) -> None:
    alone = Chain(tmp_path / "alone", settings, None)
    for stage in STAGES:
        alone.ecgpipe(stage)

    keys, vectors = undisturbed.vectors()
    _, wanted = alone.vectors()
    assert len(keys) == len(set(keys)) == len(wanted) > 20
    assert vectors.keys() == wanted.keys()
    assert all(vectors[key].tobytes() == vector.tobytes() for key, vector in wanted.items())
    parts = list(undisturbed.work.glob("embeddings/*/part-*.h5"))
    assert len(parts) == 4  # every task of the array had some

    losses, steps = ([step["loss"] for step in chain.steps()] for chain in (undisturbed, alone))
    assert len(steps) >= 3 * EPOCHS
    assert len(losses) == len(steps)
    # In single precision rounding grows from step to step (docs/lab-log.md).
    np.testing.assert_allclose(losses[:2], steps[:2], rtol=1e-3)

    # A curve has a point for each distinct score, and a bin is there if a probability falls into
    # it: both depend on rounding, which differs between two ranks and one.
    rounded = ("/curves/", "/calibration/bins/")
    metrics = [
        {
            name
            for name in numbers(chain.results()["tasks"])
            if not any(part in name for part in rounded)
        }
        for chain in (undisturbed, alone)
    ]
    assert len(metrics[0]) > 100
    assert metrics[0] == metrics[1]


def test_the_chain_needed_no_network(undisturbed: Chain) -> None:
    assert not undisturbed.refused.exists(), undisturbed.refused.read_text()
    beats = {
        path.name: json.loads(path.read_text()) for path in undisturbed.heartbeats.glob("*.json")
    }
    assert {name.partition("-")[0] for name in beats} == set(STAGES)
    assert {beat["pid"] for beat in beats.values()} <= undisturbed.watched()
    jobs = undisturbed.jobs
    assert all("Traceback" not in path.read_text() for path in jobs.glob("*.log"))


def test_a_finished_chain_is_not_queued_again(undisturbed: Chain) -> None:
    assert undisturbed.states() == dict.fromkeys(STAGES, "done")
    assert undisturbed.submit("--resume") == {}
    assert "Everything is up to date; nothing is queued." in undisturbed.ecgpipe(
        "submit", "--resume"
    )


def test_the_runs_of_a_sweep_train_from_the_same_vectors(
    undisturbed: Chain, slurm: SlurmCluster
) -> None:
    printed = undisturbed.ecgpipe("submit", "--json", "--resume", "--seeds", "1..2")
    jobs = json.loads(printed.splitlines()[-1])["submit"]["jobs"]
    runs = [f"{NAME}+seed={seed}" for seed in (1, 2)]
    assert [(job["run"], job["stage"]) for job in jobs] == [
        (run, stage) for run in runs for stage in ("train", "eval")
    ]
    ends = [slurm.wait(job["id"], 240).state for job in jobs]
    assert ends == ["COMPLETED"] * 4, undisturbed.logs()
    assert all((undisturbed.work / "runs" / run / "eval/results.json").exists() for run in runs)
    printed = undisturbed.ecgpipe("submit", "--resume", "--seeds", "1..2")
    assert "Everything is up to date; nothing is queued." in printed


def numbers(value: Any, name: str = "") -> dict[str, float]:
    """Every number of nested results, by its place."""
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    else:
        known = isinstance(value, int | float) and not isinstance(value, bool)
        return {name: float(value)} if known else {}
    return {k: v for key, own in inner for k, v in numbers(own, f"{name}/{key}").items()}


@pytest.mark.slow
def test_a_chain_survives_kills_preemption_and_time_limits(
    tmp_path: Path, settings: dict[str, Any], slurm: SlurmCluster, undisturbed: Chain
) -> None:
    chain = Chain(tmp_path / ODD, settings, slurm)
    began = time.monotonic()
    first = lose_an_embed_task(chain, slurm)
    jobs = resume_on_one_node(chain, slurm)
    for restarts in (1, 2):
        preempt(chain, slurm, jobs["train"], restarts)
    run_out_of_time(chain, slurm, jobs["train"])
    ended = slurm.wait(jobs["train"], 120)
    assert (ended.state, ended.restarts) == ("COMPLETED", 3), chain.logs()
    print(log_of(chain, "train"))
    # Once at least in the middle of an epoch.
    assert re.search(r"after step [1-9]\d* of", log_of(chain, "train"))
    assert chain.logs().count("Stopped with everything saved; requeued.") == 3
    assert slurm.wait(jobs["eval"], 120).state == "COMPLETED", chain.logs()
    print(f"disturbed chain: {time.monotonic() - began:.1f} s, {ended.restarts} restarts")

    said = chain.status()
    assert re.search(rf"^train    done +{EPOCHS} of {EPOCHS} epochs", said, re.MULTILINE), said
    assert re.search(r"^eval     done ", said, re.MULTILINE), said
    assert "killed" not in said
    assert chain.submit("--resume") == {}

    check_order(slurm, {"prepare": first["prepare"], **jobs})
    keys, vectors = chain.vectors()
    assert len(keys) == len(set(keys))
    assert {key: v.tobytes() for key, v in vectors.items()} == {
        key: v.tobytes() for key, v in undisturbed.vectors()[1].items()
    }
    assert chain.weights() == undisturbed.weights()
    same = [
        [(step["epoch"], step["step"], step["loss"]) for step in one.steps()]
        for one in (chain, undisturbed)
    ]
    assert same[0] == same[1]
    assert numbers(chain.results()["tasks"]) == numbers(undisturbed.results()["tasks"])
    assert not chain.refused.exists()


def lose_an_embed_task(chain: Chain, slurm: SlurmCluster) -> dict[str, str]:
    """Drain a node and kill a task of the array; the jobs that depend on it never start."""
    jobs = chain.submit()
    embed = jobs["embed"]
    slurm.wait_for(lambda: chain.pid("embed", 2, 4, embed) > 0, "an embed task", 90)
    pid = chain.pid("embed", 2, 4, embed)
    with frozen(pid):
        slurm.drain("n1")  # what runs there goes on
        others = [f"{embed}_{n}" for n in (0, 1, 3)]
        assert {slurm.wait(task, 90).state for task in others} == {"COMPLETED"}, chain.logs()
        os.kill(pid, signal.SIGKILL)
    lost = slurm.wait(f"{embed}_2")
    assert (lost.state, lost.exit_code) == ("FAILED", 128 + signal.SIGKILL)
    for stage in ("train", "eval"):
        assert slurm.wait(jobs[stage]).state == "CANCELLED"
        assert not list(chain.heartbeats.glob(f"{stage}-*"))
        assert not list(chain.jobs.glob(f"*{stage}-*.log"))

    said = chain.status()
    assert re.search(r"^prepare  done ", said, re.MULTILINE), said
    assert re.search(r"^embed    partly +\d+ of \d+ texts have a vector", said, re.MULTILINE), said
    assert re.search(r"shard 2/4: killed on", said), said
    return jobs


def resume_on_one_node(chain: Chain, slurm: SlurmCluster) -> dict[str, str]:
    """Queue what is missing: the array runs on the remaining node, training waits for both."""
    jobs = chain.submit("--resume")
    assert tuple(jobs) == ("embed", "train", "eval")
    ended = slurm.wait_array(jobs["embed"], 4, 120)
    assert {one.state for one in ended} == {"COMPLETED"}, chain.logs()
    assert {one.nodes for one in ended} == {"n2"}
    assert slurm.state(jobs["train"]) == "PENDING"
    assert not list(chain.heartbeats.glob("train-*"))
    slurm.resume("n1")
    return jobs


def preempt(chain: Chain, slurm: SlurmCluster, train: str, restarts: int) -> None:
    """Let a job of the higher partition take both nodes in the middle of training."""
    pids, step = some_steps_on(chain, slurm, train)
    with frozen(*pids):
        high = slurm.sbatch("sleep 1", "--partition=high", "--nodes=2", "--exclusive")
        if restarts == 1:
            said = chain.status()
            assert re.search(rf"^train    partly +\d+ of {EPOCHS} epochs", said, re.M), said
            assert f"job {train}" in said
        slurm.wait_for(lambda: all(map(was_asked_to_stop, pids)), "ranks to be signalled", 60)
    assert slurm.wait(high, 90).state == "COMPLETED"
    slurm.wait_for(lambda: restarts_of(slurm, train) == restarts, "training to restart", 60)
    print(f"preempted after step {step}")


def run_out_of_time(chain: Chain, slurm: SlurmCluster, train: str) -> None:
    """Let the time limit come near while training is still running."""
    pids, step = some_steps_on(chain, slurm, train)
    minutes = (time.time() - chain.heartbeat("train", 0, 2)["began"]) // 60
    with frozen(*pids):
        # Nearer than the three minutes ahead of which the script asks for the signal, and far
        # enough for it: Slurm looks every half minute.
        slurm.call("scontrol", "update", f"JobId={train}", f"TimeLimit={minutes + 2:.0f}")
        slurm.wait_for(lambda: all(map(was_asked_to_stop, pids)), "the time limit's signal", 90)
    slurm.wait_for(lambda: restarts_of(slurm, train) == 3, "training to restart", 60)
    slurm.call("scontrol", "update", f"JobId={train}", "TimeLimit=30")
    print(f"out of time after step {step}")


def log_of(chain: Chain, stage: str) -> str:
    """Read what a stage's jobs printed."""
    paths = sorted(chain.jobs.glob(f"ecgpipe-{stage}-*.log"))
    return "\n".join(path.read_text(errors="replace") for path in paths)


def restarts_of(slurm: SlurmCluster, job: str) -> int:
    return int(slurm.facts(job)["Restarts"])


def some_steps_on(chain: Chain, slurm: SlurmCluster, train: str) -> tuple[list[int], int]:
    """Wait until training has made three more steps; return its ranks and the step."""
    before = len(chain.steps())

    def went_on() -> bool:
        return len(chain.steps()) >= before + 3

    slurm.wait_for(went_on, "three steps of training", 120)
    pids = [chain.pid("train", rank, 2, train) for rank in (0, 1)]
    assert all(pids), chain.logs()
    return pids, len(chain.steps())
