"""MFER files written by hand from the standard's tables of tags, without ecgdatakit, so that a test
can also write faulty ones.

Source: MFER Part 1 (tag, length, contents), Part 3-1 (standard 12-lead ECG: lead codes).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

PREAMBLE, BYTE_ORDER, BLOCK, CHANNELS, SEQUENCES = 0x40, 0x01, 0x04, 0x05, 0x06
WAVEFORM, LEAD, DATA_TYPE, INTERVAL, RESOLUTION, OFFSET = 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D
FILTER, NULL, MAKER, WAVE, ATTRIBUTE, END = 0x11, 0x12, 0x17, 0x1E, 0x3F, 0x80
NAME, AGE, SEX, TIME = 0x81, 0x83, 0x84, 0x85

LEAD_CODES = {
    "I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8,
    "III": 61, "aVR": 62, "aVL": 63, "aVF": 64,
}  # fmt: skip
TYPES = {"i2": 0, "u2": 1, "i4": 2, "u1": 3, "i1": 5, "u4": 6, "f4": 7, "f8": 8}
HERTZ, SECONDS, VOLT = 0, 1, 0


def tag(code: int, contents: bytes) -> bytes:
    """One definition: its code, the length of its contents, the contents."""
    length = len(contents)
    if length < 0x80:
        return bytes([code, length]) + contents
    size = (length.bit_length() + 7) // 8
    return bytes([code, 0x80 | size]) + length.to_bytes(size, "big") + contents


def mfer_bytes(
    values: npt.NDArray[np.generic],
    *,
    leads: Sequence[str],
    big_endian: bool = True,
    data_type: str = "i2",
    block: int = 500,
    interval: tuple[int, int, int] | None = (SECONDS, -3, 2),
    resolution: tuple[int, int, int] | None = (VOLT, -6, 5),
    preamble: bool = True,
    null: int | None = None,
    offset: int | None = None,
    person: bool = False,
) -> bytes:
    """A resting ECG as one frame of (sequence, channel, block) values; (leads, samples) given."""
    order = "big" if big_endian else "little"
    dtype = np.dtype(data_type).newbyteorder(">" if big_endian else "<")

    def scaled(what: tuple[int, int, int]) -> bytes:
        unit, exponent, mantissa = what
        power = exponent.to_bytes(1, "big", signed=True)
        return bytes([unit]) + power + mantissa.to_bytes(2, order, signed=True)

    n_leads, n_samples = values.shape
    parts = [tag(PREAMBLE, b"MFR Standard 12 leads ECG".ljust(32))] if preamble else []
    parts += [
        tag(BYTE_ORDER, b"\0" if big_endian else b"\1"),
        tag(WAVEFORM, (1).to_bytes(2, order)),
        tag(MAKER, b"Test^CART-1^1.0^SERIAL-77"),
    ]
    if person:
        parts += [
            tag(NAME, "山田^太郎".encode()),
            tag(AGE, bytes([64, 0, 0])),
            tag(SEX, b"\2"),
            tag(TIME, (2024).to_bytes(2, order) + bytes([3, 5, 9, 8, 7])),
        ]
    if interval is not None:
        parts.append(tag(INTERVAL, scaled(interval)))
    if resolution is not None:
        parts.append(tag(RESOLUTION, scaled(resolution)))
    if null is not None:
        parts.append(tag(NULL, np.array(null, dtype).tobytes()))
    if offset is not None:
        parts.append(tag(OFFSET, np.array(offset, dtype).tobytes()))
    parts += [
        tag(DATA_TYPE, bytes([TYPES[data_type]])),
        tag(BLOCK, block.to_bytes(4, order)),
        tag(CHANNELS, n_leads.to_bytes(2, order)),
        tag(SEQUENCES, (n_samples // block).to_bytes(4, order)),
    ]
    for channel, lead in enumerate(leads):
        code = LEAD_CODES.get(lead, 160).to_bytes(2, order)
        parts.append(bytes([ATTRIBUTE, channel]) + tag(0, tag(LEAD, code))[1:])
    frame = values.astype(dtype).reshape(n_leads, -1, block).transpose(1, 0, 2)
    return b"".join([*parts, tag(WAVE, frame.tobytes()), bytes([END, 0])])
