"""Make the pictures of docs/own-ecgs.md from simulated ECGs, six of which have a fault.

Owns the small hospital that is drawn: its ECGs and their faults. What is drawn, and how, is
`ecgpipe show`'s.
"""

import csv
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from simulator import JAPANESE, LEADS, find_patient, simulate_record
from simulator.wfdb_files import write_wfdb

Signal = npt.NDArray[np.int16]
"""(12, samples) microvolts, in the order of LEADS, at 500 Hz."""

PATIENTS = 40
SETTINGS = """
name: guide
notice: SIMULATED ECGs
data:
  sources: [{kind: table, table: records.csv}]
  taxonomy: findings98
text: {model: none}
"""


def swap_arms(signal_uv: Signal) -> Signal:
    """As when the electrodes of the arms are exchanged."""
    order = [LEADS.index(lead) for lead in ("I", "III", "II", "aVL", "aVR", "aVF", *LEADS[6:])]
    swapped = signal_uv[order]
    swapped[0] *= -1
    return swapped


def clip(signal_uv: Signal) -> Signal:
    """As an amplifier that reaches its limit."""
    return np.clip(signal_uv, -400, 400)


def hum(signal_uv: Signal) -> Signal:
    """With 0.3 mV of a power line at 50 Hz in V1 to V6."""
    line_uv = 300 * np.sin(2 * np.pi * 50 * np.arange(signal_uv.shape[1]) / 500)
    noisy = signal_uv.copy()
    noisy[6:] += line_uv.astype(np.int16)
    return noisy


def lose_lead(signal_uv: Signal) -> Signal:
    """As when the electrode of V3 has come off."""
    lost = signal_uv.copy()
    lost[LEADS.index("V3")] = 0
    return lost


def end_early(signal_uv: Signal) -> Signal:
    """As a recording that was broken off after 4 s, of which `prepare` wants 5 at least."""
    return signal_uv[:, :2000]


def repeat_first(signal_uv: Signal) -> Signal:
    """As an export that writes one recording under two names."""
    return simulate_record(0, 0, find_patient(0, 0).n_records - 1).signal_uv


FAULTS: Mapping[int, Callable[[Signal], Signal]] = {
    3: swap_arms, 8: hum, 14: clip, 21: lose_lead, 27: end_early, 33: repeat_first,
}  # fmt: skip
"""By the number of the patient."""

PICTURES = (
    ("suspects", ("--suspects", "-n", "6")),
    ("sheet", ("0001",)),
)
"""Names, and what `ecgpipe show` is asked for; each is drawn in both languages."""


def write_hospital(folder: Path) -> None:
    """Write records.csv, pipeline.yaml and the recordings, one of each patient."""
    rows = []
    for patient in range(PATIENTS):
        ecg = simulate_record(0, patient, find_patient(0, patient).n_records - 1)
        name = f"{patient + 1:04}"
        fault = FAULTS.get(patient)
        write_wfdb(folder / name, fault(ecg.signal_uv) if fault else ecg.signal_uv)
        findings = "、".join(JAPANESE[finding] for finding in ecg.findings)
        rows.append((name, f"p{patient}", name, findings, ecg.age, ecg.sex))
    with (folder / "records.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("record_id", "patient_id", "path", "findings", "age", "sex"), *rows]
        )
    (folder / "pipeline.yaml").write_text(SETTINGS, encoding="utf-8")


def main() -> None:
    """Write the pictures into the folder that the command line names."""
    out = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_hospital(folder)
        for language, (picture, arguments) in itertools.product(("en", "ja"), PICTURES):
            show = [sys.executable, "-m", "ecgpipe", "show", *arguments, "--dpi", "80"]
            show += ["--language", language, "-o", str(out / f"{picture}.{language}.png")]
            own = os.environ | {"ECGPIPE_LANG": language}
            subprocess.run(show, cwd=folder, check=True, env=own)


if __name__ == "__main__":
    main()
