"""Philips XML (SierraECG and PhilipsECG, versions 1.03 to 1.04.02).

Owns the checks before XLI decompression, and the removal of the calibration pulse at the end of
each lead. ecgdatakit decodes.
"""

import base64
import binascii
import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.clinical import (
    MAX_CHANNELS,
    MAX_SAMPLES,
    Channel,
    channels_of,
    describe,
    parse_with,
    reasons,
    to_record,
)
from ecgpipe.read_ecg.formats.xml import check_document, root_name
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

FORMAT = "Philips XML"
_COUNTS = ("numberchannelsallocated", "numberchannelsvalid")
_XLI_HEADER = 8
_LZW_BITS = 10
_LEAST_PULSE_S = 0.2


def is_philips(head: bytes, path: Path) -> bool:
    """Whether these are the first bytes of a file of this format."""
    return root_name(head) == "restingecgdata"


def read_philips(path: Path) -> EcgRecord:
    """Read the rhythm, not the representative beats; raises RecordError."""
    with reasons(path, FORMAT):
        from ecgdatakit.parsing.parsers.sierra_xml import SierraXMLParser

        _check_size(check_document(path), path)
        parsed, notes = parse_with(SierraXMLParser(), path, {})
        channels, cut = _without_pulse(channels_of(parsed))
        return to_record(channels, path, (*notes, *cut), describe(FORMAT, parsed))


def _without_pulse(channels: list[Channel]) -> tuple[list[Channel], tuple[str, ...]]:
    """Cut the end, where all leads have the same 1 mV pulse.

    A file of 11 s holds about 10.5 s of ECG, zeros, and the pulse. By Einthoven and Goldberger, an
    ECG that is equal in all leads is zero.
    """
    if len(channels) < 3 or len({len(channel.values) for channel in channels}) > 1:
        return channels, ()
    values = np.stack([channel.values for channel in channels])
    differing = np.flatnonzero((values != values[0]).any(axis=0))
    end = int(differing[-1]) + 1 if len(differing) else 0
    tail = values[0, end:]
    if end == 0 or len(tail) < _LEAST_PULSE_S * channels[0].rate_hz or not tail.any():
        return channels, ()
    kept = [dataclasses.replace(channel, values=channel.values[:end]) for channel in channels]
    return kept, ("calibration pulse cut off",)


def _check_size(root: ET.Element, path: Path) -> None:
    """Refuse what would need too much memory: 1 MB of XLI can decompress to 600 MB."""
    for element in root.iter():
        tag = str(element.tag).rpartition("}")[2]
        if tag in _COUNTS and not 0 <= _number(element.text) <= MAX_CHANNELS:
            raise RecordError(Reason.UNREADABLE, f"{path.name} claims {element.text} channels")
        if tag == "parsedwaveforms":
            labels = element.get("leadlabels", "").split()
            if len(labels) > MAX_CHANNELS:
                raise RecordError(Reason.UNREADABLE, f"{path.name} claims {len(labels)} leads")
            if _is_xli(element) and _xli_samples(element.text or "") > MAX_SAMPLES:
                raise RecordError(
                    Reason.UNREADABLE, f"{path.name}: its compressed leads are too long for an ECG"
                )


def _is_xli(element: ET.Element) -> bool:
    method = element.get("compression") or element.get("compressmethod") or ""
    return method.upper() == "XLI"


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0  # the parser will refuse it


def _xli_samples(text: str) -> int:
    """The number of samples of all leads together after decompression."""
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        return 0  # the parser will refuse it
    n_bytes, at = 0, 0
    while at + _XLI_HEADER < len(data) and n_bytes <= 2 * MAX_SAMPLES:
        size = int.from_bytes(data[at : at + 4], "little", signed=True)
        if size <= 0:
            break
        at += _XLI_HEADER
        for length in _string_lengths(data[at : at + size]):
            n_bytes += length
            if n_bytes > 2 * MAX_SAMPLES + 1:
                break
        at += size
    return n_bytes // 2


def _string_lengths(chunk: bytes) -> Iterator[int]:
    """The lengths of the strings that the LZW codes stand for."""
    last_code = (1 << _LZW_BITS) - 2
    lengths = [1] * 256
    previous = 0
    waiting = bits = 0
    for byte in chunk:
        waiting, bits = (waiting << 8) | byte, bits + 8
        if bits < _LZW_BITS:
            continue
        bits -= _LZW_BITS
        code, waiting = waiting >> bits, waiting & ((1 << bits) - 1)
        if code > last_code:
            return
        length = lengths[code] if code < len(lengths) else previous + 1
        if previous and len(lengths) <= last_code:
            lengths.append(previous + 1)
        previous = length
        yield length
