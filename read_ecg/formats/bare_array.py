"""Bare arrays of numbers to EcgRecord, once somebody has said what the numbers are.

Owns the contract of the array formats (CSV, NumPy, HDF5, MATLAB). Rate, units and lead names stand
in the file, or beside it in `<name>.json`, or in `arrays.json` for a whole folder:

    {"rate_hz": 500, "units": "uV", "leads": ["I", "II", "III", "aVR", ...]}

What the file says wins. Nothing is guessed: without all three a recording is refused. Instead of
`units` there may be `mv_per_unit`, for numbers as a converter gave them. Must not know where the
numbers come from.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.signal.leads import MV_PER_UNIT, arrange_leads
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

FOLDER_FACTS = "arrays.json"
MAX_VALUES = 15_000_000
"""12 leads of 40 minutes at 500 Hz; beyond, it is no ECG but a mistake or an attack."""

_NAMES = ("rate_hz", "units", "mv_per_unit", "leads", "variable", "ids")
_MAX_FACTS_BYTES = 1 << 20


@dataclass(frozen=True)
class Facts:
    """What is known of an array; None where nobody says."""

    rate_hz: float | None = None
    mv_per_unit: float | None = None
    leads: tuple[str, ...] | None = None
    variable: str | None = None
    """Which array of the file, where it may hold several."""

    ids: str | None = None
    """Which array of an HDF5 file holds the id of each recording."""


def mv_per_unit(units: str) -> float | None:
    """Millivolts in one of `units`; None where it is no voltage we know (V, mV, µV)."""
    return MV_PER_UNIT.get(units.strip().casefold())


def facts_files(path: Path) -> tuple[Path, Path]:
    """Where the facts of a recording may stand beside it, first the one that wins."""
    return path.with_suffix(".json"), path.with_name(FOLDER_FACTS)


def read_facts(path: Path, own: Facts | None = None) -> Facts:
    """What is known of the recording `path`: what it says itself, then the first file beside it.

    Raises:
        RecordError: that file is no JSON object, or a value in it is none of its kind.
    """
    beside = Facts()
    for file in facts_files(path):
        if file.is_file():
            beside = _parse_facts(file)
            break
    own = own or Facts()
    return Facts(
        rate_hz=beside.rate_hz if own.rate_hz is None else own.rate_hz,
        mv_per_unit=beside.mv_per_unit if own.mv_per_unit is None else own.mv_per_unit,
        leads=own.leads or beside.leads,
        variable=own.variable or beside.variable,
        ids=own.ids or beside.ids,
    )


def to_record(values: npt.NDArray[Any], facts: Facts, path: Path, form: str) -> EcgRecord:
    """Make a recording of an array.

    Args:
        values: (samples, leads) or (leads, samples) numbers; which, the number of leads tells.
        facts: rate, scale and leads, complete.
        path: of the file, for messages.
        form: the format's name.

    Raises:
        RecordError: a fact lacks, or the array is not what they say.
    """
    rate_hz, scale, leads = _complete(facts, path)
    check_shape(values.shape, values.dtype, path)
    rows = _lead_rows(values, leads, path)
    signal_mv = np.empty(rows.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what is no finite number is no reading
        for place, row in enumerate(rows):  # one by one, or all of it would be there three times
            signal_mv[place] = row.astype(np.float64) * scale
    arranged, notes = arrange_leads(leads, list(signal_mv))
    return EcgRecord(arranged, rate_hz, notes, {"format": form})


@contextlib.contextmanager
def reading(path: Path, failed: str) -> Iterator[None]:
    """Turn whatever a parser runs into into a RecordError: file name, what `failed`, error's kind.

    A missing file and one that may not be read stay what they are.
    """
    try:
        yield
    except (RecordError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        raise RecordError(
            Reason.UNREADABLE, f"{path.name} {failed} ({type(error).__name__})"
        ) from None


def check_shape(shape: Sequence[int], dtype: npt.DTypeLike, path: Path) -> None:
    """Refuse what cannot be a recording, before its numbers are read.

    Raises:
        RecordError: it is not two-dimensional, not of real numbers, empty or absurdly large.
    """
    size = " x ".join(f"{n:,}" for n in shape)
    if np.dtype(dtype).kind not in "iuf":
        raise RecordError(Reason.UNREADABLE, f"{path.name} holds no array of real numbers")
    if len(shape) != 2 or 0 in shape:
        raise RecordError(
            Reason.UNREADABLE, f"{path.name} is of shape ({size}), not samples x leads"
        )
    if shape[0] * shape[1] > MAX_VALUES:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} holds {size} values; at most {MAX_VALUES:,} are read. Divide it",
        )


def _complete(facts: Facts, path: Path) -> tuple[float, float, tuple[str, ...]]:
    lacks = {
        Reason.UNITS: facts.mv_per_unit is None and "units",
        Reason.LEADS: not facts.leads and "leads",
        Reason.UNREADABLE: facts.rate_hz is None and "rate_hz",
    }
    if missing := {reason: what for reason, what in lacks.items() if what}:
        raise RecordError(
            next(iter(missing)),
            f"nothing says the {', '.join(missing.values())} of {path.name}. Write"
            f" {facts_files(path)[0].name} beside it, or {FOLDER_FACTS} for the whole folder, such"
            ' as {"rate_hz": 500, "units": "uV", "leads": ["I", "II", ...]}',
        )
    assert facts.rate_hz is not None
    assert facts.mv_per_unit is not None
    assert facts.leads is not None
    return facts.rate_hz, facts.mv_per_unit, facts.leads


def _lead_rows(values: npt.NDArray[Any], leads: Sequence[str], path: Path) -> npt.NDArray[Any]:
    """(leads, samples), as stored."""
    rows, columns = values.shape
    if rows == columns == len(leads):
        raise RecordError(
            Reason.UNREADABLE, f"{path.name} is {rows} x {rows}: its leads could be either way"
        )
    if len(leads) not in (rows, columns):
        raise RecordError(
            Reason.LEADS,
            f"{path.name} is of shape ({rows:,} x {columns:,}), but {len(leads)} leads are named",
        )
    return values if rows == len(leads) else values.T


def _parse_facts(file: Path) -> Facts:
    try:
        with file.open("rb") as stream:
            said = json.loads(stream.read(_MAX_FACTS_BYTES).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        raise _bad_facts(file, "it cannot be read as JSON") from None
    if not isinstance(said, dict):
        raise _bad_facts(file, "it must be an object")
    if unknown := sorted(set(said) - set(_NAMES)):
        raise _bad_facts(file, f"{', '.join(unknown)[:80]} is unknown; known: {', '.join(_NAMES)}")
    if "units" in said and "mv_per_unit" in said:
        raise _bad_facts(file, "say units or mv_per_unit, not both")
    return Facts(
        rate_hz=_number(said, "rate_hz", 1, 1e5, file),
        mv_per_unit=_scale(said, file),
        leads=_lead_names(said, file),
        variable=_name(said, "variable", file),
        ids=_name(said, "ids", file),
    )


def _scale(said: dict[str, Any], file: Path) -> float | None:
    if "units" not in said:
        return _number(said, "mv_per_unit", 1e-9, 1e6, file)
    scale = mv_per_unit(str(said["units"]))
    if scale is None:
        raise _bad_facts(file, f"units is {str(said['units'])[:20]!r}; V, mV and uV are known")
    return scale


def _number(said: dict[str, Any], name: str, least: float, most: float, file: Path) -> float | None:
    if name not in said:
        return None
    value = said[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _bad_facts(file, f"{name} must be a number from {least:g} to {most:g}")
    return float(value)


def _name(said: dict[str, Any], name: str, file: Path) -> str | None:
    if name in said and not (isinstance(said[name], str) and said[name]):
        raise _bad_facts(file, f"{name} must be a name")
    return said.get(name)


def _lead_names(said: dict[str, Any], file: Path) -> tuple[str, ...] | None:
    if "leads" not in said:
        return None
    leads = said["leads"]
    if not isinstance(leads, list) or not leads or not all(isinstance(n, str) for n in leads):
        raise _bad_facts(file, 'leads must be a list of names such as ["I", "II"]')
    return tuple(leads)


def _bad_facts(file: Path, what: str) -> RecordError:
    return RecordError(Reason.UNREADABLE, f"{file.name}: {what}")
