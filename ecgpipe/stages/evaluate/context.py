"""What every analysis beside the tasks may look at.

Owns the context that the blocks are handed, and how a block says that it cannot be made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.errors import StoppedEarly
from ecgpipe.evaluate.evaluation import Evaluation, TwoSidedModel, Vectors
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.scoring import bootstrap_metrics
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stopping import Stop

Slots = npt.NDArray[np.int64]
Stored = npt.NDArray[np.int16]


class AnalysedModel(TwoSidedModel, Protocol):
    """What analyses ask of a model beyond encoding ECGs and classes."""

    def encode_sentences(self, sentences: Sequence[str]) -> Vectors:
        """(n, D) of whole sentences, as the language model read them."""

    def features(self, slots: Slots) -> Vectors:
        """(n, F) what the encoder makes of ECGs, before the projection."""

    @property
    def text_mean(self) -> Vectors:
        """(W,) what the model subtracts from a vector of the language model."""

    def encode_changed(self, slots: Slots, change: Callable[[Stored, Slots], Stored]) -> Vectors:
        """(n, D) of ECGs after their stored signals went through `change`."""


class LeftOutError(Exception):
    """A block cannot be made; the message says why, to stand in the report."""


@dataclass(frozen=True)
class Splits:
    """The records that have a text."""

    scored: RecordsTable
    train: RecordsTable
    validation: RecordsTable


@dataclass(frozen=True)
class AnalysisContext:
    """What every block may look at."""

    experiment: Experiment
    model: AnalysedModel
    untrained: Sequence[AnalysedModel]
    evaluation: Evaluation
    splits: Splits
    stop: Stop

    @cached_property
    def draws(self) -> PatientDraws:
        """Bootstrap draws of the scored records, the same as the tasks'."""
        settings = self.experiment.config.eval
        return PatientDraws.of(self.splits.scored.patients, settings.bootstrap_draws, settings.seed)

    @property
    def scored_tasks(self) -> list[ScoredTask]:
        """The tasks that have an ECG to score.

        Raises:
            LeftOutError: there is none.
        """
        tasks = [t for t in self.evaluation.scored.values() if t.chosen_N.any()]
        if not tasks:
            raise LeftOutError("no task has an ECG to score")
        return tasks

    def metrics(self, task: ScoredTask, scores_NC: npt.NDArray[np.float32]) -> dict[str, Any]:
        """The task's summary if these were its scores of the whole split."""
        chosen, least = task.chosen_N, self.experiment.config.eval.min_positives
        found = bootstrap_metrics(scores_NC[chosen], task.truth, self.draws.chosen(chosen), least)
        return found.summary_metrics()

    def check_stop(self) -> None:
        """Heed a signal.

        Raises:
            StoppedEarly: one came; nothing is kept.
        """
        if self.stop:
            raise StoppedEarly(
                f"Stopped by {self.stop.cause} while analysing; the model is kept. Run the same"
                " command again."
            )
