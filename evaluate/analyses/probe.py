"""The linear probe: how much of the findings a straight cut through the encoder's features tells.

Owns the protocol, which docs/evaluation.md states: who learns from what, and that the scored ECGs
are looked at once, with a penalty that the validation ECGs chose. The same is done with an
untrained encoder, whose features tell more than one would think.
N, V, S = ECGs of training, validation and the scored split; F = features, C = classes, K = the
distinct classes of all tasks together.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.metrics import auroc
from ecgpipe.evaluate.scoring import bootstrap_metrics, scored_records
from ecgpipe.evaluate.tasks.task import Task
from ecgpipe.stopping import Stop

Features = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

SHARES = (0.01, 0.1, 1.0)
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""scikit-learn's C; fixed, so that probes of different encoders are one protocol."""

METRICS = ("macro_auroc", "macro_auprc")
NO_METRIC = {"value": None, "low": None, "high": None}

PROTOCOL = (
    "Logistic regression by class on the frozen encoder's features before the projection,"
    " standardised by the share's ECGs; L2 penalty, scikit-learn's C of 0.0001, 0.001, 0.01 or 0.1,"
    " by task the one of best macro AUROC on validation; shares drawn by patient, each within the"
    " next; scored ECGs are looked at once. random_encoder: the same with one untrained encoder."
)


@dataclass(frozen=True)
class Part:
    """The ECGs of one split as one encoder sees them."""

    features_NF: Features
    truth_NK: Truth


@dataclass(frozen=True)
class ProbedEncoder:
    """One encoder's features of the three splits."""

    train_NF: Features
    validation_VF: Features
    scored_SF: Features


@dataclass(frozen=True)
class Fitted:
    """Log odds of every class that could be learnt, for each penalty."""

    learnt_K: npt.NDArray[np.bool_]
    """Which classes the share both shows and does not show."""

    validation: Mapping[float, npt.NDArray[np.float32]]
    """By strength, (V, K); 0 for a class that was not learnt."""

    scored: Mapping[float, npt.NDArray[np.float32]]
    """By strength, (S, K)."""


class Probe:
    """The protocol on given tasks and splits, to be run with any encoder."""

    def __init__(
        self,
        tasks: Sequence[Task],
        splits: tuple[RecordsTable, RecordsTable, RecordsTable],
        draws: PatientDraws,
        min_positives: int,
        seed: int,
    ) -> None:
        """Decide who learns from what.

        Args:
            tasks: what is scored; a class that two tasks have is learnt once.
            splits: of training, of validation, and the scored one.
            draws: bootstrap draws of the scored records.
            min_positives: macro metrics are over classes with at least so many scored ECGs.
            seed: of the shares.
        """
        self._tasks, self._draws, self._min_positives = tasks, draws, min_positives
        first_of, self._classes_of = distinct_classes(tasks)
        self._truths = [_truth(tasks, records)[:, first_of] for records in splits]
        self.shares = nested_shares(splits[0].patients, self._truths[0], SHARES, seed)

    def block(self, model: ProbedEncoder, untrained: ProbedEncoder, stop: Stop) -> dict[str, Any]:
        """The metrics of both by task and share, ready for JSON; unfinished where `stop` is set."""
        tasks: dict[str, Any] = {task.name: {"shares": {}} for task in self._tasks}
        for share, places in self.shares.items():
            if stop:
                break
            found, baseline = [self._fit(encoder, places) for encoder in (model, untrained)]
            for task, classes in zip(self._tasks, self._classes_of, strict=True):
                tasks[task.name]["shares"][f"{share:g}"] = {
                    "n_train": len(places),
                    **self._entry(task, classes, found),
                    "random_encoder": self._summary(task, classes, baseline),
                }
        return {"protocol": PROTOCOL, "tasks": tasks}

    def _fit(self, encoder: ProbedEncoder, share: Places) -> Fitted:
        features = (encoder.train_NF, encoder.validation_VF, encoder.scored_SF)
        train, validation, scored = [
            Part(part, truth) for part, truth in zip(features, self._truths, strict=True)
        ]
        return fit(train, share, validation, scored)

    def _entry(self, task: Task, classes: Places, fitted: Fitted) -> dict[str, Any]:
        truth_C = self._truths[2][self._chosen(task, classes)][:, classes].sum(axis=0)
        learnt_C = fitted.learnt_K[classes]
        return {
            **self._summary(task, classes, fitted),
            "classes_scored": int((learnt_C & (truth_C >= self._min_positives)).sum()),
            "not_learnt": [
                c.id for c, learnt in zip(task.classes, learnt_C, strict=True) if not learnt
            ],
            "strength": self._strength(task, classes, fitted),
        }

    def _summary(self, task: Task, classes: Places, fitted: Fitted) -> dict[str, Any]:
        """The macro metrics over the classes that were learnt; without a value where none was."""
        chosen, learnt = self._chosen(task, classes), classes[fitted.learnt_K[classes]]
        if not len(learnt) or not chosen.any():
            return {name: NO_METRIC for name in METRICS}
        odds = fitted.scored[self._strength(task, classes, fitted)][chosen][:, learnt]
        truth, draws = self._truths[2][chosen][:, learnt], self._draws.chosen(chosen)
        metrics = bootstrap_metrics(odds, truth, draws, self._min_positives).summary_metrics()
        return {name: metrics[name] for name in METRICS}

    def _strength(self, task: Task, classes: Places, fitted: Fitted) -> float:
        truth_VC = self._truths[1][:, classes]
        shown = scored_records(task.kind, truth_VC)
        return choose_strength(fitted, classes, shown, truth_VC)

    def _chosen(self, task: Task, classes: Places) -> npt.NDArray[np.bool_]:
        return scored_records(task.kind, self._truths[2][:, classes])


def distinct_classes(tasks: Sequence[Task]) -> tuple[Places, list[Places]]:
    """The classes of several tasks, each once: of the same findings they are the same.

    Returns:
        (K,) the place of each distinct class among all classes of all tasks, one after another; and
        by task (C,), which of the K its classes are.
    """
    number_of: dict[frozenset[str], int] = {}
    first_of, classes_of, place = [], [], 0
    for task in tasks:
        for one in task.classes:
            if one.members not in number_of:
                number_of[one.members] = len(number_of)
                first_of.append(place)
            place += 1
        classes_of.append(np.array([number_of[c.members] for c in task.classes], np.int64))
    return np.array(first_of, np.int64), classes_of


def _truth(tasks: Sequence[Task], records: RecordsTable) -> Truth:
    """Which records show which class, of all tasks one after another."""
    findings = [record.findings for record in records.records]
    return np.concatenate([task.truth(findings) for task in tasks], axis=1)


def nested_shares(
    patients: Sequence[str], truth_NK: Truth, shares: Sequence[float], seed: int
) -> dict[float, Places]:
    """The ECGs that a probe may learn from at each share; each share holds the smaller ones.

    Whole patients are drawn until there are enough ECGs. Half of what a share adds is drawn for
    classes that it does not show yet, a patient each and the commonest class first, since a class
    without an ECG cannot be learnt; the other half blindly.

    Args:
        patients: (N,) whose ECG each is.
        truth_NK: which ECGs show which class.
        shares: parts of 1, ascending.
        seed: the same seed, the same shares.

    Returns:
        By share, the places of its ECGs, ascending.
    """
    names, patient_of = np.unique(np.asarray(patients), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    ecgs_P = np.bincount(patient_of, minlength=len(names))
    shows_PK = np.zeros((len(names), truth_NK.shape[1]), np.bool_)
    np.logical_or.at(shows_PK, patient_of, truth_NK)
    commonest = np.argsort(-truth_NK.sum(axis=0), kind="stable")
    taken_P, found = np.zeros(len(names), np.bool_), {}
    for share in shares:
        target = max(1, round(share * len(truth_NK)))
        n = int(ecgs_P[taken_P].sum())
        until = n + math.ceil((target - n) / 2)
        for k in commonest:
            candidates = order[shows_PK[order, k]]
            missing = len(candidates) > 0 and not taken_P[candidates].any()
            if missing and ecgs_P[taken_P].sum() < until:
                taken_P[candidates[0]] = True
        for patient in order:
            if ecgs_P[taken_P].sum() >= target:
                break
            taken_P[patient] = True
        found[share] = np.flatnonzero(taken_P[patient_of])
    return found


def fit(train: Part, share: Places, validation: Part, scored: Part) -> Fitted:
    """Learn every class from a share of the training ECGs, at every strength of the penalty."""
    features = train.features_NF[share].astype(np.float64)
    truth_NK = train.truth_NK[share]
    mean_F, sd_F = features.mean(axis=0), features.std(axis=0)
    sd_F[sd_F < 1e-12] = 1.0  # a dead feature: it says nothing, whatever it is divided by
    known, asked, wanted = [
        (part - mean_F) / sd_F for part in (features, validation.features_NF, scored.features_NF)
    ]
    from threadpoolctl import threadpool_limits

    learnt_K = np.logical_and(truth_NK.any(axis=0), ~truth_NK.all(axis=0))
    shapes = (len(asked), len(learnt_K)), (len(wanted), len(learnt_K))
    odds_V = {strength: np.zeros(shapes[0], np.float32) for strength in STRENGTHS}
    odds_S = {strength: np.zeros(shapes[1], np.float32) for strength in STRENGTHS}
    # So small a product takes its threads longer to wake than to work.
    with threadpool_limits(1):
        for k in np.flatnonzero(learnt_K):
            for strength, (weights_F, bias) in _fit_class(known, truth_NK[:, k]).items():
                odds_V[strength][:, k] = asked @ weights_F + bias
                odds_S[strength][:, k] = wanted @ weights_F + bias
    return Fitted(learnt_K, odds_V, odds_S)


def _fit_class(
    features_NF: npt.NDArray[np.float64], truth_N: Truth
) -> dict[float, tuple[npt.NDArray[np.float64], float]]:
    """Weights and bias at each strength; each starts from the weaker one's."""
    from sklearn.exceptions import ConvergenceWarning  # most runs find their results there already
    from sklearn.linear_model import LogisticRegression

    found = {}
    model = LogisticRegression(solver="lbfgs", max_iter=1000, warm_start=True)
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            # At 1000 steps it is near enough: order is all that AUROC looks at.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(features_NF, truth_N)
        found[strength] = model.coef_[0].copy(), float(model.intercept_[0])
    return found


def choose_strength(
    fitted: Fitted, classes: Places, shown_V: npt.NDArray[np.bool_], truth_VC: Truth
) -> float:
    """The penalty of best macro AUROC over these classes on validation; the strongest of equals.

    Where validation shows none of the classes it cannot choose, and it is the middle one.

    Args:
        fitted: what was learnt.
        classes: (C,) places of the task's classes among the K.
        shown_V: the validation ECGs that the task would score.
        truth_VC: which validation ECGs show which of the classes.
    """
    best, best_area = STRENGTHS[len(STRENGTHS) // 2], -1.0
    learnt = fitted.learnt_K[classes]
    for strength in STRENGTHS:
        odds, truth = fitted.validation[strength][shown_V][:, classes], truth_VC[shown_V]
        areas = np.array([auroc(odds[:, c], truth[:, c]) for c in np.flatnonzero(learnt)])
        areas = areas[np.isfinite(areas)]
        if len(areas) and areas.mean() > best_area:
            best, best_area = strength, float(areas.mean())
    return best
