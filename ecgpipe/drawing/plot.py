"""The content of a chart: axes, series, labels and counts, independent of how it is rendered.

Each series differs from the others by dash and marker as well as by colour, so that a
black-and-white print can be read. Text is held in Japanese and English, because an HTML report can
switch between them. Knows neither matplotlib nor SVG.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Words = Mapping[str, str]
"""One text in each language; the keys are ja and en."""

Points = npt.NDArray[np.float64]
Marker = Literal["circle", "square", "triangle", "diamond", "wedge", "pentagon"]


@dataclass(frozen=True)
class Mark:
    """The look of a series."""

    colour: str
    dash: tuple[float, ...]
    """Lengths of dashes and gaps in pixels; empty for a solid line."""

    marker: Marker


# Dark enough for white paper, and of different lightness, to be distinct in grey too.
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
    """One axis of a chart."""

    label: Words
    low: float
    high: float
    ticks: tuple[float, ...] = ()
    tick_texts: tuple[str, ...] = ()
    """One per tick."""


@dataclass(frozen=True)
class Series:
    """One set of points, drawn as a line, as dots, or as both."""

    name: Words
    points: Points
    """(n, 2)."""

    mark: int = 0
    """Index into MARKS, modulo its length."""

    line: bool = True
    dots: bool = False
    hollow: bool = False
    faint: bool = False
    """Thin and grey, for the background."""

    named: bool = True
    """Whether it is listed in the legend."""

    @property
    def look(self) -> Mark:
        """Its colour, dash and marker."""
        return MARKS[self.mark % len(MARKS)]


@dataclass(frozen=True)
class Label:
    """A text at a point."""

    x: float
    y: float
    text: Words
    mark: int = 0


@dataclass(frozen=True)
class Plot:
    """A chart with two axes."""

    name: str
    """Its file name, without suffix."""

    title: Words
    about: Words
    """One sentence that describes the chart to a screen reader."""

    x: Axis
    y: Axis
    series: tuple[Series, ...]
    labels: tuple[Label, ...] = ()
    diagonal: bool = False
    """Whether to draw the line of chance, or of perfect agreement, from corner to corner."""

    bars: Points = field(default_factory=lambda: np.empty((0, 3)))
    """(n, 3): left, right and height of grey bars behind the series, in axis units."""

    aspect: float = 1.0
    """Height divided by width."""


@dataclass(frozen=True)
class CountGrid:
    """A square matrix of counts whose rows and columns have the same names."""

    name: str
    title: Words
    about: Words
    rows: Words
    columns: Words
    names: tuple[Words, ...]
    counts: npt.NDArray[np.int64]
    """(n, n)."""
