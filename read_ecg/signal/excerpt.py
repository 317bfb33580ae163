"""A part of a longer recording.

Owns cutting by time. Must not know why the part was chosen.
"""

import dataclasses
import math

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason


def excerpt(record: EcgRecord, start_s: float, length_s: float) -> EcgRecord:
    """The part of a recording that begins at `start_s`; the nearest samples decide.

    Raises:
        RecordError: it does not lie within the recording.
    """
    if not (math.isfinite(start_s) and math.isfinite(length_s)):
        raise RecordError(Reason.TOO_SHORT, "its window is of no finite time")
    first, samples = round(start_s * record.rate_hz), round(length_s * record.rate_hz)
    if first < 0 or samples < 1 or first + samples > record.signal.shape[1]:
        raise RecordError(
            Reason.TOO_SHORT,
            f"its window from {start_s:.3f} s, {length_s:g} s long, does not lie within the"
            f" recording of {record.duration_s:.1f} s",
        )
    return dataclasses.replace(record, signal=record.signal[:, first : first + samples])
