"""Training killed at random moments ends with the weights of an undisturbed run."""

import os
import subprocess
import sys

import pytest
from paths import HELPERS

CAMPAIGN = HELPERS / "crash" / "train_kills.py"


@pytest.mark.parametrize(
    ("processes", "kills"),
    [
        (1, 4),
        pytest.param(1, 50, marks=pytest.mark.slow),
        pytest.param(2, 50, marks=pytest.mark.slow),
    ],
)
def test_killed_again_and_again_the_weights_are_the_same(processes: int, kills: int) -> None:
    # A process of its own: it forks, which pytest's threads would not survive.
    done = subprocess.run(
        [sys.executable, CAMPAIGN, "--kills", str(kills), "--processes", str(processes)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{kills} kills" in done.stdout
