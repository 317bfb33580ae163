"""What others have published for tasks of the same names, on other ECGs.

Owns the file published.yaml. Its figures are shown beside ours and never computed with.
"""

from dataclasses import dataclass
from importlib import resources

import yaml


@dataclass(frozen=True)
class PublishedFigure:
    """One number of a paper."""

    task: str
    figure: str
    value: float
    classes: tuple[str, ...] = ()
    """Ids of the class it is about, in the shipped taxonomies; none for the whole task."""


@dataclass(frozen=True)
class Publication:
    """A paper, and what it says about tasks of ours."""

    name: str
    source: str
    data: str
    figures: tuple[PublishedFigure, ...]

    def tells_of(self, task: str) -> bool:
        """Whether it has any figure of a task."""
        return any(entry.task == task for entry in self.figures)

    def value(self, task: str, figure: str, class_id: str | None = None) -> float | None:
        """What it says of a figure of a task or of one of its classes; None where it is silent."""
        for entry in self.figures:
            about_class = class_id in entry.classes if class_id is not None else not entry.classes
            if (entry.task, entry.figure) == (task, figure) and about_class:
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
            figures=tuple(
                PublishedFigure(
                    task=figure["task"],
                    figure=figure["figure"],
                    value=float(figure["value"]),
                    classes=tuple(figure.get("class", ())),
                )
                for figure in entry["figures"]
            ),
        )
        for entry in yaml.safe_load(text)
    )
