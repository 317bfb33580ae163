"""Several processes agree: how often they ask one another, and what they answer.

That real processes stop together and follow one another's figures: test_several_processes.
"""

from collections.abc import Sequence

import pytest
import torch

from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.batch_parts import BatchParts
from ecgpipe.train_ecg.loop.rank_consensus import Agreement

CPU = torch.device("cpu")


class OfTwo(BatchParts):
    """Two processes, of which the other says what is set here. Counts the exchanges."""

    others: Sequence[float] | None = None
    exchanges = 0

    def sum(self, terms: Sequence[torch.Tensor]) -> torch.Tensor:
        type(self).exchanges += 1
        other = terms[0] if self.others is None else torch.tensor(self.others, dtype=terms[0].dtype)
        return terms[0] + other


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("ecgpipe.train_ecg.loop.rank_consensus.time", clock)
    return clock


def exchanges_in(steps: int, step_s: float, agreement: Agreement, clock: Clock) -> int:
    before = OfTwo.exchanges
    for _ in range(steps):
        agreement.to_stop(Stop())
        clock.now_s += step_s
    return OfTwo.exchanges - before


def test_short_steps_are_interrupted_about_once_a_second(clock: Clock) -> None:
    agreement = Agreement(OfTwo(64, 2, 0, 2), CPU)
    agreement.begin_epoch()
    # At steps 0 and 1, from when on it is known how long one takes, then at 129, 257, ... 897.
    assert exchanges_in(1000, 1 / 128, agreement, clock) == 2 + 7


def test_steps_longer_than_a_second_are_asked_about_each_time(clock: Clock) -> None:
    agreement = Agreement(OfTwo(64, 2, 0, 2), CPU)
    agreement.begin_epoch()
    assert exchanges_in(5, 3.0, agreement, clock) == 5


def test_an_epoch_begins_with_an_agreement(clock: Clock) -> None:
    """A signal that came while the last epoch was validated is not left waiting."""
    agreement = Agreement(OfTwo(64, 2, 0, 2), CPU)
    agreement.begin_epoch()
    exchanges_in(10, 0.001, agreement, clock)
    assert exchanges_in(10, 0.001, agreement, clock) == 0
    agreement.begin_epoch()
    assert exchanges_in(1, 0.001, agreement, clock) == 1


def test_the_other_process_is_heard(clock: Clock) -> None:
    parts = OfTwo(64, 2, 0, 2)
    agreement = Agreement(parts, CPU)
    object.__setattr__(parts, "others", [1.0, 0.5])
    assert agreement.to_stop(Stop())
    object.__setattr__(parts, "others", [1.0])
    assert agreement.any(False)
    object.__setattr__(parts, "others", [0.0])
    assert not agreement.any(False)
    assert agreement.any(True)


def test_one_process_asks_nobody(clock: Clock) -> None:
    agreement = Agreement(OfTwo(64, 1), CPU)
    stop, before = Stop(), OfTwo.exchanges
    assert not agreement.to_stop(stop)
    stop.request("SIGTERM")
    assert agreement.to_stop(stop)
    assert agreement.any(True)
    assert not agreement.any(False)
    assert agreement.figures({"b": 0.1, "a": 0.2}) == {"a": 0.2, "b": 0.1}
    assert OfTwo.exchanges == before
