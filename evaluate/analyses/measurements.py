"""Whether the model sees the quantity behind a finding, such as the PR interval.

Owns the comparison of a class's score with what a delineator measures on the same ECG. If the
quantity alone separates the ECGs (`ruler`) and the model does not, the model has not learned what
the signal contains. N = records, P = records with the quantity known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.analyses.conditions import to_millivolts
from ecgpipe.evaluate.analyses.delineation import measure
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.metrics import weighted_auroc
from ecgpipe.evaluate.results import Tasks
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.scoring import percentile_metric, share_metric
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.words import both

Floats = npt.NDArray[np.float64]

_MOST_MEASURED = 500  # about a minute


@dataclass(frozen=True)
class MeasuredFinding:
    """A finding that is a measurement."""

    classes: Sequence[str]
    """Its ids in the shipped taxonomies."""

    quantity: str
    side: Literal["high", "low", "near"]
    criterion: str
    centre: float = 0.0

    def extent(self, values_N: Floats) -> Floats:
        """Greater where the quantity suggests the finding more; NaN stays."""
        if self.side == "near":  # degrees, on a circle
            return -np.abs((values_N - self.centre + 180) % 360 - 180)
        return values_N if self.side == "high" else -values_N


def measured_findings() -> tuple[dict[str, dict[str, str]], tuple[MeasuredFinding, ...]]:
    """The quantities' names by language, and the findings; all of measured_findings.yaml."""
    file = resources.files("ecgpipe.evaluate.analyses") / "measured_findings.yaml"
    table = yaml.safe_load(file.read_text(encoding="utf-8"))
    findings = tuple(MeasuredFinding(**entry) for entry in table["findings"])
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
        min_positives: the measured ECGs that a finding needs.
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
    drawn = PatientDraws.of([patients_N[row] for row in rows], draws, seed)
    weights = drawn.weights(0, draws).T.astype(np.float64)
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
    """Both AUROCs and the rank correlation on the ECGs with a known quantity; None: too few."""
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
    from scipy.stats import rankdata

    # Scaled to 0..1, so that sums of squares stay exact enough.
    a, b = (rankdata(values) / max(len(values), 1) for values in (a_N, b_N))
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


def compute(context: AnalysisContext) -> dict[str, Any]:
    """Compare the scores with measured quantities, for the first task that has such findings."""
    _, measured = measured_findings()
    known = {class_id for finding in measured for class_id in finding.classes}
    able = [s for s in context.fully_known_tasks if known & {c.id for c in s.task.classes}]
    if not able:
        raise LeftOutError("no task has a class that is a measurement")
    scored, config, records = able[0], context.config, context.scored
    rows = np.flatnonzero(scored.chosen_N)
    if len(rows) > _MOST_MEASURED:
        rng = np.random.default_rng(config.seed)
        rows = np.sort(rng.choice(rows, _MOST_MEASURED, replace=False))
    found: list[dict[str, float] | None] = [None] * len(records)
    for row in rows.tolist():
        context.check_stop()
        stored_LS = context.signals.read(records.slots[row : row + 1])
        found[row] = measure(to_millivolts(stored_LS)[0], context.signals.leads, context.rate_hz)
    return measurement_block(
        scored, found, records.patients, config.min_positives, config.bootstrap_draws, config.seed
    )


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """One row a finding, then one a quantity."""
    quantities = {
        name: {
            language: f"{each[language]} ({each['unit']})" if each["unit"] else each[language]
            for language in ("ja", "en")
        }
        for name, each in block["quantities"].items()
    }
    quantity = column("quantity", "words", both("計測値", "Quantity"))
    medians = ("median_positive", "median_negative")
    findings = (
        column("class", "words"), quantity,
        column("criterion", "text", both("診断基準", "Criterion")), column("n", "count"),
        column("n_positive", "count", both("陽性件数", "n positive")),
        column("model_auroc", "area", both("モデルのAUROC", "Model's AUROC")),
        column("ruler_auroc", "area", both("計測値だけのAUROC", "AUROC of the quantity alone")),
        column("correlation", "number"),
        column(medians[0], "number", both("陽性の中央値", "Median, positive")),
        column(medians[1], "number", both("陰性の中央値", "Median, negative")),
    )  # fmt: skip
    rows = tuple(
        (
            each["names"],
            quantities[each["quantity"]],
            *(each[each_column.key] for each_column in findings[2:]),
        )
        for each in block["findings"]
    )
    yield Table("measurements-findings", ANALYSIS.title, findings, rows)
    columns = (
        quantity, column("n", "count"),
        column("p5", "number", both("5パーセンタイル", "5th percentile")),
        column("median", "number", both("中央値", "Median")),
        column("p95", "number", both("95パーセンタイル", "95th percentile")),
    )  # fmt: skip
    rows = tuple(
        (quantities[name], *(each[key] for key in ("n", "p5", "median", "p95")))
        for name, each in block["quantities"].items()
    )
    title = both("計測値の分布", "Measured quantities")
    yield Table("measurements-quantities", title, columns, rows)


ANALYSIS = Analysis(
    title=both("計測値との比較", "Against measurements in the signal"),
    compute=compute,
    tables=tables,
)
