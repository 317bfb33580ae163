"""`ecgpipe prepare` survives kills of its processes; tests/helpers/crash holds the campaign."""

import subprocess
import sys
from pathlib import Path

import pytest
from crash import prepare_kills, worker

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds workers in Linux's /proc"
)


def run_campaign(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, prepare_kills.__file__, *arguments],
        env=worker.environment(TMPDIR=str(folder)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_proc
def test_a_kill_of_prepare_changes_no_byte(tmp_path: Path) -> None:
    assert "kill -9              1       0       0" in run_campaign(tmp_path, "--kills", "1")


@needs_proc
@pytest.mark.slow
def test_thirty_kills_of_prepare_change_no_byte(tmp_path: Path) -> None:
    assert "kill -9             30       0       0" in run_campaign(tmp_path, "--kills", "30")
