"""Damaged clinical files: each ends as a record or a RecordError, soon and in little memory.

Run as a script, it is the worker: one process for one format, ended by a watchdog where a single
file takes too long, whatever code it hangs in.
"""

import argparse
import collections
import faulthandler
import os
import random
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from clinical_files import mend_scp, twelve_leads, write_all

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats import FORMATS
from ecgpipe.read_ecg.record import Reason
from ecgpipe.read_ecg.recording import read_recording

ARRAYS = ("HDF5", "NumPy", "MATLAB", "CSV")  # damaged in tests/test_array_formats.py
NAMES = [form.name for form in FORMATS if form.name not in ARRAYS]
SECONDS_A_FILE = 5
MOST_MEMORY_MB = 1000
MUTATIONS = 100
HUGE = (b"4294967295", b"-1", b"1e308", b"0", b"99999999", b"nan")

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


def mutate(original: bytes, name: str, rng: random.Random) -> tuple[bytes, bool]:
    """A damaged copy, and whether its checksum was made right again."""
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


def work(name: str, folder: Path, mutations: int, first_seed: int) -> str:
    """Read damaged copies of one format's file; returns what became of them."""
    source = write_all(folder, twelve_leads(2500))[name]
    original, good = source.read_bytes(), read_recording(source).signal_mv
    path, became, slowest_s = folder / "damaged", collections.Counter[str](), 0.0
    for seed in range(first_seed, first_seed + mutations):
        content, mended = mutate(original, name, random.Random(f"{name} {seed}"))
        path.write_bytes(content)
        print(f"{name} seed {seed}", file=sys.stderr, flush=True)  # the last line tells on which
        faulthandler.dump_traceback_later(SECONDS_A_FILE, exit=True)
        start = time.perf_counter()
        signal_mv, reason, message = outcome(path)
        became[reason or "read"] += 1
        assert reason is None or reason in set(Reason)
        assert not re.search(r"yamada|4711", message, re.IGNORECASE), message
        if signal_mv is not None and name == "SCP-ECG" and not mended:
            np.testing.assert_array_equal(signal_mv, good, f"seed {seed}: wrong but ok")
        slowest_s = max(slowest_s, time.perf_counter() - start)
        faulthandler.cancel_dump_traceback_later()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert peak_mb < MOST_MEMORY_MB, f"{peak_mb:.0f} MB"
    outcomes = ", ".join(f"{count} {what}" for what, count in became.most_common())
    return f"{name}: {outcomes}; slowest {slowest_s:.2f} s, {peak_mb:.0f} MB"


def run_worker(name: str, folder: Path, mutations: int) -> str:
    done = subprocess.run(
        [sys.executable, __file__, name, str(folder), "--mutations", str(mutations)],
        capture_output=True, text=True, timeout=60 + mutations,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_becomes_a_record_or_a_reason(name: str, tmp_path: Path) -> None:
    said = run_worker(name, tmp_path, MUTATIONS)
    assert (
        sum(map(int, re.findall(r"(\d+) (?=[a-z])", said.partition(": ")[2].split(";")[0])))
        == MUTATIONS
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_damaged_files_do_too(name: str, tmp_path: Path) -> None:
    run_worker(name, tmp_path, 10_000 // len(NAMES) + 1)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("name", choices=NAMES)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--mutations", type=int, default=MUTATIONS)
    arguments.add_argument("--first-seed", type=int, default=0)
    given = arguments.parse_args()
    # Beyond this a mistake ends as MemoryError instead of taking the machine along.
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    print(work(given.name, given.folder, given.mutations, given.first_seed))
