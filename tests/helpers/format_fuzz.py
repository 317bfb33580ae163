"""The worker of the format fuzz tests: damaged and hostile files of one format in one process.

Each file must end as a record or a RecordError, quickly and in little memory. A watchdog ends the
process if one file takes too long, whatever code hangs, and the kernel limits its memory.
"""

import argparse
import collections
import contextlib
import faulthandler
import json
import random
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import hostile_files
import numpy as np
import numpy.typing as npt
import scipy.io
from clinical_files import LEADS, mend_scp, twelve_leads, write_all
from wfdb_files import write_wfdb

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.recording import FORMATS, read_recording
from ecgpipe.read_ecg.signal.record import Reason

ARRAYS = ("CSV", ".npy", ".npz", "HDF5", "MATLAB")
WFDB = ("WFDB 16", "WFDB 212")
NAMES = [
    *(form.name for form in FORMATS if form.name not in ("HDF5", "NumPy", "MATLAB", "CSV")),
    *ARRAYS,
    *WFDB,
]
SECONDS_A_FILE = 5
MOST_MEMORY_MB = 1000
MUTATIONS = 100
HUGE = (b"4294967295", b"-1", b"1e308", b"0", b"99999999", b"nan")
ADC = twelve_leads(2500)

Mutation = Callable[[bytearray, random.Random], bytearray]


def truncate(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def flip_bits(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def damage_head(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(min(len(data), 3000))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x2D))
    return data


def repeat_block(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    block = data[start : start + rng.choice((1, 10, 300, 5000))]
    return data[:start] + block * rng.choice((2, 30, 1000)) + data[start:]


def drop_block(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 2, 50, 4000)) :]


def huge_number(data: bytearray, rng: random.Random) -> bytearray:
    """One number, written in digits or in bytes, becomes absurd."""
    found = list(re.finditer(rb"\d+", bytes(data[:20_000])))
    if found and rng.random() < 0.6:
        where = rng.choice(found)
        data[where.start() : where.end()] = rng.choice(HUGE)
    else:
        at = rng.randrange(min(len(data), 600))
        data[at : at + 4] = rng.choice((b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0" * 4, b"\0\0\0\x40"))
    return data


def nest(data: bytearray, rng: random.Random) -> bytearray:
    """Elements within elements; in other formats, a long run of one byte pair."""
    starts = [where.start() for where in re.finditer(rb"<\w", bytes(data))] or [len(data) // 2]
    at = rng.choice(starts)
    tag = rng.choice((b"<a>", b"<digits>", b"<Waveform>", b"<series>", b"\x67\x80", b"\xfe\xff"))
    return data[:at] + tag * rng.choice((3, 200, 50_000)) + data[at:]


KINDS: tuple[Mutation, ...] = (
    truncate, flip_bits, damage_head, repeat_block, drop_block, huge_number, nest
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A good recording whose files are damaged in turn."""

    path: Path
    files: tuple[Path, ...]


def subject(name: str, folder: Path) -> Subject:
    """A good recording of a format, alone in a folder."""
    home = folder / "home"
    home.mkdir()
    path = home / "damaged"
    if name in WFDB:
        write_wfdb(home, "damaged", ADC)
        header = path.with_suffix(".hea")
        if name == "WFDB 212":
            header.write_text(header.read_text().replace(".dat 16 ", ".dat 212 "))
            path.with_suffix(".dat").write_bytes(packed_212(ADC))
        return Subject(path, (header, path.with_suffix(".dat")))
    if name not in ARRAYS:
        path.write_bytes(write_all(folder, ADC)[name].read_bytes())
        return Subject(path, (path,))
    facts = home / "arrays.json"
    facts.write_text(json.dumps({"rate_hz": 500, "mv_per_unit": 0.005, "leads": LEADS}))
    if name == "CSV":
        rows = [",".join(map(str, row)) for row in ADC.T]
        path.write_text("\n".join([",".join(LEADS), *rows]) + "\n")
    elif name == "MATLAB":
        scipy.io.savemat(path, {"ecg": ADC}, appendmat=False, do_compression=True)
    elif name == "HDF5":
        with h5py.File(path, "w") as file:
            file.create_dataset("ecg", data=ADC, chunks=(12, 500), compression="gzip")
    else:
        with path.open("wb") as stream:
            np.save(stream, ADC) if name == ".npy" else np.savez_compressed(stream, signal=ADC)
    return Subject(path, (path, path, path, path, facts))


def packed_212(adc: npt.NDArray[np.int16]) -> bytes:
    """Two 12-bit samples in three bytes: low byte, both high nibbles, low byte."""
    one, two = adc.T.reshape(-1, 2).T.astype(np.int64) & 0xFFF
    return np.stack([one & 255, one >> 8 | two >> 8 << 4, two & 255], 1).astype(np.uint8).tobytes()


def mutate(original: bytes, name: str, rng: random.Random) -> tuple[bytes, bool]:
    """A damaged copy, and whether its checksum was recomputed."""
    data = bytearray(original)
    if b"\0<\0" in original[:100]:  # UTF-16: damage the text, not the code units
        data = bytearray(original.decode("utf-16").encode())
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice(KINDS)(data, rng) or bytearray(b"\0")
    mended = name == "SCP-ECG" and rng.random() < 0.6
    return (mend_scp(bytes(data)) if mended else bytes(data)), mended


def outcome(path: Path) -> tuple[npt.NDArray[np.float32] | None, str | None, str]:
    """The signal, or the reason and the message of a refusal; anything else is a crash."""
    try:
        return read_recording(path).signal_mv, None, ""
    except RecordError as error:
        return None, str(error.reason), str(error)


class Watch:
    """Reads one file after the other under the limits, and counts."""

    def __init__(self, name: str) -> None:
        self.name, self.became, self.slowest_s = name, collections.Counter[str](), 0.0

    def read(self, path: Path, which: str) -> tuple[npt.NDArray[np.float32] | None, str | None]:
        """Read a file; `which` names it on stderr, to find the one that failed."""
        print(f"{self.name} {which}", file=sys.stderr, flush=True)
        start = time.process_time()
        with time_limit(SECONDS_A_FILE):
            signal_mv, reason, message = outcome(path)
        self.slowest_s = max(self.slowest_s, time.process_time() - start)
        assert reason is None or reason in set(Reason)
        assert not re.search(r"yamada|4711", message, re.IGNORECASE), message
        # Our readers turn any error into a reason; that the limit was met must not hide in one.
        assert "MemoryError" not in message, message
        assert peak_mb() < MOST_MEMORY_MB, f"{peak_mb():.0f} MB"
        return signal_mv, reason


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process with a traceback after some seconds of CPU time.

    Of work, since beside other jobs a clock on the wall runs out for no fault of the reader's; on
    that clock, twelve times as long, for a reader that waits for something.
    """
    faulthandler.register(signal.SIGPROF, chain=True)  # and then the default: the end
    faulthandler.dump_traceback_later(12 * seconds, exit=True)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()


def peak_mb() -> float:
    """Peak memory of this program. (ru_maxrss would include that of the process it forked from.)"""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[0]) / 1024


def work(name: str, folder: Path, mutations: int, first_seed: int) -> str:
    """Read hostile and damaged files of one format; returns the outcomes."""
    watch = Watch(name)
    for title, path in hostile_files.write_hostile(name, folder / "hostile"):
        _, reason = watch.read(path, title)
        watch.became[f"hostile {'read' if reason is None else 'refused'}"] += 1
    whole = subject(name, folder)
    originals = {file: file.read_bytes() for file in whole.files}
    good = read_recording(whole.path).signal_mv
    for seed in range(first_seed, first_seed + mutations):
        rng = random.Random(f"{name} {seed}")
        damaged = rng.choice(whole.files)
        content, mended = mutate(originals[damaged], name, rng)
        damaged.write_bytes(content)
        signal_mv, reason = watch.read(whole.path, f"seed {seed}")
        if signal_mv is None:
            watch.became[f"refused: {reason}"] += 1
        else:
            same = np.array_equal(signal_mv, good, equal_nan=True)
            watch.became["read identical" if same else "read different"] += 1
            assert same or not is_guarded(name, damaged, mended), f"seed {seed}: wrong but ok"
        damaged.write_bytes(originals[damaged])
    outcomes = ", ".join(f"{count} {what}" for what, count in watch.became.most_common())
    return f"{name}: {outcomes}; slowest {watch.slowest_s:.2f} s, {peak_mb():.0f} MB"


def is_guarded(name: str, damaged: Path, mended: bool) -> bool:
    """Whether a checksum covers every sample of this damaged file."""
    if name in WFDB and damaged.suffix == ".dat":
        return not has_the_same_sums(name, damaged)
    return (name == "SCP-ECG" and not mended) or (name == ".npz" and damaged.suffix == "")


def has_the_same_sums(name: str, file: Path) -> bool:
    """WFDB's checksum is a 16-bit sum, so two changes can cancel out unnoticed."""
    data = np.frombuffer(file.read_bytes(), np.uint8)
    if name == "WFDB 16":
        found = np.frombuffer(data[: ADC.size * 2].tobytes(), "<i2").astype(np.int64)
    else:
        low, both, high = data[: ADC.size * 3 // 2].reshape(-1, 3).T.astype(np.int64)
        found = np.stack([low | (both & 15) << 8, high | both >> 4 << 8], 1).ravel()
        found -= (found > 2047) * 4096
    sums = found.reshape(-1, 12).sum(axis=0) - ADC.sum(axis=1, dtype=np.int64)
    return len(found) == ADC.size and not (sums % 65536).any()


def limit_memory() -> None:
    """Limit address space to four gigabytes more than now.

    That ends absurd claims. What is touched is held to a gigabyte after each file: with a limit as
    low as that, a library in C would fail to get memory and the file would seem to be refused.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (4 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("name", choices=NAMES)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--mutations", type=int, default=MUTATIONS)
    arguments.add_argument("--first-seed", type=int, default=0)
    given = arguments.parse_args()
    limit_memory()
    print(work(given.name, given.folder, given.mutations, given.first_seed))
