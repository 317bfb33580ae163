"""What papers report for tasks of the same names, on other ECGs.

Owns the file published.yaml. Its metrics are shown beside ours and never computed with.
"""

from dataclasses import dataclass
from importlib import resources

import yaml
from pydantic import TypeAdapter

from ecgpipe.config.settings import Settings


@dataclass(frozen=True, kw_only=True)
class PublishedMetric(Settings):
    """One number of a paper."""

    task: str
    metric: str
    value: float
    classes: tuple[str, ...] = ()
    """Ids of the class it is about, in the shipped taxonomies; none for the whole task."""


@dataclass(frozen=True, kw_only=True)
class Publication(Settings):
    """A paper, and what it reports for our tasks."""

    name: str
    source: str
    data: str
    metrics: tuple[PublishedMetric, ...]

    def covers(self, task: str) -> bool:
        """Whether it has any metric of a task."""
        return any(entry.task == task for entry in self.metrics)

    def value(self, task: str, metric: str, class_id: str | None = None) -> float | None:
        """A metric of a task or of one of its classes; None if the paper does not report it."""
        for entry in self.metrics:
            about_class = class_id in entry.classes if class_id is not None else not entry.classes
            if (entry.task, entry.metric) == (task, metric) and about_class:
                return entry.value
        return None


def publications() -> tuple[Publication, ...]:
    """All of published.yaml, in its order."""
    file = resources.files("ecgpipe.evaluate.compare") / "published.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return TypeAdapter(tuple[Publication, ...]).validate_python(content)
