"""Several processes decide as one: how often they exchange, and what they decide.

That real processes stop together and use the same metrics: test_several_processes.
"""

import pytest
import torch

from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.rank_consensus import STEPS_BETWEEN, RankConsensus
from ecgpipe.train_ecg.loop.ranks import Ranks

CPU = torch.device("cpu")


class OfTwo(Ranks):
    """The first of two processes; the other sends what is set here. Counts the exchanges."""

    other = 0.0
    exchanges = 0

    def __init__(self) -> None:
        super().__init__(0, 2)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        type(self).exchanges += 1
        return tensor + self.other


def test_processes_exchange_at_an_epochs_first_step_and_every_few_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal received during validation is obeyed before the next step."""
    monkeypatch.setitem(STEPS_BETWEEN, "cpu", 4)
    consensus, counts = RankConsensus(OfTwo(), CPU), []
    for step in range(9):
        before = OfTwo.exchanges
        consensus.to_stop(Stop(), step)
        counts.append(OfTwo.exchanges - before)
    assert counts == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_one_process_that_wishes_it_is_enough() -> None:
    ranks = OfTwo()
    consensus = RankConsensus(ranks, CPU)
    assert not consensus.any(False)
    assert consensus.any(True)
    object.__setattr__(ranks, "other", 1.0)
    assert consensus.any(False)
    assert consensus.to_stop(Stop(), 0)


def test_a_single_process_exchanges_nothing() -> None:
    consensus = RankConsensus(Ranks(), CPU)
    stop, before = Stop(), OfTwo.exchanges
    assert not consensus.to_stop(stop, 0)
    stop.request("SIGTERM")
    assert consensus.to_stop(stop, 0)
    assert consensus.any(True)
    assert not consensus.any(False)
    assert consensus.metrics({"b": 0.1, "a": 0.2}) == {"a": 0.2, "b": 0.1}
    assert OfTwo.exchanges == before
