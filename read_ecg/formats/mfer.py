"""MFER (ISO 22077-1, JIS), the waveform format of Japanese ECG carts.

Owns the limits on what a file may claim, and that a missing rate is not guessed (the standard lets
a reader assume 1000 Hz). ecgdatakit decodes.

Source: MFER Part 1 (encoding rules), Part 3-1 (standard 12-lead ECG).
"""

from pathlib import Path

import numpy as np

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.clinical import (
    MAX_CHANNELS,
    Channel,
    channels_of,
    checked_bytes,
    describe,
    parse_with,
    reasons,
    to_record,
)
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

FORMAT = "MFER"
_BYTE_ORDER, _CHANNELS, _WAVE, _ATTRIBUTE = 0x01, 0x05, 0x1E, 0x3F
_PREAMBLE, _GROUP, _END = 0x40, 0x67, 0x80
_INDEFINITE = 0x80
_MAX_DEFINITIONS = 500_000
_MAX_FRAMES = 4096
_MOST_OFFSET_MV = 100.0
_VERDICTS = {
    "shorter than the frame definition": Reason.TRUNCATED,
    "sequence(s) with no waveform data": Reason.TRUNCATED,
    "no sampling interval": Reason.UNREADABLE,
    "frames are concatenated without a gap": Reason.UNREADABLE,
    "redefine the channels": "only the first of several parts",
}


def is_mfer(head: bytes, path: Path) -> bool:
    """Whether a file of this format begins so: with its preamble, or a chain of its tags."""
    if head[:1] == bytes([_PREAMBLE]) and head[2:6] == b"MFR ":
        return True
    if not head or head[0] > _END or head[:1].isspace():
        return False
    from ecgdatakit.parsing.parsers.mfer import MFERParser

    return MFERParser.can_parse(path, head)


def read_mfer(path: Path) -> EcgRecord:
    """Read the waveforms of a file; raises RecordError."""
    with reasons(path, FORMAT):
        from ecgdatakit.parsing.parsers.mfer import MFERParser

        _check_claims(checked_bytes(path), path)
        parsed, notes = parse_with(MFERParser(), path, _VERDICTS)
        channels = channels_of(parsed, parsed.raw_metadata.get("sampling_rates"))
        _check_offsets(channels, path)
        return to_record(channels, path, notes, describe(FORMAT, parsed))


def _check_offsets(channels: list[Channel], path: Path) -> None:
    """Refuse implausible offsets: readers disagree whether MWF_OFF is added or subtracted."""
    for channel in channels:
        if channel.offset and channel.unit == "uV":
            middle = np.nanmedian(channel.values) * channel.units_per_value + channel.offset
            if abs(middle) > _MOST_OFFSET_MV * 1000:
                raise RecordError(
                    Reason.AMPLITUDE,
                    f"{path.name}: with the stated offset (MWF_OFF) the median of a lead is"
                    f" {middle / 1000:.0f} mV",
                )


def _check_claims(data: bytes, path: Path) -> None:
    """Walk the tags and refuse absurd counts before the decoder sees them."""
    at, inside_until, frames, big_endian = 0, 0, 0, True
    for _ in range(_MAX_DEFINITIONS):
        if at >= len(data):
            return
        tag, at = data[at], at + 1
        if tag == 0:
            continue
        if tag == _END:
            if at >= inside_until:
                return
            continue
        if tag == _ATTRIBUTE:
            while at < len(data) and data[at] & 0x80:
                at += 1
            at += 1
        length, at = _length(data, at)
        if tag in (_ATTRIBUTE, _GROUP) or length is None:
            inside_until = max(inside_until, len(data) if length is None else at + length)
            continue
        value, at = data[at : at + length], at + length
        if tag == _BYTE_ORDER:
            big_endian = value[:1] != b"\x01"
        frames += tag == _WAVE
        n_channels = int.from_bytes(value[:4], "big" if big_endian else "little")
        if frames > _MAX_FRAMES or (tag == _CHANNELS and n_channels > MAX_CHANNELS):
            raise RecordError(
                Reason.UNREADABLE,
                f"{path.name} claims more than {MAX_CHANNELS} channels or {_MAX_FRAMES} parts",
            )
    raise RecordError(
        Reason.UNREADABLE, f"{path.name} has more than {_MAX_DEFINITIONS:,} definitions"
    )


def _length(data: bytes, at: int) -> tuple[int | None, int]:
    """The value of a length field, None if it is indefinite; and the index after it."""
    first = data[at] if at < len(data) else 0
    if first <= _INDEFINITE:
        return (None if first == _INDEFINITE else first), at + 1
    count = first & 0x7F
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count
