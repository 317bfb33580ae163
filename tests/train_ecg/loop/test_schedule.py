"""The learning rate of a step, worked by hand."""

import pytest

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.loop.schedule import learning_rate


def rates(**settings: object) -> list[float]:
    config = TrainConfig(lr=1.0, epochs=4, **settings)
    return [learning_rate(config, step, steps_per_epoch=2) for step in range(8)]


def test_a_constant_rate_stays() -> None:
    assert rates() == [1.0] * 8


def test_a_cosine_falls_from_the_whole_rate_to_nearly_none() -> None:
    found = rates(schedule="cosine")
    # (1 + cos(pi k / 8)) / 2
    by_hand = [1.0, 0.961940, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.038060]
    assert found == pytest.approx(by_hand, abs=1e-6)


def test_it_rises_first_and_falls_over_what_is_left() -> None:
    found = rates(schedule="cosine", warmup_epochs=1.0)
    assert found[:2] == pytest.approx([1 / 3, 2 / 3])
    assert found[2] == pytest.approx(1.0)
    assert found[5] == pytest.approx(0.5)
    assert rates(warmup_epochs=0.5)[:3] == pytest.approx([0.5, 1.0, 1.0])
