"""Lay out several ECGs as pages of small ones, each with the reason it was chosen.

An ECG is drawn at half the size of a full sheet: six fit on a page, and a rhythm or a wrong scale
can still be recognised at a glance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ecgpipe.drawing.ecg_chart import HALF, Ecg, ecg_chart
from ecgpipe.drawing.shapes import A4_LANDSCAPE_MM, Chart, Sheet, Text, break_lines, truncate
from ecgpipe.drawing.words import Words, words_in

_COLUMNS, _ROWS = 2, 3
PER_PAGE = _COLUMNS * _ROWS

_LEFT_MM, _TOP_MM = 12.0, 196.0
_CELL_WIDTH_MM, _CELL_HEIGHT_MM = 140.5, 63.0
_TITLE_MM, _REASON_MM, _HEAD_MM, _SMALL_MM = 3.2, 2.6, 4.0, 2.6
_REASON_LINES = 2


@dataclass(frozen=True)
class Thumbnail:
    """One ECG of a contact sheet."""

    ecg: Ecg
    title: str
    reasons: tuple[str, ...]
    """Why it was chosen."""


def contact_sheets(
    thumbnails: Sequence[Thumbnail], heading: str, notice: str = "", language: str = "en"
) -> list[Sheet]:
    """Lay out pages of at most six ECGs each.

    Args:
        thumbnails: in the order they are shown.
        heading: the title of every page.
        notice: a warning on every page, such as that the ECGs are simulated.
        language: of the fixed text, ja or en.
    """
    n_pages = -(-len(thumbnails) // PER_PAGE)
    return [
        _page(
            thumbnails[page * PER_PAGE : (page + 1) * PER_PAGE],
            heading + (f" ({page + 1}/{n_pages})" if n_pages > 1 else ""),
            notice,
            words_in(language),
        )
        for page in range(n_pages)
    ]


def _page(thumbnails: Sequence[Thumbnail], heading: str, notice: str, words: Words) -> Sheet:
    charts: list[Chart] = []
    texts = list(_heading_and_footer(heading, notice, words))
    for place, thumbnail in enumerate(thumbnails):
        left_mm = _LEFT_MM + (place % _COLUMNS) * _CELL_WIDTH_MM
        top_mm = _TOP_MM - (place // _COLUMNS) * _CELL_HEIGHT_MM
        chart = ecg_chart(thumbnail.ecg, left_mm, top_mm - 11.5 - HALF.height_mm, HALF, words)
        charts.append(chart)
        texts += _captions(thumbnail, left_mm, top_mm, chart, words["separator"])
    return Sheet(*A4_LANDSCAPE_MM, tuple(charts), tuple(texts))


def _heading_and_footer(heading: str, notice: str, words: Words) -> Iterator[Text]:
    width_mm, height_mm = A4_LANDSCAPE_MM
    top_mm, right_mm = height_mm - 10.0, width_mm - _LEFT_MM
    room_mm = right_mm - _LEFT_MM
    heading = truncate(heading, _HEAD_MM, room_mm * (0.65 if notice else 1.0), bold=True)
    yield Text(_LEFT_MM, top_mm, heading, _HEAD_MM, bold=True)
    if notice:
        notice = truncate(notice, _TITLE_MM, room_mm * 0.33, bold=True)
        yield Text(right_mm, top_mm, notice, _TITLE_MM, "right", bold=True)
    yield Text(_LEFT_MM, 4.0, str(HALF), _SMALL_MM, bold=True)
    yield Text(right_mm, 4.0, f"ecgpipe. {words['research']}", _SMALL_MM, "right", faint=True)


def _captions(
    thumbnail: Thumbnail, left_mm: float, top_mm: float, chart: Chart, separator: str
) -> Iterator[Text]:
    width_mm = chart.box.width_mm
    title = f"{thumbnail.title}   {thumbnail.ecg.rate_hz:g} Hz"
    title = truncate(title, _TITLE_MM, width_mm, bold=True)
    yield Text(left_mm, top_mm - 4.0, title, _TITLE_MM, bold=True)
    reasons = separator.join(thumbnail.reasons)
    lines = break_lines(reasons, _REASON_MM, width_mm, _REASON_LINES)
    for number, line in enumerate(lines):
        yield Text(left_mm, top_mm - 7.4 - number * 3.2, line, _REASON_MM)
