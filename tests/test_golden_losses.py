"""Twenty losses of a toy run, pinned: a change of the numbers is a decision, never an accident.

Where a change is meant, make the file anew and say why in the commit:

    python tests/test_golden_losses.py
"""

import json
import tempfile
from pathlib import Path

import pytest
from test_training import run

GOLDEN = Path(__file__).parent / "golden" / "losses.json"
# Other processors and builds of torch round elsewhere, and twenty steps make that a little larger.
TOLERANCE = 1e-3


def losses() -> list[float]:
    """Of the first 20 steps of the toy run of test_training."""
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), epochs=4, log_every=1)
        lines = (Path(folder) / "steps.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_twenty_losses_are_what_they_were() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert len(golden) == 20
    assert losses() == pytest.approx(golden, rel=TOLERANCE)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps([round(loss, 6) for loss in losses()], indent=1) + "\n")
