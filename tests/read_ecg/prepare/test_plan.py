"""The plan: rows come back as they were, in order, in little memory."""

import dataclasses
import random
import tracemalloc
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest

from ecgpipe.cache.records_table import read_records, write_records
from ecgpipe.config.data import DataConfig, TableSource
from ecgpipe.errors import SourceError
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows
from ecgpipe.read_ecg.formats.recording import read_recording
from ecgpipe.read_ecg.prepare.plan import Plan, read_plan
from ecgpipe.read_ecg.prepare.record_rows import RecordRows

LETTERS = "aAzZ09-_ é洞𝄞\n"


def rows(n: int, seed: int = 0) -> list[SourceRow]:
    """Rows in which every field is sometimes filled, often with unique values."""
    drawn = random.Random(seed)

    def text(most: int = 9) -> str:
        return "".join(drawn.choices(LETTERS, k=drawn.randint(0, most)))

    return [
        SourceRow(
            record_id=f"{text()}{number}",
            patient_id=text(3),
            path=text(),
            findings=tuple(text() for _ in range(drawn.randint(0, 3))),
            public_codes=drawn.random() < 0.5,
            also_in=drawn.choice([None, "ptbxl"]),
            start_s=drawn.choice([None, 0.0, drawn.random()]),
            length_s=drawn.choice([None, 10.0]),
            report=drawn.choice([None, "", text(30)]),
            split=drawn.choice([None, "train", "val", "test"]),
            age=None if number < n // 2 else drawn.choice([None, 63.5]),
            sex=drawn.choice([None, "F"]),
            site=drawn.choice([None, text(2)]),
            recorded_at=text(),
            place=f"row {number}",
        )
        for number in range(n)
    ]


def source(found: list[SourceRow], name: str = "x") -> SourceRows:
    table = RowTable.of(found)
    return SourceRows(name=name, kind="table", root=Path("/r"), table=Path("/r/t.csv"), rows=table)


def test_rows_come_back_as_they_were_given() -> None:
    found = rows(12_000)  # several batches
    table = RowTable.of(found)
    assert list(table) == found
    assert table[-1] == found[-1]
    assert list(table[5:9]) == found[5:9]


def test_a_path_that_is_not_unicode_is_named_by_its_rows() -> None:
    found = [dataclasses.replace(row, path="a/\udcff") for row in rows(3)]
    with pytest.raises(SourceError, match="Between row 0 and row 2, a path or value is not valid"):
        RowTable.of(found)


def test_the_plan_is_in_the_order_that_python_gives_the_ids() -> None:
    first, second = rows(700, seed=1), rows(300, seed=2)
    second = [row for row in second if row.record_id not in {r.record_id for r in first}]
    splits = [row.split or "train" for row in (*first, *second)]
    plan = Plan([(source(first, "one"), splits[:700]), (source(second, "two"), splits[700:])])
    planned = [
        (dataclasses.replace(row, split=split), name)
        for row, split, name in zip(
            (*first, *second), splits, ["one"] * 700 + ["two"] * len(second), strict=True
        )
    ]
    wanted = sorted(planned, key=lambda each: each[0].record_id)
    assert [(p.row, p.source.name) for p in plan] == wanted
    assert [p.row.record_id for p in plan.of_slots(range(5, 9))] == plan.record_ids[5:9]
    assert list(plan.record_ids) == [row.record_id for row, _ in wanted]


def test_of_duplicate_ids_the_first_in_the_tables_are_named() -> None:
    found = rows(60, seed=3)
    ids = {40: 30, 50: 5, 55: 5}
    found = [
        SourceRow(
            record_id=found[ids.get(number, number)].record_id,
            patient_id="p",
            path="",
            findings=(),
            place=row.place,
        )
        for number, row in enumerate(found)
    ]
    with pytest.raises(SourceError, match="same record_id: row 30 and row 40"):
        Plan([(source(found), ["train"] * 60)])


def test_rows_of_two_tables_of_one_name_are_told_apart(tmp_path: Path) -> None:
    tables = [tmp_path / year / "records.csv" for year in ("2023", "2024")]
    for table in tables:
        table.parent.mkdir()
        table.write_text("record_id,patient_id,path,findings\na,p,x,洞調律\n")
    sources = tuple(TableSource(kind="table", table=table) for table in tables)
    with pytest.raises(SourceError, match="row 2 of 2023/records and row 2 of 2024/records"):
        read_plan(DataConfig(sources=sources))


def test_a_sources_name_is_no_part_of_the_plan() -> None:
    found = rows(20)
    own_reader = [
        dataclasses.replace(source(found, name), read=read_recording) for name in ("one", "two")
    ]
    hashes = {Plan([(each, ["train"] * 20)]).hash() for each in own_reader}
    assert len(hashes) == 1


def test_the_records_of_patients_in_two_splits_are_found() -> None:
    found = rows(2_000, seed=4)
    drawn = random.Random(5)
    splits = [drawn.choice(["train", "val", "test"]) for _ in found]
    parts = defaultdict(set)
    for row, split in zip(found, splits, strict=True):
        parts[row.patient_id].add(split)
    wanted = {r.record_id for r in found if r.patient_id and len(parts[r.patient_id]) > 1}
    assert 0 < len(wanted) < 2_000
    plan = Plan([(source(found), splits)])
    leaking = [planned.row.record_id for planned in plan.in_several_splits()]
    assert leaking == sorted(wanted)
    assert list(Plan([]).in_several_splits()) == []


def held_and_peak(folder: Path, n_rows: int) -> tuple[int, int]:
    """Bytes held by a plan of `n_rows` rows, and the peak while it is built and written."""
    lines = ["record_id,patient_id,path,findings,age,sex"]
    lines += [f"r{n:07d},p{n // 2:07d},a/folder/{n},洞調律,{n % 90},F" for n in range(n_rows)]
    table = folder / "records.csv"
    table.write_text("\n".join(lines))
    config = DataConfig(sources=(TableSource(kind="table", table=table, root=folder),))
    findings = load_taxonomy("findings98")
    findings.resolve_all(("洞調律",))
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        plan = read_plan(config)
        held = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - before
        found = RecordRows(plan, (), findings, config)
        write_records(folder / "r.parquet", found, lambda: {"counts": found.counts({})})
        return held, tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before
    finally:
        tracemalloc.stop()


def test_a_planned_record_takes_little_memory(tmp_path: Path) -> None:
    held_and_peak(tmp_path, 100)  # what is imported and cached once
    few, many = held_and_peak(tmp_path, 2_000), held_and_peak(tmp_path, 20_000)
    held, peak = ((b - a) / 18_000 for a, b in zip(few, many, strict=True))
    print(f"{held:.0f} bytes a record, {peak:.0f} at the peak")
    assert held < 250  # as Python objects it was 1,100
    assert peak < 350
    assert len(read_records(tmp_path / "r.parquet")) == 20_000
