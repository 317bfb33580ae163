"""The WFDB header file (.hea), read strictly.

Owns what a header must state. Where it is silent the wfdb package assumes 200 units/mV and 250 Hz,
as the format allows. We refuse instead: a guessed scale would train the model on wrong amplitudes.

Source: WFDB header(5).
"""

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.signal.leads import MV_PER_UNIT, canonical_lead
from ecgpipe.read_ecg.signal.record import Reason

_GAIN = re.compile(r"^(?P<gain>[-+.\deE]+)(?:\((?P<baseline>[-+]?\d+)\))?(?:/(?P<units>\S+))?$")
_FORMAT = re.compile(r"^(?P<format>\d+)(?:x(?P<x>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?$")
_MAX_HEADER_BYTES = 1 << 20
_USUAL_HEADER_BYTES = 1 << 12
_MAX_SIGNALS = 256
_FIELDS_KEPT = 1024  # most leads of a data set have the same fields
_LEAST_GAIN, _MOST_GAIN = 1e-6, 1e9  # units per mV or V; outside this range it is not a gain


class Format(NamedTuple):
    """How a signal's samples are stored."""

    number: int
    samples_per_frame: int
    skew: int
    byte_offset: int


class Scale(NamedTuple):
    """What a signal's samples mean."""

    gain_per_mv: float
    baseline: int
    mv_per_unit: float
    """Millivolts in one of the header's units."""


class SignalLine(NamedTuple):
    """One signal of the header."""

    file_name: str
    format: Format
    scale: Scale
    checksum: int | None
    name: str


_NO_SCALE = Scale(1.0, 0, 1.0)


@dataclass(frozen=True)
class Header:
    """A single-segment header with a stated rate and a gain for every signal."""

    rate_hz: float
    n_samples: int | None
    """None if the header does not say; then the file's length decides."""

    signals: tuple[SignalLine, ...]


def read_header(path: Path) -> Header:
    """Read a .hea file.

    Raises:
        RecordError: it is missing or malformed, states no rate or gain, has units other than
            voltages, describes several segments, or names a file in another folder.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_USUAL_HEADER_BYTES)  # read() allocates all it may read
            if len(content) == _USUAL_HEADER_BYTES:
                content += file.read(_MAX_HEADER_BYTES - _USUAL_HEADER_BYTES)
    except FileNotFoundError:
        raise RecordError(Reason.MISSING_FILE, f"{path} does not exist") from None
    except OSError as error:
        raise RecordError(Reason.UNREADABLE, f"{path}: {error.strerror}") from error
    return parse_header(content.decode("utf-8", errors="replace"), path.name)


@functools.lru_cache(maxsize=1)  # a recording's files are looked up before it is read
def parse_header(text: str, name: str) -> Header:
    """Parse the text of a header; `name` is the file's, for messages. Raises as `read_header`."""
    lines = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    if not lines or len(lines[0]) < 2:
        raise RecordError(Reason.UNREADABLE, f"{name} has no record line")
    record = lines[0]
    if "/" in record[0]:
        raise RecordError(
            Reason.UNREADABLE, f"{name} describes several segments; only one is supported"
        )
    n_signals = _whole(record[1], name, "number of signals")
    if max(n_signals, len(lines) - 1) > _MAX_SIGNALS:  # wfdb takes 5 ms for each
        raise RecordError(
            Reason.UNREADABLE,
            f"{name} describes more than {_MAX_SIGNALS} signals: it is not an ECG",
        )
    if len(lines) - 1 < n_signals or n_signals < 1:
        raise RecordError(
            Reason.UNREADABLE, f"{name} states {n_signals} signals but describes {len(lines) - 1}"
        )
    return Header(
        rate_hz=_rate(record, name),
        # By header(5), 0 means unknown; then there are no checksums.
        n_samples=(_whole(record[3], name, "number of samples") if len(record) > 3 else 0) or None,
        signals=tuple(_signal_line(fields, name) for fields in lines[1 : n_signals + 1]),
    )


def _rate(record: list[str], name: str) -> float:
    if len(record) < 3:
        raise RecordError(Reason.UNREADABLE, f"{name} does not state a sampling rate")
    try:
        rate_hz = float(re.split(r"[/(]", record[2])[0])
    except ValueError:
        rate_hz = -1.0
    if not 1 <= rate_hz <= 1e5:
        raise RecordError(Reason.UNREADABLE, f"{name}: {record[2]!r} is not a sampling rate in Hz")
    return rate_hz


def _signal_line(fields: list[str], name: str) -> SignalLine:
    form = _format(fields[1]) if len(fields) > 1 else None
    if form is None:
        raise RecordError(Reason.UNREADABLE, f"{name}: signal line {' '.join(fields)!r} is broken")
    if len(fields) < 3:
        raise RecordError(
            Reason.NO_GAIN, f"{name} states neither gain nor lead for a signal of {fields[0]}"
        )
    if "/" in fields[0] or fields[0] in (".", ".."):
        raise RecordError(
            Reason.OUTSIDE_ROOT, f"{name} names the signal file {fields[0]!r} in another folder"
        )
    lead = " ".join(fields[8:])
    # Signals other than leads (respiration, pressure) may be in any unit: they are left out later.
    scale = _scale(fields, name, lead) if canonical_lead(lead) else _NO_SCALE
    checksum = _whole(fields[6], name, "checksum") if len(fields) > 6 else None
    return SignalLine(fields[0], form, scale, checksum, lead)


def _scale(fields: list[str], name: str, lead: str) -> Scale:
    """The scale of a lead. Raises RecordError: it is not stated, or not plausible."""
    stated = _gain(fields[2])
    if stated is None:
        raise RecordError(
            Reason.NO_GAIN,
            f"{name} states no gain for signal {lead!r}; write it as units per mV, e.g. 1000/mV",
        )
    if stated.units.casefold() not in MV_PER_UNIT:
        raise RecordError(
            Reason.UNITS, f"{name}: signal {lead!r} is in {stated.units!r}, not a voltage"
        )
    adc_zero = _whole(fields[4], name, "ADC zero") if len(fields) > 4 else 0
    baseline = adc_zero if stated.baseline is None else stated.baseline
    mv_per_unit = MV_PER_UNIT[stated.units.casefold()]
    return Scale(stated.gain / mv_per_unit, baseline, mv_per_unit)


class _Gain(NamedTuple):
    """The third field of a signal line."""

    gain: float
    baseline: int | None
    units: str


@functools.lru_cache(_FIELDS_KEPT)
def _format(field: str) -> Format | None:
    match = _FORMAT.match(field)
    if match is None:
        return None
    x, skew, offset = match["x"], match["skew"], match["offset"]
    return Format(int(match["format"]), int(x or 1), int(skew or 0), int(offset or 0))


@functools.lru_cache(_FIELDS_KEPT)
def _gain(field: str) -> _Gain | None:
    """Parse a gain field; None if it is not a plausible gain."""
    match = _GAIN.match(field)
    try:
        gain = float(match["gain"]) if match else 0.0
    except ValueError:
        gain = 0.0
    if match is None or not _LEAST_GAIN <= abs(gain) <= _MOST_GAIN:
        return None
    baseline = int(match["baseline"]) if match["baseline"] else None
    return _Gain(gain, baseline, match["units"] or "mV")


def _whole(text: str, name: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise RecordError(Reason.UNREADABLE, f"{name}: {text!r} is not a {what}") from None
