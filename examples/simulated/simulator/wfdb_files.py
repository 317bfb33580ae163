"""A record as WFDB files: a text header and 16-bit samples.

Owns the bytes. Written here and not with the wfdb package, which manages 18 such records a second
and is not among the simulator's needs; the tests read the files back with it.

Source: WFDB header(5); signal(5), format 16.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from simulator.heart import RATE_HZ
from simulator.leads import LEADS

COMMENT = "Simulated by ecgpipe examples/simulated; not a patient"


def write_wfdb(path: Path, signal_uv: npt.NDArray[np.int16]) -> None:
    """Write `path`.hea and `path`.dat from (12, samples) microvolts, in the order of LEADS."""
    path.with_name(path.name + ".dat").write_bytes(format_16(signal_uv))
    path.with_name(path.name + ".hea").write_text(header(path.name, signal_uv), encoding="ascii")


def format_16(signal_uv: npt.NDArray[np.int16]) -> bytes:
    """Little-endian 16-bit samples, all leads of a moment together."""
    return np.ascontiguousarray(signal_uv.T, dtype="<i2").tobytes()


def header(name: str, signal_uv: npt.NDArray[np.int16]) -> str:
    """The header's text: 1000 ADC units per mV, so that a unit is a microvolt."""
    n_leads, n_samples = signal_uv.shape
    checksums = signal_uv.sum(axis=1, dtype=np.int64).astype(np.int16)
    lines = [f"{name} {n_leads} {RATE_HZ} {n_samples}"]
    lines += [
        f"{name}.dat 16 1000(0)/mV 16 0 {first} {checksum} 0 {lead}"
        for first, checksum, lead in zip(signal_uv[:, 0], checksums, LEADS, strict=True)
    ]
    return "\n".join([*lines, f"# {COMMENT}", ""])
