"""Whether the memory of `prepare` grows with the number of records.

Two tables, one ten times as long as the other, are each prepared by two worker processes, and the
peak memory of parent and workers is compared. There are few recordings, all short (2 s at 100 Hz),
each named by many rows with different record ids and patients. Samples do not matter here, because
a shard is written record by record; what grows is the memory per row.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.ecg_sample import EcgSample, prepare_table, write_table
from benchmarks.report import as_lines, conditions, table, verdict

_N_FILES = 64
_RATE_HZ, _SAMPLES = 100, 200
_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def write_recordings(folder: Path) -> EcgSample:
    """Short synthetic recordings: sines of an ECG's size, whose limb leads agree."""
    folder.mkdir()
    time_s = np.arange(_SAMPLES) / _RATE_HZ
    headers = []
    for number in range(_N_FILES):
        heights_uv = np.array([300, 500, 200, -400, 50, 350, *range(420, 540, 20)])[:, None]
        signal_uv = (heights_uv * np.sin(2 * np.pi * (1 + number / 50) * time_s)).astype("<i2")
        sums = signal_uv.sum(axis=1, dtype=np.int16)
        lines = [f"s{number} {len(_LEADS)} {_RATE_HZ} {_SAMPLES}"]
        lines += [
            f"s{number}.dat 16 1000(0)/mV 16 0 {row[0]} {total} 0 {lead}"
            for lead, row, total in zip(_LEADS, signal_uv, sums, strict=True)
        ]
        (folder / f"s{number}.dat").write_bytes(np.ascontiguousarray(signal_uv.T).tobytes())
        headers.append(folder / f"s{number}.hea")
        headers[-1].write_text("\n".join(lines) + "\n", encoding="ascii")
    return EcgSample(folder, tuple(headers), "synthetic recordings")


def peak_mb(n_records: int) -> tuple[float, float]:
    """The peak memory of the parent and of its largest worker, measured in a new process."""
    command = [sys.executable, "-m", "benchmarks.prepare_memory", "--one", str(n_records)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    parent_mb, worker_mb = done.stdout.split()
    return float(parent_mb) * 1.024e-3, float(worker_mb) * 1.024e-3


def prepare_once(n_records: int, n_workers: int = 2) -> None:
    """Prepare, and print the peak of this process and of its largest child, in kB."""
    seen: dict[int, int] = {}
    threading.Thread(target=_watch, args=(seen,), daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = write_recordings(folder / "ecg")
        write_table(folder / "records.csv", sample, n_records)
        settings = {"rate_hz": _RATE_HZ, "duration_s": 2.0, "min_duration_s": 1.0}
        prepare_table(folder / "records.csv", sample.root, folder / "work", n_workers, **settings)
    print(_peak_kb(os.getpid()), max(seen.values(), default=0))


def _watch(seen: dict[int, int]) -> None:
    """Note the peak of each child while it lives.

    Not by getrusage: a child's value there starts with its parent's size at the fork.
    """
    while True:
        with contextlib.suppress(OSError, ValueError, StopIteration):  # children come and go
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            for child in map(int, children):
                # Workers only: a process that was just forked still has its parent's size.
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    seen[child] = _peak_kb(child)
        time.sleep(0.05)


def _peak_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=5_000, help="and ten times as many")
    parser.add_argument("--miniature", action="store_true", help="1,100 records: does it run?")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one is not None:
        prepare_once(chosen.one)
        return
    few = 1_100 if chosen.miniature else chosen.records
    many = 2 * few if chosen.miniature else 10 * few
    print(as_lines(conditions(["pyarrow"])), flush=True)
    peaks = {n_records: peak_mb(n_records) for n_records in (few, many)}
    every = {n: (parent, child, parent + 2 * child) for n, (parent, child) in peaks.items()}
    rows = [[f"{n:,}", *(f"{each:.0f}" for each in peaks_mb)] for n, peaks_mb in every.items()]
    print(table(["records", "parent, MB at most", "largest worker", "parent and 2 workers"], rows))
    growth = [b / a - 1 for a, b in zip(every[few], every[many], strict=True)]
    for who, share in zip(("parent", "worker", "all"), growth, strict=True):
        print(verdict(f"{who}: growth in %", 100 * share, 10, at_least=False))
    row_bytes = 1e6 * (every[many][0] - every[few][0]) / (many - few)
    print(f"the parent grows by {row_bytes:,.0f} bytes a record")


if __name__ == "__main__":
    main()
