"""Make a set of simulated ECGs: OUT/records.csv and OUT/ecg/, with --echo also OUT/echo.csv.

Owns the command line and the layout of the folder. The ECGs come from `simulator`.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

from simulator import JAPANESE, find_patient, find_ventricle, measure_echo, simulate_record
from simulator.wfdb_files import write_wfdb

COLUMNS = ("record_id", "patient_id", "path", "findings", "age", "sex")
ECHO_COLUMNS = ("patient_id", "echo_at", "lvmi", "ivsd_mm", "lvpwd_mm")
PATIENTS_PER_FOLDER = 100
FIRST_DAY = date(2020, 1, 6)


def make_ecgs(out: Path, n_patients: int, seed: int, echo_days: int | None = None) -> int:
    """Write the set and return its number of records.

    records.csv is removed first and written last, so if it exists the set is complete.

    Args:
        out: the folder.
        n_patients: how many.
        seed: of the whole set.
        echo_days: whether the voltage follows a hidden ventricular mass; each record then has an
            echocardiogram at most so many days later. None: no mass, and no echocardiograms.
    """
    table = out / "records.csv"
    out.mkdir(parents=True, exist_ok=True)
    table.unlink(missing_ok=True)
    has_echo = echo_days is not None
    rows = list(_write_records(out, n_patients, seed, has_echo))
    if echo_days is not None:
        write_table(out / "echo.csv", ECHO_COLUMNS, echo_rows(n_patients, seed, echo_days))
    write_table(table, (*COLUMNS, "recorded_at") if has_echo else COLUMNS, rows)
    return len(rows)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV whole or not at all."""
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    os.replace(unfinished, path)


def recorded_on(patient: int, record: int) -> date:
    """The day of a record: those of one patient are two years apart, so that none finds another's
    echocardiogram."""
    return FIRST_DAY + timedelta(days=patient % 365 + 731 * record)


def echo_rows(n_patients: int, seed: int, days: int) -> Iterator[tuple[object, ...]]:
    """Rows of `ECHO_COLUMNS`: each record's echocardiogram, evenly from 0 to `days` days later."""
    for patient in range(n_patients):
        for record in range(find_patient(seed, patient).n_records):
            # Whole steps of the golden ratio: spread like chance, and the same for every seed.
            later = int((patient * 0.6180339887 + record * 0.3819660113) % 1 * (days + 1))
            measured = measure_echo(seed, patient, record, later)
            at = recorded_on(patient, record) + timedelta(days=later)
            yield f"p{patient:05d}", at.isoformat(), *measured.values()


def _write_records(
    out: Path, n_patients: int, seed: int, has_echo: bool
) -> Iterator[tuple[str | int, ...]]:
    for patient in range(n_patients):
        folder = Path("ecg", f"{patient // PATIENTS_PER_FOLDER:03d}")
        (out / folder).mkdir(parents=True, exist_ok=True)
        for record in range(find_patient(seed, patient).n_records):
            ventricle = find_ventricle(seed, patient) if has_echo else None
            ecg = simulate_record(seed, patient, record, ventricle=ventricle)
            patient_id = f"p{patient:05d}"
            record_id = f"{patient_id}r{record + 1}"
            write_wfdb(out / folder / record_id, ecg.signal_uv)
            names = "、".join(JAPANESE[finding] for finding in ecg.findings)
            path = (folder / record_id).as_posix()
            on = (recorded_on(patient, record).isoformat(),) if has_echo else ()
            yield record_id, patient_id, path, names, ecg.age, ecg.sex, *on


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make a set of simulated 12-lead ECGs.")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write to")
    parser.add_argument(
        "--patients", type=int, default=1000, help="number of patients (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the whole set; default: 0")
    parser.add_argument(
        "--echo",
        type=int,
        metavar="DAYS",
        help="let voltages follow a hidden ventricular mass, and write echo.csv: an echocardiogram"
        " of each record, at most DAYS later",
    )
    arguments = parser.parse_args(argv)
    if arguments.patients < 1 or arguments.seed < 0:
        parser.error("--patients must be at least 1 and --seed at least 0")
    if arguments.echo is not None and not 0 <= arguments.echo <= 365:
        parser.error("--echo must be from 0 to 365 days")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if the set is complete, 1 if OUT cannot be written."""
    arguments = _parse_arguments(argv)
    start_s = time.perf_counter()
    try:
        n_records = make_ecgs(arguments.out, arguments.patients, arguments.seed, arguments.echo)
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
