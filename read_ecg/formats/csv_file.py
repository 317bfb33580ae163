"""CSV and TSV: one column a lead, one row a sample.

Owns columns and their heads. A head is a lead with its unit, `I [uV]` or `I (mV)`; the rate follows
from a column `time [s]` or `time [ms]`. What the heads do not say stands in a JSON file beside it
(see array_record), which may also name the leads of a file without heads.
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

_HEAD = re.compile(r"^(?P<name>[^\[(]*?)\s*(?:[\[(](?P<unit>[^\])]*)[\])])?$")
_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3}
# 12 leads of 5 minutes at 500 Hz. A cell takes some 60 bytes and a microsecond while it is read.
_MAX_CELLS = 2_000_000
_MAX_BYTES = 1 << 26
_SUFFIXES = (".csv", ".tsv")

Numbers = npt.NDArray[np.float64]


def is_csv(head: bytes, path: Path) -> bool:
    """Whether the first line names a lead, or the file is called .csv or .tsv and holds text."""
    try:
        text = decode_text(head)
    except ValueError:
        text = head.decode("utf-8", errors="replace")  # cut in the middle of a letter
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
        RecordError: a cell is no number, rows differ in length, time does not go evenly, or rate,
            units or leads are said nowhere.
    """
    heads, values = _read_table(path)
    if heads is None:
        return to_record(values, read_facts(path), path, "CSV")
    own_rate_hz = _rate_of_time(heads, values, path)
    chosen = [n for n, head in enumerate(heads) if canonical_lead(_parts(head)[0])]
    if not chosen:
        raise RecordError(
            Reason.LEADS,
            f"{path.name}: no column is headed by a lead's name. Head them such as 'I [uV]'",
        )
    scales = [_scale(heads[n], path) for n in chosen]
    facts = read_facts(path, Facts(rate_hz=own_rate_hz))
    if facts.mv_per_unit is not None:
        scales = [facts.mv_per_unit if scale is None else scale for scale in scales]
    known = [scale for scale in scales if scale is not None]
    complete = Facts(
        rate_hz=facts.rate_hz,
        mv_per_unit=1.0 if len(known) == len(scales) else None,
        leads=tuple(_parts(heads[n])[0] for n in chosen),
    )
    with np.errstate(over="ignore", invalid="ignore"):
        in_mv = values[:, chosen] * np.array([scale or 1.0 for scale in scales])
    return to_record(in_mv, complete, path, "CSV")


def _read_table(path: Path) -> tuple[list[str] | None, Numbers]:
    """Heads, None where the first row holds numbers; and (rows, columns) numbers."""
    if path.stat().st_size > _MAX_BYTES:
        raise RecordError(Reason.UNREADABLE, f"{path.name} is larger than {_MAX_BYTES >> 20} MB")
    try:
        text = decode_text(path.read_bytes())
        delimiter = _delimiter(text)
        if text.count(delimiter) + text.count("\n") > _MAX_CELLS:
            raise RecordError(
                Reason.UNREADABLE,
                f"{path.name} holds more than {_MAX_CELLS:,} cells; divide it, or save it as .npy",
            )
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (ValueError, csv.Error):
        raise RecordError(Reason.UNREADABLE, f"{path.name} is no CSV of readable text") from None
    lines = [cells for cells in lines if any(cell.strip() for cell in cells)]
    if not lines:
        raise RecordError(Reason.UNREADABLE, f"{path.name} is empty")
    heads = None if _number(lines[0][0], delimiter) is not None else lines.pop(0)
    width = len(heads) if heads is not None else len(lines[0])
    for number, cells in enumerate(lines, 2):
        if len(cells) != width:
            raise RecordError(
                Reason.TRUNCATED if number == len(lines) + 1 else Reason.UNREADABLE,
                f"{path.name}, row {number}, has {len(cells)} cells for {width} columns",
            )
    check_shape((len(lines), width), np.float64, path)
    return heads, _numbers(lines, heads, delimiter, path)


def _numbers(
    lines: Sequence[Sequence[str]], heads: Sequence[str] | None, delimiter: str, path: Path
) -> Numbers:
    """Columns that are neither lead nor time are not read: they may hold anything."""
    values = np.full((len(lines), len(lines[0])), np.nan)
    for column in range(len(lines[0])):
        name = _parts(heads[column])[0] if heads is not None else ""
        if heads is not None and not (canonical_lead(name) or _is_time(name)):
            continue
        with contextlib.suppress(ValueError):  # where all are plain numbers, in a third of the time
            values[:, column] = [float(cells[column]) for cells in lines]
            continue
        for row, cells in enumerate(lines):
            value = _number(cells[column], delimiter)
            if value is None:
                raise RecordError(
                    Reason.UNREADABLE, f"{path.name}, row {row + 2}, column {column + 1}: no number"
                )
            values[row, column] = value
    return values


def _number(cell: str, delimiter: str) -> float | None:
    """A cell's number, NaN for an empty one, None for anything else."""
    written = cell.strip()
    if not written:
        return float("nan")
    if delimiter == ";":  # as Excel writes it where 1,5 is one and a half
        written = written.replace(",", ".")
    try:
        return float(written)
    except ValueError:
        return None


def _rate_of_time(heads: Sequence[str], values: Numbers, path: Path) -> float | None:
    """Samples a second by a column of times; None without one that has a unit."""
    for number, head in enumerate(heads):
        name, unit = _parts(head)
        if not _is_time(name) or unit not in _SECONDS or len(values) < 2:
            continue
        times_s = values[:, number] * _SECONDS[unit]
        with np.errstate(over="ignore", invalid="ignore"):
            steps_s = np.diff(times_s)
        step_s = (times_s[-1] - times_s[0]) / len(steps_s)
        # Times are often rounded to a millisecond, so single steps may be off by one.
        if not (step_s > 0 and np.abs(steps_s - step_s).max() <= max(1.01e-3, step_s / 100)):
            raise RecordError(Reason.UNREADABLE, f"{path.name}: its times do not go evenly")
        rate_hz = 1 / step_s
        return float(round(rate_hz)) if abs(rate_hz / round(rate_hz) - 1) < 1e-3 else float(rate_hz)
    return None


def _scale(head: str, path: Path) -> float | None:
    _, unit = _parts(head)
    if unit and mv_per_unit(unit) is None:
        raise RecordError(
            Reason.UNITS, f"{path.name}: column {head[:20]!r} is in no voltage (V, mV, uV)"
        )
    return mv_per_unit(unit)


def _parts(head: str) -> tuple[str, str]:
    """Name and unit of a head; '' where it has none."""
    match = _HEAD.match(head.strip())
    return (match["name"].strip(), (match["unit"] or "").strip()) if match else (head, "")


def _is_time(name: str) -> bool:
    return name.casefold() in ("time", "t", "時間", "時刻")


def _first_cells(text: str) -> list[str]:
    lines = text.lstrip("\ufeff").splitlines()
    return [cell.strip().strip('"') for cell in lines[0].split(_delimiter(text))] if lines else []


def _delimiter(text: str) -> str:
    first_line = text.split("\n", 1)[0]
    return max("\t;,", key=first_line.count)
