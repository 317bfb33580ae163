"""One ECG as a trained model takes it, from a file or from an array.

Owns the step from a recording to the window that the contract demands. Knows no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.contract import Contract
from ecgpipe.read_ecg.formats.recording import read_recording
from ecgpipe.read_ecg.quality.inspection import Facts, inspect
from ecgpipe.read_ecg.signal.leads import arrange_leads
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord
from ecgpipe.read_ecg.signal.window import to_window


@dataclass(frozen=True)
class Ecg:
    """A recording, and its window."""

    record: EcgRecord
    """As it was read: mV at its own rate."""

    signal_uv: npt.NDArray[np.int16]
    """(12, samples) as the contract demands; -32768 where there is no reading."""

    notes: tuple[str, ...]
    """What was done to it: leads derived, gaps filled, padded, ..."""

    @cached_property
    def quality(self) -> Facts:
        """What a person would look at before trusting it; measured when first asked for."""
        return inspect(self.record)


def ecg_of(record: EcgRecord, contract: Contract) -> Ecg:
    """The window of a recording.

    Raises:
        RecordError: it is too short, has too few leads, is flat, or its amplitude is implausible.
    """
    return Ecg(record, *to_window(record, contract))


def read_ecg(path: Path, contract: Contract) -> Ecg:
    """Read a recording of any format that the project reads.

    Raises:
        RecordError: there is none, it has no known format, is damaged, or as `ecg_of`.
    """
    return ecg_of(read_recording(path), contract)


def ecg_of_array(
    signal_mv: npt.NDArray[np.float32],
    rate_hz: float,
    contract: Contract,
    leads: Sequence[str] = LEADS,
) -> Ecg:
    """The window of an array.

    Args:
        signal_mv: (leads, samples) in millivolts; NaN is no reading.
        rate_hz: of the array.
        contract: what the model demands.
        leads: the name of each row; limb leads that follow from two others may be missing.

    Raises:
        RecordError: a lead is unknown or named twice, or as `ecg_of`.
        ValueError: the array is not (leads, samples), or the rate is not positive.
    """
    signal_mv = np.asarray(signal_mv, np.float32)
    if signal_mv.ndim != 2 or len(signal_mv) != len(leads):
        raise ValueError(f"an array of ({len(leads)}, samples) is needed, not {signal_mv.shape}")
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise ValueError(f"rate_hz must be positive, not {rate_hz}")
    arranged, notes = arrange_leads(leads, list(signal_mv))
    return ecg_of(EcgRecord(arranged, float(rate_hz), notes), contract)
