"""Whether a metric is better than its baselines.

Owns the rule, so that the page, report.md and the terminal agree:

green  the interval's lower bound is above the upper bound of the best baseline
amber  the value is above the best baseline's, but the intervals overlap
red    it is not above
none   there is no metric, or no baseline
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ecgpipe.evaluate.results import NO_SCORES, Metric, TaskResults

Light = Literal["green", "amber", "red", "none"]

SYMBOLS: Mapping[str, str] = {"green": "●", "amber": "◐", "red": "○", "none": "–"}

BASELINES = ("random_encoder", "shuffled_text", "shuffled_ecg", "class_prior", "blank_ecg")


@dataclass(frozen=True)
class Verdict:
    """A metric and the best of its baselines."""

    light: Light
    metric: Metric | None
    baseline: str
    """The name of the best baseline; empty where there is none."""

    baseline_metric: Metric | None

    @property
    def symbol(self) -> str:
        """The light without colour."""
        return SYMBOLS[self.light]


def verdict(task: TaskResults, name: str) -> Verdict:
    """The verdict on one summary metric of a task.

    Args:
        task: a block of results["tasks"].
        name: of the metric.
    """
    baselines = {
        which: task["baselines"].get(which, NO_SCORES)["summary"].get(name) for which in BASELINES
    }
    return verdict_over(task["summary"].get(name), baselines)


def verdict_over(metric: Metric | None, baselines: Mapping[str, Metric | None]) -> Verdict:
    """The verdict on a metric, against the best of some baselines by name."""
    best, baseline, best_value = "", None, float("-inf")
    for which, entry in baselines.items():
        value = _value(entry)
        if value is not None and value > best_value:
            best, baseline, best_value = which, entry, value
    return Verdict(_light(metric, baseline), metric, best, baseline)


def _light(metric: Metric | None, baseline: Metric | None) -> Light:
    value, other = _value(metric), _value(baseline)
    if metric is None or baseline is None or value is None or other is None:
        return "none"
    if value <= other:
        return "red"
    low, high = metric["low"], baseline["high"]
    # A metric without an interval is no proof; a baseline without one is its value.
    certain = low is not None and low > (other if high is None else high)
    return "green" if certain else "amber"


def _value(metric: Metric | None) -> float | None:
    return None if metric is None else metric["value"]
