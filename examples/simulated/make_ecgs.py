"""Make a set of simulated ECGs: OUT/records.csv and OUT/ecg/.

Owns the command line and the layout of the folder. The ECGs come from `simulator`.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from simulator import JAPANESE, find_patient, simulate_record
from simulator.wfdb_files import write_wfdb

COLUMNS = ("record_id", "patient_id", "path", "findings", "age", "sex")
PATIENTS_PER_FOLDER = 100


def make_ecgs(out: Path, n_patients: int, seed: int) -> int:
    """Write the set and return its number of records.

    records.csv is removed first and written last, so if it exists the set is complete.
    """
    table = out / "records.csv"
    out.mkdir(parents=True, exist_ok=True)
    table.unlink(missing_ok=True)
    rows = list(_write_records(out, n_patients, seed))
    unfinished = table.with_suffix(".tmp")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    os.replace(unfinished, table)
    return len(rows)


def _write_records(out: Path, n_patients: int, seed: int) -> Iterator[tuple[str | int, ...]]:
    for patient in range(n_patients):
        folder = Path("ecg", f"{patient // PATIENTS_PER_FOLDER:03d}")
        (out / folder).mkdir(parents=True, exist_ok=True)
        for record in range(find_patient(seed, patient).n_records):
            ecg = simulate_record(seed, patient, record)
            patient_id = f"p{patient:05d}"
            record_id = f"{patient_id}r{record + 1}"
            write_wfdb(out / folder / record_id, ecg.signal_uv)
            names = "、".join(JAPANESE[finding] for finding in ecg.findings)
            path = (folder / record_id).as_posix()
            yield record_id, patient_id, path, names, ecg.age, ecg.sex


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make a set of simulated 12-lead ECGs.")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write to")
    parser.add_argument(
        "--patients", type=int, default=1000, help="number of patients (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the whole set; default: 0")
    arguments = parser.parse_args(argv)
    if arguments.patients < 1 or arguments.seed < 0:
        parser.error("--patients must be at least 1 and --seed at least 0")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if the set is complete, 1 if OUT cannot be written."""
    arguments = _parse_arguments(argv)
    start_s = time.perf_counter()
    try:
        n_records = make_ecgs(arguments.out, arguments.patients, arguments.seed)
    except OSError as error:
        reason = error.strerror or error
        print(f"make_ecgs: cannot write to {arguments.out}: {reason}", file=sys.stderr)
        return 1
    seconds = time.perf_counter() - start_s
    print(
        f"{n_records} simulated records of {arguments.patients} patients "
        f"in {seconds:.1f} s: {arguments.out / 'records.csv'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
