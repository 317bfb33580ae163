"""Reports of many ECGs as CSV or JSON Lines.

Owns both forms; `template` owns what a report says.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ecgpipe.errors import ConfigError
from ecgpipe.files import open_atomic
from ecgpipe.spreadsheet import Cell, write_csv

_COLUMNS = ("record_id", "path", "refused", "quality", "report_ja", "report_en", "findings")


def check_report_suffix(path: Path) -> None:
    """Raise ConfigError unless the name says which format is wanted."""
    if path.suffix.casefold() not in (".csv", ".jsonl"):
        raise ConfigError(f"--out {path} must end in .csv or .jsonl.")


def write_reports(path: Path, reports: Iterable[Mapping[str, Any]]) -> None:
    """Write reports, as `with_report` gives them, completely or not at all.

    Raises:
        StoreError: the disk is full or not writable.
    """
    with open_atomic(path) as file:
        if path.suffix.casefold() == ".csv":
            write_csv(file, _COLUMNS, map(_cells, reports))
        else:
            _write_lines(file, reports)


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines, completely or not at all. Raises as `write_reports`."""
    with open_atomic(path) as file:
        _write_lines(file, rows)


def _write_lines(file: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        line = json.dumps(row, ensure_ascii=False)
        file.write(line.encode(errors="backslashreplace") + b"\n")


def _cells(report: Mapping[str, Any]) -> list[Cell]:
    texts, ids = report["reports"], [one["id"] for one in report["findings"]]
    same = [report[name] for name in ("record_id", "path", "refused", "quality")]
    return [*same, texts["ja"], texts["en"], ";".join(ids)]
