"""Write a record as WFDB files: a text header and 16-bit samples.

Does not use the wfdb package, which writes only 18 such records a second and would be the
simulator's second dependency; the tests read the files back with it.

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
    header = format_header(path.name, signal_uv)
    path.with_name(path.name + ".dat").write_bytes(encode_samples(signal_uv))
    path.with_name(path.name + ".hea").write_text(header, encoding="ascii")


def encode_samples(signal_uv: npt.NDArray[np.int16]) -> bytes:
    """Encode (12, samples) as little-endian 16-bit samples, interleaved by lead."""
    return np.ascontiguousarray(signal_uv.T, dtype="<i2").tobytes()


def format_header(name: str, signal_uv: npt.NDArray[np.int16]) -> str:
    """Format the header, with 1000 ADC units per mV, so that one unit is a microvolt."""
    n_leads, n_samples = signal_uv.shape
    checksums = signal_uv.sum(axis=1, dtype=np.int64).astype(np.int16)
    lines = [f"{name} {n_leads} {RATE_HZ} {n_samples}"]
    lines += [
        f"{name}.dat 16 1000(0)/mV 16 0 {first} {checksum} 0 {lead}"
        for first, checksum, lead in zip(signal_uv[:, 0], checksums, LEADS, strict=True)
    ]
    return "\n".join([*lines, f"# {COMMENT}", ""])
