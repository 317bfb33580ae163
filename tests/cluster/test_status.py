"""`ecgpipe status` reports the true state from the files, whatever state they are in."""

import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm_cluster import SlurmCluster
from toy_experiment import ENVIRONMENT, Experiment
from wfdb_files import ecg_like, write_wfdb

from ecgpipe import heartbeat as heartbeat_module
from ecgpipe.cache.records_table import RecordsTable, read_records
from ecgpipe.errors import BusyError, SourceError, StoppedEarly
from ecgpipe.files import only_one
from ecgpipe.heartbeat import heartbeat, job_of, read_heartbeats
from ecgpipe.processes import Share
from ecgpipe.progress import progress
from ecgpipe.stages import experiment as experiment_module
from ecgpipe.workspace import Workspace

STATUS_FOLDER = "work/status/toy"


def status_of(experiment: Experiment, *arguments: str) -> dict[str, Any]:
    code, out, err = experiment.run("status", "--json", *arguments)
    assert code == 0, err
    [line] = out.splitlines()
    status: dict[str, Any] = json.loads(line)["status"]
    return status


def shown(experiment: Experiment, *arguments: str) -> str:
    code, out, err = experiment.run("status", *arguments)
    assert code == 0, err
    return out


def states(status: dict[str, Any]) -> list[str]:
    runs = [run[stage]["state"] for run in status["runs"] for stage in ("train", "eval")]
    return [status["prepare"]["state"], status["embed"]["state"], *runs]


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_an_experiment_that_has_not_started(fresh: Experiment) -> None:
    assert states(status_of(fresh)) == ["none"] * 4
    assert not (fresh.folder / "work").exists()  # looking writes nothing


def test_a_finished_experiment(experiment: Experiment) -> None:
    before = {p: p.stat().st_mtime_ns for p in (experiment.folder / "work").rglob("*")}
    status = status_of(experiment)
    assert {p: p.stat().st_mtime_ns for p in (experiment.folder / "work").rglob("*")} == before
    assert states(status) == ["done"] * 4
    assert status["done"]
    assert status["prepare"]["prepared"] == experiment.results()["data"]["prepared"]
    [view] = status["embed"]["views"]
    assert view["vectors"] == status["embed"]["texts"] == experiment.results()["text"]["distinct"]
    train = status["runs"][0]["train"]
    assert (train["epochs"], train["epochs_asked"]) == (2, 2)
    assert train["best_epoch"] == experiment.results()["training"]["best_epoch"]
    assert shown(experiment).count("done") == 4


def test_status_is_quick_and_loads_no_language_model(experiment: Experiment) -> None:
    program = (
        "import sys, time; began = time.perf_counter()\n"
        "from click.testing import CliRunner; from ecgpipe.commands.main import main\n"
        "done = CliRunner().invoke(main, ['status', '--json', '-c', sys.argv[1]])\n"
        "heavy = {'torch', 'transformers', 'accelerate'}\n"
        "print(done.exit_code, sorted(heavy & set(sys.modules)), time.process_time())\n"
    )
    seconds = []
    for _ in range(2):
        command = [sys.executable, "-c", program, str(experiment.path)]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        code, loaded, took = done.stdout.split(" ", 2)
        assert (code, loaded) == ("0", "[]"), done.stderr
        seconds.append(float(took))
    assert min(seconds) < 1.5


def test_the_records_are_read_once_for_all_stages(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> RecordsTable:
        read.append(path)
        return read_records(path)

    monkeypatch.setattr(experiment_module, "read_records", counted)
    assert states(status_of(experiment)) == ["done"] * 4
    assert len(read) == 1


def test_prepare_with_some_shards_done(fresh: Experiment) -> None:
    recordings = fresh.folder / "ecg"
    recordings.mkdir()
    for number in range(2):
        write_wfdb(recordings, f"r{number}", ecg_like(seed=number)[:, :2500])
    # Recordings that are absent take no time.
    rows = [f"id{n:05},p{n},{f'r{n % 2}' if n < 20 else 'absent'},正常心電図" for n in range(1034)]
    table = fresh.folder / "t.csv"
    table.write_text("\n".join(["record_id,patient_id,path,findings", *rows]))
    settings = yaml.safe_load(fresh.path.read_text())
    settings["data"] |= {
        "sources": [{"kind": "table", "table": str(table), "root": str(recordings)}],
        "rate_hz": 50,
        "duration_s": 5,
        "workers": 1,
        "max_rejected_fraction": 1.0,
    }
    fresh.path.write_text(yaml.safe_dump(settings))
    code, _, err = fresh.run("prepare")
    assert code == 0, err
    [store] = (fresh.folder / "work" / "signals").iterdir()
    # As a kill after the first of two shards would leave them.
    for path in (store / "manifest.json", store / "done" / "1.json"):
        path.unlink()
    shutil.rmtree(fresh.folder / "work" / "records")
    prepare = status_of(fresh)["prepare"]
    assert prepare["state"] == "partly"
    assert (prepare["shards_done"], prepare["shards"]) == (1, 2)
    assert (prepare["records_done"], prepare["planned"], prepare["rejected"]) == (1024, 1034, 1004)
    assert "1 of 2 shards done, 1,024 of 1,034 records, 1,004 of them rejected" in shown(fresh)


def test_embed_with_some_texts_embedded(experiment: Experiment) -> None:
    [part] = (experiment.folder / "work" / "embeddings").glob("*/part-*.h5")
    part.unlink()
    code, _, err = experiment.run("embed", "--shard", "1/2")
    assert code == 0, err
    embed = status_of(experiment)["embed"]
    assert embed["state"] == "partly"
    [view] = embed["views"]
    n_embedded = int(err.split(" texts embedded")[0].split()[-1])
    assert 0 < view["vectors"] == n_embedded < embed["texts"]
    assert view["parts"] == 1


def test_a_changed_setting_makes_dependent_stages_stale(experiment: Experiment) -> None:
    assert states(status_of(experiment, "--set", "train.lr=0.5")) == [
        "done",
        "done",
        "stale",
        "stale",
    ]
    assert states(status_of(experiment, "--set", "train.epochs=9")) == [
        "done",
        "done",
        "partly",
        "stale",
    ]
    assert states(status_of(experiment, "--set", "eval.seed=3")) == [
        "done",
        "done",
        "done",
        "stale",
    ]
    status = status_of(experiment, "--set", "data.rate_hz=125")
    assert states(status)[:2] == ["none", "none"]


def test_a_killed_process_is_shown_as_killed(experiment: Experiment) -> None:
    path = experiment.folder / STATUS_FOLDER / "train-0-of-1.json"
    training = ("train", "--set", "train.epochs=2000")
    process = experiment.start(*training)
    end = time.monotonic() + 120
    own = f"on {platform.node()}, pid {process.pid}"
    while own not in (out := shown(experiment, *training[1:])) or "of 2,000 epochs" not in out:
        assert time.monotonic() < end, out
    assert "running for" in out
    process.send_signal(signal.SIGKILL)
    process.communicate()
    status = status_of(experiment, *training[1:])
    [process_status] = status["runs"][0]["train"]["processes"]
    assert (process_status["state"], process_status["written_state"]) == ("gone", "running")
    assert f"killed on {platform.node()}" in shown(experiment, *training[1:])
    # The same file, seen from a container with the same host name: its pids are others.
    change(path, machine="another boot", updated=time.time())
    assert "running for" in shown(experiment, *training[1:])
    change(path, updated=time.time() - 13 * 60)
    assert "no heartbeat for 13 min" in shown(experiment, *training[1:])


def test_a_refused_second_start_leaves_the_training_running(experiment: Experiment) -> None:
    training = ("train", "--set", "train.epochs=2000")
    workspace = Workspace(experiment.folder / "work", "toy")
    # This process stands for the one that trains.
    with heartbeat(workspace.status, "train", Share()), only_one(workspace.run_lock, "trains"):
        second = experiment.start(*training)
        _, err = second.communicate(timeout=120)
        assert (second.returncode, "Another process trains" in err) == (1, True), err
        out = shown(experiment, *training[1:])
    assert f"on {platform.node()}, pid {os.getpid()}" in out
    assert "running for" in out
    assert "failed" not in out


@pytest.mark.parametrize(
    ("other", "error", "told"),
    [
        ({"pid": 1}, SourceError("row 3"), "running"),  # of this machine, and alive
        ({"pid": 2**22 + 1}, SourceError("row 3"), "failed"),  # killed
        ({"machine": "node 7", "pid": 1}, BusyError("busy"), "running"),
        ({"machine": "node 7", "pid": 1}, SourceError("row 3"), "failed"),  # perhaps its successor
        ({"machine": "node 7", "updated": 1.0}, BusyError("busy"), "failed"),
        ({"pid": 1, "written_state": "ended"}, SourceError("row 3"), "failed"),
    ],
)
def test_a_status_file_is_of_the_process_that_works(
    tmp_path: Path, other: dict[str, Any], error: Exception, told: str
) -> None:
    with heartbeat(tmp_path, "train", Share()):
        pass
    running = {"written_state": "running", "updated": time.time()} | other
    change(tmp_path / "train-0-of-1.json", **running)
    with pytest.raises(type(error)), heartbeat(tmp_path, "train", Share()):
        raise error
    [status] = read_heartbeats(tmp_path)
    assert status.state == told
    assert (status.pid == os.getpid()) == (told == "failed")


def test_a_failed_shard_says_why_until_it_is_done(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    [part] = (experiment.folder / "work" / "embeddings").glob("*/part-*.h5")
    part.unlink()
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    code, _, err = experiment.run("embed", "--shard", "1/2", "--set", "text.model=/nowhere")
    assert code == 1
    out = shown(experiment)
    message = err.strip().removeprefix("ecgpipe: ")
    [line] = [line for line in out.splitlines() if "shard 1/2" in line]
    assert f"on {platform.node()}, job 77: {message}" in line
    assert "failed" in line
    for share in range(2):
        assert experiment.run("embed", "--shard", f"{share}/2")[0] == 0
    assert "shard 1/2" not in shown(experiment)


def test_a_stopped_stage_says_so(experiment: Experiment) -> None:
    more = ("--set", "train.epochs=5000")
    code, _, err = experiment.run("train", "--max-minutes", "0.001", *more)
    assert code == 75, err
    [line] = [line for line in shown(experiment, *more).splitlines() if " ago on " in line]
    assert "stopped" in line
    assert "--max-minutes" in line


def test_runs_of_a_sweep_are_found_on_disk(experiment: Experiment) -> None:
    assert experiment.run("train", "--seeds", "0..1", "--set", "train.epochs=1")[0] == 0
    found = status_of(experiment)
    assert [run["name"] for run in found["runs"]] == ["toy", "toy+seed=0", "toy+seed=1"]
    assert [run["train"]["state"] for run in found["runs"]] == ["done"] * 3
    assert [run["eval"]["state"] for run in found["runs"]] == ["done", "none", "none"]
    asked = status_of(experiment, "--seeds", "0..2", "--set", "train.epochs=1")
    assert [run["name"] for run in asked["runs"]] == [f"toy+seed={n}" for n in range(3)]
    assert [run["train"]["state"] for run in asked["runs"]] == ["done", "done", "none"]


def test_half_written_and_damaged_files_break_nothing(experiment: Experiment) -> None:
    run = experiment.folder / "work" / "runs" / "toy"
    with (run / "steps.jsonl").open("a") as file:
        file.write('{"epoch": 2, "step": 7}\n{"epoch": 2, "st')
    (experiment.folder / STATUS_FOLDER / "train-0-of-1.json").write_text('{"format": "ecgpipe-si')
    (experiment.folder / STATUS_FOLDER / ".train-0-of-1.json.1-2.tmp").write_text("x")
    assert status_of(experiment)["runs"][0]["train"]["step"] == 7
    (run / "log.jsonl").write_text('{"epoch": 1}\n')
    (run / "run.json").write_text("{")
    assert states(status_of(experiment)) == ["done", "done", "unknown", "unknown"]
    [part] = (experiment.folder / "work" / "embeddings").glob("*/part-*.h5")
    part.write_bytes(part.read_bytes()[:2000])
    assert states(status_of(experiment))[:2] == ["done", "unknown"]
    assert part.name in shown(experiment)


def test_after_the_table_was_corrected_nothing_is_lost_and_nothing_unknown(
    experiment: Experiment, ecgs: Path, tmp_path: Path
) -> None:
    corrected = tmp_path / "records.csv"
    head, first, *rest = (ecgs / "records.csv").read_text(encoding="utf-8").splitlines()
    columns = head.split(",")
    cells = first.split(",")
    cells[columns.index("findings")] = "1"
    corrected.write_text("\n".join([head, ",".join(cells), *rest]) + "\n", encoding="utf-8")
    settings = yaml.safe_load(experiment.path.read_text())
    source = {"kind": "table", "table": str(corrected), "root": str(ecgs)}
    settings["data"]["sources"] = [source]
    experiment.path.write_text(yaml.safe_dump(settings, allow_unicode=True))
    assert states(status_of(experiment)) == ["stale", "none", "stale", "stale"]
    text = shown(experiment)
    assert "prepare makes it good without reading a recording" in text
    assert "trained before its data changed" in text
    assert "results of an earlier model" in text


def test_a_language_model_missing_on_this_machine(experiment: Experiment) -> None:
    status = status_of(experiment, "--set", "text.model=Some/Model")
    assert states(status) == ["done", "unknown", "unknown", "unknown"]
    assert "is not on this machine" in status["embed"]["line"]


def test_wrong_settings_are_the_only_error(fresh: Experiment) -> None:
    assert fresh.run("status", "--set", "train.epoch=1")[0] == 2


def test_watching_ends_when_everything_is_done(experiment: Experiment) -> None:
    shutil.rmtree(experiment.folder / "work" / "runs" / "toy" / "evals")
    process = experiment.start("status", "--watch", "--every", "0.1", "--json")
    assert process.stdout is not None
    assert not json.loads(process.stdout.readline())["status"]["done"]
    assert experiment.run("eval")[0] == 0
    out, _ = process.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["status"]["done"]
    assert process.returncode == 0


def test_a_heartbeat_holds_no_message_that_we_did_not_write(tmp_path: Path) -> None:
    def leave(error: BaseException) -> str:
        with pytest.raises(type(error)), heartbeat(tmp_path, "embed", Share()):
            raise error
        return (tmp_path / "embed-0-of-1.json").read_text()

    assert "山田太郎" not in leave(KeyError("山田太郎"))
    assert "山田太郎" not in leave(OSError(28, "No space left on device", "山田太郎.dcm"))
    assert "No space left" in leave(OSError(28, "No space left on device", "山田太郎.dcm"))
    assert "row 3" in leave(SourceError("row 3"))
    assert json.loads(leave(StoppedEarly("USR1")))["written_state"] == "stopped"


def test_a_heartbeat_is_written_without_any_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_module, "BEAT_S", 0.05)
    with heartbeat(tmp_path, "embed", Share(3, 4)) as set_message:
        [first] = read_heartbeats(tmp_path)
        time.sleep(0.5)
        [later] = read_heartbeats(tmp_path)
        assert later.updated > first.updated
        assert (later.state, later.share, later.pid) == ("running", "3/4", os.getpid())
        set_message("all of it")
    [ended] = read_heartbeats(tmp_path)
    assert (ended.state, ended.message) == ("ended", "all of it")


def test_progress_is_written_into_the_heartbeat(tmp_path: Path) -> None:
    with heartbeat(tmp_path, "embed", Share()):
        with progress("embed", 200, "tokens", stream=io.StringIO()) as tick:
            tick(50)
            time.sleep(0.1)
            tick(50)
    [status] = read_heartbeats(tmp_path)
    assert status.progress is not None
    assert (status.progress.done, status.progress.total, status.progress.unit) == (
        100,
        200,
        "tokens",
    )
    assert status.progress.seconds >= 0.1
    assert status.left_s == pytest.approx(100 / (100 / status.progress.seconds))


def test_a_heartbeat_that_cannot_be_written_stops_no_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with heartbeat(tmp_path / "file" / "status", "embed", Share()) as set_message:
        set_message("done")
    assert read_heartbeats(tmp_path / "file" / "status") == []


def test_heartbeats_of_an_earlier_division_of_the_work_are_history(tmp_path: Path) -> None:
    for count in (4, 8):
        with heartbeat(tmp_path, "embed", Share(1, count)):
            pass
    assert [status.share for status in read_heartbeats(tmp_path)] == ["1/8"]
    # A process of the earlier division that still runs is listed.
    change(
        tmp_path / "embed-1-of-4.json",
        written_state="running", machine="another boot", updated=time.time(),
    )  # fmt: skip
    assert [status.share for status in read_heartbeats(tmp_path)] == ["1/4", "1/8"]


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "2"}, "12_2"),
        ({"PBS_JOBID": "12[3].server"}, "12[3].server"),
        ({"JOB_ID": "12", "SGE_TASK_ID": "undefined"}, "12"),
        ({"JOB_ID": "12", "SGE_TASK_ID": "3"}, "12_3"),
        ({"PJM_JOBID": "12"}, "12"),
    ],
)
def test_the_job_is_what_the_scheduler_calls_it(
    environment: dict[str, str], job: str | None
) -> None:
    assert job_of(environment) == job


def test_a_job_killed_under_slurm_is_shown_as_killed(
    slurm: SlurmCluster, experiment: Experiment
) -> None:
    command = f"{sys.executable} -m ecgpipe train --set train.epochs=2000 -c {experiment.path}"
    job = slurm.sbatch(f"exec {command}", environment=ENVIRONMENT)
    path = experiment.folder / STATUS_FOLDER / "train-0-of-1.json"
    slurm.wait_for(lambda: json.loads(path.read_text())["job"] == job, "training to begin")
    more = ("--set", "train.epochs=2000")
    assert f"job {job}" in shown(experiment, *more)
    os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)  # scancel would send TERM first
    assert slurm.wait(job).state == "FAILED"
    assert f"killed on {platform.node()}, job {job}" in shown(experiment, *more)
