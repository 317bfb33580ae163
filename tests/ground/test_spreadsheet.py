"""CSV files, read back by Python's own csv module."""

import csv
import io

import pytest

from ecgpipe.spreadsheet import csv_bytes


def read_back(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_excel_sees_utf8_and_rfc_4180_lines() -> None:
    content = csv_bytes(("所見",), [("正常",)])
    assert content == "\ufeff所見\r\n正常\r\n".encode()


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\r=1", "\n=1"],
)
def test_no_text_is_a_formula(cell: str) -> None:
    ((header,), (value,)) = read_back(csv_bytes((cell,), [(cell,)]))
    assert header == value == f"'{cell}"


def test_texts_that_are_no_formula_and_numbers_stay_as_they_are() -> None:
    row = ("a,b", 'c "d"', "e\nf", -0.1, 3, None, True, False)
    _, found = read_back(csv_bytes(list("abcdefgh"), [row]))
    assert found == ["a,b", 'c "d"', "e\nf", "-0.1", "3", "", "yes", "no"]


def test_a_name_that_is_no_unicode_does_not_end_the_file() -> None:
    _, (found,) = read_back(csv_bytes(("path",), [("bad\udcff",)]))
    assert found == r"bad\udcff"
