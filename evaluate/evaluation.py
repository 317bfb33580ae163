"""The evaluation stage: a model and records to the figures of every task.

Owns what is compared with what: the model, untrained models of the same shape, and the class prior,
on the same records with the same resampling. Knows a model only as something that encodes ECGs and
texts into one space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config import EvalConfig, Language
from ecgpipe.errors import StoppedEarly
from ecgpipe.evaluate.bootstrap import patient_weights
from ecgpipe.evaluate.ensemble import class_scores, flattened
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.scoring import (
    FromMembers,
    TaskDraws,
    class_figures,
    draw_figures,
    figure,
    pooled,
    scored_records,
    scores_from_members,
)
from ecgpipe.evaluate.tasks import Task
from ecgpipe.stopping import Stop

Vectors = npt.NDArray[np.float32]


class TwoSidedModel(Protocol):
    """Encodes ECGs and texts as unit vectors of one width."""

    def encode_ecg(self, slots: npt.NDArray[np.int64]) -> Vectors:
        """(n, D) of the ECGs in these slots of the signal store."""

    def encode_text(self, texts: Sequence[str], language: Language | None = None) -> Vectors:
        """(n, D) of class wordings, put into the prompt of a language; None: the model's own."""


@dataclass(frozen=True)
class Evaluation:
    """What was scored, and how well."""

    tasks: dict[str, Any]
    """The `tasks` block of the results file."""

    scored: dict[str, ScoredTask]
    """By name of the task, what the figures were computed from."""


def evaluate(
    model: TwoSidedModel,
    untrained: Sequence[TwoSidedModel],
    tasks: Sequence[Task],
    scored: RecordsTable,
    trained_on: RecordsTable,
    config: EvalConfig,
    language: str,
    stop: Stop,
) -> Evaluation:
    """Score every task, with baselines.

    Args:
        model: the trained model.
        untrained: models of the same shape as initialised, for the random-encoder baseline.
        tasks: what to score.
        scored: the records of the split that is scored.
        trained_on: the training records, for the class prior.
        config: draws, seed, and the least positives of a macro average.
        language: which wording of the classes is used where a task does not say.
        stop: asked between models and tasks.

    Raises:
        StoppedEarly: a signal came; nothing is kept.
    """
    weights = patient_weights(scored.patients, config.bootstrap_draws, config.seed)
    ecg_vectors = []
    for coder in (model, *untrained):
        _check_stop(stop)
        ecg_vectors.append(coder.encode_ecg(scored.slots))
    results, kept = {}, {}
    for task in tasks:
        _check_stop(stop)
        setting = _setting(task, scored, weights, config)
        scores, *noise = [
            _scores(coder, ecg, task, language)
            for coder, ecg in zip((model, *untrained), ecg_vectors, strict=True)
        ]
        kept[task.name] = ScoredTask(task, setting.chosen_N, scores, setting.truth_NC)
        draws, *random = [setting.figures(each) for each in (scores, *noise)]
        prior = setting.figures(_prior_scores(task, trained_on, len(scored)))
        by_members = (
            _from_members(task, setting, (model, *untrained), ecg_vectors, language)
            if task.has_members
            else {}
        )
        results[task.name] = {
            **_about(task, setting, config),
            "language": task.language or language,
            "ensemble": task.ensemble,
            "classes": {
                c.id: {
                    "names": dict(c.names),
                    "wordings": task.wordings(language)[number],
                    "patients": setting.n_patients(scored, number),
                    **class_figures(draws, number),
                }
                for number, c in enumerate(task.classes)
            },
            "summary": {name: figure(values) for name, values in draws.summary.items()},
            "baselines": {
                "random_encoder": {
                    "models": len(untrained),
                    "summary": pooled([other.summary for other in random]),
                },
                "class_prior": {
                    "records": len(trained_on),
                    "summary": {name: figure(values) for name, values in prior.summary.items()},
                },
            },
            "from_members": by_members,
        }
    return Evaluation(results, kept)


def validation_figures(
    model: TwoSidedModel, task: Task, records: RecordsTable, min_positives: int, language: str
) -> dict[str, float]:
    """The summary figures of one task without intervals, for choosing a checkpoint.

    A macro figure falls back to all classes where none has `min_positives` records. NaN where there
    is nothing to score.
    """
    truth = task.truth([record.findings for record in records.records])
    chosen = scored_records(task.kind, truth)
    scores = _scores(model, model.encode_ecg(records.slots), task, language)
    no_draws = np.empty((0, int(chosen.sum())))
    summary = draw_figures(scores[chosen], truth[chosen], no_draws, min_positives).summary
    values = {name: float(value[0]) for name, value in summary.items()}
    return {
        name: values[f"{name}_all"] if np.isnan(value) and f"{name}_all" in values else value
        for name, value in values.items()
        if not name.endswith("_all")
    }


def _check_stop(stop: Stop) -> None:
    if stop:
        raise StoppedEarly(
            f"Stopped by {stop.cause} while scoring; the model is kept. Run the same command again."
        )


@dataclass(frozen=True)
class _Setting:
    """The records a task scores, with their truth and weights."""

    chosen_N: npt.NDArray[np.bool_]
    truth_NC: npt.NDArray[np.bool_]
    weights_DN: npt.NDArray[np.float64]
    min_positives: int

    def figures(self, scores: Vectors) -> TaskDraws:
        chosen = self.chosen_N
        return draw_figures(
            scores[chosen], self.truth_NC[chosen], self.weights_DN[:, chosen], self.min_positives
        )

    def n_patients(self, scored: RecordsTable, number: int) -> int:
        """How many people's scored ECGs show a class."""
        shown_N = self.chosen_N & self.truth_NC[:, number]
        return len({scored.records[place].patient_id for place in np.flatnonzero(shown_N)})


def _scores(coder: TwoSidedModel, ecgs_ND: Vectors, task: Task, language: str) -> Vectors:
    """(N, C) of a task's classes, by their own wordings."""
    texts, class_of_M = flattened(task.wordings(language))
    texts_MD = coder.encode_text(texts, task.language)
    return class_scores(ecgs_ND, texts_MD, class_of_M, task.ensemble)


def _from_members(
    task: Task,
    setting: _Setting,
    coders: Sequence[TwoSidedModel],
    ecg_vectors: Sequence[Vectors],
    language: str,
) -> dict[str, Any]:
    """The summary with classes scored by their members' prompts; `coders` begins with the model."""
    texts, class_of_M = flattened(task.member_wording(language))
    scores = [
        ecg @ coder.encode_text(texts, task.language).T
        for coder, ecg in zip(coders, ecg_vectors, strict=True)
    ]
    hows: tuple[FromMembers, ...] = ("max", "mean", "logsumexp")
    found: dict[str, Any] = {}
    for how in hows:
        draws, *random = [
            setting.figures(scores_from_members(each, class_of_M, how)) for each in scores
        ]
        found[how] = {
            "members": {c.id: len(c.member_names) for c in task.classes},
            "summary": {name: figure(values) for name, values in draws.summary.items()},
            "random_encoder": {"summary": pooled([other.summary for other in random])},
        }
    return found


def _setting(
    task: Task, scored: RecordsTable, weights: npt.NDArray[np.float64], config: EvalConfig
) -> _Setting:
    truth = task.truth([record.findings for record in scored.records])
    return _Setting(scored_records(task.kind, truth), truth, weights, config.min_positives)


def _about(task: Task, setting: _Setting, config: EvalConfig) -> dict[str, Any]:
    n = int(setting.chosen_N.sum())
    return {
        "title": dict(task.title),
        "source": task.source,
        "kind": task.kind,
        "split": config.split,
        "n": n,
        "n_left_out": len(setting.chosen_N) - n,
        "min_positives": config.min_positives,
    }


def _prior_scores(task: Task, trained_on: RecordsTable, n: int) -> Vectors:
    """Every record gets the classes' frequencies in training: no ECG is looked at.

    Of equally frequent classes the first is preferred: a tie would count against the baseline.
    """
    truth = task.truth([record.findings for record in trained_on.records])
    counts = truth[scored_records(task.kind, truth)].sum(axis=0)
    preference = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
    return np.tile(-preference.astype(np.float32), (n, 1))
