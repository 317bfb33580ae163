"""Several ECGs to pages of small ones, each with why it is there.

Owns how they are spread over pages. Half the size of a full sheet, so six fit and a rhythm or a
wrong scale is still seen at a glance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ecgpipe.drawing.ecg_chart import HALF, Ecg, ecg_chart
from ecgpipe.drawing.shapes import A4_LANDSCAPE_MM, Chart, Sheet, Text, fitted, wrapped
from ecgpipe.drawing.words import Words, words_in

_COLUMNS, _ROWS = 2, 3
PER_PAGE = _COLUMNS * _ROWS

_LEFT_MM, _TOP_MM = 12.0, 196.0
_CELL_WIDTH_MM, _CELL_HEIGHT_MM = 140.5, 63.0
_TITLE_MM, _REASON_MM, _HEAD_MM, _SMALL_MM = 3.2, 2.6, 4.0, 2.6
_REASON_LINES = 2


@dataclass(frozen=True)
class Small:
    """One ECG of a contact sheet."""

    ecg: Ecg
    title: str
    reasons: tuple[str, ...]
    """Why it is shown, in plain words."""


def contact_sheets(
    smalls: Sequence[Small], heading: str, notice: str = "", language: str = "en"
) -> list[Sheet]:
    """Pages of at most six ECGs each.

    Args:
        smalls: in the order they are shown.
        heading: what the pages are about.
        notice: above every result, such as that ECGs are simulated.
        language: of the words in gaps, ja or en.
    """
    n_pages = -(-len(smalls) // PER_PAGE)
    return [
        _page(
            smalls[page * PER_PAGE : (page + 1) * PER_PAGE],
            heading + (f" ({page + 1}/{n_pages})" if n_pages > 1 else ""),
            notice,
            words_in(language),
        )
        for page in range(n_pages)
    ]


def _page(smalls: Sequence[Small], heading: str, notice: str, words: Words) -> Sheet:
    charts: list[Chart] = []
    texts = list(_around(heading, notice, words))
    for place, small in enumerate(smalls):
        left_mm = _LEFT_MM + (place % _COLUMNS) * _CELL_WIDTH_MM
        top_mm = _TOP_MM - (place // _COLUMNS) * _CELL_HEIGHT_MM
        chart = ecg_chart(small.ecg, left_mm, top_mm - 11.5 - HALF.height_mm, HALF, words)
        charts.append(chart)
        texts += _captions(small, left_mm, top_mm, chart)
    return Sheet(*A4_LANDSCAPE_MM, tuple(charts), tuple(texts))


def _around(heading: str, notice: str, words: Words) -> Iterator[Text]:
    width_mm, height_mm = A4_LANDSCAPE_MM
    room_mm = width_mm - 2 * _LEFT_MM
    yield Text(
        _LEFT_MM,
        height_mm - 10.0,
        fitted(heading, _HEAD_MM, room_mm * (0.65 if notice else 1.0), bold=True),
        _HEAD_MM,
        bold=True,
    )
    if notice:
        text = fitted(notice, _TITLE_MM, room_mm * 0.33, bold=True)
        yield Text(width_mm - _LEFT_MM, height_mm - 10.0, text, _TITLE_MM, "right", bold=True)
    yield Text(_LEFT_MM, 4.0, str(HALF), _SMALL_MM, bold=True)
    right_mm = width_mm - _LEFT_MM
    yield Text(right_mm, 4.0, f"ecgpipe. {words.research}", _SMALL_MM, "right", faint=True)


def _captions(small: Small, left_mm: float, top_mm: float, chart: Chart) -> Iterator[Text]:
    width_mm = chart.box.width_mm
    title = fitted(f"{small.title}   {small.ecg.rate_hz:g} Hz", _TITLE_MM, width_mm, bold=True)
    yield Text(left_mm, top_mm - 4.0, title, _TITLE_MM, bold=True)
    words = "; ".join(small.reasons).split()
    lines = wrapped(words, " ", _REASON_MM, width_mm, _REASON_LINES, counted=False)
    for number, line in enumerate(lines):
        yield Text(left_mm, top_mm - 7.4 - number * 3.2, line, _REASON_MM)
