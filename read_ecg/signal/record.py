"""EcgRecord: the one shape every recording takes, and the reasons why one cannot be used.

Owns the contract between formats and everything behind them.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError

# The order in which leads are stored and fed to a model. Leads are found by name, never by their
# place in a file: MIMIC stores aVF before aVL.
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


# What is kept of a file's own description. Anything that identifies the person is dropped.
ABOUT = ("format", "device", "filters", "statements", "recorded_at", "sex", "age")


class Reason(StrEnum):
    """Why a record was rejected, in words that can be counted."""

    MISSING_FILE = "missing file"
    OUTSIDE_ROOT = "path outside root"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    CHECKSUM = "checksum"
    NO_GAIN = "no gain"
    UNITS = "units"
    LEADS = "leads"
    TOO_SHORT = "too short"
    FLAT = "flat"
    AMPLITUDE = "amplitude"
    NO_PATIENT = "no patient"
    NO_TEXT = "no findings or report"
    UNKNOWN_FINDING = "unknown finding"


@dataclass(frozen=True)
class EcgRecord:
    """One recording: twelve named leads at one rate."""

    signal_mv: npt.NDArray[np.float32]
    """(12, samples) in mV, in the order of LEADS. NaN is no reading; an absent lead is all NaN."""

    rate_hz: float

    notes: tuple[str, ...] = ()
    """Decisions taken while reading, for example that limb leads were derived."""

    about: Mapping[str, str] = field(default_factory=dict)
    """What the file says about the recording, under the names in ABOUT; never a name or an id."""

    def __post_init__(self) -> None:
        assert self.signal_mv.shape[0] == len(LEADS), self.signal_mv.shape
        assert self.signal_mv.dtype == np.float32, self.signal_mv.dtype
        assert self.rate_hz > 0, self.rate_hz
        assert set(self.about) <= set(ABOUT), self.about

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return float(self.signal_mv.shape[1] / self.rate_hz)


def excerpt(record: EcgRecord, start_s: float, length_s: float) -> EcgRecord:
    """The part of a recording that begins at `start_s`, to the nearest sample.

    Raises:
        RecordError: it does not lie within the recording.
    """
    if not (math.isfinite(start_s) and math.isfinite(length_s)):
        raise RecordError(Reason.TOO_SHORT, "the start or length of its window is not finite")
    first, samples = round(start_s * record.rate_hz), round(length_s * record.rate_hz)
    if first < 0 or samples < 1 or first + samples > record.signal_mv.shape[1]:
        raise RecordError(
            Reason.TOO_SHORT,
            f"its window from {start_s:.3f} s, {length_s:g} s long, does not lie within the"
            f" recording of {record.duration_s:.1f} s",
        )
    return dataclasses.replace(record, signal_mv=record.signal_mv[:, first : first + samples])
