"""Whether a model that names a finding sees the quantity that the finding is.

Owns the comparison of a class's score with what a delineator measures on the same ECG. If the
quantity alone tells the ECGs apart (`ruler`) and the model does not, the signal holds what the
model has not learned. N = records, P = records with the quantity known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml

from ecgpipe.evaluate.metrics.bootstrap import patient_weights
from ecgpipe.evaluate.metrics.metrics import mid_ranks, weighted_auroc
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.scoring import percentile_metric, share_metric

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredFinding:
    """A finding that is a measurement."""

    classes: tuple[str, ...]
    """Its ids in the shipped taxonomies."""

    quantity: str
    side: Literal["high", "low", "near"]
    criterion: str
    centre: float = 0.0

    def extent(self, values_N: Floats) -> Floats:
        """How much the quantity speaks for the finding; NaN stays."""
        if self.side == "near":  # on a circle of degrees
            return -np.abs((values_N - self.centre + 180) % 360 - 180)
        return values_N if self.side == "high" else -values_N


def measured_findings() -> tuple[dict[str, dict[str, str]], tuple[MeasuredFinding, ...]]:
    """The quantities' names by language, and the findings; all of measured_findings.yaml."""
    file = resources.files("ecgpipe.evaluate.analyses") / "measured_findings.yaml"
    table = yaml.safe_load(file.read_text(encoding="utf-8"))
    findings = tuple(
        MeasuredFinding(
            classes=tuple(entry["class"]),
            quantity=entry["quantity"],
            side=entry["side"],
            criterion=entry["criterion"],
            centre=float(entry.get("centre", 0)),
        )
        for entry in table["findings"]
    )
    return table["quantities"], findings


def measurement_block(
    scored: ScoredTask,
    measured_N: Sequence[Mapping[str, float] | None],
    patients_N: Sequence[str],
    min_positives: int,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """The `measurements` block of the results file.

    Args:
        scored: the task whose classes are findings.
        measured_N: what was measured on each record of the split; None where it was not tried.
        patients_N: whose record each is.
        min_positives: the least ECGs of a finding, among those measured.
        draws: resamplings of patients.
        seed: of the draws.
    """
    names, findings = measured_findings()
    chosen = scored.chosen_N & np.array([measures is not None for measures in measured_N], bool)
    rows = np.flatnonzero(chosen).tolist()
    values = {
        name: np.array([(measured_N[row] or {})[name] for row in rows], np.float64)
        for name in names
    }
    weights = patient_weights([patients_N[row] for row in rows], draws, seed)
    entries = []
    for number, each in enumerate(scored.task.classes):
        finding = next((f for f in findings if each.id in f.classes), None)
        if finding is None:
            continue
        entry = _finding_entry(
            finding.extent(values[finding.quantity]),
            values[finding.quantity],
            scored.scores_NC[rows, number],
            scored.truth_NC[rows, number],
            weights,
            min_positives,
        )
        if entry is not None:
            entries.append(
                {
                    "class": each.id,
                    "names": dict(each.names),
                    "quantity": finding.quantity,
                    "side": finding.side,
                    "criterion": finding.criterion,
                    **entry,
                }
            )
    return {
        "task": scored.task.name,
        "library": "neurokit2, prominence",
        "n": int(scored.chosen_N.sum()),
        "n_tried": len(rows),
        "quantities": {name: {**names[name], **_spread(values[name])} for name in names},
        "findings": entries,
    }


def _finding_entry(
    extent_P: Floats,
    values_P: Floats,
    scores_P: npt.NDArray[np.float32],
    truth_P: npt.NDArray[np.bool_],
    weights_DP: Floats,
    min_positives: int,
) -> dict[str, Any] | None:
    """Both areas and the rank correlation on the ECGs whose quantity is known; None: too few."""
    known = np.isfinite(extent_P)
    truth, scores, extent = truth_P[known], scores_P[known], extent_P[known]
    n_positive = int(truth.sum())
    if n_positive < min_positives or n_positive == len(truth):
        return None
    weights = np.concatenate([np.ones((1, len(truth))), weights_DP[:, known]])
    n_effective = float(min(n_positive, len(truth) - n_positive))  # ECGs: few patients have several
    model = weighted_auroc(scores, truth, weights)
    ruler = weighted_auroc(extent.astype(np.float32), truth, weights)
    return {
        "n": len(truth),
        "n_positive": n_positive,
        "model_auroc": share_metric(model, n_effective),
        "ruler_auroc": share_metric(ruler, n_effective),
        "correlation": percentile_metric(weighted_rank_correlation(scores, extent, weights)),
        "median_positive": float(np.median(values_P[known][truth])),
        "median_negative": float(np.median(values_P[known][~truth])),
    }


def weighted_rank_correlation(
    a_N: npt.NDArray[np.floating[Any]], b_N: npt.NDArray[np.floating[Any]], weights_DN: Floats
) -> Floats:
    """Spearman's correlation for each row of record weights: Pearson's of the mid-ranks.

    The ranks are those of all records; a draw weights them. Exact for weights of 1.

    Returns:
        (D,), NaN where a side does not vary.
    """
    # Scaled to 0..1, so that sums of squares stay exact enough.
    a, b = (mid_ranks(values) / max(len(values), 1) for values in (a_N, b_N))
    total = weights_DN.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_a, mean_b = weights_DN @ a / total, weights_DN @ b / total
        covariance = weights_DN @ (a * b) / total - mean_a * mean_b
        spread_a = weights_DN @ (a * a) / total - mean_a**2
        spread_b = weights_DN @ (b * b) / total - mean_b**2
        found: Floats = covariance / np.sqrt(spread_a * spread_b)
    return np.where((spread_a > 1e-12) & (spread_b > 1e-12), found, np.nan)


def _spread(values_P: Floats) -> dict[str, float | int | None]:
    known = values_P[np.isfinite(values_P)]
    if not len(known):
        return {"n": 0, "p5": None, "median": None, "p95": None}
    low, middle, high = (float(value) for value in np.percentile(known, [5, 50, 95]))
    return {"n": len(known), "p5": low, "median": middle, "p95": high}
