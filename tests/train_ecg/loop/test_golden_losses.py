"""Twenty losses of a toy run, pinned: a change of the numbers is a decision, never an accident.

In double precision, in which processors of any kind agree to 1e-13 after twenty steps. In single
precision, which training uses, they differ by 7 % by then: AdamW makes of a gradient near 0 a whole
step of either sign. So of that only the first two losses are pinned.

Where a change is meant, make the file anew and say why in the commit:

    python tests/train_ecg/loop/test_golden_losses.py
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from toy_training import run

GOLDEN = Path(__file__).parents[2] / "golden" / "losses.json"
STEPS = {"float64": 20, "float32": 2}
TOLERANCE = {"float64": 1e-9, "float32": 1e-3}


def losses(precision: str) -> list[float]:
    """Of the first steps of the toy run."""
    with tempfile.TemporaryDirectory() as folder, computing_in(precision):
        run(Path(folder), epochs=4, log_every=1)
        lines = (Path(folder) / "steps.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines][: STEPS[precision]]


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, precision))
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("precision", STEPS)
def test_losses_are_what_they_were(precision: str) -> None:
    golden = json.loads(GOLDEN.read_text())[precision]
    assert len(golden) == STEPS[precision]
    assert losses(precision) == pytest.approx(golden, rel=TOLERANCE[precision])


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps({each: losses(each) for each in STEPS}, indent=1) + "\n")
