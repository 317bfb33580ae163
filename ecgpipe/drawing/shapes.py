"""Lines and text on paper, in millimetres from the sheet's lower left corner.

Owns the shapes that the layout modules produce and `rendering` draws, and estimates of text width.
Knows neither ECGs nor matplotlib.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

A4_LANDSCAPE_MM = (297.0, 210.0)

# Average character widths of DejaVu Sans.
_SMALL_EM, _DIGIT_EM, _CAPITAL_EM, _WIDE_EM = 0.58, 0.64, 0.70, 1.0
_BOLD = 1.12

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """An axis-aligned rectangle."""

    left_mm: float
    bottom_mm: float
    width_mm: float
    height_mm: float

    @property
    def right_mm(self) -> float:
        """Its right edge."""
        return self.left_mm + self.width_mm

    @property
    def top_mm(self) -> float:
        """Its upper edge."""
        return self.bottom_mm + self.height_mm


@dataclass(frozen=True)
class Text:
    """One line of text with its baseline at `y_mm`."""

    x_mm: float
    y_mm: float
    text: str
    size_mm: float
    """The font size: about the distance from ascender to descender."""

    align: Literal["left", "center", "right"] = "left"
    bold: bool = False
    faint: bool = False

    @property
    def box(self) -> Box:
        """An estimate of its bounding box."""
        width_mm = width_of(self.text, self.size_mm, self.bold)
        left_mm = self.x_mm - {"left": 0.0, "center": 0.5, "right": 1.0}[self.align] * width_mm
        return Box(left_mm, self.y_mm - 0.2 * self.size_mm, width_mm, self.size_mm)


@dataclass(frozen=True)
class Panel:
    """One lead from `start_s` to `end_s`, and where it is drawn."""

    lead: str
    start_s: float
    end_s: float
    left_mm: float
    baseline_mm: float
    traces: tuple[Points, ...]
    """Each (n, 2) in mm, one point per sample; missing samples split the line."""


@dataclass(frozen=True)
class Band:
    """A filled rectangle below the traces."""

    box: Box
    grey: float
    """0 is white, 1 black."""

    outlined: bool = False


@dataclass(frozen=True)
class Chart:
    """Grid paper with traces, clipped to `box`."""

    box: Box
    fine_mm: float | None
    """Distance between fine grid lines; None omits them where they would be too dense."""

    coarse_mm: float
    panels: tuple[Panel, ...]
    marks: tuple[Points, ...]
    """Calibration pulses and ticks between leads; each (n, 2) in mm."""

    texts: tuple[Text, ...]
    trace_width_mm: float
    bands: tuple[Band, ...] = ()

    def grid_lines(self, step_mm: float) -> list[Points]:
        """Vertical, then horizontal lines, each (2, 2), from the chart's lower left corner."""
        box = self.box
        x_mm = box.left_mm + step_mm * np.arange(int(box.width_mm / step_mm + 1e-6) + 1)
        y_mm = box.bottom_mm + step_mm * np.arange(int(box.height_mm / step_mm + 1e-6) + 1)
        vertical = [np.array([(x, box.bottom_mm), (x, box.top_mm)]) for x in x_mm]
        horizontal = [np.array([(box.left_mm, y), (box.right_mm, y)]) for y in y_mm]
        return vertical + horizontal


@dataclass(frozen=True)
class Sheet:
    """One page."""

    width_mm: float
    height_mm: float
    charts: tuple[Chart, ...]
    texts: tuple[Text, ...]

    def all_texts(self) -> Iterator[Text]:
        """All text on the page, including that of its charts."""
        for chart in self.charts:
            yield from chart.texts
        yield from self.texts


def width_of(text: str, size_mm: float, bold: bool = False) -> float:
    """Estimate the width of a text; Japanese characters are as wide as they are high."""
    return size_mm * sum(map(_width_em, text)) * (_BOLD if bold else 1.0)


def _width_em(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return _WIDE_EM
    if letter.isdigit():
        return _DIGIT_EM
    return _CAPITAL_EM if letter.isupper() else _SMALL_EM


def truncate(text: str, size_mm: float, width_mm: float, bold: bool = False) -> str:
    """Cut a text that is wider than `width_mm` and end it with an ellipsis."""
    if width_of(text, size_mm, bold) <= width_mm:
        return text
    while text and width_of(f"{text}…", size_mm, bold) > width_mm:
        text = text[:-1]
    return f"{text.rstrip()}…"


# What stays in one line: a word with the blanks behind it; a run of katakana, or another Japanese
# letter, with the brackets and marks beside it.
_UNBROKEN = re.compile(
    r"[（「]*(?:[ァ-ヿ]+|[\u3000-\uffff])[）」、。：]*|[^\s\u3000-\uffff]+\s*|\s+"
)


def break_lines(text: str, size_mm: float, width_mm: float, n_lines: int) -> list[str]:
    """Break a text between words, or between Japanese letters but not within a run of katakana.

    What does not fit into `n_lines` lines is cut, and the last ends with an ellipsis.
    """
    lines = [""]
    for part in _UNBROKEN.findall(text):
        wide = width_of(lines[-1] + part.rstrip(), size_mm) > width_mm
        if wide and lines[-1] and len(lines) < n_lines:
            lines.append("")
        lines[-1] += part
    return [truncate(line.rstrip(), size_mm, width_mm) for line in lines]


def wrap(
    parts: Sequence[str], separator: str, size_mm: float, width_mm: float, n_lines: int
) -> list[str]:
    """Join parts into at most `n_lines` lines, breaking lines only between parts.

    Parts that do not fit are counted, as in 'Sinus rhythm (+3)'.
    """
    lines: list[str] = []
    for number, part in enumerate(parts):
        left = len(parts) - number
        more = f" (+{left - 1})" if left > 1 and len(lines) == n_lines else ""
        joined = f"{lines[-1]}{separator}{part}" if lines else part
        if lines and width_of(joined + more, size_mm) <= width_mm:
            lines[-1] = joined
        elif len(lines) < n_lines:
            lines[-1:] = [lines[-1] + separator.rstrip()] if lines else []
            lines.append(part)
        else:
            lines[-1] += f" (+{left})"
            break
    return [truncate(line, size_mm, width_mm) for line in lines]
