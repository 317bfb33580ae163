"""Reading in a process that may be killed: what hangs or crashes is named, and the rest goes on."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from synthetic_ecg import ecg
from wfdb_files import write_wfdb

from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.ecg import read_ecg
from ecgpipe.apply_model.server.reading import Reading, prepare, read_folder
from ecgpipe.apply_model.server.turns import Deadline

CONTRACT = Contract(rate_hz=100)


@pytest.fixture(autouse=True)
def ready() -> None:
    prepare()


def recording(folder: Path, name: str) -> None:
    write_wfdb(folder, name, (1000 * ecg(75)).astype(np.int16))


def hanging(folder: Path, name: str) -> None:
    """A recording whose signals are a pipe: whoever opens it waits for ever, inside the kernel."""
    recording(folder, name)
    (folder / f"{name}.dat").unlink()
    os.mkfifo(folder / f"{name}.dat")


def read(folder: Path, seconds: float = 20, in_all: float = 60) -> dict[str, Reading]:
    return {r.name: r for r in read_folder(folder, CONTRACT, Deadline(in_all), seconds)}


def english(reading: Reading) -> str:
    return "" if reading.refusal is None else reading.refusal["en"]


def test_a_window_is_the_one_that_is_read_in_this_process(tmp_path: Path) -> None:
    recording(tmp_path, "good")
    (found,) = read(tmp_path).values()
    expected = read_ecg(tmp_path / "good.hea", CONTRACT)
    assert found.signal_uv is not None
    assert np.array_equal(found.signal_uv, expected.signal_uv)
    assert found.notes == expected.notes
    assert found.heart_rate_bpm == expected.quality.heart_rate_bpm == pytest.approx(75, abs=1)
    assert (found.rate_hz, found.duration_s) == (500, 10)


def test_a_file_that_hangs_is_given_up_and_those_around_it_are_read(tmp_path: Path) -> None:
    recording(tmp_path, "a")
    hanging(tmp_path, "b")
    recording(tmp_path, "c")
    start = time.monotonic()
    found = read(tmp_path, seconds=2)
    assert time.monotonic() - start < 20
    assert list(found) == ["a", "b", "c"]
    assert "given up after 2 s" in english(found["b"])
    assert found["a"].signal_uv is not None
    assert found["c"].signal_uv is not None


def test_when_the_time_of_the_request_is_over_the_rest_is_named_as_not_read(tmp_path: Path) -> None:
    hanging(tmp_path, "a")
    recording(tmp_path, "b")
    recording(tmp_path, "c")
    found = read(tmp_path, seconds=60, in_all=3)
    assert "given up" in english(found["a"])
    assert "Drop it again by itself" in english(found["b"])
    assert "Drop it again by itself" in english(found["c"])


def test_a_reason_never_names_the_private_folder(tmp_path: Path) -> None:
    (tmp_path / "broken.dat").write_bytes(b"\x01\x02\x03" * 1000)
    (tmp_path / "lonely.hea").write_text("lonely 1 500 100\nlonely.dat 16 1000/mV 16 0 0 0 0 I\n")
    found = read(tmp_path)
    assert list(found) == ["broken.dat", "lonely"]
    for reading in found.values():
        assert english(reading)
        assert str(tmp_path) not in json.dumps(reading.refusal)


def test_a_folder_without_any_recording_says_so(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    assert "Drop the .hea and .dat" in english(read(tmp_path)[""])


def test_no_process_and_no_open_file_is_left(tmp_path: Path) -> None:
    recording(tmp_path, "good")
    read(tmp_path)
    this = psutil.Process()
    before = this.num_fds(), len(this.children(recursive=True))
    hanging(tmp_path, "b")
    for _ in range(3):
        read(tmp_path, seconds=0.5)
    assert (this.num_fds(), len(this.children(recursive=True))) == before


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("bytearray(3 << 30)", "MemoryError"),
        ("print('patient'); print('patient', file=sys.stderr); os.write(2, b'patient')", ""),
    ],
)
def test_a_reader_gets_no_more_memory_and_prints_nothing(program: str, expected: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys\nfrom ecgpipe.apply_model.server import reading\n"
            "said = os.fdopen(os.dup(2), 'w')\nreading._limit()\n"
            f"try:\n    {program}\n"
            "except BaseException as error:\n    said.write(type(error).__name__)\n",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("", expected)
