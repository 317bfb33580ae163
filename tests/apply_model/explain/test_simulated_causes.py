"""An explanation points at the cause of a simulated finding; an untrained model's does not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.explain import chance_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_a_trained_model_finds_causes_far_more_often_than_chance_and_an_untrained_one_does_not(
    tmp_path: Path,
) -> None:
    small = ["--patients", "500", "--epochs", "12", "--cases", "3", "--untrained", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.explain", *small, "--work", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"found in %: ([\d.]+)", done.stdout)
    by_chance = re.search(r"untrained.*: ([\d.]+) \(target <= ([\d.]+)\)", done.stdout)
    assert found
    assert by_chance
    # 30 cases: at chance (30 %) 65 % or more would come up once in 20,000 times.
    assert float(found[1]) >= 65, done.stdout
    assert float(by_chance[1]) <= float(by_chance[2]), done.stdout


def test_chance_is_that_of_all_rankings() -> None:
    # Of the 495 choices of 4 leads of 12, 117 hold two or three of three given ones.
    assert chance_of(3, 2, 12) == pytest.approx(117 / 495)
    assert chance_of(1, 1, 9) == pytest.approx(1 / 3)
