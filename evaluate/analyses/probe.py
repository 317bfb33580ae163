"""The linear probe: how well a linear classifier does on the frozen encoder's features.

Owns the protocol, which docs/evaluation.md states: what is learnt from, and that the scored ECGs
are used once, with a penalty chosen on the validation ECGs.
N, V, S = ECGs of training, validation and the scored split; M = V + S; F = features, C = classes,
P = penalties.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.metrics import auroc
from ecgpipe.evaluate.results import NO_METRIC, Metric, Tasks
from ecgpipe.evaluate.scoring import bootstrap_metrics
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.tasks.answers import Answers
from ecgpipe.evaluate.tasks.task import Task
from ecgpipe.evaluate.words import Words, both, in_both, joined, same, word

Features = npt.NDArray[np.float32]
Odds = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Truths = Mapping[str, Sequence[Truth]]
"""By task, its truth for training (N, C), validation (V, C) and the scored split (S, C)."""

SHARES = (0.01, 0.1, 1.0)
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""scikit-learn's C; fixed, so that probes of different encoders are one protocol."""

MOST_ECGS = 20_000
"""Of the training ECGs, at most so many are learnt from, which is all of PTB-XL: the regressions
over 100,000 would take half an hour of one core, over 680,000 several hours and gigabytes."""

METRICS = ("macro_auroc", "macro_auprc")

_FEATURES_AT_ONCE = 32
_ECGS_AT_ONCE = 4096

PROTOCOL = (
    "Logistic regression by class on the frozen encoder's features before the projection,"
    " standardised by the share's ECGs; L2 penalty, scikit-learn's C of 0.0001, 0.001, 0.01 or 0.1,"
    " by task the one of best macro AUROC on validation; shares of the training ECGs (of 20,000 of"
    " them where there are more), drawn by patient, each within the next; scored ECGs are looked at"
    " once. random_encoder: the same with one untrained encoder."
)


def probe_share(
    tasks: Sequence[Task],
    truths: Truths,
    features: Sequence[Features],
    share: Places,
    draws: PatientDraws,
    min_positives: int,
) -> dict[str, dict[str, Any]]:
    """The entry of each task, for an encoder's features, learnt from a share of the training ECGs.

    Args:
        tasks: what is scored; a class of two tasks is learnt once.
        truths: of the three splits.
        features: of training (N, F), validation (V, F) and the scored split (S, F).
        share: the training ECGs to learn from.
        draws: bootstrap draws of the scored records.
        min_positives: macro metrics are over classes with at least this many scored ECGs.
    """
    from threadpoolctl import threadpool_limits

    train_NF = np.empty((len(share), features[0].shape[1]))
    for first in range(0, len(share), _ECGS_AT_ONCE):  # no copy in float32 beside it
        some = share[first : first + _ECGS_AT_ONCE]
        train_NF[first : first + len(some)] = features[0][some]
    mean_F, sd_F = _standardise(train_NF)
    validation_VF, scored_SF = [(part - mean_F) / sd_F for part in features[1:]]
    odds_of: dict[frozenset[str], Odds | None] = {}
    # For products this small, waking threads takes longer than the work.
    with threadpool_limits(1):
        for task in tasks:
            for number, each in enumerate(task.classes):
                if each.members not in odds_of:
                    truth_N = truths[task.name][0][share, number]
                    odds_of[each.members] = learn_class(
                        train_NF, truth_N, (validation_VF, scored_SF)
                    )
    entries = {}
    for task in tasks:
        odds = [odds_of[each.members] for each in task.classes]
        entry = _entry(task, truths[task.name], odds, draws, min_positives)
        entries[task.name] = {"n_train": len(share), **entry}
    return entries


def _standardise(train_NF: Floats) -> tuple[Floats, Floats]:
    """Bring every feature to mean 0 and deviation 1, in place; returns the means and deviations.

    A few features at a time, because all ECGs of training may take gigabytes.
    """
    n_features = train_NF.shape[1]
    mean_F = train_NF.mean(axis=0)
    parts = np.array_split(np.arange(n_features), max(1, n_features // _FEATURES_AT_ONCE))
    sd_F = np.concatenate([train_NF[:, part[0] : part[-1] + 1].std(axis=0) for part in parts])
    sd_F[sd_F < 1e-12] = 1.0  # a constant feature
    train_NF -= mean_F
    train_NF /= sd_F
    return mean_F, sd_F


def _entry(
    task: Task,
    truths: Sequence[Truth],
    odds: Sequence[Odds | None],
    draws: PatientDraws,
    min_positives: int,
) -> dict[str, Any]:
    """The macro metrics over the classes that were learnt; without a value if none was."""
    learnt_C = np.array([each is not None for each in odds], np.bool_)
    truth_VC, truth_SC = truths[1:]
    shown_V, chosen_S = (Answers(truth, None).scored(task.kind) for truth in (truth_VC, truth_SC))
    strength = STRENGTHS[len(STRENGTHS) // 2]
    summary: dict[str, Metric] = dict.fromkeys(METRICS, NO_METRIC)
    if learnt_C.any():
        odds_PMC = np.stack([each for each in odds if each is not None], axis=-1)
        of_validation, of_scored = np.split(odds_PMC, [len(truth_VC)], axis=1)
        strength = choose_strength(of_validation[:, shown_V], truth_VC[shown_V][:, learnt_C])
        if chosen_S.any():
            chosen = of_scored[STRENGTHS.index(strength)][chosen_S]
            truth = truth_SC[chosen_S][:, learnt_C]
            found = bootstrap_metrics(chosen, truth, draws.chosen(chosen_S), min_positives)
            summary = {name: found.summary_metrics()[name] for name in METRICS}
    enough_C = truth_SC[chosen_S].sum(axis=0) >= min_positives
    return {
        **summary,
        "classes_scored": int((learnt_C & enough_C).sum()),
        "not_learnt": [
            c.id for c, learnt in zip(task.classes, learnt_C, strict=True) if not learnt
        ],
        "strength": strength,
    }


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
    n = 0  # ECGs of the patients taken
    for share in shares:
        target = max(1, round(share * len(truth_NK)))
        until = n + math.ceil((target - n) / 2)
        for k in commonest:
            candidates = order[shows_PK[order, k]]
            missing = len(candidates) > 0 and not taken_P[candidates].any()
            if missing and n < until:
                taken_P[candidates[0]] = True
                n += int(ecgs_P[candidates[0]])
        others = order[~taken_P[order]]
        sums = n + np.cumsum(ecgs_P[others])
        n_more = int(np.searchsorted(sums, target)) + 1 if n < target else 0
        taken_P[others[:n_more]] = True
        n += int(ecgs_P[others[:n_more]].sum())
        found[share] = np.flatnonzero(taken_P[patient_of])
    return found


def at_most(records: RecordsTable, tasks: Sequence[Task], most: int, seed: int) -> RecordsTable:
    """All records, or whole patients until there are `most`, drawn as `nested_shares` does."""
    if len(records) <= most:
        return records
    findings = [record.findings for record in records.records]
    truth_NC = np.concatenate([task.truth(findings) for task in tasks], axis=1)
    share = most / len(records)
    places = nested_shares(records.patients, truth_NC, (share,), seed)[share]
    return RecordsTable(tuple(records.records[place] for place in places))


def learn_class(train_NF: Floats, truth_N: Truth, others: Sequence[Floats]) -> Odds | None:
    """(P, M) log odds of a class for other ECGs at each of STRENGTHS.

    Each fit starts from the one before. None if the class cannot be learnt: all training ECGs show
    it, or none does.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if truth_N.all() or not truth_N.any():
        return None
    found = []
    model = LogisticRegression(solver="lbfgs", max_iter=1000, warm_start=True)
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            # After 1000 steps it is near enough: AUROC depends on the order alone.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(train_NF, truth_N)
        weights_F, bias = model.coef_[0], model.intercept_[0]
        found.append(np.concatenate([each @ weights_F + bias for each in others]))
    return np.array(found, np.float32)


def choose_strength(odds_PVC: Odds, truth_VC: Truth) -> float:
    """The penalty of best macro AUROC on validation ECGs; the strongest of equals.

    The middle one where they show none of the classes.
    """
    best, best_area = STRENGTHS[len(STRENGTHS) // 2], -1.0
    for strength, odds_VC in zip(STRENGTHS, odds_PVC, strict=True):
        areas = np.array([auroc(*each) for each in zip(odds_VC.T, truth_VC.T, strict=True)])
        areas = areas[np.isfinite(areas)]
        if len(areas) and areas.mean() > best_area:
            best, best_area = strength, float(areas.mean())
    return best


def compute(context: AnalysisContext) -> dict[str, Any]:
    """Probes on the features of the model and of one untrained encoder, by task and share."""
    context.need_other_split("train", "val")
    tasks = [scored.task for scored in context.fully_known_tasks]
    if not len(context.train):
        raise LeftOutError("no training record has a text")
    least, seed = context.config.min_positives, context.config.seed
    train = at_most(context.train, tasks, MOST_ECGS, seed)
    splits = (train, context.validation, context.scored)
    findings = [[record.findings for record in split.records] for split in splits]
    truths = {task.name: [task.truth(each) for each in findings] for task in tasks}
    truth_NC = np.concatenate([truth for truth, *_ in truths.values()], axis=1)
    encoders = [
        [each.features(split.slots) for split in splits]
        for each in (context.model, context.untrained[0])
    ]
    block: dict[str, Any] = {task.name: {"shares": {}} for task in tasks}
    for share, places in nested_shares(train.patients, truth_NC, SHARES, seed).items():
        context.check_stop()
        trained, baseline = [
            probe_share(tasks, truths, features, places, context.draws, least)
            for features in encoders
        ]
        for name, entry in trained.items():
            random = {metric: baseline[name][metric] for metric in METRICS}
            block[name]["shares"][f"{share:g}"] = {**entry, "random_encoder": random}
    return {"protocol": PROTOCOL, "tasks": block}


def about(block: Any, tasks: Tasks) -> Words:
    """The protocol in a sentence, and in full."""
    lead = both(
        "凍結したエンコーダの上に線形分類器だけを学習。",
        "Only a linear classifier is trained, on the frozen encoder.",
    )
    return joined([lead, in_both(block["protocol"])], both("", " "))


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """One row for each task and share of the labels."""
    rows = tuple(
        (
            tasks[name]["title"],
            f"{100 * float(share):g} %",
            found["n_train"],
            found["classes_scored"],
            found["macro_auroc"],
            found["macro_auprc"],
            found["random_encoder"]["macro_auroc"],
        )
        for name, entry in block["tasks"].items()
        for share, found in entry["shares"].items()
    )
    random = {lang: f"AUROC, {text}" for lang, text in word("baselines", "random_encoder").items()}
    columns = (
        column("task", "words"),
        column("training_share", "text", both("学習に使う割合", "Labels used")),
        column("n_train", "count", both("学習件数", "n (training)")),
        column("classes_scored", "count"),
        column("macro_auroc", "area", same("AUROC")),
        column("macro_auprc", "area", same("AUPRC")),
        column("random_encoder", "area", random),
    )
    yield Table("probe", ANALYSIS.title, columns, rows)


ANALYSIS = Analysis(
    title=both("線形プローブ", "Linear probe"), compute=compute, tables=tables, about=about
)
