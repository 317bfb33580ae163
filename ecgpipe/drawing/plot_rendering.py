"""Render a chart to a PNG or SVG.

Owns the chart's size and the matplotlib calls; colours, dashes and text are the plot's. The same
plot gives the same bytes.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgpipe.drawing.fonts import Fonts, find_fonts
from ecgpipe.drawing.plot import CountGrid, Label, Plot, Series, Words
from ecgpipe.drawing.rendering import Format, encode_figure, open_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.font_manager import FontProperties

_WIDTH_INCH, _DPI = 4.48, 200  # small, so that text stays legible on a phone
_GRID_INCH, _GRID_DPI = 5.6, 160
_PLOT_INCH = 0.83 * _WIDTH_INCH
_LEGEND_INCH = 0.24
_INK, _RULE, _FAINT, _PALE = "#1b1f23", "#8a929a", "#c3c8ce", "#e6e9ec"
_SYMBOLS = {
    "circle": "o", "square": "s", "triangle": "^", "diamond": "D", "wedge": "v",
    "pentagon": "p",
}  # fmt: skip
_MAX_GRID_NUMBERS = 40
"""A larger grid of counts has no room for the numbers."""


def render_plot(plot: Plot | CountGrid, fonts: Fonts, language: str, format: Format) -> bytes:
    """Draw a chart and return the file's bytes.

    Args:
        plot: the chart to draw.
        fonts: the fonts to use.
        language: of the text, ja or en.
        format: png or svg.
    """
    renderer = _Renderer(fonts, language)
    if isinstance(plot, CountGrid):
        with open_figure(_GRID_INCH, _GRID_INCH) as figure:
            renderer.draw_grid(figure.add_axes((0.27, 0.05, 0.56, 0.62)), plot)
            return encode_figure(figure, format, _GRID_DPI)
    high = _PLOT_INCH * plot.aspect
    below = 0.68 + _LEGEND_INCH * sum(series.named for series in plot.series)
    height = high + below + 0.42
    with open_figure(_WIDTH_INCH, height) as figure:
        renderer.draw_plot(figure.add_axes((0.13, below / height, 0.83, high / height)), plot)
        return encode_figure(figure, format, _DPI)


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
    """Draws with one set of fonts, in one language."""

    def __init__(self, fonts: Fonts, language: str) -> None:
        self._fonts = fonts
        self._language = language

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
        axes.set_title(self._text(plot.title), fontproperties=self._font(plot.title, 10, True))
        axes.set_xlabel(self._text(plot.x.label), fontproperties=self._font(plot.x.label, 8.5))
        axes.set_ylabel(self._text(plot.y.label), fontproperties=self._font(plot.y.label, 8.5))
        if names := [series.name[self._language] for series in plot.series if series.named]:
            axes.legend(
                loc="upper left", bbox_to_anchor=(0.0, -0.55 / (_PLOT_INCH * plot.aspect)),
                frameon=False, borderaxespad=0, handlelength=4,
                prop=self._font({self._language: "".join(names)}, 8),
            )  # fmt: skip

    def draw_grid(self, axes: "Axes", grid: CountGrid) -> None:
        counts = np.asarray(grid.counts, np.float64)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Greys", vmin=0, vmax=1.6, aspect="auto")
        n = len(grid.names)
        size = 8.5 if n <= 10 else 5.5 if n <= _MAX_GRID_NUMBERS else 3.5
        axes.set_xticks(range(n), [""] * n)
        axes.set_yticks(range(n), [""] * n)
        axes.tick_params(length=0)
        for number, name in enumerate(grid.names):
            text, font = self._text(name), self._font(name, size)
            axes.text(-0.62, number, text, fontproperties=font, ha="right", va="center")
            axes.text(
                number, -0.62, text, fontproperties=font, ha="left", va="bottom",
                rotation=40, rotation_mode="anchor",
            )  # fmt: skip
        if n <= _MAX_GRID_NUMBERS:
            for row, column in zip(*np.nonzero(counts), strict=True):
                dark = shares[row, column] > 0.8
                axes.text(
                    column, row, f"{counts[row, column]:.0f}", ha="center", va="center",
                    fontsize=size, color="white" if dark else _INK,
                )  # fmt: skip
        middle = axes.get_position().corners().mean(axis=0)
        # Rows are named at the left, columns above.
        for x, y, words, angle in (
            (0.5, 0.985, grid.title, 0),
            (float(middle[0]), 0.94, grid.columns, 0),
            (0.012, float(middle[1]), grid.rows, 90),
        ):
            axes.figure.text(
                x, y, self._text(words), rotation=angle,
                ha="left" if angle else "center", va="center" if angle else "top",
                fontproperties=self._font(words, 10 if y > 0.95 else 8.5, y > 0.95),
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
        for label in labels:
            notes = [
                axes.annotate(
                    self._text(label.text), (label.x, label.y), xytext=(right, up),
                    ha="left" if right > 0 else "right", va="bottom" if up > 0 else "top",
                    textcoords="offset points", fontproperties=self._font(label.text, 8, True),
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
