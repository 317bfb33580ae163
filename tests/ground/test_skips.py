"""The line about skipped tests under a run of the tests."""

import os
import subprocess
import sys
from pathlib import Path

SKIPPING = """
import pytest

@pytest.mark.parametrize("number", range(5))
@pytest.mark.skipif(True, reason="no Slurm here: sbatch missing")
def test_one(number):
    pass

def test_two():
    pytest.skip("no Chromium on this machine")

def test_three():
    pass
"""


def test_what_is_skipped_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPING)
    command = ["-m", "pytest", "-c", "pyproject.toml", "-p", "skips", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, *command, "--rootdir", str(tmp_path), str(tmp_path / "test_it.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "helpers")},
    )
    assert "Skipped: 5 no Slurm here; 1 no Chromium on this machine\n" in done.stdout
    assert done.stdout.count("no Slurm here") == 1  # and no line for each place
