"""EDF and EDF+, with ECG leads among other signals.

Owns that a truncated file or one with gaps is refused; ecgdatakit, which decodes, would join the
rest. Signals that are not leads are left out, whatever their rate.

Source: edfplus.info.
"""

import dataclasses
import re
from pathlib import Path

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.clinical import (
    Channel,
    channels_of,
    checked_bytes,
    describe,
    parse_with,
    reasons,
    to_record,
)
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

FORMAT = "EDF"
_VERSION = b"0       "
_NUMBERS = ((184, 192), (236, 244), (244, 252), (252, 256))
_HEADER_BYTES = 256  # of the file, and of each signal
_SAMPLES_AT = 216  # per signal, the bytes before the number of samples per record
_ANNOTATIONS = "EDF Annotations"
_MAX_SIGNALS = 512
_CHEST = {"C1", "C2", "C3", "C4", "C5", "C6"}
_MAX_ANNOTATION_BYTES = 4 << 20
_VERDICTS = {"gaps between data records": Reason.UNREADABLE, "truncated": Reason.TRUNCATED}


def is_edf(head: bytes, path: Path) -> bool:
    """Whether these are the first bytes of a file of this format."""
    fields = [head[start:end].strip() for start, end in _NUMBERS]
    return head[:8] == _VERSION and all(re.fullmatch(rb"-?[\d.]+", field) for field in fields)


def read_edf(path: Path) -> EcgRecord:
    """Read all leads; raises RecordError."""
    with reasons(path, FORMAT):
        from ecgdatakit.parsing.parsers.edf import EDFParser

        _check_claims(checked_bytes(path), path)
        parsed, notes = parse_with(EDFParser(), path, _VERDICTS)
        exact = parsed.raw_metadata.get("exact_sampling_rates", {})
        rates_hz = [exact.get(lead.label, lead.sampling_rate) for lead in parsed.leads]
        channels = _without_electrodes(channels_of(parsed, rates_hz))
        return to_record(channels, path, notes, describe(FORMAT, parsed))


def _without_electrodes(channels: list[Channel]) -> list[Channel]:
    """C1 to C6 together are chest leads; some of them alone are EEG electrodes."""
    if {channel.name.upper() for channel in channels} >= _CHEST:
        return channels
    return [
        dataclasses.replace(channel, name=f"EEG {channel.name}")
        if channel.name.upper() in _CHEST
        else channel
        for channel in channels
    ]


def _check_claims(data: bytes, path: Path) -> None:
    """Compare the header with the size of the file before anything is decoded."""
    n_records, n_signals = _whole(data[236:244]), _whole(data[252:256])
    if not 1 <= n_signals <= _MAX_SIGNALS:
        raise RecordError(Reason.UNREADABLE, f"{path.name} claims {n_signals} signals")
    labels_at, samples_at = _HEADER_BYTES, _HEADER_BYTES + n_signals * _SAMPLES_AT
    header_bytes = _HEADER_BYTES * (1 + n_signals)
    if len(data) < header_bytes:
        raise RecordError(Reason.TRUNCATED, f"{path.name} ends within its header")
    samples = [_whole(data[samples_at + 8 * i : samples_at + 8 * i + 8]) for i in range(n_signals)]
    if min(samples) < 1 or n_records < -1:
        raise RecordError(Reason.UNREADABLE, f"{path.name} claims records without samples")
    complete = (len(data) - header_bytes) // (2 * sum(samples))
    if n_records == -1 or complete < n_records:
        promised = "an unknown number" if n_records == -1 else f"{n_records:,}"
        raise RecordError(
            Reason.TRUNCATED,
            f"{path.name} holds {complete:,} data records, the header states {promised}",
        )
    noted = sum(
        2 * n
        for i, n in enumerate(samples)
        if _text(data[labels_at + 16 * i : labels_at + 16 * i + 16]) == _ANNOTATIONS
    )
    if noted * n_records > _MAX_ANNOTATION_BYTES:
        raise RecordError(Reason.UNREADABLE, f"{path.name} has too many annotations to be an ECG")


def _whole(field: bytes) -> int:
    return int(_text(field))


def _text(field: bytes) -> str:
    return field.decode("latin-1").replace("\0", "").strip()
