"""Render a sheet to a PNG or SVG at its true size.

Owns the colours and the matplotlib settings. The same sheet gives the same bytes: no date, no
random ids, no influence of the user's matplotlibrc. Text is drawn as outlines, so an SVG looks the
same where the font is not installed.
"""

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecgpipe.drawing.fonts import Fonts
from ecgpipe.drawing.shapes import Chart, Points, Sheet, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

Format = Literal["png", "svg"]

# 10 pixels per millimetre, so that all grid lines are equally sharp.
PNG_DPI = 254

# In a black-and-white print the fine lines are nearly white and the coarse ones light grey.
_FINE_COLOUR, _COARSE_COLOUR = "#fad4d4", "#e99a9a"
_FINE_WIDTH_MM, _COARSE_WIDTH_MM = 0.1, 0.2
_TRACE_COLOUR, _FAINT_COLOUR = "#000000", "#595959"
_BAND_EDGE, _BAND_EDGE_MM = "#737373", 0.15
_MM_PER_INCH = 25.4
_POINTS_PER_MM = 72 / _MM_PER_INCH

_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "ecgpipe",
    "svg.fonttype": "path",
    "path.simplify": False,
    "text.antialiased": True,
    "text.hinting": "none",
    "agg.path.chunksize": 0,
}


def render(sheet: Sheet, fonts: Fonts, format: Format, dpi: int = PNG_DPI) -> bytes:
    """Draw a sheet and return the file's bytes.

    Args:
        sheet: the page to draw.
        fonts: the fonts to use.
        format: png or svg.
        dpi: resolution of a PNG; less is enough for a picture that nobody measures on.
    """
    with open_figure(sheet.width_mm / _MM_PER_INCH, sheet.height_mm / _MM_PER_INCH) as figure:
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0, sheet.width_mm)
        axes.set_ylim(0, sheet.height_mm)
        axes.set_axis_off()
        for chart in sheet.charts:
            _draw_chart(axes, chart)
        for text in sheet.all_texts():
            _draw_text(axes, text, fonts)
        return encode_figure(figure, format, dpi)


@contextlib.contextmanager
def open_figure(width_inch: float, height_inch: float) -> Iterator["Figure"]:
    """Yield a new figure, with matplotlib's default settings inside the block."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(width_inch, height_inch))
        FigureCanvasAgg(figure)
        yield figure


def encode_figure(figure: "Figure", format: Format, dpi: int) -> bytes:
    """Return the bytes of a figure's file, without a date or matplotlib's version."""
    file = io.BytesIO()
    metadata = {"Software": None} if format == "png" else {"Date": None, "Creator": "ecgpipe"}
    figure.savefig(file, format=format, dpi=dpi, metadata=metadata, facecolor="white")
    return file.getvalue()


def _draw_chart(axes: "Axes", chart: Chart) -> None:
    from matplotlib.patches import Rectangle

    box = chart.box
    if chart.fine_mm is not None:
        _draw_lines(axes, chart.grid_lines(chart.fine_mm), _FINE_COLOUR, _FINE_WIDTH_MM, 1)
    width_mm = _COARSE_WIDTH_MM if chart.fine_mm is not None else _FINE_WIDTH_MM
    _draw_lines(axes, chart.grid_lines(chart.coarse_mm), _COARSE_COLOUR, width_mm, 2)
    for band in chart.bands:
        rectangle = Rectangle(
            (band.box.left_mm, band.box.bottom_mm),
            band.box.width_mm,
            band.box.height_mm,
            facecolor=str(1 - band.grey),
            edgecolor=_BAND_EDGE if band.outlined else "none",
            linewidth=_BAND_EDGE_MM * _POINTS_PER_MM if band.outlined else 0,
            zorder=2.5,  # above the grid, below the traces
        )
        axes.add_patch(rectangle)
    paper = Rectangle(
        (box.left_mm, box.bottom_mm), box.width_mm, box.height_mm, transform=axes.transData
    )
    traces = [trace for panel in chart.panels for trace in panel.traces]
    lines = [*chart.marks, *traces]
    _draw_lines(axes, lines, _TRACE_COLOUR, chart.trace_width_mm, 3, paper)


def _draw_lines(
    axes: "Axes",
    lines: list[Points],
    colour: str,
    width_mm: float,
    order: int,
    clip: "Rectangle | None" = None,
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    if not lines:
        return
    codes = [np.full(len(line), Outline.LINETO, Outline.code_type) for line in lines]
    for code in codes:
        code[0] = Outline.MOVETO
    outline = Outline(np.concatenate(lines), np.concatenate(codes))
    outline.should_simplify = False  # keep every sample
    patch = PathPatch(
        outline,
        fill=False,
        edgecolor=colour,
        linewidth=width_mm * _POINTS_PER_MM,
        joinstyle="round",
        capstyle="butt" if clip is None else "round",
        zorder=order,
        snap=clip is None,  # snap the grid to whole pixels, but not the traces
    )
    axes.add_patch(patch)
    if clip is not None:
        patch.set_clip_path(clip)


def _draw_text(axes: "Axes", text: Text, fonts: Fonts) -> None:
    from matplotlib.font_manager import FontProperties

    letters, font = fonts.printable(text.text, text.bold)
    axes.text(
        text.x_mm,
        text.y_mm,
        letters,
        fontproperties=FontProperties(fname=str(font), size=text.size_mm * _POINTS_PER_MM),
        color=_FAINT_COLOUR if text.faint else _TRACE_COLOUR,
        horizontalalignment=text.align,
        verticalalignment="baseline",
        parse_math=False,  # a $ in a name is no formula
        zorder=4,
    )
