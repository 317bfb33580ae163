"""The evaluation stage: a model and records to the metrics of every task.

Owns what is compared with what: the model, untrained models of the same shape, the class prior,
the model with its prompts shuffled, and apart from these its scores adjusted by the prior; all on
the same records with the same resampling. Every choice (thresholds, calibration) is made on
validation records; the scored records' truth is only ever compared with. Knows a model only as
something that encodes ECGs and texts into one space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.evaluate import EvalConfig
from ecgpipe.config.settings import Language
from ecgpipe.errors import StoppedEarly
from ecgpipe.evaluate.metrics.baselines import log_prior_adjusted, prior_scores, shuffles
from ecgpipe.evaluate.metrics.bootstrap import Draws, PatientDraws
from ecgpipe.evaluate.metrics.calibration import PairLogits, calibration
from ecgpipe.evaluate.metrics.confusion import confusion
from ecgpipe.evaluate.metrics.curves import curves
from ecgpipe.evaluate.metrics.thresholds import best_f1_thresholds
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.scoring import (
    START_TEMPERATURE,
    FromMembers,
    TaskDraws,
    bootstrap_metrics,
    class_metrics,
    pooled,
    scored_records,
    scores_from_members,
)
from ecgpipe.evaluate.tasks.ensemble import class_scores, flattened
from ecgpipe.evaluate.tasks.task import Task
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
    """By name of the task, what the metrics were computed from."""


@dataclass(frozen=True)
class SplitVectors:
    """What one model makes of the ECGs of both splits. D = joint width."""

    scored_ND: Vectors
    validation_VD: Vectors

    def scores(self, text_CD: Vectors) -> "SplitScores":
        """Cosines with these texts."""
        return SplitScores(self.scored_ND @ text_CD.T, self.validation_VD @ text_CD.T)


@dataclass(frozen=True)
class SplitScores:
    """Scores of each class for every record of both splits."""

    scored_NC: Vectors
    validation_VC: Vectors

    def ordered(self, order_C: npt.NDArray[np.int64]) -> "SplitScores":
        """Each class with the scores of another."""
        return SplitScores(self.scored_NC[:, order_C], self.validation_VC[:, order_C])


def evaluate(
    model: TwoSidedModel,
    untrained: Sequence[TwoSidedModel],
    tasks: Sequence[Task],
    scored: RecordsTable,
    trained_on: RecordsTable,
    config: EvalConfig,
    language: str,
    stop: Stop,
    validation: RecordsTable | None = None,
    logits: PairLogits | None = None,
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
        validation: the records that thresholds and calibration are chosen on; without any there
            is no F1 and no calibration.
        logits: how the model makes logits of cosines; by default at the temperature that training
            starts from, without a bias.

    Raises:
        StoppedEarly: a signal came; nothing is kept.
        ValueError: a record is both scored and chosen on.
    """
    validation = validation or RecordsTable(())
    if {r.record_id for r in validation.records} & {r.record_id for r in scored.records}:
        raise ValueError("validation records must not be among those that are scored")
    draws = PatientDraws.of(scored.patients, config.bootstrap_draws, config.seed)
    ecg_vectors = []
    for coder in (model, *untrained):
        _check_stop(stop)
        ecg_vectors.append(
            SplitVectors(coder.encode_ecg(scored.slots), coder.encode_ecg(validation.slots))
        )
    logits = logits or PairLogits(1 / START_TEMPERATURE, None)
    results, kept = {}, {}
    for task in tasks:
        _check_stop(stop)
        setting = _Setting.of(task, scored, validation, trained_on, draws, config)
        scores, *noise = [
            _scores(coder, ecg, task, language)
            for coder, ecg in zip((model, *untrained), ecg_vectors, strict=True)
        ]
        kept[task.name] = ScoredTask(task, setting.chosen_N, scores.scored_NC, setting.truth_NC)
        by_members = (
            _from_members(task, setting, (model, *untrained), ecg_vectors, language)
            if task.has_members
            else {}
        )
        results[task.name] = {
            **_about(task, setting, config),
            "language": task.language or language,
            "ensemble": task.ensemble,
            **_model_metrics(task, setting, scores, language),
            "baselines": _baselines(setting, scores, noise),
            "from_members": by_members,
            "adjusted": {"log_prior": _adjusted(setting, scores, logits)},
            "confusion": confusion(
                scores.scored_NC[setting.chosen_N],
                setting.truth_NC[setting.chosen_N],
                [c.id for c in task.classes],
            ),
            "calibration": calibration(
                task.kind, setting.scored(scores), setting.validation(scores), logits, setting.draws
            ),
            "curves": _curves(task, setting, scores),
        }
    return Evaluation(results, kept)


def validation_metrics(
    model: TwoSidedModel, task: Task, records: RecordsTable, min_positives: int, language: str
) -> dict[str, float]:
    """The summary metrics of one task without intervals, for choosing a checkpoint.

    A macro metric falls back to all classes where none has `min_positives` records. NaN where there
    is nothing to score.
    """
    truth = task.truth([record.findings for record in records.records])
    chosen = scored_records(task.kind, truth)
    texts, class_of_M = flattened(task.wordings(language))
    texts_MD = model.encode_text(texts, task.language)
    scores = class_scores(model.encode_ecg(records.slots), texts_MD, class_of_M, task.ensemble)
    no_draws = np.empty((0, int(chosen.sum())))
    summary = bootstrap_metrics(scores[chosen], truth[chosen], no_draws, min_positives).summary
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
    """The records a task scores and those it chooses by, with their truth and draws."""

    chosen_N: npt.NDArray[np.bool_]
    truth_NC: npt.NDArray[np.bool_]
    chosen_V: npt.NDArray[np.bool_]
    truth_VC: npt.NDArray[np.bool_]
    train_counts_C: npt.NDArray[np.int64]
    n_train: int
    n_trained_on: int
    draws: Draws
    """Of the chosen records."""

    min_positives: int
    seed: int

    @staticmethod
    def of(
        task: Task,
        scored: RecordsTable,
        validation: RecordsTable,
        trained_on: RecordsTable,
        draws: PatientDraws,
        config: EvalConfig,
    ) -> "_Setting":
        truth, truth_val, truth_train = (
            task.truth([record.findings for record in table.records])
            for table in (scored, validation, trained_on)
        )
        chosen = scored_records(task.kind, truth)
        chosen_train = scored_records(task.kind, truth_train)
        return _Setting(
            chosen_N=chosen,
            truth_NC=truth,
            chosen_V=scored_records(task.kind, truth_val),
            truth_VC=truth_val,
            train_counts_C=truth_train[chosen_train].sum(axis=0),
            n_train=int(chosen_train.sum()),
            n_trained_on=len(trained_on),
            draws=draws.chosen(chosen),
            min_positives=config.min_positives,
            seed=config.seed,
        )

    def scored(self, scores: SplitScores) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """Scores and truth of the records that count."""
        return scores.scored_NC[self.chosen_N], self.truth_NC[self.chosen_N]

    def validation(self, scores: SplitScores) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """Scores and truth of the validation records that would count."""
        return scores.validation_VC[self.chosen_V], self.truth_VC[self.chosen_V]

    def metrics(self, scores: SplitScores) -> TaskDraws:
        """All metrics with all draws."""
        return self._metrics(scores, self.draws)

    def pooled(self, models: Sequence[SplitScores]) -> dict[str, Any]:
        """Summaries of several models of one kind, the draws divided among them.

        So every draw is of a model and of patients at once, and the interval holds both kinds of
        chance, for the price of one model.
        """
        parts = len(models)
        if not parts:
            return {}
        return pooled(
            [
                self._metrics(scores, self.draws.part(number, parts)).summary
                for number, scores in enumerate(models)
            ]
        )

    def _metrics(self, scores: SplitScores, draws: Draws) -> TaskDraws:
        thresholds_C = best_f1_thresholds(*self.validation(scores))
        return bootstrap_metrics(*self.scored(scores), draws, self.min_positives, thresholds_C)


def _scores(coder: TwoSidedModel, ecgs: SplitVectors, task: Task, language: str) -> SplitScores:
    """Scores of a task's classes, by their own wordings."""
    texts, class_of_M = flattened(task.wordings(language))
    texts_MD = coder.encode_text(texts, task.language)
    scored_NC, validation_VC = (
        class_scores(ecgs_ND, texts_MD, class_of_M, task.ensemble)
        for ecgs_ND in (ecgs.scored_ND, ecgs.validation_VD)
    )
    return SplitScores(scored_NC, validation_VC)


def _model_metrics(
    task: Task, setting: _Setting, scores: SplitScores, language: str
) -> dict[str, Any]:
    """`classes` and `summary`."""
    draws = setting.metrics(scores)
    n, n_val = int(setting.chosen_N.sum()), setting.truth_VC[setting.chosen_V].sum(axis=0)
    n_patients = setting.draws.n_patients(setting.truth_NC[setting.chosen_N])
    classes = {}
    for number, c in enumerate(task.classes):
        metrics, threshold = class_metrics(draws, number), float(draws.thresholds_C[number])
        classes[c.id] = {
            "names": dict(c.names),
            "wordings": task.wordings(language)[number],
            "n": metrics["n"],
            "patients": int(n_patients[number]),
            "n_val": int(n_val[number]),
            "prevalence": metrics["n"] / n if n else None,
            **metrics,
            "threshold": None if np.isnan(threshold) else threshold,
        }
    return {"classes": classes, "summary": draws.summary_metrics()}


def _baselines(
    setting: _Setting, scores: SplitScores, noise: Sequence[SplitScores]
) -> dict[str, Any]:
    """Untrained models, the training frequencies, and the model's prompts at the wrong classes."""
    prior = SplitScores(
        prior_scores(setting.train_counts_C, len(setting.chosen_N)),
        prior_scores(setting.train_counts_C, len(setting.chosen_V)),
    )
    orders = shuffles(setting.truth_NC.shape[1], setting.seed)
    return {
        "random_encoder": {"models": len(noise), "summary": setting.pooled(noise)},
        "class_prior": {
            "records": setting.n_trained_on,
            "summary": setting.metrics(prior).summary_metrics(),
        },
        "shuffled_text": {
            "permutations": len(orders),
            "summary": setting.pooled([scores.ordered(order) for order in orders]),
        },
    }


def _adjusted(setting: _Setting, scores: SplitScores, logits: PairLogits) -> dict[str, Any]:
    """The model told how frequent classes were in training: not zero-shot, so it stands apart."""
    adjusted = SplitScores(
        *(
            log_prior_adjusted(each, logits.scale, setting.train_counts_C, setting.n_train)
            for each in (scores.scored_NC, scores.validation_VC)
        )
    )
    return {
        "records": setting.n_trained_on,
        "summary": setting.metrics(adjusted).summary_metrics(),
    }


def _curves(task: Task, setting: _Setting, scores: SplitScores) -> dict[str, Any]:
    """By class with enough ECGs to draw a curve of."""
    scores_NC, truth_NC = setting.scored(scores)
    found = {
        c.id: curves(scores_NC[:, number], truth_NC[:, number])
        for number, c in enumerate(task.classes)
        if truth_NC[:, number].sum() >= setting.min_positives
    }
    return {class_id: curve for class_id, curve in found.items() if curve is not None}


def _from_members(
    task: Task,
    setting: _Setting,
    coders: Sequence[TwoSidedModel],
    ecg_vectors: Sequence[SplitVectors],
    language: str,
) -> dict[str, Any]:
    """The summary with classes scored by their members' prompts; `coders` begins with the model."""
    texts, class_of_M = flattened(task.member_wording(language))
    scores = [
        ecg.scores(coder.encode_text(texts, task.language))
        for coder, ecg in zip(coders, ecg_vectors, strict=True)
    ]
    hows: tuple[FromMembers, ...] = ("max", "mean", "logsumexp")
    found: dict[str, Any] = {}
    for how in hows:
        of_classes, *noise = [
            SplitScores(
                scores_from_members(each.scored_NC, class_of_M, how),
                scores_from_members(each.validation_VC, class_of_M, how),
            )
            for each in scores
        ]
        found[how] = {
            "members": {c.id: len(c.member_names) for c in task.classes},
            "summary": setting.metrics(of_classes).summary_metrics(),
            "random_encoder": {"summary": setting.pooled(noise)},
        }
    return found


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
