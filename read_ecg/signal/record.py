"""EcgRecord: the one shape every recording takes, and the reasons why one cannot be used.

Owns the contract between formats and everything behind them.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

import numpy as np
import numpy.typing as npt

# The order in which leads are stored and fed to a model. By name, never by place in a file: MIMIC
# keeps aVF before aVL.
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


# What of a file's own words is kept. Everything that says who the person is, is left behind.
ABOUT = ("format", "device", "filters", "statements", "recorded_at", "sex", "age")


class Reason(StrEnum):
    """Why a record was rejected, in a word that can be counted."""

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


# (12, samples) in the order of LEADS. As float32 it is in mV; NaN is no reading, and an absent lead
# is NaN throughout. As int16 it is in µV, and every sample is a reading.
Signal = npt.NDArray[np.float32] | npt.NDArray[np.int16]

_UV_PER_MV = np.float32(1000)


@dataclass(frozen=True)
class EcgRecord:
    """One recording: twelve named leads at one rate."""

    signal: Signal
    """In mV; or in µV where the file keeps whole ones of all leads without a gap, as PTB-XL's do:
    that is what is stored, so nothing need be rounded, and integers are measured faster."""

    rate_hz: float

    notes: tuple[str, ...] = ()
    """Decisions taken while reading, for example that limb leads were derived."""

    about: Mapping[str, str] = field(default_factory=dict)
    """What the file says of the recording, under the names in ABOUT; never a name or an id."""

    def __post_init__(self) -> None:
        assert self.signal.shape[0] == len(LEADS), self.signal.shape
        assert self.signal.dtype in (np.float32, np.int16), self.signal.dtype
        assert self.rate_hz > 0, self.rate_hz
        assert set(self.about) <= set(ABOUT), self.about

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return float(self.signal.shape[1] / self.rate_hz)

    @functools.cached_property
    def signal_mv(self) -> npt.NDArray[np.float32]:
        """The signal in mV, whatever it is kept in."""
        return in_millivolts(self.signal)


def in_millivolts(signal: Signal) -> npt.NDArray[np.float32]:
    """A recording's signal, or a part of it, in mV."""
    if signal.dtype == np.float32:
        return cast(npt.NDArray[np.float32], signal)
    millivolts = signal.astype(np.float32)
    millivolts /= _UV_PER_MV
    return millivolts


def steps_per_mv(signal: Signal) -> float:
    """What 1 mV is in the numbers of a signal."""
    return 1.0 if signal.dtype == np.float32 else float(_UV_PER_MV)
