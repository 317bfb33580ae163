"""A hospital's table with its own names of columns, and with cells that are not understood."""

from pathlib import Path

import pytest

from ecgpipe.config.data import TableColumns, TableSource
from ecgpipe.config.file import parse_config
from ecgpipe.errors import ConfigError, SourceError
from ecgpipe.read_ecg.datasets.hospital_table import TableFaults, read_hospital_table
from ecgpipe.read_ecg.datasets.source import SourceRow

AS_OURS = TableColumns()
JAPANESE = TableColumns(
    record_id="記録番号",
    patient_id="患者ID",
    path="ファイル",
    findings="所見",
    report="判読",
    split="区分",
    age="年齢",
    sex="性別",
    site="病棟",
    recorded_at="検査日",
)


def table(folder: Path, text: str, columns: TableColumns = AS_OURS) -> TableSource:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return TableSource(kind="table", table=folder / "t.csv", columns=columns)


def refusal(source: TableSource) -> str:
    with pytest.raises(SourceError) as caught:
        read_hospital_table(source)
    return str(caught.value)


def test_every_column_may_be_called_otherwise(tmp_path: Path) -> None:
    text = (
        "記録番号,患者ID,ファイル,所見,判読,区分,年齢,性別,病棟,検査日,record_id,備考\n"
        "r1,p1,a/r1,洞調律、左室肥大,正常範囲外,test,63歳,男性,3西,2024-03-05,other,x\n"
    )
    (row,) = read_hospital_table(table(tmp_path, text, JAPANESE)).rows
    assert row == SourceRow(
        record_id="r1",
        patient_id="p1",
        path="a/r1",
        findings=("洞調律", "左室肥大"),
        report="正常範囲外",
        split="test",
        age=63.0,
        sex="male",
        site="3西",
        recorded_at="2024-03-05",
        place="row 2 of t",
    )


def test_a_named_column_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    text = "患者名,患者番号,path,findings,年令\nr1,p1,a,b,63\n"
    columns = TableColumns(record_id="患者名", patient_id="患者ID", age="年齢")
    told = refusal(table(tmp_path, text, columns))
    # 患者名 is nearer, but something else already.
    assert (
        "has no column 患者ID (for patient_id; did you mean 患者番号?), 年齢 (for age; did" in told
    )
    assert "you mean 年令?). It has: 患者名, 患者番号, path, findings, 年令." in told
    columns = TableColumns(record_id="患者名", patient_id="患者番号", findings="診断")
    assert "no column 診断 (for findings). It has" in refusal(table(tmp_path, text, columns))


def test_a_table_in_ones_own_words_is_told_how_to_say_so(tmp_path: Path) -> None:
    text = "Record ID,patient_id,path,所見\nr1,p1,a,b\n"
    told = refusal(table(tmp_path, text))
    assert "has no column record_id (did you mean Record ID?). It has" in told
    assert "say so in `columns` of the source" in told
    columns = TableColumns(record_id="Record ID")
    assert "neither a findings nor a report column" in refusal(table(tmp_path, text, columns))
    text = "記録番号,patient_id,path,findings\n,p1,a,b\n"
    told = refusal(table(tmp_path, text, TableColumns(record_id="記録番号")))
    assert told == "row 2 of t has no 記録番号."


def test_a_column_that_is_not_known_is_refused_with_the_settings() -> None:
    source = {"kind": "table", "table": "t.csv", "columns": {"patientid": "患者ID"}}
    values = {"name": "x", "data": {"sources": [source]}, "text": {"model": "m"}}
    with pytest.raises(
        ConfigError, match=r"columns\.patientid is not .* Did you mean .*patient_id"
    ):
        parse_config(values, Path("/"), "pipeline.yaml")


def test_what_is_not_understood_is_unknown_and_counted(tmp_path: Path) -> None:
    cells = ["63,男", "六十五,m", "60代,女性", "300,1", "−5,2", ",", "45歳,ダンセイ", "不明,不明"]
    text = "record_id,patient_id,path,findings,age,sex\n"
    text += "".join(f"r{n},p{n},a{n},洞調律,{cell}\n" for n, cell in enumerate(cells))
    faults = TableFaults()
    for given in (None, faults):
        found = read_hospital_table(table(tmp_path, text), given)
        ages = [63.0, None, None, None, None, None, 45.0, None]
        sexes = ["male", "male", "female", "male", "female", None, None, None]
        assert [(row.age, row.sex) for row in found.rows] == list(zip(ages, sexes, strict=True))
        assert found.left_out == {"age of t not understood": 4, "sex of t not understood": 1}
    assert [(cell.column, cell.place, cell.record_id, cell.text) for cell in faults.unclear] == [
        ("age", "row 3 of t", "r1", "六十五"),
        ("age", "row 4 of t", "r2", "60代"),
        ("age", "row 5 of t", "r3", "300"),
        ("age", "row 6 of t", "r4", "−5"),
        ("sex", "row 8 of t", "r6", "ダンセイ"),
    ]


def test_a_table_of_nothing_but_bad_rows_is_still_read_for_check(tmp_path: Path) -> None:
    faults = TableFaults()
    text = "record_id,patient_id,path,findings\n,p,a,b\n"
    assert not read_hospital_table(table(tmp_path, text), faults).rows
    assert [place for place, _ in faults.bad_rows] == ["row 2 of t"]
