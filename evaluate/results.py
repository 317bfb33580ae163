"""The results file, `ecgpipe-results/2`: what was scored, how well, against which baselines.

Owns its format, which docs/results.schema.json describes, and how metrics are written. Reports and
tables are drawn from it alone, so an old file still renders: one of `ecgpipe-results/1` is read as
one that lacks the newer blocks.
"""

from pathlib import Path
from typing import Any

from ecgpipe.errors import StoreError
from ecgpipe.files import read_json_object, write_json_atomic

FORMAT = "ecgpipe-results/2"
READABLE = (FORMAT, "ecgpipe-results/1")

Results = dict[str, Any]

_NAMES = ("format", "run", "notice", "tasks", "data", "text", "training", "provenance")


def write_results(path: Path, results: Results) -> None:
    """Write results.json, whole or not at all."""
    write_json_atomic(path, {"format": FORMAT, **results})


def read_results(path: Path) -> Results:
    """Read a results file.

    Raises:
        StoreError: it is missing, damaged, or of another format.
    """
    results = read_json_object(path, _NAMES, "Run `ecgpipe eval`.")
    if results["format"] not in READABLE:
        raise StoreError(
            f"{path} has the format {results['format']!r}; {' and '.join(READABLE)} can be read."
            " Run `ecgpipe eval`."
        )
    return results


def percent(entry: dict[str, float | None] | None, *, interval: bool = True) -> str:
    """A share as '81.3 % (77.0-85.1)'; a dash where it does not exist."""
    if entry is None or entry["value"] is None:
        return "–"
    text = f"{100 * entry['value']:.1f} %"
    if interval and entry["low"] is not None and entry["high"] is not None:
        text += f" ({100 * entry['low']:.1f}–{100 * entry['high']:.1f})"
    return text


def area(entry: dict[str, float | None] | None, *, interval: bool = True) -> str:
    """An AUROC, AUPRC or F1 as '.912 (.880-.941)'; a dash where it does not exist."""
    if entry is None or entry["value"] is None:
        return "–"
    text = _three_places(entry["value"])
    if interval and entry["low"] is not None and entry["high"] is not None:
        text += f" ({_three_places(entry['low'])}–{_three_places(entry['high'])})"
    return text


def shown(name: str, entry: dict[str, float | None] | None, *, interval: bool = True) -> str:
    """A metric in the way its name asks for."""
    return (area if is_area(name) else percent)(entry, interval=interval)


def is_area(name: str) -> bool:
    """Whether a metric is written as .912 and not as 91.2 %."""
    return any(part in name for part in ("auroc", "auprc", "f1", "ece", "threshold"))


def _three_places(value: float) -> str:
    text = f"{value:.3f}"
    return text.removeprefix("0") if value >= 0 else text
