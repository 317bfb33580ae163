"""The signal store: ordinary Zarr, whole or refused, resumed byte for byte."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from signal_stores import LEADS, SAMPLES, build, bytes_of, results, signal_of, writer_for

from ecgpipe.cache.signals import format as fmt
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.cache.signals.writer import SignalResult, write_shard
from ecgpipe.errors import StoreError


def test_our_reader_equals_zarr_python_for_every_record(tmp_path: Path) -> None:
    store = build(tmp_path / "s.zarr", 2500, rejected=(3, 1024, 2499))
    reference = zarr.open_group(tmp_path / "s.zarr", mode="r", use_consolidated=False)["signal"]
    assert isinstance(reference, zarr.Array)
    everything = np.asarray(reference[:])
    served = np.array([slot for slot in range(2500) if slot not in (3, 1024, 2499)])
    assert np.array_equal(store.read(served), everything[served])
    assert (everything[[3, 1024, 2499]] == fmt.NO_READING).all()
    assert np.array_equal(store.read(np.array([2047]))[0], signal_of(2047))


def test_an_all_zero_record_is_a_record(tmp_path: Path) -> None:
    writer = writer_for(tmp_path / "s.zarr", 1)
    zeros = np.zeros((len(LEADS), SAMPLES), np.int16)
    write_shard(writer.shard_plan(0), [SignalResult("r00000", zeros)])
    writer.seal({})
    assert (SignalStore.open(tmp_path / "s.zarr").read(np.array([0])) == 0).all()


def test_records_come_in_the_requested_order_also_twice(tmp_path: Path) -> None:
    store = build(tmp_path / "s.zarr", 30)
    requested = np.array([29, 0, 7, 7])
    assert np.array_equal(store.read(requested), np.stack([signal_of(slot) for slot in requested]))


def test_a_rejected_record_is_an_error_never_zeros(tmp_path: Path) -> None:
    store = build(tmp_path / "s.zarr", 10, rejected=(4,))
    assert store.manifest["stored"] == 9
    (rejected,) = store.manifest["rejected"]
    assert rejected["record_id"] == "r00004"
    assert (rejected["reason"], rejected["message"]) == ("flat", "every lead is flat")
    with pytest.raises(StoreError, match="no record in slot 4"):
        store.read(np.array([3, 4]))
    for outside in (-1, 10, 5000):
        with pytest.raises(StoreError, match=f"no record in slot {outside}"):
            store.read(np.array([outside]))


def test_decisions_are_counted_in_the_manifest(tmp_path: Path) -> None:
    assert build(tmp_path / "s.zarr", 10, rejected=(4,)).manifest["notes"] == {"resampled": 9}


def test_a_store_without_manifest_is_unfinished(tmp_path: Path) -> None:
    writer = writer_for(tmp_path / "s.zarr", 2000)
    write_shard(writer.shard_plan(0), results(writer.planned(0)))
    with pytest.raises(StoreError, match="unfinished"):
        SignalStore.open(tmp_path / "s.zarr")
    with pytest.raises(StoreError, match="lacks 1 shards"):
        writer.seal({})
    with pytest.raises(StoreError, match="does not exist"):
        SignalStore.open(tmp_path / "elsewhere.zarr")


def test_resuming_after_an_interruption_writes_the_same_bytes(tmp_path: Path) -> None:
    whole = tmp_path / "whole.zarr"
    build(whole, 2500, rejected=(7,))
    stopped = tmp_path / "stopped.zarr"
    writer = writer_for(stopped, 2500)
    write_shard(writer.shard_plan(1), results(writer.planned(1)))

    def interrupted() -> Iterator[SignalResult]:
        yield from results(range(0, 500), rejected=(7,))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(writer.shard_plan(0), interrupted())
    again = writer_for(stopped, 2500)
    assert again.shards_to_do() == [0, 2]
    for shard in again.shards_to_do():
        write_shard(again.shard_plan(shard), results(again.planned(shard), rejected=(7,)))
    again.seal({"made": "here"})
    assert bytes_of(stopped) == bytes_of(whole)


def test_a_shard_without_done_file_is_not_trusted(tmp_path: Path) -> None:
    build(tmp_path / "s.zarr", 30)
    fmt.done_path(tmp_path / "s.zarr", 0).unlink()
    assert writer_for(tmp_path / "s.zarr", 30).shards_to_do() == [0]


def test_a_store_begun_for_other_recordings_is_refused(tmp_path: Path) -> None:
    writer_for(tmp_path / "s.zarr", 30)
    with pytest.raises(StoreError, match="other recordings or settings"):
        writer_for(tmp_path / "s.zarr", 30, digest="d2")


def test_a_missing_or_shortened_shard_is_an_error(tmp_path: Path) -> None:
    build(tmp_path / "s.zarr", 30)
    shard = fmt.shard_path(tmp_path / "s.zarr", 0)
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(StoreError, match="bytes long, not"):
        SignalStore.open(tmp_path / "s.zarr")
    shard.unlink()
    with pytest.raises(StoreError, match="is missing"):
        SignalStore.open(tmp_path / "s.zarr")


def test_no_bit_flip_in_a_shard_is_silent(tmp_path: Path) -> None:
    build(tmp_path / "s.zarr", 12)
    shard = fmt.shard_path(tmp_path / "s.zarr", 0)
    content = shard.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(content) * 8, 300, replace=False):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << (position % 8)
        shard.write_bytes(flipped)
        with pytest.raises(StoreError, match=r"differs from what was written|index"):
            SignalStore.open(tmp_path / "s.zarr").read(np.arange(12))


def test_another_layout_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "s.zarr", 12)
    path = fmt.array_path(tmp_path / "s.zarr")
    array = json.loads(path.read_text())
    array["codecs"][0]["configuration"]["codecs"] = [{"name": "bytes"}]
    path.write_text(json.dumps(array))
    with pytest.raises(StoreError, match="another layout"):
        SignalStore.open(tmp_path / "s.zarr")


def test_an_index_that_points_outside_the_shard_is_refused() -> None:
    chunk_length = 2 * len(LEADS) * SAMPLES + 4
    index = fmt.empty_index()
    index[0] = 10**12, chunk_length
    shard = np.frombuffer(bytes(chunk_length) + fmt.index_bytes(index), np.uint8)
    with pytest.raises(ValueError, match="points outside"):
        fmt.parse_index(shard, chunk_length)


def test_a_store_of_no_records_opens_and_serves_nothing(tmp_path: Path) -> None:
    store = build(tmp_path / "s.zarr", 0)
    assert store.read(np.empty(0, np.int64)).shape == (0, len(LEADS), SAMPLES)


def test_a_shortened_shard_is_written_again_when_work_goes_on(tmp_path: Path) -> None:
    build(tmp_path / "s.zarr", 10)
    fmt.manifest_path(tmp_path / "s.zarr").unlink()
    shard = fmt.shard_path(tmp_path / "s.zarr", 0)
    good = shard.read_bytes()
    shard.write_bytes(good[:-8])
    build(tmp_path / "s.zarr", 10)
    assert shard.read_bytes() == good


@pytest.mark.parametrize("content", ["[]", "{}", "{"])
def test_a_damaged_done_file_only_costs_its_shard(tmp_path: Path, content: str) -> None:
    build(tmp_path / "s.zarr", 10)
    fmt.manifest_path(tmp_path / "s.zarr").unlink()
    fmt.done_path(tmp_path / "s.zarr", 0).write_text(content)
    assert build(tmp_path / "s.zarr", 10).read(np.array([3])).any()


@pytest.mark.parametrize("content", ["[]", "{}", "{"])
def test_a_damaged_manifest_says_what_to_remove(tmp_path: Path, content: str) -> None:
    build(tmp_path / "s.zarr", 10)
    fmt.manifest_path(tmp_path / "s.zarr").write_text(content)
    with pytest.raises(StoreError, match=r"Remove .*s\.zarr and run `ecgpipe prepare`"):
        SignalStore.open(tmp_path / "s.zarr")


def test_a_record_is_checked_when_first_served_and_again_by_the_next_process(
    tmp_path: Path,
) -> None:
    store = build(tmp_path / "s.zarr", 12)
    store.read(np.array([3]))
    shard = fmt.shard_path(tmp_path / "s.zarr", 0)
    with shard.open("r+b") as file:  # in place, so that the open map sees it
        for slot in (3, 4):
            file.seek(slot * (2 * len(LEADS) * SAMPLES + 4))
            file.write(b"\0\0\0\0\0\0")
    store.read(np.array([3]))  # damage after the check is not noticed here
    with pytest.raises(StoreError, match="slot 4: the record differs"):
        store.read(np.array([4]))
    with pytest.raises(StoreError, match="slot 4: the record differs"):
        store.read(np.array([4]))  # a failed check does not count as one
    with pytest.raises(StoreError, match="slot 3: the record differs"):
        SignalStore.open(tmp_path / "s.zarr").read(np.array([3]))


def test_several_threads_read_one_store(tmp_path: Path) -> None:
    store = build(tmp_path / "s.zarr", 300)
    batches = [np.random.default_rng(n).integers(0, 300, 64) for n in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for slots, signals in zip(batches, pool.map(store.read, batches), strict=True):
            assert np.array_equal(signals, np.stack([signal_of(slot) for slot in slots]))


def test_an_altered_description_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "s.zarr", 12)
    path = fmt.array_path(tmp_path / "s.zarr")
    array = json.loads(path.read_text())
    array["attributes"]["leads"] = ["I", "II", "V1"]  # a layout of ours, but not this store's
    path.write_text(json.dumps(array))
    with pytest.raises(StoreError, match="does not match the manifest's checksum"):
        SignalStore.open(tmp_path / "s.zarr")
