"""Adapter: PTB-XL as PhysioNet ships it.

Owns ptbxl_database.csv: the codes of SCP statements become findings, strat_fold becomes the split.

Source: Wagner et al. 2020, PTB-XL 1.0.3; fold 10 test, fold 9 validation, as its authors advise.
"""

import ast

from ecgpipe.config.data import PtbxlSource
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows, parse_number, parse_split
from ecgpipe.read_ecg.datasets.table_file import Row, read_table, require_columns

_SEX = {"0": "male", "1": "female"}
_FILE_COLUMN = {"records500": "filename_hr", "records100": "filename_lr"}


def read_ptbxl(source: PtbxlSource) -> SourceRows:
    """All rows of the data set; record ids are 'ptbxl-' and five digits.

    Raises:
        SourceError: ptbxl_database.csv is missing or lacks a column, or a cell is malformed.
    """
    table = source.root / "ptbxl_database.csv"
    if not table.is_file():
        raise SourceError(
            f"{source.root} has no ptbxl_database.csv, so it is not PTB-XL's folder. Set"
            " data.sources.N.root to the unpacked folder of PhysioNet's archive."
        )
    rows = read_table(table)
    wanted = ["ecg_id", "patient_id", "scp_codes", _FILE_COLUMN[source.files]]
    if source.split_column is not None:
        wanted.append(source.split_column)
    require_columns(table, rows, wanted)
    return SourceRows(
        name=source.called,
        kind=source.kind,
        root=source.root,
        table=table,
        rows=RowTable.of(_row(row, number, source) for number, row in rows),
    )


def _row(row: Row, number: int, source: PtbxlSource) -> SourceRow:
    place = f"row {number} of {source.called}"
    patient = row["patient_id"].removesuffix(".0")
    return SourceRow(
        record_id=_record_id(row["ecg_id"], place),
        patient_id=f"ptbxl-{patient}" if patient else "",
        path=row[_FILE_COLUMN[source.files]],
        findings=_statements(row["scp_codes"], source.min_likelihood, place),
        report=row.get("report") or None,
        split=_split(row[source.split_column], place) if source.split_column else None,
        age=parse_number(row.get("age", "")),
        sex=_SEX.get(row.get("sex", "").removesuffix(".0")),
        site=row.get("site", "").removesuffix(".0") or None,
        recorded_at=row.get("recording_date") or None,
        place=place,
    )


def _record_id(cell: str, place: str) -> str:
    number = cell.removesuffix(".0")
    if not number.isdigit():
        raise SourceError(f"{place}: ecg_id is {cell!r}, not a number.")
    return f"ptbxl-{int(number):05d}"


def _statements(cell: str, min_likelihood: float, place: str) -> tuple[str, ...]:
    """The likely codes of a cell such as {'NORM': 100.0, 'SR': 0.0}."""
    try:
        likelihoods = ast.literal_eval(cell)
        return tuple(code for code, value in likelihoods.items() if value >= min_likelihood)
    except (ValueError, SyntaxError, AttributeError, TypeError):
        raise SourceError(
            f"{place}: scp_codes is not a dictionary of codes: {cell[:80]!r}."
        ) from None


def _split(cell: str, place: str) -> str:
    if cell.removesuffix(".0").isdigit():
        return {"9": "val", "10": "test"}.get(cell.removesuffix(".0"), "train")
    return parse_split(cell, place)
