"""Whether a metric is better than its baselines.

Owns the rule, so that the page, report.md and whoever compares say the same of one metric:

green  the interval's lower bound lies above the upper bound of the best baseline
amber  the value lies above the best baseline's, but the intervals overlap
red    it does not lie above
none   there is no metric, or no baseline
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Light = Literal["green", "amber", "red", "none"]

SYMBOLS: Mapping[str, str] = {"green": "●", "amber": "◐", "red": "○", "none": "–"}

BASELINES = ("random_encoder", "shuffled_text", "class_prior")


@dataclass(frozen=True)
class Verdict:
    """A metric beside the best of its baselines."""

    light: Light
    metric: Mapping[str, float | None] | None
    baseline: str
    """The name of the best baseline; empty where there is none."""

    baseline_metric: Mapping[str, float | None] | None

    @property
    def symbol(self) -> str:
        """The light without colour."""
        return SYMBOLS[self.light]


def verdict(task: Mapping[str, Any], name: str) -> Verdict:
    """The verdict on one summary metric of a task.

    Args:
        task: a block of results["tasks"].
        name: of the metric.
    """
    metric = task["summary"].get(name)
    beside = [
        (baseline, task["baselines"][baseline]["summary"].get(name))
        for baseline in BASELINES
        if baseline in task["baselines"]
    ]
    known = [(which, entry) for which, entry in beside if _value(entry) is not None]
    best, entry = max(known, key=lambda pair: pair[1]["value"], default=("", None))
    return Verdict(_light(metric, entry), metric, best, entry)


def _light(
    metric: Mapping[str, float | None] | None, baseline: Mapping[str, float | None] | None
) -> Light:
    value, other = _value(metric), _value(baseline)
    if metric is None or baseline is None or value is None or other is None:
        return "none"
    if value <= other:
        return "red"
    low, high = metric["low"], baseline["high"]
    # A metric without an interval is no proof; a baseline without one is its value.
    certain = low is not None and low > (other if high is None else high)
    return "green" if certain else "amber"


def _value(metric: Mapping[str, float | None] | None) -> float | None:
    return None if metric is None else metric["value"]


def headline_metrics(task: Mapping[str, Any]) -> tuple[str, ...]:
    """The metrics of a task that the summary shows."""
    single = task["kind"] == "single_label"
    wanted = ("hit@1_macro", "macro_auroc") if single else ("macro_auroc", "hit@1_any", "macro_f1")
    return tuple(name for name in wanted if name in task["summary"])
