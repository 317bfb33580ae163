"""A model and records -> the metrics of every task.

Owns what is compared: the model, untrained models of the same shape, the class prior, the model
with its prompts shuffled, with the ECGs shuffled among patients and with a blank recording for
every ECG, and separately its scores adjusted by the prior; all on the same records with the same
resampling. Thresholds and calibration are chosen on validation records; the truth of
the scored records is used for scoring only. Knows a model only as something that encodes ECGs and
texts into one space.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, get_args

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.evaluate import EvalConfig
from ecgpipe.config.settings import Language
from ecgpipe.errors import StoppedEarly
from ecgpipe.evaluate.metrics.baselines import (
    ecg_shuffles,
    log_prior_adjusted,
    prior_scores,
    shuffles,
)
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.calibration import Judged, PairLogits, calibration
from ecgpipe.evaluate.metrics.confusion import confusion
from ecgpipe.evaluate.metrics.curves import curves
from ecgpipe.evaluate.metrics.thresholds import best_f1_thresholds
from ecgpipe.evaluate.results import ClassResults, Curves, Scores, Summary, TaskResults
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.scoring import (
    START_TEMPERATURE,
    FromMembers,
    TaskDraws,
    bootstrap_metrics,
    class_metrics,
    pooled_over,
    scores_from_members,
)
from ecgpipe.evaluate.tasks.answers import Answers
from ecgpipe.evaluate.tasks.ensemble import class_scores, flattened
from ecgpipe.evaluate.tasks.task import Task
from ecgpipe.stopping import Stop

Vectors = npt.NDArray[np.float32]


class TwoSidedModel(Protocol):
    """Encodes ECGs and texts as unit vectors of one width."""

    def encode_ecg(self, slots: npt.NDArray[np.int64]) -> Vectors:
        """(n, D) of the ECGs in these slots of the signal store."""

    def encode_blank(self) -> Vectors:
        """(D,) of a recording that is 0 mV throughout."""

    def encode_text(self, texts: Sequence[str], language: Language | None = None) -> Vectors:
        """(n, D) of class wordings, put into the prompt of a language; None: the training one."""


@dataclass(frozen=True)
class Evaluation:
    """What was scored, and how well."""

    tasks: dict[str, TaskResults]
    """The `tasks` block of the results file."""

    scored: dict[str, ScoredTask]
    """By task, what the metrics were computed from."""


@dataclass(frozen=True, kw_only=True)
class EvaluationInputs:
    """What an evaluation needs."""

    model: TwoSidedModel
    untrained: Sequence[TwoSidedModel]
    """Models of the same shape as initialised, for the random-encoder baseline."""

    tasks: Sequence[Task]
    scored: RecordsTable
    trained_on: RecordsTable
    """The training records, for the class prior."""

    validation: RecordsTable = field(default_factory=lambda: RecordsTable(()))
    """What thresholds and calibration are chosen on; without any there are none."""

    unseen: Collection[str] = ()
    """Ids of the findings that training never named; their classes are marked."""

    config: EvalConfig
    language: str
    """Of the class wordings, for tasks without a language."""

    logits: PairLogits = field(default=PairLogits(1 / START_TEMPERATURE, None))
    """How the model turns a cosine into a logit."""

    stop: Stop
    """Checked between models and tasks."""

    def __post_init__(self) -> None:
        scored = {record.record_id for record in self.scored.records}
        if scored & {record.record_id for record in self.validation.records}:
            raise ValueError("validation records must not be among the scored records")


def evaluate(inputs: EvaluationInputs) -> Evaluation:
    """Score every task, with baselines.

    Raises:
        StoppedEarly: a signal asked to stop; nothing is kept.
    """
    config = inputs.config
    draws = PatientDraws.of(inputs.scored.patients, config.bootstrap_draws, config.seed)
    models = (inputs.model, *inputs.untrained)
    ecg_vectors = []
    for model in models:
        _check_stop(inputs.stop)
        ecg_vectors.append([model.encode_ecg(t.slots) for t in (inputs.scored, inputs.validation)])
    blank_1D = inputs.model.encode_blank()[None]
    results, kept = {}, {}
    for task in inputs.tasks:
        _check_stop(inputs.stop)
        setting = _Setting.of(task, inputs, draws)
        scores, *noise = [
            _scores(model, ecg, task, inputs.language)
            for model, ecg in zip(models, ecg_vectors, strict=True)
        ]
        n, answers = len(setting.chosen_N), setting.answers_N
        kept[task.name] = ScoredTask(
            task, setting.chosen_N, scores[:n], answers.shown_NC, answers.known_NC
        )
        blank_1C = _scores(inputs.model, [blank_1D], task, inputs.language)
        results[task.name] = _task_results(setting, scores, noise, blank_1C[0])
        if task.has_members:
            results[task.name]["from_members"] = _from_members(setting, models, ecg_vectors)
    return Evaluation(results, kept)


def _task_results(
    setting: "_Setting", scores: Vectors, noise: Sequence[Vectors], blank_C: Vectors
) -> TaskResults:
    task, inputs, n = setting.task, setting.inputs, int(setting.chosen_N.sum())
    draws, partly = setting.metrics(scores), task.kind == "partly_known"
    return {
        "title": dict(task.title),
        "source": task.source,
        "kind": task.kind,
        "split": inputs.config.split,
        "n": n,
        "n_left_out": len(setting.chosen_N) - n,
        "min_positives": inputs.config.min_positives,
        "language": task.language or inputs.language,
        "ensemble": task.ensemble,
        "trained_on": task.trained_on,
        "classes": _classes(setting, draws),
        "summary": draws.summary_metrics(),
        "baselines": _baselines(setting, scores, noise, blank_C),
        "from_members": {},
        # Of a partly known task every metric is of a class by itself, where a frequency moves no
        # order; and no first choice is wrong while another answer is unknown.
        "adjusted": {} if partly else {"log_prior": _adjusted(setting, scores)},
        "confusion": None
        if partly
        else confusion(*setting.scored(scores)[:2], [c.id for c in task.classes]),
        "calibration": calibration(
            task.kind,
            [c.id for c in task.classes],
            setting.scored(scores),
            setting.validation(scores),
            inputs.logits,
            setting.draws,
        ),
        "curves": _curves(setting, scores),
    }


def validation_metrics(
    model: TwoSidedModel, task: Task, records: RecordsTable, min_positives: int, language: str
) -> dict[str, float]:
    """The summary metrics of one task without intervals, for choosing a checkpoint.

    A macro metric is over all classes if none has `min_positives` records. NaN if there is nothing
    to score.
    """
    answers = task.answers(records.records)
    chosen = answers.scored(task.kind)
    scored = answers.of(chosen)
    scores = _scores(model, [model.encode_ecg(records.slots)], task, language)
    no_draws = PatientDraws.of(records.patients, 0, 0).chosen(chosen)
    summary = bootstrap_metrics(
        scores[chosen], scored.shown_NC, no_draws, min_positives, known_NC=scored.known_NC
    ).summary
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
    """A task's records: which it scores and which it chooses by, with their truth and draws.

    Scores are (N + V, C): those of the scored split, then those of the validation split.
    """

    task: Task
    inputs: EvaluationInputs
    chosen_N: npt.NDArray[np.bool_]
    answers_N: Answers
    chosen_V: npt.NDArray[np.bool_]
    answers_V: Answers
    train_counts_C: npt.NDArray[np.int64]
    n_train: int
    draws: PatientDraws
    """Of the chosen records."""

    @staticmethod
    def of(task: Task, inputs: EvaluationInputs, draws: PatientDraws) -> "_Setting":
        answers, answers_val, answers_train = (
            task.answers(table.records)
            for table in (inputs.scored, inputs.validation, inputs.trained_on)
        )
        chosen, chosen_val, chosen_train = (
            each.scored(task.kind) for each in (answers, answers_val, answers_train)
        )
        return _Setting(
            task=task,
            inputs=inputs,
            chosen_N=chosen,
            answers_N=answers,
            chosen_V=chosen_val,
            answers_V=answers_val,
            train_counts_C=answers_train.shown_NC[chosen_train].sum(axis=0),
            n_train=int(chosen_train.sum()),
            draws=draws.chosen(chosen),
        )

    def scored(self, scores: Vectors) -> Judged:
        """Scores and truth of the scored records, and where it is known."""
        found = self.answers_N.of(self.chosen_N)
        return scores[: len(self.chosen_N)][self.chosen_N], found.shown_NC, found.known_NC

    def validation(self, scores: Vectors) -> Judged:
        """The same of the validation records that the task would score."""
        found = self.answers_V.of(self.chosen_V)
        return scores[len(self.chosen_N) :][self.chosen_V], found.shown_NC, found.known_NC

    def metrics(self, scores: Vectors, draws: PatientDraws | None = None) -> TaskDraws:
        """All metrics with all draws, or with some of them."""
        thresholds_C = best_f1_thresholds(*self.validation(scores))
        draws = self.draws if draws is None else draws
        least = self.inputs.config.min_positives
        scores_NC, truth_NC, known_NC = self.scored(scores)
        return bootstrap_metrics(scores_NC, truth_NC, draws, least, thresholds_C, known_NC)

    def with_scored(self, scores: Vectors, scored: Vectors) -> Vectors:
        """Other scores of the scored records; those of validation, which thresholds are chosen on,
        stay."""
        changed = scores.copy()
        changed[: len(self.chosen_N)][self.chosen_N] = scored
        return changed

    def pooled(self, models: Iterable[Vectors], n_models: int) -> Summary:
        """The summary of several models of one kind, with the draws divided among them."""
        return pooled_over(models, n_models, self.draws, lambda *one: self.metrics(*one).summary)


def _scores(coder: TwoSidedModel, ecgs: Sequence[Vectors], task: Task, language: str) -> Vectors:
    """(N, C) scores of a task's classes, by their own wordings, for the ECGs of several splits."""
    texts, class_of_M = flattened(task.wordings(language))
    texts_MD = coder.encode_text(texts, task.language)
    return np.concatenate([class_scores(e, texts_MD, class_of_M, task.ensemble) for e in ecgs])


def _classes(setting: _Setting, draws: TaskDraws) -> dict[str, ClassResults]:
    scored = setting.answers_N.of(setting.chosen_N)
    validation = setting.answers_V.of(setting.chosen_V)
    n_val, n_val_known = validation.shown_NC.sum(axis=0), validation.n_known_C
    n_patients = setting.draws.n_patients(scored.shown_NC)
    wordings = setting.task.wordings(setting.inputs.language)
    classes: dict[str, ClassResults] = {}
    for number, c in enumerate(setting.task.classes):
        metrics, threshold = class_metrics(draws, number), float(draws.thresholds_C[number])
        n_known = int(scored.n_known_C[number])
        classes[c.id] = {
            **metrics,
            "names": dict(c.names),
            "wordings": wordings[number],
            "patients": int(n_patients[number]),
            "n_val": int(n_val[number]),
            "prevalence": metrics["n"] / n_known if n_known else None,
            "threshold": None if np.isnan(threshold) else threshold,
        }
        if setting.task.kind == "partly_known":
            classes[c.id]["n_known"] = n_known
            classes[c.id]["n_val_known"] = int(n_val_known[number])
        if c.members and c.members <= set(setting.inputs.unseen):
            classes[c.id]["unseen"] = True
    return classes


def _baselines(
    setting: _Setting, scores: Vectors, noise: Sequence[Vectors], blank_C: Vectors
) -> dict[str, Scores]:
    """Untrained models, the training frequencies, and the model with what it is asked or shown
    exchanged: prompts at the wrong classes, ECGs of other patients, no ECG at all."""
    seed, own = setting.inputs.config.seed, setting.scored(scores)[0]
    prior = prior_scores(setting.train_counts_C, len(scores))
    text_orders = shuffles(scores.shape[1], seed)
    ecg_orders = ecg_shuffles(setting.draws.patient_of_N, seed)
    blank = setting.with_scored(scores, blank_C)
    return {
        "random_encoder": {"models": len(noise), "summary": setting.pooled(noise, len(noise))},
        "class_prior": {
            "records": len(setting.inputs.trained_on),
            "summary": setting.metrics(prior).summary_metrics(),
        },
        "shuffled_text": {
            "permutations": len(text_orders),
            "summary": setting.pooled((scores[:, o] for o in text_orders), len(text_orders)),
        },
        "shuffled_ecg": {
            "permutations": len(ecg_orders),
            "summary": setting.pooled(
                (setting.with_scored(scores, own[o]) for o in ecg_orders), len(ecg_orders)
            ),
        },
        "blank_ecg": {
            "answer": setting.task.classes[int(blank_C.argmax())].id,
            "summary": setting.metrics(blank).summary_metrics(),
        },
    }


def _adjusted(setting: _Setting, scores: Vectors) -> Scores:
    """The model with the class frequencies of training added: not zero-shot, so it is apart."""
    adjusted = log_prior_adjusted(
        scores, setting.inputs.logits.scale, setting.train_counts_C, setting.n_train
    )
    return {
        "records": len(setting.inputs.trained_on),
        "summary": setting.metrics(adjusted).summary_metrics(),
    }


def _curves(setting: _Setting, scores: Vectors) -> dict[str, Curves]:
    """The curves of every class with enough ECGs."""
    scores_NC, truth_NC, known_NC = setting.scored(scores)
    answers = Answers(truth_NC, known_NC)
    found = {}
    for number in np.flatnonzero(answers.enough(setting.inputs.config.min_positives)).tolist():
        known_N = answers.known(number)
        class_id = setting.task.classes[number].id
        found[class_id] = curves(scores_NC[known_N, number], truth_NC[known_N, number])
    return {class_id: curve for class_id, curve in found.items() if curve is not None}


def _from_members(
    setting: _Setting, models: Sequence[TwoSidedModel], ecg_vectors: Sequence[Sequence[Vectors]]
) -> dict[str, Scores]:
    """The summary with classes scored by their members' prompts; `models` begins with the trained
    one."""
    task = setting.task
    texts, class_of_M = flattened(task.member_wording(setting.inputs.language))
    scores = []
    for model, ecgs in zip(models, ecg_vectors, strict=True):
        texts_MD = model.encode_text(texts, task.language)
        scores.append(np.concatenate([ecgs_ND @ texts_MD.T for ecgs_ND in ecgs]))
    found: dict[str, Scores] = {}
    for how in get_args(FromMembers):
        of_classes, *noise = [scores_from_members(each, class_of_M, how) for each in scores]
        found[how] = {
            "members": {c.id: len(c.member_names) for c in task.classes},
            "summary": setting.metrics(of_classes).summary_metrics(),
            "random_encoder": {"summary": setting.pooled(noise, len(noise))},
        }
    return found
