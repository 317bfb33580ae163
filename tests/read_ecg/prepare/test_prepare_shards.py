"""prepare by several workers: any order, killed or at once, the bytes of one process."""

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from crash.prepare_kills import contents
from hospital import TAXONOMY, Hospital

from ecgpipe.cache.signals import format as signal_format
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.cache.signals.verify import verify_signals
from ecgpipe.processes import Share
from ecgpipe.read_ecg.prepare import preparation, shard_job
from ecgpipe.read_ecg.prepare.preparation import Prepared, ShareDone, prepare_share
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    """Twelve recordings in four shards; one is rejected."""
    monkeypatch.setattr(signal_format, "RECORDS_PER_SHARD", 3)
    monkeypatch.setattr(signal_format, "_INDEX_BYTES", 3 * 16 + 4)
    hospital = Hospital(tmp_path)
    hospital.rows[4]["path"] = "ecg/nowhere"
    hospital.write_table()
    return hospital


def work(hospital: Hospital, name: str, share: Share) -> Prepared | ShareDone:
    workspace = Workspace(hospital.folder / name, "x")
    return prepare_share(hospital.config, TAXONOMY, workspace, Stop(), share)


def by_one(hospital: Hospital) -> dict[str, object]:
    assert isinstance(work(hospital, "one", Share()), Prepared)
    return contents(hospital.folder / "one")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 1, 0, 2)])
def test_shares_in_any_order_leave_the_bytes_of_one_process(
    hospital: Hospital, order: Sequence[int]
) -> None:
    found = [work(hospital, "work", Share(index, 3)) for index in order]
    # Four shards over three workers: 0 and 3, 1, 2.
    assert isinstance(found[-1], Prepared)
    assert all(isinstance(early, ShareDone) for early in found[:-1])
    assert contents(hospital.folder / "work") == by_one(hospital)


def test_those_before_the_last_say_how_many_shards_are_left(hospital: Hospital) -> None:
    assert work(hospital, "work", Share(0, 3)) == ShareDone(2)
    assert work(hospital, "work", Share(1, 3)) == ShareDone(1)
    assert not list((hospital.folder / "work").rglob("manifest.json"))


def test_more_workers_than_shards_do_no_harm(hospital: Hospital) -> None:
    assert work(hospital, "work", Share(9, 10)) == ShareDone(4)
    for index in range(4):
        last = work(hospital, "work", Share(index, 10))
    assert isinstance(last, Prepared)
    assert work(hospital, "work", Share(9, 10)) == last


def test_another_number_of_workers_may_go_on(hospital: Hospital) -> None:
    work(hospital, "work", Share(1, 4))
    work(hospital, "work", Share(0, 2))
    assert isinstance(work(hospital, "work", Share(1, 2)), Prepared)
    assert contents(hospital.folder / "work") == by_one(hospital)


def _killed_within_a_shard(hospital: Hospital) -> None:
    real, read = shard_job.read_recording, []

    def killing(path: Path) -> object:
        read.append(path)
        if len(read) == 5:  # the second of its second shard
            os.kill(os.getpid(), signal.SIGKILL)
        return real(path)

    shard_job.read_recording = killing
    work(hospital, "work", Share(0, 2))


def test_a_killed_worker_costs_its_shard_and_is_started_again(hospital: Hospital) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=_killed_within_a_shard, args=(hospital,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (store,) = (hospital.folder / "work" / "signals").glob("*.zarr")
    assert [path.name for path in (store / "done").glob("*.json")] == ["0.json"]
    assert work(hospital, "work", Share(1, 2)) == ShareDone(1)
    assert isinstance(work(hospital, "work", Share(0, 2)), Prepared)
    for leftover in (hospital.folder / "work").rglob(".*.tmp"):
        leftover.unlink()
    assert contents(hospital.folder / "work") == by_one(hospital)


def test_two_that_find_all_done_at_once_both_complete_the_data(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = preparation._is_sealed
    inner: list[Prepared | ShareDone] = []
    looks: list[bool] = []

    def look(folder: Path) -> bool:
        """Whoever looks whether the store is sealed is overtaken, between looking and sealing."""
        answer = real(folder)
        looks.append(answer)
        if not inner and folder.exists() and len(list((folder / "done").glob("*.json"))) == 4:
            inner.append(ShareDone(0))  # once only
            inner[0] = work(hospital, "work", Share(1, 2))
        return answer

    work(hospital, "work", Share(0, 2))
    monkeypatch.setattr(preparation, "_is_sealed", look)
    outer = work(hospital, "work", Share(1, 2))
    assert isinstance(inner[0], Prepared)
    assert outer == inner[0]
    monkeypatch.undo()
    (store,) = (hospital.folder / "work" / "signals").glob("*.zarr")
    assert json.loads((store / "manifest.json").read_text())["complete"]


def test_a_repaired_recording_is_read_by_its_worker_and_the_rest_is_taken_over(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(hospital, "work", Share())
    for suffix in (".hea", ".dat"):
        text = (hospital.folder / "ecg" / f"r05{suffix}").read_bytes()
        (hospital.folder / "ecg" / f"nowhere{suffix}").write_bytes(text.replace(b"r05", b"nowhere"))
    real, read = shard_job.read_recording, []

    def counting(path: Path) -> object:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(shard_job, "read_recording", counting)
    assert isinstance(work(hospital, "work", Share(0, 2)), ShareDone)
    assert read == []  # shard 1 holds it, which is the other worker's
    prepared = work(hospital, "work", Share(1, 2))
    assert isinstance(prepared, Prepared)
    assert read == ["nowhere"]
    path = Workspace(hospital.folder / "work", "x").signals(prepared.signals_digest)
    monkeypatch.setattr(signal_format, "RECORDS_PER_SHARD", 3)
    monkeypatch.setattr(signal_format, "_INDEX_BYTES", 3 * 16 + 4)
    assert not verify_signals(path, lambda n: None).problems
    assert SignalStore.open(path).manifest["stored"] == 12
