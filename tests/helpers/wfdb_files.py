"""WFDB files written by hand, so that a test can also write faulty ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def ecg_like(samples: int = 5000, seed: int = 0, n_leads: int = 12) -> npt.NDArray[np.int16]:
    """(n_leads, samples) integers that move like an ECG: some hundred µV around 0."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 500
    beats = np.exp(-(((time % 0.8) - 0.4) ** 2) / 0.0005)
    gains = rng.uniform(200, 1200, (n_leads, 1))
    return (gains * beats + rng.normal(0, 20, (n_leads, samples))).astype(np.int16)


def write_wfdb(
    folder: Path,
    name: str,
    adc: npt.NDArray[np.int16],
    *,
    leads: Sequence[str] = LEADS,
    rate: str = "500",
    gain: str = "1000(0)/mV",
    checksum: bool = True,
) -> Path:
    """Write `name`.dat and `name`.hea; returns the path without suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.dat").write_bytes(adc.T.astype("<i2").tobytes())
    lines = [f"{name} {len(adc)} {rate} {adc.shape[1]}"]
    for lead, row in zip(leads, adc, strict=True):
        total = int(np.int64(row.sum(dtype=np.int64)) & 0xFFFF)
        signed = total - 65536 if total > 32767 else total
        sums = f" 16 0 {row[0]} {signed} 0 {lead}" if checksum else f" 16 0 {row[0]} 0 0 {lead}"
        lines.append(f"{name}.dat 16 {gain}{sums}")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return folder / name
