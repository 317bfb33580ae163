"""Damaged and hostile files of every format: each ends as a record or a RecordError, soon and in
little memory. tests/helpers/format_fuzz.py is the program that reads them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import format_fuzz
import pytest
from format_fuzz import MUTATIONS, NAMES


def run_worker(name: str, folder: Path, mutations: int) -> str:
    done = subprocess.run(
        [sys.executable, format_fuzz.__file__, name, str(folder), "--mutations", str(mutations)],
        capture_output=True, text=True, timeout=60 + mutations,
        env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def environment() -> dict[str, str]:
    # One thread: each thread of a BLAS library takes address space of its own.
    paths = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_or_hostile_file_becomes_a_record_or_a_reason(name: str, tmp_path: Path) -> None:
    said = run_worker(name, tmp_path, MUTATIONS)
    counted = re.findall(r"(\d+) (?:read|refused)", said.partition(": ")[2])
    assert sum(map(int, counted)) == MUTATIONS


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_damaged_files_do_too(name: str, tmp_path: Path) -> None:
    print(run_worker(name, tmp_path, 10_000 // len(NAMES) + 1))


@pytest.mark.parametrize("what", ["hang", "memory"])
def test_the_worker_itself_is_ended_by_its_limits(what: str, tmp_path: Path) -> None:
    """A watch that could not bite would let everything pass."""
    programs = {
        "hang": "with fuzz.time_limit(0.5):\n    while True: pass",
        "memory": "bytearray(5 << 30)",
    }
    done = subprocess.run(
        [sys.executable, "-c", f"""
import format_fuzz as fuzz
fuzz.limit_memory()
{programs[what]}
"""],
        capture_output=True, text=True, timeout=60, env=environment(),
    )  # fmt: skip
    assert done.returncode != 0
    assert ("MemoryError" if what == "memory" else "most recent call first") in done.stderr
