"""Arrays of numbers to EcgRecord, once their rate, units and leads are known.

Owns the contract of the array formats (CSV, NumPy, HDF5, MATLAB). Rate, units and lead names are
stated in the file, in `<name>.json` next to it, or in `arrays.json` for a whole folder:

    {"rate_hz": 500, "units": "uV", "leads": ["I", "II", "III", "aVR", ...]}

What the file states takes precedence. Nothing is guessed: a recording without all three is refused.
`mv_per_unit` may replace `units`, for numbers as an ADC gave them. Must not know where the numbers
come from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError, model_validator

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.signal.leads import MV_PER_UNIT, arrange_leads
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

FOLDER_FACTS = "arrays.json"
MAX_VALUES = 15_000_000
"""12 leads of 40 minutes at 500 Hz; anything larger is a mistake or an attack."""

_MAX_FACTS_BYTES = 1 << 20

_Name = Annotated[str, Field(min_length=1)]


class Facts(BaseModel, frozen=True, extra="forbid", strict=True):
    """What is known about an array; None where nobody says."""

    rate_hz: Annotated[float, Field(ge=1, le=1e5)] | None = None
    mv_per_unit: Annotated[float, Field(ge=1e-9, le=1e6)] | None = None
    leads: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] | None = None
    variable: _Name | None = None
    """Which array of the file, if it may hold several."""

    ids: _Name | None = None
    """Which array of an HDF5 file holds the id of each recording."""

    @model_validator(mode="before")
    @classmethod
    def _scale_of_units(cls, said: Any) -> Any:
        if not isinstance(said, dict) or "units" not in said:
            return said
        if "mv_per_unit" in said:
            raise ValueError("say units or mv_per_unit, not both")
        rest = {key: value for key, value in said.items() if key != "units"}
        scale = mv_per_unit(str(said["units"]))
        if scale is None:
            raise ValueError(f"units is {str(said['units'])[:20]!r}; V, mV and uV are known")
        return rest | {"mv_per_unit": scale}


def mv_per_unit(units: str) -> float | None:
    """Millivolts in one of `units`; None if it is not a voltage we know (V, mV, µV)."""
    return MV_PER_UNIT.get(units.strip().casefold())


def facts_files(path: Path) -> tuple[Path, Path]:
    """Where the facts of a recording may be stored next to it; the first that exists is used."""
    return path.with_suffix(".json"), path.with_name(FOLDER_FACTS)


def read_facts(path: Path, own: Facts | None = None) -> Facts:
    """What is known about the recording `path`: its own facts, completed by the file next to it.

    Raises:
        RecordError: that file is not a JSON object of facts.
    """
    own = own or Facts()
    for file in facts_files(path):
        if file.is_file():
            return _parse_facts(file).model_copy(update=own.model_dump(exclude_none=True))
    return own


def check_facts(said: dict[str, Any] | str, name: str) -> Facts:
    """Facts as a dictionary or as JSON; `name` is of the file, for messages.

    Raises:
        RecordError: a fact is unknown or its value is not allowed.
    """
    try:
        return Facts.model_validate_json(said) if isinstance(said, str) else Facts(**said)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = str(first["loc"][0])[:80] if first["loc"] else ""
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            what = f"unknown; known: {', '.join(['units', *Facts.model_fields])}"
        raise RecordError(
            Reason.UNREADABLE, f"{name}: {f'{place}: ' if place else ''}{what}"
        ) from None


def to_record(values: npt.NDArray[Any], facts: Facts, path: Path, form: str) -> EcgRecord:
    """Make a recording of an array.

    Args:
        values: (samples, leads) or (leads, samples) numbers; the number of leads tells which.
        facts: rate, scale and leads, complete.
        path: of the file, for messages.
        form: the format's name.

    Raises:
        RecordError: a fact is missing, or the array does not match the facts.
    """
    rate_hz, scale, leads = _complete(facts, path)
    check_shape(values.shape, values.dtype, path)
    rows = _lead_rows(values, leads, path)
    signal_mv = np.empty(rows.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # non-finite numbers count as no reading
        for place, row in enumerate(rows):  # by row, so that no third copy of the array exists
            signal_mv[place] = row.astype(np.float64) * scale
    arranged, notes = arrange_leads(leads, list(signal_mv))
    return EcgRecord(arranged, rate_hz, notes, {"format": form})


def check_shape(shape: Sequence[int], dtype: npt.DTypeLike, path: Path) -> None:
    """Refuse what cannot be a recording, before its numbers are read.

    Raises:
        RecordError: it is not two-dimensional, not of real numbers, empty or absurdly large.
    """
    size = " x ".join(f"{n:,}" for n in shape)
    if np.dtype(dtype).kind not in "iuf":
        raise RecordError(Reason.UNREADABLE, f"{path.name} is not an array of real numbers")
    if len(shape) != 2 or 0 in shape:
        raise RecordError(
            Reason.UNREADABLE, f"{path.name} has the shape ({size}), not samples x leads"
        )
    if shape[0] * shape[1] > MAX_VALUES:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} holds {size} values; at most {MAX_VALUES:,} are read. Split it",
        )


def _complete(facts: Facts, path: Path) -> tuple[float, float, tuple[str, ...]]:
    rate_hz, scale, leads = facts.rate_hz, facts.mv_per_unit, facts.leads
    if rate_hz is not None and scale is not None and leads is not None:
        return rate_hz, scale, leads
    missing = {Reason.UNITS: "units"} if scale is None else {}
    missing |= {Reason.LEADS: "leads"} if leads is None else {}
    missing |= {Reason.UNREADABLE: "rate_hz"} if rate_hz is None else {}
    raise RecordError(
        next(iter(missing)),
        f"nothing states the {', '.join(missing.values())} of {path.name}. Write"
        f" {facts_files(path)[0].name} next to it, or {FOLDER_FACTS} for the whole folder, such"
        ' as {"rate_hz": 500, "units": "uV", "leads": ["I", "II", ...]}',
    )


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
            f"{path.name} has the shape ({rows:,} x {columns:,}), but {len(leads)} leads are named",
        )
    return values if rows == len(leads) else values.T


def _parse_facts(file: Path) -> Facts:
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_FACTS_BYTES).decode("utf-8-sig")
    except (OSError, ValueError):
        raise RecordError(Reason.UNREADABLE, f"{file.name}: cannot be read as JSON") from None
    return check_facts(text, file.name)
