"""A linear classifier on the frozen encoder's features, by a fixed protocol.

Owns the protocol, which docs/evaluation.md states: what is learnt from, and that the scored ECGs
are used once, with a penalty chosen on the validation ECGs.
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
from ecgpipe.evaluate.results import NO_METRIC, Metric
from ecgpipe.evaluate.scoring import bootstrap_metrics, scored_records
from ecgpipe.evaluate.tasks.task import Task

Features = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

SHARES = (0.01, 0.1, 1.0)
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""scikit-learn's C; fixed, so that probes of different encoders are one protocol."""

METRICS = ("macro_auroc", "macro_auprc")

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
class Fitted:
    """Log odds of every class that could be learnt, for each penalty."""

    learnt_K: npt.NDArray[np.bool_]
    """The classes that some ECGs of the share show and others do not."""

    validation: Mapping[float, npt.NDArray[np.float32]]
    """By strength, (V, K); 0 for a class that was not learnt."""

    scored: Mapping[float, npt.NDArray[np.float32]]
    """By strength, (S, K)."""


class LinearProbe:
    """The protocol on given tasks and splits, to be run with any encoder."""

    def __init__(
        self,
        tasks: Sequence[Task],
        splits: tuple[RecordsTable, RecordsTable, RecordsTable],
        draws: PatientDraws,
        min_positives: int,
        seed: int,
    ) -> None:
        """Draw the shares of the training ECGs.

        Args:
            tasks: what is scored; a class of two tasks is learnt once.
            splits: training, validation, scored.
            draws: bootstrap draws of the scored records.
            min_positives: macro metrics are over classes with at least this many scored ECGs.
            seed: of the shares.
        """
        self._tasks, self._draws, self._min_positives = tasks, draws, min_positives
        first_of, self._classes_of = distinct_classes(tasks)
        self._truths = [_truth(tasks, records)[:, first_of] for records in splits]
        self.shares = nested_shares(splits[0].patients, self._truths[0], SHARES, seed)

    def metrics(self, share: float, features: Sequence[Features]) -> dict[str, dict[str, Any]]:
        """The entry of each task, for an encoder's features of the three splits."""
        train, validation, scored = [
            Part(part, truth) for part, truth in zip(features, self._truths, strict=True)
        ]
        places = self.shares[share]
        fitted = fit(train, places, validation, scored)
        return {
            task.name: {"n_train": len(places), **self._entry(task, classes, fitted)}
            for task, classes in zip(self._tasks, self._classes_of, strict=True)
        }

    def _entry(self, task: Task, classes: Places, fitted: Fitted) -> dict[str, Any]:
        """The macro metrics over the classes that were learnt; without a value if none was."""
        truth_VC, truth_SC = (truth[:, classes] for truth in self._truths[1:])
        learnt_C = fitted.learnt_K[classes]
        shown_V, chosen_S = (scored_records(task.kind, truth) for truth in (truth_VC, truth_SC))
        strength = choose_strength(fitted, classes, shown_V, truth_VC)
        summary: dict[str, Metric] = dict.fromkeys(METRICS, NO_METRIC)
        if learnt_C.any() and chosen_S.any():
            odds = fitted.scored[strength][chosen_S][:, classes[learnt_C]]
            truth, draws = truth_SC[chosen_S][:, learnt_C], self._draws.chosen(chosen_S)
            found = bootstrap_metrics(odds, truth, draws, self._min_positives).summary_metrics()
            summary = {name: found[name] for name in METRICS}
        enough_C = truth_SC[chosen_S].sum(axis=0) >= self._min_positives
        return {
            **summary,
            "classes_scored": int((learnt_C & enough_C).sum()),
            "not_learnt": [
                c.id for c, learnt in zip(task.classes, learnt_C, strict=True) if not learnt
            ],
            "strength": strength,
        }


def distinct_classes(tasks: Sequence[Task]) -> tuple[Places, list[Places]]:
    """The classes of several tasks, each once; classes of the same findings are the same.

    Returns:
        (K,) the place of each distinct class among the classes of all tasks in a row; and by task
        (C,), which of the K its classes are.
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
    """Which records show which class, for the classes of all tasks in a row."""
    findings = [record.findings for record in records.records]
    return np.concatenate([task.truth(findings) for task in tasks], axis=1)


def nested_shares(
    patients: Sequence[str], truth_NK: Truth, shares: Sequence[float], seed: int
) -> dict[float, Places]:
    """The ECGs that a probe learns from at each share; each share contains the smaller ones.

    Whole patients are drawn until there are enough ECGs. Half of what a share adds is drawn for
    classes that it does not show yet, one patient each and the commonest class first, since a class
    without an ECG cannot be learnt; the other half at random.

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
    from threadpoolctl import threadpool_limits

    features = train.features_NF[share].astype(np.float64)
    truth_NK = train.truth_NK[share]
    mean_F, sd_F = features.mean(axis=0), features.std(axis=0)
    sd_F[sd_F < 1e-12] = 1.0  # a constant feature
    train_SF, validation_VF, scored_SF = [
        (part - mean_F) / sd_F for part in (features, validation.features_NF, scored.features_NF)
    ]
    learnt_K = np.logical_and(truth_NK.any(axis=0), ~truth_NK.all(axis=0))
    shapes = (len(validation_VF), len(learnt_K)), (len(scored_SF), len(learnt_K))
    odds_V = {strength: np.zeros(shapes[0], np.float32) for strength in STRENGTHS}
    odds_S = {strength: np.zeros(shapes[1], np.float32) for strength in STRENGTHS}
    # For products this small, waking threads takes longer than the work.
    with threadpool_limits(1):
        for k in np.flatnonzero(learnt_K):
            for strength, (weights_F, bias) in _fit_class(train_SF, truth_NK[:, k]).items():
                odds_V[strength][:, k] = validation_VF @ weights_F + bias
                odds_S[strength][:, k] = scored_SF @ weights_F + bias
    return Fitted(learnt_K, odds_V, odds_S)


def _fit_class(
    features_NF: npt.NDArray[np.float64], truth_N: Truth
) -> dict[float, tuple[npt.NDArray[np.float64], float]]:
    """Weights and bias at each strength, each fit starting from the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    found = {}
    model = LogisticRegression(solver="lbfgs", max_iter=1000, warm_start=True)
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            # After 1000 steps it is near enough: AUROC depends on the order alone.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(features_NF, truth_N)
        found[strength] = model.coef_[0].copy(), float(model.intercept_[0])
    return found


def choose_strength(
    fitted: Fitted, classes: Places, shown_V: npt.NDArray[np.bool_], truth_VC: Truth
) -> float:
    """The penalty of best macro AUROC over these classes on validation; the strongest of equals.

    The middle one where validation shows none of the classes.

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
