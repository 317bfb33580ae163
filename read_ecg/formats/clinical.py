"""Shared by the readers of clinical formats: limits, reasons, and decoded channels to EcgRecord.

Owns how a decoded lead becomes one of ours: by name, in millivolts, at one rate, with nothing that
identifies the person; and that any error of a third-party parser ends as a RecordError. Must not
know any one format.
"""

import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.signal.leads import MV_PER_UNIT, arrange_leads, canonical_lead
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

if TYPE_CHECKING:
    import ecgdatakit

# A resting ECG has 0.1 to 1 MB. These limits allow 40 minutes of twelve leads, and a hostile or
# damaged file costs less than 1 GB and a few seconds.
MAX_FILE_BYTES = 32 << 20
MAX_SAMPLES = 5_000_000  # of one lead
MAX_CHANNELS = 64

_MV_PER = {**MV_PER_UNIT, "nv": 1e-6}  # MFER and SCP-ECG count in nanovolts
_LEAST_MV, _MOST_MV = 1e-9, 1e6  # of one stored unit; outside this range it is not a gain
_MOST_SIGNAL_MV = 1e6
_TRUNCATED = re.compile(
    r"truncat|too small|ends after|but the file has|\d+ remain|is empty|"
    r"holds \d+|has \d+ bytes, expected|outside the \d+-byte|no data records",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""b?'[^']*'|b?"[^"]*\"""")
_SIGNED_BY = re.compile(
    r"\b(?:confirmed|overread|over-read|reviewed|referred|edited|signed)\b.*\bby\b.*", re.IGNORECASE
)
_MAX_STATEMENTS = 4000  # characters


@dataclass(frozen=True)
class Channel:
    """One decoded signal, with the scale its file states."""

    name: str
    values: npt.NDArray[np.float64]
    rate_hz: float
    units_per_value: float
    """The size of one stored unit, in `unit`; 0 if the file does not say."""

    unit: str
    offset: float = 0.0
    """In `unit`."""


def checked_bytes(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The file's content; a file that is too large for an ECG is refused before it is read."""
    size = path.stat().st_size
    if size > limit:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} has {size / 2**20:,.0f} MB; an ECG may have up to {limit >> 20} MB",
        )
    return path.read_bytes()


@contextlib.contextmanager
def reasons(path: Path, form: str) -> Iterator[None]:
    """Turn whatever a parser raises into a RecordError that names file, format and reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RecordError:
        raise
    except FileNotFoundError:
        raise RecordError(Reason.MISSING_FILE, f"{path} does not exist") from None
    except Exception as error:  # a damaged file can make a parser raise anything
        said = _safe_message(error, path)
        reason = Reason.TRUNCATED if _TRUNCATED.search(said) else Reason.UNREADABLE
        # `from None`: the parser's message may quote the content of a field.
        raise RecordError(reason, f"{path.name} cannot be read as {form}: {said}") from None


def _safe_message(error: Exception, path: Path) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if type(error).__module__ != "ecgdatakit.exceptions":
        return type(error).__name__
    said = str(error).replace(str(path), path.name)
    return _QUOTED.sub("'…'", " ".join(said.split()))[:200]


def parse_with(
    parser: Any, path: Path, verdicts: Mapping[str, Reason | str]
) -> tuple["ecgdatakit.ECGRecord", tuple[str, ...]]:
    """Run a parser of ecgdatakit and decide about its warnings.

    Args:
        parser: ecgdatakit's, of the file's format.
        path: the file.
        verdicts: part of a warning's text -> the reason to refuse the file, or a note for the
            record. Other warnings are dropped; a checksum warning always refuses the file.

    Returns:
        The parsed record, and notes.
    """
    from ecgdatakit import ChecksumWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parsed = parser.parse(path)
    notes = []
    for warning in caught:
        if issubclass(warning.category, ChecksumWarning):
            raise RecordError(
                Reason.CHECKSUM, f"{path.name} does not match its own checksum; it was damaged"
            )
        said = str(warning.message)
        for verdict in (verdict for part, verdict in verdicts.items() if part in said):
            if isinstance(verdict, Reason):
                plain = _QUOTED.sub("'…'", said.replace(str(path), path.name))
                raise RecordError(verdict, f"{path.name}: {plain}")
            notes.append(verdict)
    return parsed, tuple(dict.fromkeys(notes))


def channels_of(
    parsed: "ecgdatakit.ECGRecord", rates_hz: Sequence[float] | None = None
) -> list[Channel]:
    """The leads that a parser of ecgdatakit read, not yet scaled.

    Args:
        parsed: its record.
        rates_hz: one for each lead, if ecgdatakit's are rounded.
    """
    rates = [lead.sampling_rate for lead in parsed.leads] if rates_hz is None else rates_hz
    return [
        Channel(
            name=_without_number(lead.label),
            values=np.asarray(lead.samples, np.float64),
            rate_hz=float(rate),
            # ecgdatakit replaces a missing or impossible scale by 1, and then has no unit.
            units_per_value=_stated_scale(lead),
            unit=lead.resolution_unit or lead.adc_resolution_unit,
            offset=float(lead.offset),
        )
        for lead, rate in zip(parsed.leads, rates, strict=True)
    ]


def _stated_scale(lead: "ecgdatakit.Lead") -> float:
    return float(lead.resolution) if lead.adc_resolution and lead.resolution_unit else 0.0


def to_record(
    channels: Sequence[Channel],
    path: Path,
    notes: Sequence[str] = (),
    about: Mapping[str, str] | None = None,
) -> EcgRecord:
    """Make an EcgRecord of decoded channels.

    Raises:
        RecordError: no channel is a known lead or one appears twice, the leads differ in rate or
            length, a lead has no scale or is not a voltage, or there are too many samples.
    """
    known = [channel for channel in channels if canonical_lead(channel.name)]
    if not known:
        arrange_leads([channel.name for channel in channels], [])  # raises, with the names
    rate_hz = _common_rate(known, path)
    signals = [_millivolts(channel, path) for channel in known]
    signal_mv, made = arrange_leads([channel.name for channel in known], signals)
    left_out = ("other signals left out",) if len(known) < len(channels) else ()
    return EcgRecord(signal_mv, rate_hz, (*notes, *left_out, *made), about or {})


def describe(form: str, parsed: "ecgdatakit.ECGRecord") -> dict[str, str]:
    """What ecgdatakit's record says about the recording, without the person's identity."""
    person, recording = parsed.patient, parsed.recording
    statements = [
        " ".join(filter(None, statement)) for statement in parsed.interpretation.statements
    ]
    names = (person.first_name, person.last_name, person.patient_id)
    filters = recording.acquisition.filters
    return about(
        format=form,
        device=f"{recording.device.manufacturer} {recording.device.model}",
        filters=filter_words(filters.highpass, filters.lowpass, filters.notch),
        statements=statement_words(statements, names),
        recorded_at=recording.date.isoformat(" ", "seconds") if recording.date else "",
        sex=person.sex,
        age=person.age,
    )


def about(
    *,
    format: str,
    device: str = "",
    filters: str = "",
    statements: str = "",
    recorded_at: str = "",
    sex: str = "",
    age: int | None = None,
) -> dict[str, str]:
    """The entries of EcgRecord.about that the file states."""
    said = {
        "format": format,
        "device": device,
        "filters": filters,
        "statements": statements,
        "recorded_at": recorded_at,
        "sex": sex if sex in ("M", "F") else "",
        "age": str(age) if age is not None and 0 <= age <= 130 else "",
    }
    return {key: plain for key, text in said.items() if (plain := _one_line(text))}


def filter_words(high_pass: Any, low_pass: Any, notch: Any) -> str:
    """The filters in Hz, as one line."""
    parts = (("high-pass", high_pass), ("low-pass", low_pass), ("notch", notch))
    return ", ".join(f"{name} {float(hz):g} Hz" for name, hz in parts if hz)


def statement_words(statements: Sequence[str], names: Sequence[str]) -> str:
    """The device's statements in one line, without signatures and the person's names."""
    people = [name.casefold() for name in names if len(name.strip()) > 1]
    kept = [
        plain
        for statement in statements
        if (plain := _SIGNED_BY.sub("", _one_line(statement)).strip())
        and not any(name in plain.casefold() for name in people)
    ]
    return "; ".join(kept)[:_MAX_STATEMENTS]


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _without_number(label: str) -> str:
    """ecgdatakit renames a second lead II to II_2; undone here, so that it is refused."""
    base = re.sub(r"_\d+$", "", label)
    return base if canonical_lead(base) else label


def _common_rate(channels: Sequence[Channel], path: Path) -> float:
    rates = {channel.rate_hz for channel in channels}
    lengths = {len(channel.values) for channel in channels}
    if len(rates) > 1:
        found = ", ".join(f"{rate:g}" for rate in sorted(rates))
        raise RecordError(Reason.LEADS, f"{path.name}: its leads have several rates ({found} Hz)")
    if len(lengths) > 1:
        found = ", ".join(f"{length:,}" for length in sorted(lengths))
        raise RecordError(
            Reason.LEADS, f"{path.name}: its leads differ in length ({found} samples)"
        )
    rate_hz, length = rates.pop(), lengths.pop()
    if not 1 <= rate_hz <= 1e5:
        raise RecordError(
            Reason.UNREADABLE, f"{path.name}: {rate_hz:g} is not a sampling rate in Hz"
        )
    if not 1 <= length <= MAX_SAMPLES:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} holds {length:,} samples per lead; an ECG may have 1 to {MAX_SAMPLES:,}",
        )
    return rate_hz


def _millivolts(channel: Channel, path: Path) -> npt.NDArray[np.float32]:
    name = canonical_lead(channel.name)
    unit = channel.unit.strip().casefold()
    if unit and unit not in _MV_PER:
        raise RecordError(Reason.UNITS, f"{path.name}: the unit of lead {name} is not a voltage")
    mv_per_value = channel.units_per_value * _MV_PER.get(unit, 0.0)
    if not _LEAST_MV <= abs(mv_per_value) <= _MOST_MV:
        raise RecordError(Reason.NO_GAIN, f"{path.name} does not state the gain of lead {name}")
    millivolts = channel.values * mv_per_value + channel.offset * _MV_PER[unit]
    if np.isinf(millivolts).any() or (np.abs(millivolts) > _MOST_SIGNAL_MV).any():
        raise RecordError(
            Reason.AMPLITUDE, f"{path.name}: lead {name} has values outside an ECG's voltages"
        )
    return millivolts.astype(np.float32)
