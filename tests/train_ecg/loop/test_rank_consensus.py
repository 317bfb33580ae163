"""Several processes decide as one: how often they exchange, and what they decide.

That real processes stop together and use the same metrics: test_several_processes.
"""

from collections.abc import Sequence

import pytest
import torch

from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.rank_consensus import RankConsensus
from ecgpipe.train_ecg.loop.ranks import Ranks

CPU = torch.device("cpu")


class OfTwo(Ranks):
    """The first of two processes; the other sends what is set here. Counts the exchanges."""

    others: Sequence[float] | None = None
    exchanges = 0

    def __init__(self) -> None:
        super().__init__(0, 2)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        type(self).exchanges += 1
        return tensor + (tensor if self.others is None else torch.tensor(self.others).double())


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


def exchanges_in(steps: int, step_s: float, consensus: RankConsensus, clock: Clock) -> int:
    before = OfTwo.exchanges
    for _ in range(steps):
        consensus.to_stop(Stop())
        clock.now_s += step_s
    return OfTwo.exchanges - before


def test_processes_exchange_about_once_a_second(clock: Clock) -> None:
    consensus = RankConsensus(OfTwo(), CPU)
    consensus.begin_epoch()
    # At steps 0 and 1, after which the length of a step is known, then at 129, 257, ... 897.
    assert exchanges_in(1000, 1 / 128, consensus, clock) == 2 + 7


def test_processes_exchange_before_every_step_longer_than_a_second(clock: Clock) -> None:
    consensus = RankConsensus(OfTwo(), CPU)
    consensus.begin_epoch()
    assert exchanges_in(5, 3.0, consensus, clock) == 5


def test_an_epoch_begins_with_an_exchange(clock: Clock) -> None:
    """A signal received during validation is obeyed before the next step."""
    consensus = RankConsensus(OfTwo(), CPU)
    consensus.begin_epoch()
    exchanges_in(10, 0.001, consensus, clock)
    assert exchanges_in(10, 0.001, consensus, clock) == 0
    consensus.begin_epoch()
    assert exchanges_in(1, 0.001, consensus, clock) == 1


def test_one_process_that_wishes_it_is_enough(clock: Clock) -> None:
    ranks = OfTwo()
    consensus = RankConsensus(ranks, CPU)
    object.__setattr__(ranks, "others", [1.0, 0.5])
    assert consensus.to_stop(Stop())
    object.__setattr__(ranks, "others", [1.0])
    assert consensus.any(False)
    object.__setattr__(ranks, "others", [0.0])
    assert not consensus.any(False)
    assert consensus.any(True)


def test_a_single_process_exchanges_nothing(clock: Clock) -> None:
    consensus = RankConsensus(Ranks(), CPU)
    stop, before = Stop(), OfTwo.exchanges
    assert not consensus.to_stop(stop)
    stop.request("SIGTERM")
    assert consensus.to_stop(stop)
    assert consensus.any(True)
    assert not consensus.any(False)
    assert consensus.metrics({"b": 0.1, "a": 0.2}) == {"a": 0.2, "b": 0.1}
    assert OfTwo.exchanges == before
