"""Adapters and splits: patient, split and findings of every row."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from ecgpipe.config.data import PtbxlSource, SplitConfig, TableColumns, TableSource
from ecgpipe.errors import RecordError, SourceError
from ecgpipe.read_ecg.datasets.hospital_table import read_hospital_table, split_findings
from ecgpipe.read_ecg.datasets.ptbxl import read_ptbxl
from ecgpipe.read_ecg.datasets.source import SourceRow, recording_path
from ecgpipe.read_ecg.datasets.splits import assign_splits, check_patients, draw_split


def table(tmp_path: Path, text: str) -> TableSource:
    (tmp_path / "records.csv").write_text(text)
    return TableSource(kind="table", table=tmp_path / "records.csv")


def row(record_id: str, patient_id: str, split: str | None = None) -> SourceRow:
    return SourceRow(
        record_id=record_id, patient_id=patient_id, path="p", findings=(), split=split, place="row"
    )


@pytest.mark.parametrize(
    ("cell", "findings"),
    [
        ("左室肥大;心房細動", ("左室肥大", "心房細動")),
        ("左室肥大、心房細動", ("左室肥大", "心房細動")),
        (" 左室肥大 ；　心房細動 、", ("左室肥大", "心房細動")),
        ("左室肥大;左室肥大", ("左室肥大",)),
        ("66; 6", ("66", "6")),
        ("", ()),
    ],
)
def test_a_findings_cell_is_divided_at_its_separators(cell: str, findings: tuple[str, ...]) -> None:
    assert split_findings(cell) == findings


def test_a_hospital_row_keeps_everything_it_says(tmp_path: Path) -> None:
    source = table(
        tmp_path,
        "record_id,patient_id,path,findings,report,split,age,sex,site\n"
        "a,p1,x/a,洞調律,正常です。,validation,63,F,tokyo\n",
    )
    rows = read_hospital_table(source)
    assert rows.root == tmp_path
    assert list(rows.rows) == [
        SourceRow(
            record_id="a",
            patient_id="p1",
            path="x/a",
            findings=("洞調律",),
            report="正常です。",
            split="val",
            age=63.0,
            sex="female",
            site="tokyo",
            place="row 2 of records",
        ),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("record_id,path,findings\na,b,c\n", "no column patient_id"),
        ("record_id,patient_id,path\na,b,c\n", "no text to train on"),
        ("record_id,patient_id,path,findings\n,p,x,y\n", "row 2 of records has no record_id"),
        ("record_id,patient_id,path,findings,split\na,p,x,y,holdout\n", "split is 'holdout'"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_hospital_table(table(tmp_path, text))


def test_a_named_split_column_must_be_there(tmp_path: Path) -> None:
    table(tmp_path, "record_id,patient_id,path,findings\na,p,x,y\n")
    columns = TableColumns(split="fold")
    source = TableSource(kind="table", table=tmp_path / "records.csv", columns=columns)
    with pytest.raises(SourceError, match=r"no column fold \(for split\)"):
        read_hospital_table(source)


def test_ptbxl_statements_and_folds_are_read(real_data: Path) -> None:
    rows = read_ptbxl(PtbxlSource(kind="ptbxl", root=real_data / "ptbxl")).rows
    assert len(rows) == 1324
    first = rows[0]
    assert first.record_id == "ptbxl-00001"
    assert first.patient_id == "ptbxl-15709"
    assert first.findings == ("NORM", "LVOLT", "SR")
    assert first.path == "records500/00000/00001_hr"
    assert (first.age, first.sex, first.split) == (56.0, "female", "train")
    # strat_fold 10 is the test fold: 824 records, and those of the first 500 that are in it.
    assert Counter(row.split for row in rows)["test"] >= 824


def test_ptbxl_may_be_split_by_another_column(real_data: Path) -> None:
    source = PtbxlSource(kind="ptbxl", root=real_data / "ptbxl", split_column="subset_split")
    assert Counter(row.split for row in read_ptbxl(source).rows) == {
        "train": 992,
        "val": 127,
        "test": 205,
    }


def test_unlikely_ptbxl_statements_can_be_dropped(real_data: Path) -> None:
    source = PtbxlSource(kind="ptbxl", root=real_data / "ptbxl", min_likelihood=50)
    assert read_ptbxl(source).rows[0].findings == ("NORM",)


def test_a_folder_that_is_not_ptbxl_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no ptbxl_database\.csv"):
        read_ptbxl(PtbxlSource(kind="ptbxl", root=tmp_path))


def test_ptbxl_codes_are_never_executed(tmp_path: Path) -> None:
    (tmp_path / "ptbxl_database.csv").write_text(
        "ecg_id,patient_id,scp_codes,strat_fold,filename_hr\n"
        "1,2.0,\"__import__('os').abort()\",1,records500/00000/00001_hr\n"
    )
    with pytest.raises(SourceError, match=r"row 2 .* scp_codes is not a dictionary of codes"):
        read_ptbxl(PtbxlSource(kind="ptbxl", root=tmp_path))


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "", "..\\x", "C:\\x"])
def test_a_path_cannot_leave_its_root(tmp_path: Path, path: str) -> None:
    with pytest.raises(RecordError) as caught:
        recording_path(tmp_path, path)
    assert caught.value.reason == "path outside root"


def test_a_path_below_the_root_is_joined_to_it(tmp_path: Path) -> None:
    assert recording_path(tmp_path, "a\\b c/d") == tmp_path / "a" / "b c" / "d"


def test_the_drawn_split_keeps_its_fractions_and_its_patients() -> None:
    config = SplitConfig(fractions=(0.7, 0.1, 0.2), seed=3)
    drawn = {f"p{number}": draw_split(f"p{number}", config) for number in range(20000)}
    shares = Counter(drawn.values())
    assert shares["train"] / 20000 == pytest.approx(0.7, abs=0.01)
    assert shares["val"] / 20000 == pytest.approx(0.1, abs=0.01)
    # A patient's split depends neither on the other patients nor on the order.
    assert all(draw_split(name, config) == part for name, part in list(drawn.items())[::997])
    others = {draw_split(f"p{number}", SplitConfig(seed=4)) for number in range(100)}
    assert others == {"train", "val", "test"}


def test_fractions_of_zero_leave_a_part_empty() -> None:
    config = SplitConfig(fractions=(0.5, 0.0, 0.5))
    assert {draw_split(f"p{n}", config) for n in range(1000)} == {"train", "test"}


def test_all_records_of_a_patient_fall_into_one_part() -> None:
    rows = [row(f"r{n}", f"p{n % 50}") for n in range(500)]
    splits = assign_splits(rows, SplitConfig())
    check_patients(zip(rows, splits, strict=True))


def test_a_split_stated_for_some_rows_only_is_refused() -> None:
    with pytest.raises(SourceError, match="states no split, but 1 other rows do"):
        assign_splits([row("a", "p", "train"), row("b", "q")], SplitConfig())


def test_a_patient_in_two_splits_is_refused_without_naming_them() -> None:
    rows = [
        dataclasses.replace(row("a", "secret-patient", split), place=f"row {n} of t.csv")
        for n, split in ((2, "train"), (3, "test"))
    ]
    with pytest.raises(SourceError) as caught:
        check_patients(zip(rows, ["train", "test"], strict=True))
    assert "row 2 of t.csv is in train and row 3 of t.csv, of the same patient, in" in str(
        caught.value
    )
    assert "secret-patient" not in str(caught.value)


def test_another_seed_draws_another_division() -> None:
    patients = [f"p{number}" for number in range(200)]
    one, two = ([draw_split(p, SplitConfig(seed=seed)) for p in patients] for seed in (0, 1))
    assert one != two
    assert one == [draw_split(p, SplitConfig(seed=0)) for p in patients]
