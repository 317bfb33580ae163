"""A step launches as few operations as it did: on a GPU with small batches they are its time.

The ceilings are what was counted on 2026-11-29, and a tenth more, as other releases of torch count
otherwise. Whoever makes a part smaller lowers its ceiling. About a hundred of preset recommended's
forward pass measure the intervals between beats, since 2026-11-30.
"""

import pytest
import torch

from benchmarks.operation_count import (
    PARTS,
    launching,
    main,
    operations,
    operations_of_step,
    preset_config,
)
from ecgpipe.config.presets import PRESETS

OF_EVERY_STEP = ("inputs", "forward", "backward", "update")
CEILINGS = {
    "paper": {"inputs": 6, "forward": 170, "backward": 162, "update": 10, "check": 9},
    "recommended": {"inputs": 75, "forward": 268, "backward": 157, "update": 10, "check": 9},
}


@pytest.mark.parametrize("preset", CEILINGS)
def test_a_step_launches_no_more_operations_than_it_did(preset: str) -> None:
    seen = operations_of_step(preset_config(preset))
    counted = {part: launching(seen[part]) for part in CEILINGS[preset]}
    beyond = {part: n for part, n in counted.items() if n > CEILINGS[preset][part]}
    assert not beyond, f"more operations than {CEILINGS[preset]}: {counted}"


def test_the_default_preset_launches_hardly_more_than_the_paper_s() -> None:
    """Augmentation included: its keys are computed once an epoch, its numbers all together. Only
    the intervals between beats cost more, which an encoder alone does without."""
    launched = {}
    for preset in PRESETS:
        seen = operations_of_step(preset_config(preset, beat_intervals=False))
        launched[preset] = sum(map(launching, (seen[part] for part in OF_EVERY_STEP)))
    assert launched["recommended"] <= 1.15 * launched["paper"], launched


def test_operations_are_counted_one_by_one_and_views_apart() -> None:
    numbers = torch.ones(3)

    def work() -> None:
        for _ in range(4):
            numbers.add(1).view(1, 3)

    seen = operations(work)
    assert launching(seen) == 4
    assert seen.total() == 8


def test_the_count_is_printed_for_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--names"])
    printed = capsys.readouterr().out
    assert {line.split()[1] for line in printed.splitlines() if line[:1] == "|"} >= set(PARTS)
    assert "recommended, backward: aten." in printed
