"""Reports of many ECGs as CSV or JSON Lines.

Owns both forms; `template` owns what a report says.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

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
            return
        for report in reports:
            line = json.dumps(report, ensure_ascii=False)
            file.write(line.encode(errors="backslashreplace") + b"\n")


def _cells(report: Mapping[str, Any]) -> list[Cell]:
    texts, ids = report["reports"], [one["id"] for one in report["findings"]]
    same = [report[name] for name in ("record_id", "path", "refused", "quality")]
    return [*same, texts["ja"], texts["en"], ";".join(ids)]
