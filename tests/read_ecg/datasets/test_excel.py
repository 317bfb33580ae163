"""Excel workbooks as hospitals keep them: several sheets, empty ones, old files, wrong sizes."""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import openpyxl
import pytest

from ecgpipe.config.data import TableSource
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.hospital_table import read_hospital_table
from ecgpipe.read_ecg.datasets.table_file import read_table

HEADER = ("record_id", "patient_id", "path", "findings")


def workbook(
    path: Path, sheets: Mapping[str, Sequence[Sequence[object]]], hidden: str = ""
) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for cells in rows:
            sheet.append(list(cells))
        sheet.sheet_state = "hidden" if name == hidden else "visible"
    book.save(path)
    return path


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return workbook(
        tmp_path / "ecg.xlsx",
        {
            "表紙": [],
            "2023": [HEADER, ("a", "p", "x", "洞調律")],
            "心電図": [HEADER, ("b", "q", "y", "心房細動"), ("c", "r", "z", "洞調律")],
        },
    )


@pytest.mark.parametrize(
    ("sheet", "ids"), [(2, ["a"]), ("2023", ["a"]), (3, ["b", "c"]), ("心電図", ["b", "c"])]
)
def test_a_sheet_is_named_or_numbered(book: Path, sheet: str | int, ids: list[str]) -> None:
    found = read_hospital_table(TableSource(kind="table", table=book, sheet=sheet))
    assert [row.record_id for row in found.rows] == ids


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        (4, "has no sheet number 4. It has 1 '表紙', 2 '2023', 3 '心電図'. Put a name that is a"),
        (2023, "has no sheet number 2023"),
        ("心電", "has no sheet '心電'. It has 1 '表紙', 2 '2023', 3 '心電図'."),
    ],
)
def test_a_sheet_that_is_not_there_is_answered_with_those_that_are(
    book: Path, sheet: str | int, message: str
) -> None:
    with pytest.raises(SourceError, match=re.escape(message)):
        read_table(book, sheet)


def test_a_first_sheet_that_is_empty_is_told_as_that(book: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read_table(book)
    assert "The sheet '表紙' of" in str(caught.value)
    assert "is empty. There are cells in 2 '2023', 3 '心電図': set `sheet`" in str(caught.value)
    with pytest.raises(SourceError, match=r"The sheet 'a' of .* is empty\.$"):
        read_table(workbook(tmp_path / "e.xlsx", {"a": [], "b": [(None, " ")]}))


def test_a_sheet_of_something_else_points_to_the_others(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", {"memo": [("心電図の一覧",), ("x",)], "ECG": [HEADER]})
    with pytest.raises(SourceError, match=r"It has: 心電図の一覧\. .* There are cells in 2 'ECG'"):
        read_hospital_table(TableSource(kind="table", table=path))
    path = workbook(tmp_path / "t.xlsx", {"ECG": [HEADER], "more": [HEADER]})
    with pytest.raises(SourceError, match=r"has no rows\. There are cells in 2 'more'"):
        read_hospital_table(TableSource(kind="table", table=path))


def test_a_title_above_the_names_of_the_columns_is_told(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", {"a": [(), HEADER, ("a", "p", "x", "洞調律")]})
    with pytest.raises(SourceError, match=r"In the sheet 'a' of .* row 1 is empty, but the names"):
        read_table(path)


def test_a_hidden_sheet_is_read_by_its_name_only(tmp_path: Path) -> None:
    sheets = {"old": [HEADER, ("a", "p", "x", "-")], "new": [HEADER, ("b", "p", "x", "-")]}
    path = workbook(tmp_path / "t.xlsx", sheets, hidden="old")
    ids = {sheet: next(iter(read_table(path, sheet)))[1]["record_id"] for sheet in (None, 1, "old")}
    assert ids == {None: "b", 1: "b", "old": "a"}


def test_a_sheet_whose_size_is_written_wrongly_is_read_whole(tmp_path: Path) -> None:
    rows = [HEADER, *((f"r{n}", "p", "x", "-") for n in range(9))]
    right = workbook(tmp_path / "right.xlsx", {"a": rows})
    wrong = tmp_path / "wrong.xlsx"
    with zipfile.ZipFile(right) as source, zipfile.ZipFile(wrong, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.startswith("xl/worksheets/"):
                assert b'<dimension ref="A1:D10"' in content
                content = content.replace(b'ref="A1:D10"', b'ref="A1"')
            target.writestr(name, content)
    assert list(read_table(wrong)) == list(read_table(right))


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("t.xls", b"x", r"must be .* Open it in Excel and save it as \.xlsx\."),
        ("t.ods", b"x", r"Open it in Excel and save it as \.xlsx"),
        ("t.xlsx", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "old .xls file .* a password"),
        ("t.xlsx", b"record_id,path\n", "cannot be read: File is not a zip file"),
    ],
)
def test_a_workbook_that_is_not_read_says_what_to_do(
    tmp_path: Path, name: str, content: bytes, advice: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=advice):
        read_table(tmp_path / name)


@pytest.mark.parametrize(
    ("table", "sheet", "message"),
    [
        ("t.csv", "a", "sheet is 'a', but t.csv is no Excel workbook"),
        ("t.xlsx", 0, "sheet must be a name or a number from 1, not 0"),
        ("t.xlsx", "", "sheet must be a name or a number from 1, not ''"),
    ],
)
def test_a_sheet_that_cannot_be_is_refused_with_the_settings(
    table: str, sheet: str | int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TableSource(kind="table", table=Path(table), sheet=sheet)
