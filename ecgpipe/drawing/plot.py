"""What a chart shows: axes, curves, dots and counts, before anybody draws it.

Owns the shapes that lie between a figure's numbers and its picture, and the marks that tell curves
apart: each has a dash and a marker of its own beside its colour, so that a black-and-white print
says the same. Words come in Japanese and English, since a page may switch between them. Knows
neither matplotlib nor SVG.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Words = Mapping[str, str]
"""The same in Japanese and English: ja, en."""

Points = npt.NDArray[np.float64]
Marker = Literal["circle", "square", "triangle", "diamond", "wedge", "pentagon"]


@dataclass(frozen=True)
class Mark:
    """How one series is told from the next."""

    colour: str
    dash: tuple[float, ...]
    """Lengths of line and gap in pixels; none is an unbroken line."""

    marker: Marker


# Dark enough for white paper, and of different lightness, so that greys differ too.
MARKS = (
    Mark("#12456b", (), "circle"),
    Mark("#b4511c", (7, 3), "square"),
    Mark("#2f7d5b", (2, 2.5), "triangle"),
    Mark("#7a4b94", (9, 3, 2, 3), "diamond"),
    Mark("#a37b00", (14, 4), "wedge"),
    Mark("#5c6670", (4, 2, 4, 6), "pentagon"),
)


@dataclass(frozen=True)
class Axis:
    """One side of a chart."""

    label: Words
    low: float
    high: float
    ticks: tuple[float, ...] = ()
    tick_texts: tuple[str, ...] = ()
    """As many as ticks."""


@dataclass(frozen=True)
class Series:
    """Points that belong together."""

    name: Words
    points: Points
    """(n, 2)."""

    mark: int = 0
    """Which of MARKS; those beyond the last begin anew."""

    line: bool = True
    dots: bool = False
    hollow: bool = False
    faint: bool = False
    """Among the rest: thin and grey."""

    named: bool = True
    """In the key."""

    @property
    def look(self) -> Mark:
        """Its colour, dash and marker."""
        return MARKS[self.mark % len(MARKS)]


@dataclass(frozen=True)
class Label:
    """Words at a point."""

    x: float
    y: float
    text: Words
    mark: int = 0


@dataclass(frozen=True)
class Plot:
    """Curves or dots between two axes."""

    name: str
    """Of its file."""

    title: Words
    about: Words
    """What is to be seen, in a sentence, for those who do not see it."""

    x: Axis
    y: Axis
    series: tuple[Series, ...]
    labels: tuple[Label, ...] = ()
    diagonal: bool = False
    """With the line from corner to corner: chance, or perfect agreement."""

    bars: Points = field(default_factory=lambda: np.empty((0, 3)))
    """(n, 3): left, right and height of grey bars behind the curves, in the axes' units."""

    aspect: float = 1.0
    """Height over width."""


@dataclass(frozen=True)
class CountGrid:
    """Counts in rows and columns of the same names."""

    name: str
    title: Words
    about: Words
    rows: Words
    columns: Words
    names: tuple[Words, ...]
    counts: npt.NDArray[np.int64]
    """(n, n)."""
