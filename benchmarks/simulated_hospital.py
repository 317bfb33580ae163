"""A hospital's data at any size, made in bulk: recordings in HDF5 files and one table.

Owns how the data are made. Three hundred simulated ECGs of two to three findings each are the
templates; a recording is a piece of one, scaled and with noise of its own, so no two are equal, but
there are only three hundred texts to embed. Patients have 1/.55 recordings on average and are in
one split. They teach nothing about ECGs.
"""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.read_ecg.signal.record import LEADS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "simulated"))
from simulator import simulate_record

RATE_HZ = 100
MOST_TESTED = 40_000
TABLE = "records.csv"

_FROM_HZ, _FROM_S = 500, 10
_TEMPLATES = 300
_PER_FILE = 1000
_PATIENTS_PER_RECORD = 0.55
_VALIDATION, _TEST = 0.05, 0.1
_NOISE_UV = 20
_SITES = 5


@dataclass(frozen=True)
class Kind:
    """A template and what is said of it."""

    signal_uv: npt.NDArray[np.float32]
    """(samples, leads), of ten seconds."""

    findings: str
    age: int
    sex: str


def bytes_of_recordings(n_records: int, seconds: int) -> int:
    """What the recordings take on the disk."""
    return n_records * seconds * RATE_HZ * len(LEADS) * 2


def write_hospital(folder: Path, n_records: int, seconds: int, seed: int = 0) -> Path:
    """Write the recordings and then the table; returns its path."""
    rng = np.random.default_rng(seed)
    kinds = _kinds(rng, min(_TEMPLATES, n_records))
    (folder / "ecgs").mkdir(parents=True)
    facts = {"rate_hz": RATE_HZ, "units": "uV", "leads": LEADS, "variable": "signal", "ids": "id"}
    (folder / "ecgs" / "arrays.json").write_text(json.dumps(facts), encoding="utf-8")
    kind_of = rng.integers(len(kinds), size=n_records)
    for first in range(0, n_records, _PER_FILE):
        some = [kinds[k] for k in kind_of[first : first + _PER_FILE]]
        with h5py.File(folder / _file_of(first), "w") as file:
            file["signal"] = _signals_uv(rng, some, seconds * RATE_HZ)
            file["id"] = np.arange(first, first + len(some))
    patients = _patients(rng, n_records)
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        columns = "record_id patient_id path findings report split age sex site recorded_at"
        table.writerow(columns.split())
        for number, (patient, k) in enumerate(zip(patients.tolist(), kind_of, strict=True)):
            kind = kinds[k]
            table.writerow(
                [
                    f"r{number:07d}", f"p{patient:07d}", f"{_file_of(number)}#{number}",
                    kind.findings, f"心電図所見：{kind.findings}。",
                    _split(patient, n_records), kind.age, kind.sex, f"site{patient % _SITES}",
                    f"{2010 + patient % 15}-{1 + number % 12:02d}-{1 + number % 28:02d}",
                ]
            )  # fmt: skip
    return folder / TABLE


def _kinds(rng: np.random.Generator, n: int) -> list[Kind]:
    """Findings are drawn by Zipf frequencies, so that all of the taxonomy occur."""
    taxonomy = load_taxonomy("findings98").findings
    chances = 1 / np.arange(1, len(taxonomy) + 1)
    chances /= chances.sum()
    kinds = []
    for number in range(n):
        ecg = simulate_record(0, number, 0)
        signal = ecg.signal_uv.reshape(len(LEADS), -1, _FROM_HZ // RATE_HZ).mean(axis=2)
        drawn = rng.choice(len(taxonomy), rng.integers(2, 4), replace=False, p=chances)
        # One finding in turn, or the rare ones would not occur.
        shown = sorted({number % len(taxonomy), *drawn.tolist()})
        names = "、".join(taxonomy[each].name("ja") for each in shown)
        kinds.append(Kind(signal.T.astype(np.float32), names, ecg.age, ecg.sex))
    return kinds


def _signals_uv(rng: np.random.Generator, kinds: list[Kind], samples: int) -> npt.NDArray[np.int16]:
    """(n, samples, leads): a piece of each template, scaled, with noise."""
    signals = rng.standard_normal((len(kinds), samples, len(LEADS)), np.float32) * _NOISE_UV
    starts = rng.integers(_FROM_S * RATE_HZ - samples + 1, size=len(kinds))
    gains = rng.uniform(0.8, 1.2, len(kinds)).astype(np.float32)
    for signal, kind, start, gain in zip(signals, kinds, starts, gains, strict=True):
        signal += gain * kind.signal_uv[start : start + samples]
    # The limb leads are two measurements; noise of their own would contradict that.
    one, two = signals[:, :, LEADS.index("I")], signals[:, :, LEADS.index("II")]
    derived = {
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": one - two / 2,
        "aVF": two - one / 2,
    }
    for lead, values in derived.items():
        signals[:, :, LEADS.index(lead)] = values
    return np.rint(np.clip(signals, -32767, 32767)).astype(np.int16)


def _patients(rng: np.random.Generator, n_records: int) -> npt.NDArray[np.int64]:
    """(n,) of each record: everybody once, and then anybody again."""
    n_patients = max(1, round(_PATIENTS_PER_RECORD * n_records))
    again = rng.integers(n_patients, size=n_records - n_patients)
    patients: npt.NDArray[np.int64] = np.concatenate([np.arange(n_patients), again])
    return rng.permutation(patients)


def _split(patient: int, n_records: int) -> str:
    place = patient / (_PATIENTS_PER_RECORD * n_records)
    test = min(_TEST, MOST_TESTED / n_records)
    return "test" if place < test else "val" if place < test + _VALIDATION else "train"


def _file_of(number: int) -> Path:
    return Path("ecgs", f"{number // _PER_FILE:05d}.h5")
