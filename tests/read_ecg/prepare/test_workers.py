"""Several processes write the bytes of one, and end in good order whatever happens to them."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shard_jobs import N_RECORDS, jobs
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.cache.signals import writer as signal_writer
from ecgpipe.cache.signals.format import shard_path
from ecgpipe.errors import StoppedEarly, StoreError
from ecgpipe.read_ecg.prepare.reuse import find_earlier_shards, overlapping
from ecgpipe.read_ecg.prepare.workers import available_cores, do_jobs
from ecgpipe.stopping import Stop


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(4):
        write_wfdb(folder, f"r{number}", ecg_like(seed=number)[:, :2500])
    return folder


def shard_bytes(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for folder in ("signal", "done")
        for path in sorted((store / folder).rglob("*"))
        if path.is_file() and path.suffix != ".tmp"  # what a killed writer left
    }


@pytest.fixture(scope="module")
def earlier(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store written by one process."""
    store = tmp_path_factory.mktemp("one") / "s.zarr"
    do_jobs(jobs(store, recordings)[1], 1, Stop(), lambda n: None)
    return store


@pytest.fixture(scope="module")
def undisturbed(earlier: Path) -> dict[str, bytes]:
    return shard_bytes(earlier)


def test_two_processes_write_the_bytes_of_one(
    recordings: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    writer, planned = jobs(tmp_path / "s.zarr", recordings)
    counted: list[int] = []
    do_jobs(planned, 2, Stop(), counted.append)
    assert shard_bytes(tmp_path / "s.zarr") == undisturbed
    assert sum(counted) == N_RECORDS
    manifest = writer.seal({})
    assert manifest["stored"] + len(manifest["rejected"]) == N_RECORDS
    assert {r["reason"] for r in manifest["rejected"]} == {"missing file"}


def test_two_processes_count_what_they_take_over(
    recordings: Path, earlier: Path, undisturbed: dict[str, bytes]
) -> None:
    store = earlier.with_name("new.zarr")
    _, planned = jobs(store, recordings)
    shards = find_earlier_shards(store)
    assert {shard.store for shard in shards} == {earlier}
    taken = [
        dataclasses.replace(job, earlier=overlapping(shards, job.plan.record_ids))
        for job in planned[:3]
    ]
    assert [len(job.earlier) for job in taken] == [1, 1, 1]
    counted: list[int] = []
    assert do_jobs([*taken, planned[3]], 2, Stop(), counted.append) == 3 * 1024
    assert sum(counted) == N_RECORDS
    assert shard_bytes(store) == undisturbed


def test_a_stop_ends_all_processes_and_the_rest_is_done_later(
    recordings: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    stop = Stop()

    def tick(n: int) -> None:
        if n:
            stop.request("SIGUSR1")

    with pytest.raises(StoppedEarly, match="Stopped by SIGUSR1 while preparing"):
        do_jobs(jobs(tmp_path / "s.zarr", recordings)[1], 2, stop, tick)
    _, left = jobs(tmp_path / "s.zarr", recordings)
    assert left
    do_jobs(left, 2, Stop(), lambda n: None)
    assert shard_bytes(tmp_path / "s.zarr") == undisturbed


PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3].split(":")
from shard_jobs import jobs
from ecgpipe.read_ecg.prepare.workers import do_jobs
from ecgpipe.stopping import Stop
if __name__ == "__main__":
    _, planned = jobs(Path(sys.argv[1]), Path(sys.argv[2]))
    do_jobs(planned, 2, Stop(), lambda n: None)
    print("whole", flush=True)
"""


def start(program: Path, store: Path, recordings: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        str(program),
        str(store),
        str(recordings),
        ":".join(sys.path),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def is_worker(pid: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("victim", ["parent", "worker"])
def test_kills_leave_no_partial_shard_and_no_process(
    recordings: Path, undisturbed: dict[str, bytes], tmp_path: Path, victim: str
) -> None:
    program, store = tmp_path / "program.py", tmp_path / "s.zarr"
    program.write_text(PROGRAM)
    for delay_s in (1.2, 1.6, 2.0):
        process = start(program, store, recordings)
        time.sleep(delay_s)
        family = children(process.pid)
        workers = [
            pid for pid in family if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        if victim == "parent" or not workers:
            process.kill()
        else:
            os.kill(workers[-1], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        if victim == "worker" and workers and process.returncode:
            assert "A worker of prepare was killed" in err
        deadline = time.monotonic() + 20
        while any(map(is_alive, workers)):
            assert time.monotonic() < deadline, "a worker outlived its parent"
            time.sleep(0.05)
    process = start(program, store, recordings)
    out, err = process.communicate(timeout=120)
    assert out.strip() == "whole", err
    assert shard_bytes(store) == undisturbed


def test_a_full_disk_in_a_worker_is_the_parents_error(recordings: Path, tmp_path: Path) -> None:
    _, planned = jobs(tmp_path / "s.zarr", recordings)
    (tmp_path / "s.zarr" / "signal" / "c").write_text("in the way")
    with pytest.raises(StoreError, match="Cannot write"):
        do_jobs(planned, 2, Stop(), lambda n: None)


def test_the_cores_are_those_that_a_scheduler_leaves_us() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_a_shard_with_a_record_too_few_is_never_written(tmp_path: Path, recordings: Path) -> None:
    _, planned = jobs(tmp_path / "s.zarr", recordings)
    short = dataclasses.replace(planned[0], recordings=planned[0].recordings[:-1])
    with pytest.raises(ValueError, match="zip"):
        do_jobs([short], 1, Stop(), lambda n: None)
    assert not shard_path(planned[0].plan.folder, planned[0].plan.shard).exists()
    assert isinstance(planned[0].plan, signal_writer.ShardPlan)


def test_what_killed_writers_left_is_removed_when_it_is_old(
    tmp_path: Path, recordings: Path
) -> None:
    store = tmp_path / "s.zarr"
    jobs(store, recordings)
    left = store / "signal" / "c" / "0" / "0" / ".0.1-ab.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a shard")
    jobs(store, recordings)
    assert left.exists()  # it may be a living writer's
    os.utime(left, (0, 0))
    jobs(store, recordings)
    assert not left.exists()
