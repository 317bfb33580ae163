"""What `ecgpipe check` says of patients and days, and in the words of the user's own table."""

import csv
from pathlib import Path
from typing import Any

import pytest

from ecgpipe.config.file import parse_config
from ecgpipe.stages.check.check import run_check
from ecgpipe.stages.check.report import Problem, Report, Severity, as_list, render

COLUMNS = {
    "record_id": "記録番号",
    "patient_id": "患者ID",
    "path": "ファイル",
    "findings": "所見",
    "age": "年齢",
    "sex": "性別",
    "recorded_at": "検査日",
}
HEADER = tuple(COLUMNS.values())


def row(number: int, **cells: str) -> dict[str, str]:
    plain = (f"E{number}", f"P{number}", f"{number}.dat", "心房細動", "63", "男", "2020/05/18")
    return dict(zip(HEADER, plain, strict=True)) | cells


def checked(folder: Path, rows: list[dict[str, str]]) -> Report:
    table = folder / "一覧.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows(rows)
    source = {"kind": "table", "table": str(table), "columns": COLUMNS}
    settings: dict[str, Any] = {
        "name": "toy",
        "work_dir": str(folder / "work"),
        "data": {"sources": [source], "rate_hz": 100},
        "text": {"model": "imported:x"},
    }
    return run_check(parse_config(settings, folder, "test"), 1)


def found(report: Report, kind: str) -> Problem:
    (problem,) = (each for each in report.problems if each.kind == kind)
    return problem


def places(problem: Problem) -> list[str]:
    return [example.place for example in problem.examples]


def test_days_that_cannot_be_read_are_told_and_japanese_eras_can(tmp_path: Path) -> None:
    cells = ["令和2年5月18日", "R2.5.18", "2020-05-18 9:08", "", "5/18/2020", "先週", "13/25/2020"]
    report = checked(tmp_path, [row(n, 検査日=cell) for n, cell in enumerate(cells)])
    problem = found(report, "date not understood")
    assert problem.severity == Severity.LOOK
    assert problem.summary.startswith("3 cells: 検査日 is no date")
    assert places(problem) == [f"row {n} of 一覧" for n in (6, 7, 8)]
    assert "先週" not in render(report)
    assert "先週" in as_list(report).decode("utf-8-sig")
    assert report.overview["years"] == "2020 to 2020; no date for 4 ECGs"


def test_days_to_come_are_told_unless_all_days_are_shifted(tmp_path: Path) -> None:
    rows = [row(n) for n in range(3)] + [row(3, 検査日="2335/01/01")]
    assert places(found(checked(tmp_path, rows), "date in the future")) == ["row 5 of 一覧"]
    shifted = [row(n, 検査日=f"21{n}0-07-23") for n in range(5, 9)]
    assert "date in the future" not in {p.kind for p in checked(tmp_path, shifted).problems}


def test_one_patient_with_two_sexes_is_told_where_the_two_are(tmp_path: Path) -> None:
    rows = [
        row(0, 患者ID="P", 性別="男"),
        row(1, 患者ID="P", 性別=""),
        row(2, 患者ID="P", 性別="女"),
        row(3, 患者ID="", 性別="男"),
        row(4, 患者ID="", 性別="女"),
    ]
    problem = found(checked(tmp_path, rows), "two sexes")
    assert problem.summary.startswith("1 row: 性別 differs")
    (example,) = problem.examples
    assert (example.place, example.detail) == ("row 4 of 一覧", "row 2 of 一覧 says otherwise")


def test_how_many_have_no_age_or_sex_is_in_the_overview(tmp_path: Path) -> None:
    rows = [row(0, 年齢=""), row(1, 年齢="六十五"), row(2, 性別="？"), row(3)]
    overview = checked(tmp_path, rows).overview
    assert overview["age and sex"] == "age unknown for 2 ECGs, sex for 1"


def test_columns_are_called_as_in_the_table(tmp_path: Path) -> None:
    rows = [row(0), row(1, 年齢="六十五", 性別="男性か"), row(2, 患者ID=""), row(3, 所見="")]
    rows += [row(4, ファイル="/a"), row(0)]
    said = {problem.kind: problem.summary for problem in checked(tmp_path, rows).problems}
    assert said["age not understood"].startswith("1 cell: 年齢 is not understood")
    assert said["sex not understood"].startswith("1 cell: 性別 is not understood")
    assert said["no patient"] == "1 row: left out because 患者ID is empty"
    assert said["empty findings"] == "1 row: left out because 所見 is empty and there is no report"
    assert "because ファイル is empty, absolute" in said["path outside root"]
    assert said["record id twice"] == "1 row: an earlier row has the same 記録番号"
    assert said["one recording twice"] == "1 row: an earlier row has the same ファイル"


@pytest.mark.parametrize(
    ("patient", "file", "said"),
    [
        ("P0", "0.dat", "same as row 2 of 一覧, of the same patient, the same file"),
        ("P1", "0.dat", "same as row 2 of 一覧, of another patient, the same file"),
        ("P1", "1.dat", "same as row 2 of 一覧, of another patient, another file"),
        ("", "1.dat", "same as row 2 of 一覧, another file"),
    ],
)
def test_a_repeated_id_says_whether_patient_and_file_differ(
    tmp_path: Path, patient: str, file: str, said: str
) -> None:
    report = checked(tmp_path, [row(0), row(0, 患者ID=patient, ファイル=file)])
    (example,) = found(report, "record id twice").examples
    assert example.detail == said


def test_a_repeated_file_says_whether_the_patients_differ(tmp_path: Path) -> None:
    rows = [row(0), row(1, ファイル="0.dat"), row(2, ファイル="0.dat", 患者ID="P0")]
    details = [e.detail for e in found(checked(tmp_path, rows), "one recording twice").examples]
    assert details == [
        "same as row 2 of 一覧, of another patient",
        "same as row 2 of 一覧, of the same patient",
    ]


def test_the_path_of_a_missing_file_is_in_the_list_only(tmp_path: Path) -> None:
    report = checked(tmp_path, [row(0, ファイル="心電図/99999_hr")])
    assert "99999_hr" in as_list(report).decode("utf-8-sig")
    assert "99999_hr" not in render(report)
    assert "correct ファイル in the table" in found(report, "missing file").fix
