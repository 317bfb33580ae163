"""What an analysis is, and what it may look at.

Owns the two shapes. A new analysis is a module beside this one and a line in `registry`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.config.evaluate import EvalConfig
from ecgpipe.config.settings import Language
from ecgpipe.drawing.plot import Plot
from ecgpipe.errors import StoppedEarly
from ecgpipe.evaluate.evaluation import TwoSidedModel, Vectors
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.results import Summary, Tasks
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.scoring import bootstrap_metrics
from ecgpipe.evaluate.table import Table
from ecgpipe.evaluate.tasks.echo_definitions import EchoDefinitions
from ecgpipe.evaluate.tasks.ensemble import class_scores, flattened
from ecgpipe.evaluate.tasks.task import Task
from ecgpipe.evaluate.tasks.taxonomy import Finding, Taxonomy
from ecgpipe.evaluate.tasks.wordings import Bank
from ecgpipe.evaluate.words import Words
from ecgpipe.stopping import Stop

Slots = npt.NDArray[np.int64]
Stored = npt.NDArray[np.int16]
"""(B, L, S) signals in µV."""


class LeftOutError(Exception):
    """An analysis cannot be made; the report shows the message."""


class AnalysedModel(TwoSidedModel, Protocol):
    """What analyses need of a model beyond encoding ECGs and class wordings."""

    def encode_sentences(self, sentences: Sequence[str]) -> Vectors:
        """(n, D) unit vectors of whole sentences, without a prompt."""

    def text_vectors(self, texts: Sequence[str], language: Language | None) -> Vectors:
        """(n, W) the language model's own vectors of class wordings in their prompt."""

    @property
    def text_mean(self) -> Vectors:
        """(W,) what the model subtracts from a vector of the language model."""

    def place_texts(self, text_NW: Vectors) -> Vectors:
        """Where vectors of the language model lie for the model: (n, W) centred, or (n, K) on its
        axes."""

    def features(self, slots: Slots) -> Vectors:
        """(n, F) the encoder's output for ECGs, before the projection."""

    def encode_changed(self, slots: Slots, change: Callable[[Stored, Slots], Stored]) -> Vectors:
        """(n, D) of ECGs after their stored signals went through `change`."""


def scorable_findings(
    findings: Iterable[Finding], records: RecordsTable, min_positives: int
) -> tuple[list[Finding], npt.NDArray[np.bool_]]:
    """Those that enough records show, but not all, and (N, F) which records do."""
    least = max(min_positives, 1)
    chosen, columns = [], [np.zeros((len(records), 0), np.bool_)]
    for finding in findings:
        shown_N = np.array([finding.id in each.findings for each in records.records], np.bool_)
        if least <= shown_N.sum() < len(records):
            chosen.append(finding)
            columns.append(shown_N[:, None])
    return chosen, np.concatenate(columns, axis=1)


@dataclass(frozen=True, kw_only=True)
class AnalysisContext:
    """Everything an analysis may look at."""

    model: AnalysedModel
    untrained: Sequence[AnalysedModel]
    """Models of the same shape as initialised; at least one."""

    tasks: Sequence[ScoredTask]
    """The tasks as the trained model scored them."""

    scored: RecordsTable
    sentences: Sequence[str]
    """What is said of each scored record: its training sentence."""

    train: RecordsTable
    validation: RecordsTable
    signals: SignalStore
    rate_hz: int
    resample: Callable[[npt.NDArray[np.float32], float, float], npt.NDArray[np.float32]]
    """(rows, samples), from Hz, to Hz."""

    taxonomy: Taxonomy
    bank: Bank | None
    """The taxonomy's other wordings; None if those that are held out have no vectors."""

    unseen: Sequence[str]
    """Ids of the findings that training never named."""

    trained_texts: npt.NDArray[np.float16]
    """(n, W) where texts lie that training read (`AnalysedModel.place_texts`), scaled to length 1;
    those that an exported model keeps too."""

    echo: EchoDefinitions | None
    """What an echocardiogram may show; None without data.echo."""

    language: Language
    config: EvalConfig
    stop: Stop

    @cached_property
    def draws(self) -> PatientDraws:
        """Bootstrap draws of the scored records, the same as the tasks'; those of one task's ECGs
        are `draws.chosen(task.chosen_N)`."""
        return PatientDraws.of(self.scored.patients, self.config.bootstrap_draws, self.config.seed)

    @property
    def scorable_tasks(self) -> list[ScoredTask]:
        """The tasks with at least one ECG to score.

        Raises:
            LeftOutError: there is none.
        """
        tasks = [task for task in self.tasks if task.chosen_N.any()]
        if not tasks:
            raise LeftOutError("no task has an ECG to score")
        return tasks

    @property
    def fully_known_tasks(self) -> list[ScoredTask]:
        """Those of which every scored ECG's answers are known: of the others nobody can say which
        class is its only one, or which of two first choices is wrong.

        Raises:
            LeftOutError: there is none.
        """
        tasks = [task for task in self.scorable_tasks if task.known_NC is None]
        if not tasks:
            raise LeftOutError("of every task some answers are unknown")
        return tasks

    def scorable_findings(
        self, findings: Iterable[Finding]
    ) -> tuple[list[Finding], npt.NDArray[np.bool_]]:
        """Those that enough scored records show, as `scorable_findings`."""
        return scorable_findings(findings, self.scored, self.config.min_positives)

    def scores(self, model: AnalysedModel, task: Task, ecg_ND: Vectors) -> Vectors:
        """(N, C) a model's scores of ECGs that it encoded, for each class of a task."""
        texts, class_of_M = flattened(task.wordings(self.language))
        text_MD = model.encode_text(texts, task.language)
        return class_scores(ecg_ND, text_MD, class_of_M, task.ensemble)

    def summary(self, task: ScoredTask, scores_NC: npt.NDArray[np.float32]) -> Summary:
        """The task's summary if these were its scores of the whole split."""
        chosen, least = task.chosen_N, self.config.min_positives
        found = bootstrap_metrics(
            scores_NC[chosen],
            task.truth,
            self.draws.chosen(chosen),
            least,
            known_NC=task.known,
        )
        return found.summary_metrics()

    def cosines(self, model: AnalysedModel, texts: Sequence[str]) -> Vectors:
        """(N, n) of each scored record and each of these wordings, in the prompt of training."""
        cosines_Nn: Vectors = model.encode_ecg(self.scored.slots) @ model.encode_text(texts).T
        return cosines_Nn

    def need_other_split(self, *splits: str) -> None:
        """Refuse to learn from the records that are scored.

        Raises:
            LeftOutError: eval.split is one of `splits`.
        """
        if self.config.split in splits:
            raise LeftOutError(
                f"it learns from the {self.config.split} split, which is the one that is scored"
            )

    def check_stop(self) -> None:
        """End early if a signal asked for it.

        Raises:
            StoppedEarly: nothing is kept.
        """
        if self.stop:
            raise StoppedEarly(
                f"Stopped by {self.stop.cause} while analysing; the model is kept. Run the same"
                " command again."
            )


def _nothing(block: Any, tasks: Tasks) -> None:
    return None


def _no_charts(block: Any, tasks: Tasks) -> Iterable[Plot]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One analysis: its block of the results file, and what the report shows of it.

    Every function but `compute` is given the block and the tasks of the results file.
    """

    title: Words
    of_echos: bool = False
    """Whether it is given ECGs of which only the echocardiogram says something; any other analysis
    would take them for ECGs without findings."""

    compute: Callable[[AnalysisContext], Any]
    """The block, ready for JSON. Raises LeftOutError where it cannot be made."""

    tables: Callable[[Any, Tasks], Iterable[Table]]
    about: Callable[[Any, Tasks], Words | None] = _nothing
    """A sentence under the title."""

    charts: Callable[[Any, Tasks], Iterable[Plot]] = _no_charts
