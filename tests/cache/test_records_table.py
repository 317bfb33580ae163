"""records.parquet: what goes in comes out, anything else is refused."""

import dataclasses
import json
import tracemalloc
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ecgpipe.cache.records_table import Record, read_about, read_records, write_records
from ecgpipe.cache.signals.format import with_checksum
from ecgpipe.errors import StoreError

RECORDS = [
    Record(
        slot=0,
        record_id="a",
        patient_id="p1",
        source="t",
        split="train",
        findings=("1", "2"),
        report="正常範囲です。",
        age=63.0,
        sex="female",
    ),
    Record(slot=2, record_id="b", patient_id="p2", source="t", split="test", findings=()),
]


def test_records_read_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    write_records(path, RECORDS, lambda: {"inputs": "d", "counts": {"prepared": 2}})
    table = read_records(path)
    assert list(table.records) == RECORDS
    assert table.about == {"inputs": "d", "counts": {"prepared": 2}}
    assert read_about(path) == table.about
    assert table.of_split("test").slots.tolist() == [2]
    assert table.patients == ["p1", "p2"]


def test_values_that_many_records_have_are_held_once(tmp_path: Path) -> None:
    # With objects of their own, these records take more than 1,000 bytes each.
    path, n = tmp_path / "records.parquet", 20_000
    made = [
        dataclasses.replace(RECORDS[0], slot=slot, record_id=f"r{slot}", site="s", sex=None)
        for slot in range(n)
    ]
    write_records(path, made, dict)
    read_records(path)  # what Arrow keeps for itself
    tracemalloc.start()
    records = read_records(path).records
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert list(records) == made
    assert held / n < 350
    assert most / n < 500


def test_other_tools_read_the_table(tmp_path: Path) -> None:
    write_records(tmp_path / "r.parquet", RECORDS, dict)
    assert pq.read_table(tmp_path / "r.parquet")["findings"].to_pylist() == [["1", "2"], []]


def test_a_missing_table_is_no_error_when_only_asked_about(tmp_path: Path) -> None:
    assert read_about(tmp_path / "none.parquet") is None
    with pytest.raises(StoreError, match="Run `ecgpipe prepare`"):
        read_records(tmp_path / "none.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a parquet file at all" * 20])
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.parquet"
    write_records(path, RECORDS, dict)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        read_records(path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "other"}'])
def test_a_damaged_description_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.parquet"
    write_records(path, RECORDS, dict)
    path.with_suffix(".json").write_text(content)
    for read in (read_records, read_about):
        with pytest.raises(StoreError, match=r"Remove .*r\.parquet and run `ecgpipe prepare`"):
            read(path)


def test_a_table_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    write_records(path, RECORDS, dict)
    entry = json.loads(path.with_suffix(".json").read_text())
    del entry["sum"]
    entry = with_checksum({**entry, "format": "ecgpipe-records/9"})
    path.with_suffix(".json").write_text(json.dumps(entry))
    with pytest.raises(StoreError, match="not 'ecgpipe-records/3'"):
        read_records(path)


def test_a_table_whose_writing_was_interrupted_does_not_count(tmp_path: Path) -> None:
    def fail() -> dict[str, str]:
        raise RuntimeError

    path = tmp_path / "r.parquet"
    with pytest.raises(RuntimeError):
        write_records(path, RECORDS, fail)
    assert list(tmp_path.iterdir()) == []
    write_records(path, RECORDS, dict)
    path.with_suffix(".json").unlink()  # as a kill between the two files leaves it
    assert read_about(path) is None
