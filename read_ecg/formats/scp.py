"""SCP-ECG (EN 1064, ISO 11073-91064), the European standard of carts and archives.

Owns that the checksum is verified before anything is decoded, the limits on what a file may claim,
and leads that do not start together. ecgdatakit decodes (Huffman, differences, reference beats); it
only warns about a wrong checksum.
"""

import binascii
import dataclasses
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.clinical import (
    MAX_SAMPLES,
    Channel,
    channels_of,
    checked_bytes,
    describe,
    parse_with,
    reasons,
    to_record,
)
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

if TYPE_CHECKING:
    import ecgdatakit

FORMAT = "SCP-ECG"
_SECTION_HEADER = 16
_POINTER = struct.Struct("<HII")  # section, length, position of its first byte from 1
_LEAD = struct.Struct("<IIB")  # first and last sample from 1, lead code
_MAX_LEADS = 32
# A lead takes at most 64 KB of a section. The decoder takes about 1 s per megabyte.
_MAX_WAVEFORM_BYTES = 2 << 20
_WAVEFORMS = (5, 6)


def is_scp(head: bytes, path: Path) -> bool:
    """Whether a file of this format begins so: with a list of its sections."""
    if len(head) < 32:
        return False
    section, length = struct.unpack_from("<HI", head, 8)
    first, _, place = _POINTER.unpack_from(head, 22)
    listed = length >= _SECTION_HEADER + _POINTER.size
    return bool(section == 0 and listed and first == 0 and place == 7)


def read_scp(path: Path) -> EcgRecord:
    """Read the rhythm (section 6), not the reference beat; raises RecordError."""
    with reasons(path, FORMAT):
        from ecgdatakit.parsing.parsers.scp_ecg import SCPECGParser

        data = _whole_record(checked_bytes(path), path)
        _check_claims(data, path)
        parsed, notes = parse_with(SCPECGParser(), path, {})
        channels, moved = _on_one_time_line(channels_of(parsed), parsed)
        return to_record(channels, path, (*notes, *moved), describe(FORMAT, parsed))


def _whole_record(data: bytes, path: Path) -> bytes:
    checksum, size = struct.unpack_from("<HI", data, 0)
    if size > len(data):
        raise RecordError(
            Reason.TRUNCATED, f"{path.name} has {len(data):,} bytes, but states {size:,}"
        )
    if binascii.crc_hqx(data[2:size], 0xFFFF) != checksum:
        raise RecordError(
            Reason.CHECKSUM, f"{path.name} does not match its checksum; it is damaged"
        )
    return data[:size]


def _check_claims(data: bytes, path: Path) -> None:
    """Refuse absurd counts before the decoder allocates memory for them."""
    end = 6 + struct.unpack_from("<I", data, 10)[0]
    pointers = range(6 + _SECTION_HEADER, min(end, len(data)) - _POINTER.size + 1, _POINTER.size)
    for section, length, place in (_POINTER.unpack_from(data, at) for at in pointers):
        if section in _WAVEFORMS and length > _MAX_WAVEFORM_BYTES:
            raise RecordError(Reason.UNREADABLE, f"{path.name}: section {section} is too long")
        body = data[place - 1 + _SECTION_HEADER : place - 1 + length] if place else b""
        if section != 3 or len(body) < 2:
            continue
        leads = [
            _LEAD.unpack_from(body, 2 + i * _LEAD.size)
            for i in range(min(body[0], (len(body) - 2) // _LEAD.size))
        ]
        if body[0] > _MAX_LEADS or any(last > MAX_SAMPLES for _, last, _ in leads):
            raise RecordError(
                Reason.UNREADABLE,
                f"{path.name} claims {body[0]} leads of up to"
                f" {max((last for _, last, _ in leads), default=0):,} samples; up to {_MAX_LEADS}"
                f" of {MAX_SAMPLES:,} are read as an ECG",
            )


def _on_one_time_line(
    channels: list[Channel], parsed: "ecgdatakit.ECGRecord"
) -> tuple[list[Channel], tuple[str, ...]]:
    """Place leads that follow one another, as in a three-by-four printout, with NaN around them."""
    starts = [int(lead.annotations.get("start_sample", 1)) for lead in parsed.leads]
    ends = [start + len(channel.values) for start, channel in zip(starts, channels, strict=True)]
    if len(set(starts)) == 1 and len(set(ends)) == 1:
        return channels, ()
    first, length = min(starts), max(ends) - min(starts)
    placed = []
    for start, channel in zip(starts, channels, strict=True):
        values = np.full(length, np.nan)
        values[start - first : start - first + len(channel.values)] = channel.values
        placed.append(dataclasses.replace(channel, values=values))
    return placed, ("leads not simultaneous",)
