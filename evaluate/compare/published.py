"""What others have published for tasks of the same names, on other ECGs.

Owns the file published.yaml. Its metrics are shown beside ours and never computed with.
"""

from dataclasses import dataclass
from importlib import resources

import yaml


@dataclass(frozen=True)
class PublishedMetric:
    """One number of a paper."""

    task: str
    metric: str
    value: float
    classes: tuple[str, ...] = ()
    """Ids of the class it is about, in the shipped taxonomies; none for the whole task."""


@dataclass(frozen=True)
class Publication:
    """A paper, and what it says about tasks of ours."""

    name: str
    source: str
    data: str
    metrics: tuple[PublishedMetric, ...]

    def tells_of(self, task: str) -> bool:
        """Whether it has any metric of a task."""
        return any(entry.task == task for entry in self.metrics)

    def value(self, task: str, metric: str, class_id: str | None = None) -> float | None:
        """What it says of a metric of a task or of one of its classes; None where it is silent."""
        for entry in self.metrics:
            about_class = class_id in entry.classes if class_id is not None else not entry.classes
            if (entry.task, entry.metric) == (task, metric) and about_class:
                return entry.value
        return None


def publications() -> tuple[Publication, ...]:
    """All of published.yaml, in its order."""
    text = (resources.files("ecgpipe.evaluate.compare") / "published.yaml").read_text(
        encoding="utf-8"
    )
    return tuple(
        Publication(
            name=entry["name"],
            source=entry["source"],
            data=entry["data"],
            metrics=tuple(
                PublishedMetric(
                    task=metric["task"],
                    metric=metric["metric"],
                    value=float(metric["value"]),
                    classes=tuple(metric.get("class", ())),
                )
                for metric in entry["metrics"]
            ),
        )
        for entry in yaml.safe_load(text)
    )
