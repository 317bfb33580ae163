"""CSV and TSV: one column per lead, one row per sample.

Owns columns and their headers. A header is a lead with its unit, `I [uV]` or `I (mV)`; the rate
follows from a column `time [s]` or `time [ms]`. What headers do not state is read from the JSON
file next to it (see bare_array), which may also name the leads of a file without headers.
"""

import contextlib
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.files import decode_text
from ecgpipe.read_ecg.formats.bare_array import (
    Facts,
    check_shape,
    mv_per_unit,
    read_facts,
    to_record,
)
from ecgpipe.read_ecg.signal.leads import canonical_lead
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

_HEADER = re.compile(r"^(?P<name>[^\[(]*?)\s*(?:[\[(](?P<unit>[^\])]*)[\])])?$")
_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3}
# 12 leads of 5 minutes at 500 Hz. Reading a cell takes about 60 bytes and a microsecond.
_MAX_CELLS = 2_000_000
_MAX_BYTES = 1 << 26
_SUFFIXES = (".csv", ".tsv")

Numbers = npt.NDArray[np.float64]


def is_csv(head: bytes, path: Path) -> bool:
    """Whether the first line names a lead, or the file is called .csv or .tsv and holds text."""
    try:
        text = decode_text(head)
    except ValueError:
        text = head.decode("utf-8", errors="replace")  # cut in the middle of a character
    if "\0" in text:
        return False
    if path.suffix.casefold() in _SUFFIXES:
        return True
    cells = _first_cells(text)
    return len(cells) > 1 and any(canonical_lead(_parts(cell)[0]) for cell in cells)


def read_csv(path: Path) -> EcgRecord:
    """Read one recording from a CSV or TSV file.

    Returns:
        All of it; an empty cell or NaN is no reading.

    Raises:
        RecordError: a cell is not a number, rows differ in length, times are not evenly spaced, or
            rate, units or leads are not stated.
    """
    headers, values = _read_table(path)
    if headers is None:
        return to_record(values, read_facts(path), path, "CSV")
    own_rate_hz = _rate_of_time(headers, values, path)
    chosen = [n for n, header in enumerate(headers) if canonical_lead(_parts(header)[0])]
    if not chosen:
        raise RecordError(
            Reason.LEADS,
            f"{path.name}: no column is named after a lead. Name them like 'I [uV]'",
        )
    scales = [_scale(headers[n], path) for n in chosen]
    facts = read_facts(path, Facts(rate_hz=own_rate_hz))
    if facts.mv_per_unit is not None:
        scales = [facts.mv_per_unit if scale is None else scale for scale in scales]
    known = [scale for scale in scales if scale is not None]
    complete = Facts(
        rate_hz=facts.rate_hz,
        mv_per_unit=1.0 if len(known) == len(scales) else None,
        leads=tuple(_parts(headers[n])[0] for n in chosen),
    )
    with np.errstate(over="ignore", invalid="ignore"):
        in_mv = values[:, chosen] * np.array([scale or 1.0 for scale in scales])
    return to_record(in_mv, complete, path, "CSV")


def _read_table(path: Path) -> tuple[list[str] | None, Numbers]:
    """Headers, None if the first row holds numbers; and (rows, columns) numbers."""
    if path.stat().st_size > _MAX_BYTES:
        raise RecordError(Reason.UNREADABLE, f"{path.name} is larger than {_MAX_BYTES >> 20} MB")
    try:
        text = decode_text(path.read_bytes())
        delimiter = _delimiter(text)
        if text.count(delimiter) + text.count("\n") > _MAX_CELLS:
            raise RecordError(
                Reason.UNREADABLE,
                f"{path.name} holds more than {_MAX_CELLS:,} cells; split it, or save it as .npy",
            )
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (ValueError, csv.Error):
        raise RecordError(Reason.UNREADABLE, f"{path.name} is not readable as CSV") from None
    lines = [cells for cells in lines if any(cell.strip() for cell in cells)]
    if not lines:
        raise RecordError(Reason.UNREADABLE, f"{path.name} is empty")
    headers = None if _number(lines[0][0], delimiter) is not None else lines.pop(0)
    width = len(headers) if headers is not None else len(lines[0])
    for number, cells in enumerate(lines, 2):
        if len(cells) != width:
            raise RecordError(
                Reason.TRUNCATED if number == len(lines) + 1 else Reason.UNREADABLE,
                f"{path.name}, row {number}, has {len(cells)} cells for {width} columns",
            )
    check_shape((len(lines), width), np.float64, path)
    return headers, _numbers(lines, headers, delimiter, path)


def _numbers(
    lines: Sequence[Sequence[str]], headers: Sequence[str] | None, delimiter: str, path: Path
) -> Numbers:
    """The numbers of leads and times; other columns may hold anything and become NaN."""
    values = np.full((len(lines), len(lines[0])), np.nan)
    for column in range(len(lines[0])):
        name = _parts(headers[column])[0] if headers is not None else ""
        if headers is not None and not (canonical_lead(name) or _is_time(name)):
            continue
        with contextlib.suppress(
            ValueError
        ):  # plain numbers, as nearly always: three times as fast
            values[:, column] = [float(cells[column]) for cells in lines]
            continue
        for row, cells in enumerate(lines):
            value = _number(cells[column], delimiter)
            if value is None:
                raise RecordError(
                    Reason.UNREADABLE,
                    f"{path.name}, row {row + 2}, column {column + 1}: not a number",
                )
            values[row, column] = value
    return values


def _number(cell: str, delimiter: str) -> float | None:
    """A cell's number, NaN for an empty one, None for anything else."""
    written = cell.strip()
    if not written:
        return float("nan")
    if delimiter == ";":  # Excel's format in countries where 1,5 is one and a half
        written = written.replace(",", ".")
    try:
        return float(written)
    except ValueError:
        return None


def _rate_of_time(headers: Sequence[str], values: Numbers, path: Path) -> float | None:
    """The rate by a column of times; None if there is none with a unit."""
    for number, header in enumerate(headers):
        name, unit = _parts(header)
        if not _is_time(name) or unit not in _SECONDS or len(values) < 2:
            continue
        times_s = values[:, number] * _SECONDS[unit]
        with np.errstate(over="ignore", invalid="ignore"):
            steps_s = np.diff(times_s)
        step_s = (times_s[-1] - times_s[0]) / len(steps_s)
        # Times are often rounded to a millisecond, so single steps may be off by one.
        if not (step_s > 0 and np.abs(steps_s - step_s).max() <= max(1.01e-3, step_s / 100)):
            raise RecordError(Reason.UNREADABLE, f"{path.name}: its times are not evenly spaced")
        rate_hz = 1 / step_s
        return float(round(rate_hz)) if abs(rate_hz / round(rate_hz) - 1) < 1e-3 else float(rate_hz)
    return None


def _scale(header: str, path: Path) -> float | None:
    _, unit = _parts(header)
    if unit and mv_per_unit(unit) is None:
        raise RecordError(
            Reason.UNITS, f"{path.name}: the unit of column {header[:20]!r} is not V, mV or uV"
        )
    return mv_per_unit(unit)


def _parts(header: str) -> tuple[str, str]:
    """Name and unit of a header; '' if it has none."""
    match = _HEADER.match(header.strip())
    return (match["name"].strip(), (match["unit"] or "").strip()) if match else (header, "")


def _is_time(name: str) -> bool:
    return name.casefold() in ("time", "t", "時間", "時刻")


def _first_cells(text: str) -> list[str]:
    lines = text.lstrip("\ufeff").splitlines()
    return [cell.strip().strip('"') for cell in lines[0].split(_delimiter(text))] if lines else []


def _delimiter(text: str) -> str:
    first_line = text.split("\n", 1)[0]
    return max("\t;,", key=first_line.count)
