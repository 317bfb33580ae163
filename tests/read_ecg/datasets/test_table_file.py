"""Tables in the forms hospitals keep them."""

from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecgpipe.errors import SourceError
from ecgpipe.files import text_encoding
from ecgpipe.read_ecg.datasets.table_file import TableRows, read_table, require_columns

TEXT = "record_id,findings\na1,洞性頻脈、左室肥大\nb2,\n"
CELLS = [{"record_id": "a1", "findings": "洞性頻脈、左室肥大"}, {"record_id": "b2", "findings": ""}]
ROWS = list(enumerate(CELLS, 2))


def rows_of(folder: Path, text: str) -> TableRows:
    (folder / "t.csv").write_text(text)
    return read_table(folder / "t.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16", "iso2022_jp"])
def test_japanese_is_read_in_every_common_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(TEXT.encode(encoding))
    assert list(read_table(tmp_path / "t.csv")) == ROWS


def test_iso_2022_jp_is_read_to_its_end_and_with_half_width_katakana(tmp_path: Path) -> None:
    text = "record_id,findings\n" + "a,sinus rhythm\n" * 200_000 + "b,洞性頻脈 ﾍﾟｰｼﾝｸﾞ\n"
    (tmp_path / "t.csv").write_bytes(text.encode("iso2022_jp_ext"))
    assert text_encoding(tmp_path / "t.csv") == "iso2022_jp_ext"
    *_, last = read_table(tmp_path / "t.csv")
    assert last == (200_002, {"record_id": "b", "findings": "洞性頻脈 ﾍﾟｰｼﾝｸﾞ"})


def test_iso_2022_jp_with_a_vendors_characters_is_named(tmp_path: Path) -> None:
    circled_one = b"\x1b$B-!\x1b(B"  # JIS row 13, which no standard has
    (tmp_path / "t.csv").write_bytes("record_id,findings\na,洞".encode("iso2022_jp") + circled_one)
    with pytest.raises(SourceError, match=r"seems to be ISO-2022-JP, .* save it as UTF-8"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_and_line_ends_do_not_matter(
    tmp_path: Path, delimiter: str, newline: str
) -> None:
    text = TEXT.replace(",", delimiter).replace("\n", newline)
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert list(read_table(tmp_path / "t.csv")) == ROWS


def test_excel_and_parquet_read_like_csv(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (("record_id", "findings"), ("a1", "洞性頻脈、左室肥大"), ("b2", None)):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    pq.write_table(pa.Table.from_pylist(CELLS), tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.xlsx")) == ROWS
    assert list(read_table(tmp_path / "t.parquet")) == ROWS


def test_an_id_that_excel_stored_as_a_float_is_read_as_an_integer(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"record_id": [17.0, 18.0], "age": [63.5, None]}), tmp_path / "t.parquet"
    )
    assert list(read_table(tmp_path / "t.parquet")) == [
        (2, {"record_id": "17", "age": "63.5"}),
        (3, {"record_id": "18", "age": ""}),
    ]


def test_a_cell_may_hold_the_delimiter_and_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('record_id,report\na,"one, two\nthree"\n')
    assert next(iter(read_table(tmp_path / "t.csv")))[1]["report"] == "one, two\nthree"


def test_a_row_with_too_many_cells_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("record_id,findings\na,x\nb,x,y\n")
    with pytest.raises(SourceError, match="row 3, has 3 cells for 2 columns"):
        list(read_table(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "no header row"),
        ("t.csv", b"a,a\n1,2\n", "column a more than once"),
        ("t.csv", b"record_id\n\x81\xff\xfd\n", "neither UTF-8 nor Shift-JIS"),
        ("t.doc", b"x", "must be .csv"),
        ("t.xlsx", b"not a zip", "cannot be read"),
        ("t.parquet", b"not parquet", "cannot be read"),
    ],
)
def test_an_unreadable_table_says_why(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_table(tmp_path / name)


def test_a_missing_table_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(SourceError, match=r"no column path\. It has: record_id, findings"):
        require_columns(tmp_path / "t.csv", rows_of(tmp_path, TEXT), ("record_id", "path"))
    with pytest.raises(SourceError, match="has no rows"):
        require_columns(tmp_path / "t.csv", rows_of(tmp_path, "record_id\n\n"), ("record_id",))


def test_a_row_keeps_the_number_that_people_see(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("record_id,findings\na,x\n\n,\nb,y\n")
    assert [number for number, _ in read_table(tmp_path / "t.csv")] == [2, 5]


def test_a_stray_quote_is_refused_and_swallows_nothing(tmp_path: Path) -> None:
    rows = "".join(f"{number},x\n" for number in range(3, 9))
    (tmp_path / "t.csv").write_text('record_id,findings\n2,"x\n' + rows)
    with pytest.raises(SourceError, match=r"row 2, cannot be read.*not closed"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text('record_id,findings\n2,"x\n' + rows + '9,"y"\n')
    with pytest.raises(SourceError, match="row 2, cannot be read"):
        list(read_table(tmp_path / "t.csv"))


def test_a_long_report_is_no_error(tmp_path: Path) -> None:
    report = "洞調律。" * 60_000
    (tmp_path / "t.csv").write_text(f"record_id,report\na,{report}\n")
    assert next(iter(read_table(tmp_path / "t.csv")))[1]["report"] == report
