"""Render a chart to a PNG or SVG.

Owns the chart's size and the matplotlib calls; colours, dashes and text are the plot's. The same
plot gives the same bytes.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgpipe.drawing.fonts import Fonts, find_fonts
from ecgpipe.drawing.plot import CountGrid, Label, Plot, Series, Words
from ecgpipe.drawing.rendering import Format, encode_figure, open_figure
from ecgpipe.drawing.shapes import break_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.font_manager import FontProperties

_MM_PER_INCH = 25.4
_MM_PER_POINT = _MM_PER_INCH / 72
_LEFT_INCH, _RIGHT_INCH = 0.58, 0.18
_LEGEND_INCH, _LINE_INCH = 0.17, 0.13
_LEGEND_POINTS, _HANDLE_POINTS, _LABEL_POINTS = 8, 50, 8
_WIDE_MM = 120.0
"""From this width on, the legend is beside the chart."""

_GRID_LEFT, _GRID_BOTTOM, _GRID_WIDTH, _GRID_HEIGHT, _GRID_ANGLE = 0.27, 0.05, 0.56, 0.62, 40
_LEAST_POINTS = 6
"""Below it, a name cannot be read in print."""

_INK, _RULE, _FAINT, _PALE = "#1b1f23", "#8a929a", "#c3c8ce", "#e6e9ec"
_SYMBOLS = {
    "circle": "o", "square": "s", "triangle": "^", "diamond": "D", "wedge": "v",
    "pentagon": "p",
}  # fmt: skip
_FEW = 10
"""A larger grid of counts has one line for a name, in smaller letters."""

_MAX_GRID_NUMBERS = 40
"""A larger one has no room for the numbers."""


@dataclass(frozen=True)
class Size:
    """How large a chart is drawn; its letters keep their size."""

    width_mm: float
    dpi: int
    """Resolution of a PNG."""

    titled: bool = True
    """Journals set the title under the figure instead."""

    @property
    def width_inch(self) -> float:
        """A whole number of pixels, and what is lost when matplotlib rounds down."""
        return (round(self.width_mm / _MM_PER_INCH * self.dpi) + 0.01) / self.dpi


# Small, so that text stays legible on a phone.
_REPORT, _REPORT_GRID = Size(113.8, 200), Size(142.2, 160)


def render_plot(
    plot: Plot | CountGrid, fonts: Fonts, language: str, format: Format, size: Size | None = None
) -> bytes:
    """Draw a chart and return the file's bytes.

    Args:
        plot: the chart to draw.
        fonts: the fonts to use.
        language: of the text, ja or en.
        format: png or svg.
        size: None: as in the report.
    """
    if isinstance(plot, CountGrid):
        size = size or _REPORT_GRID
        with open_figure(size.width_inch, size.width_inch) as figure:
            _Renderer(fonts, language, size).draw_grid(
                figure.add_axes((_GRID_LEFT, _GRID_BOTTOM, _GRID_WIDTH, _GRID_HEIGHT)), plot
            )
            return encode_figure(figure, format, size.dpi)
    size = size or _REPORT
    renderer = _Renderer(fonts, language, size)
    wide, high = renderer.plot_inches(plot)
    below = 0.68 + renderer.legend_inch(plot)
    height = high + below + (0.42 if size.titled else 0.12)
    box = (
        _LEFT_INCH / size.width_inch, below / height, wide / size.width_inch, high / height
    )  # fmt: skip
    with open_figure(size.width_inch, height) as figure:
        renderer.draw_plot(figure.add_axes(box), plot)
        return encode_figure(figure, format, size.dpi)


class DrawnPlots:
    """Draws the charts of one report, each at most once in a language and format.

    A chart is known by its name: the page and the files show the same ones.
    """

    def __init__(self) -> None:
        self._fonts = find_fonts()
        self._drawn: dict[tuple[str, str, Format], bytes] = {}

    def bytes_of(self, plot: Plot | CountGrid, language: str, format: Format) -> bytes:
        """The chart's file, as `render_plot` returns it."""
        key = plot.name, language, format
        if key not in self._drawn:
            self._drawn[key] = render_plot(plot, self._fonts, language, format)
        return self._drawn[key]


class _Renderer:
    """Draws with one set of fonts, in one language and size."""

    def __init__(self, fonts: Fonts, language: str, size: Size) -> None:
        self._fonts = fonts
        self._language = language
        self._size = size

    def plot_inches(self, plot: Plot) -> tuple[float, float]:
        """Width and height of the area between the axes."""
        wide = self._size.width_inch - _LEFT_INCH - _RIGHT_INCH
        if self._is_beside(plot):
            wide *= 0.6
        return wide, wide * plot.aspect

    def legend_inch(self, plot: Plot) -> float:
        """Height of the legend below the chart."""
        if self._is_beside(plot):
            return 0.0
        lines = [name.count("\n") for name in self._legend(plot)]
        return _LEGEND_INCH * len(lines) + _LINE_INCH * sum(lines)

    def _is_beside(self, plot: Plot) -> bool:
        return self._size.width_mm >= _WIDE_MM and any(series.named for series in plot.series)

    def _legend(self, plot: Plot) -> list[str]:
        """The names of series, in lines that are not wider than the legend."""
        room_mm = (self._size.width_inch - _LEFT_INCH - _RIGHT_INCH) * _MM_PER_INCH
        room_mm *= 0.36 if self._is_beside(plot) else 1.0
        room_mm -= _HANDLE_POINTS * _MM_PER_POINT
        names = [self._text(series.name) for series in plot.series if series.named]
        lines = [break_lines(name, _LEGEND_POINTS * _MM_PER_POINT, room_mm, 5) for name in names]
        return ["\n".join(each) for each in lines]

    def draw_plot(self, axes: "Axes", plot: Plot) -> None:
        axes.set_xlim(plot.x.low, plot.x.high)
        axes.set_ylim(plot.y.low, plot.y.high)
        axes.set_xticks(plot.x.ticks, plot.x.tick_texts)
        axes.set_yticks(plot.y.ticks, plot.y.tick_texts)
        axes.tick_params(labelsize=8, colors=_INK, color=_RULE, length=3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_RULE)
        axes.grid(color=_PALE, linewidth=0.7)
        axes.set_axisbelow(True)
        for left, right, height in plot.bars:
            axes.bar((left + right) / 2, height, 0.92 * (right - left), color=_PALE, zorder=1)
        if plot.diagonal:
            axes.plot(
                (plot.x.low, plot.x.high), (plot.y.low, plot.y.high),
                color=_RULE, linewidth=0.9, dashes=(2, 3), zorder=1.5,
            )  # fmt: skip
        for series in plot.series:
            self._draw_series(axes, series)
        self._draw_labels(axes, plot.labels)
        if self._size.titled:
            axes.set_title(self._text(plot.title), fontproperties=self._font(plot.title, 10, True))
        axes.set_xlabel(self._text(plot.x.label), fontproperties=self._font(plot.x.label, 8.5))
        axes.set_ylabel(self._text(plot.y.label), fontproperties=self._font(plot.y.label, 8.5))
        if names := self._legend(plot):
            beside = self._is_beside(plot)
            axes.legend(
                axes.get_legend_handles_labels()[0], names, loc="upper left",
                bbox_to_anchor=(1.04, 1.0) if beside else (0.0, -0.55 / self.plot_inches(plot)[1]),
                frameon=False, borderaxespad=0, handlelength=4,
                prop=self._font({self._language: "".join(names)}, _LEGEND_POINTS),
            )  # fmt: skip

    def draw_grid(self, axes: "Axes", grid: CountGrid) -> None:
        counts = np.asarray(grid.counts, np.float64)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Greys", vmin=0, vmax=1.6, aspect="auto")
        n = len(grid.names)
        size = 8.5 if n <= _FEW else 5.5 if n <= _MAX_GRID_NUMBERS else 3.5
        size = min(size * self._size.width_mm / _REPORT_GRID.width_mm, 8.5)
        size = max(size, _LEAST_POINTS) if n <= _FEW else size
        axes.set_xticks(range(n), [""] * n)
        axes.set_yticks(range(n), [""] * n)
        axes.tick_params(length=0)
        self._draw_names(axes, grid.names, size)
        if n <= _MAX_GRID_NUMBERS:
            for row, column in zip(*np.nonzero(counts), strict=True):
                dark = shares[row, column] > 0.8
                axes.text(
                    column, row, f"{counts[row, column]:.0f}", ha="center", va="center",
                    fontsize=size, color="white" if dark else _INK,
                )  # fmt: skip
        middle = axes.get_position().corners().mean(axis=0)
        # Rows are named at the left, columns above.
        titles = [(0.5, 0.985, grid.title, 0)] if self._size.titled else []
        for x, y, words, angle in (
            *titles,
            (float(middle[0]), 0.94, grid.columns, 0),
            (0.012, float(middle[1]), grid.rows, 90),
        ):
            axes.figure.text(
                x, y, self._text(words), rotation=angle,
                ha="left" if angle else "center", va="center" if angle else "top",
                fontproperties=self._font(words, 10 if y > 0.95 else 8.5, y > 0.95),
            )  # fmt: skip

    def _draw_names(self, axes: "Axes", names: tuple[Words, ...], points: float) -> None:
        """The names of a grid's rows, at their left, and of its columns, above them."""
        size_mm = points * _MM_PER_POINT
        for number, name in enumerate(names):
            text, font = self._text(name), self._font(name, points)
            row_mm, column_mm = (
                share * self._size.width_mm for share in _rooms(number, len(names))
            )
            row = break_lines(text, size_mm, row_mm, 2 if len(names) <= _FEW else 1)
            (column,) = break_lines(text, size_mm, column_mm, 1)
            axes.text(
                -0.62, number, "\n".join(row), fontproperties=font, ha="right", va="center",
                linespacing=1.0,
            )  # fmt: skip
            axes.text(
                number, -0.62, column, fontproperties=font, ha="left", va="bottom",
                rotation=_GRID_ANGLE, rotation_mode="anchor",
            )  # fmt: skip

    def _draw_series(self, axes: "Axes", series: Series) -> None:
        look = series.look
        colour = _FAINT if series.faint else look.colour
        dashes = tuple(0.6 * length for length in look.dash)
        x, y = series.points.reshape(-1, 2).T
        axes.plot(
            x, y, color=colour, zorder=2 if series.faint else 3,
            linewidth=(0.7 if series.faint else 1.5) if series.line else 0,
            linestyle=(0, dashes) if dashes and not series.faint else "-",
            marker=_SYMBOLS[look.marker] if series.dots else "",
            markersize=5 if series.line else 3.5, markeredgewidth=0.8,
            markerfacecolor="none" if series.hollow else colour,
            label=self._text(series.name) if series.named else "_",
        )  # fmt: skip

    def _draw_labels(self, axes: "Axes", labels: tuple[Label, ...]) -> None:
        """Crosses with their words, each on the side where it covers the least."""
        from matplotlib.transforms import Bbox

        for label in labels:
            axes.plot([label.x], [label.y], "+", color=_INK, markersize=8, zorder=7)
        points = axes.transData.transform([(label.x, label.y) for label in labels] or [(0, 0)])
        taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in points]
        room_mm = axes.get_position().width * self._size.width_mm / 2
        for label in labels:
            lines = break_lines(self._text(label.text), _LABEL_POINTS * _MM_PER_POINT, room_mm, 2)
            font = self._font(label.text, _LABEL_POINTS, True)
            notes = [
                axes.annotate(
                    "\n".join(lines), (label.x, label.y), xytext=(right, up),
                    ha="left" if right > 0 else "right", va="bottom" if up > 0 else "top",
                    textcoords="offset points", fontproperties=font,
                    color=_INK, zorder=6,
                    bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
                )
                for right in (5, -5) for up in (2, -2)
            ]  # fmt: skip
            boxes = [note.get_window_extent() for note in notes]
            costs = [
                box.count_overlaps(taken) + 10 * (box.x0 < axes.bbox.x0 or box.x1 > axes.bbox.x1)
                for box in boxes
            ]
            best = costs.index(min(costs))
            taken.append(boxes[best])
            for note in notes[:best] + notes[best + 1 :]:
                note.remove()

    def _text(self, words: Words) -> str:
        # matplotlib would set the text between two $ as a formula.
        return self._printable(words)[0].replace("$", r"\$")

    def _font(self, words: Words, size: float, bold: bool = False) -> "FontProperties":
        from matplotlib.font_manager import FontProperties

        return FontProperties(fname=str(self._printable(words, bold)[1]), size=size)

    def _printable(self, words: Words, bold: bool = False) -> tuple[str, Path]:
        return self._fonts.printable(words[self._language], bold)


def _rooms(number: int, n: int) -> tuple[float, float]:
    """How long the name of a grid's row and that of its column may be, in widths of the figure."""
    cell, angle = _GRID_WIDTH / n, math.radians(_GRID_ANGLE)
    to_edge = 1 - _GRID_LEFT - (number + 0.5) * cell
    to_title = 0.88 - _GRID_BOTTOM - _GRID_HEIGHT
    return (
        _GRID_LEFT - 0.12 * cell - 0.05,
        min(to_edge / math.cos(angle), to_title / math.sin(angle)) - 0.02,
    )
