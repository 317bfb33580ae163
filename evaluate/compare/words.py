"""What each run's words are worth: one row a run, from texts it was trained on to none.

Owns which figures of a run's analyses stand there. They are taken from the results as they are, so
there is no paired difference; several seeds have the mean of their values and of their bounds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecgpipe.evaluate.results import NO_METRIC, Metric, Results

FIGURES = (
    *("trained", "held_out", "held_out_exchanged", "other_name", "unseen", "unseen_by_nearest"),
)
"""Macro AUROC of findings by the wording trained on, by wordings held out of training, by the same
at the wrong findings, by names in the other language; of findings never trained on, by their names
and by the nearest trained name."""


def words_beside(columns: Mapping[str, Sequence[Results]]) -> dict[str, dict[str, Any]]:
    """By figure the `values` of each column and the `between_runs` of its seeds; only figures that
    some run has."""
    found = {}
    for name in FIGURES:
        of_runs = [[_figures(run).get(name) for run in runs] for runs in columns.values()]
        if any(metric is not None for runs in of_runs for metric in runs):
            found[name] = {
                "values": [_mean(runs) for runs in of_runs],
                "between_runs": [_spread(runs) for runs in of_runs],
            }
    return found


def _figures(results: Results) -> dict[str, Metric]:
    analyses = results["analyses"]
    found = {}
    for group in analyses.get("wordings", {}).get("groups", ()):
        if group["group"] == "held_out":
            found["trained"] = group["by_name"]
            # Results of an older version lack it.
            found["held_out_exchanged"] = group.get("exchanged") or NO_METRIC
        if group["group"] in FIGURES:
            found[group["group"]] = group["macro_auroc"]
    if unseen := analyses.get("unseen"):
        found |= {"unseen": unseen["own"], "unseen_by_nearest": unseen["nearest"]}
    return found


def _mean(metrics: Sequence[Metric | None]) -> Metric:
    """The mean of values and of bounds; a bound that one run lacks is none."""
    known = [metric for metric in metrics if metric is not None]
    if not known:
        return NO_METRIC
    return {
        "value": _mean_or_none([metric["value"] for metric in known]),
        "low": _mean_or_none([metric["low"] for metric in known]),
        "high": _mean_or_none([metric["high"] for metric in known]),
    }


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _spread(metrics: Sequence[Metric | None]) -> float | None:
    values = [metric["value"] for metric in metrics if metric is not None]
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None
