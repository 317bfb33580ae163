"""What a score hangs on, below the traces: places worked out by hand, greys, the page's text."""

import itertools

import numpy as np
import pytest

from ecgpipe.drawing.ecg_chart import Ecg
from ecgpipe.drawing.ecg_sheet import Captions, ecg_sheet
from ecgpipe.drawing.emphasis import Emphasis
from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.rendering import render
from ecgpipe.drawing.shapes import A4_LANDSCAPE_MM, Band, Sheet
from ecgpipe.read_ecg.signal.record import LEADS

# As in test_drawing: traces start at 26 mm, rows are 40 mm apart, a second is 25 mm.
LEFT, BASELINES = 26.0, (154.0, 114.0, 74.0, 34.0)
LEGEND = ("Dark: the score falls when it is hidden.", "Bar: what a lead adds.")


def _tenths(**strengths: float) -> list[float]:
    return [strengths.get(f"t{number}", 0.0) for number in range(100)]


def _sheet(
    tenths: list[float], leads: dict[str, float] | None = None, seconds: float = 10.0
) -> Sheet:
    leads = leads or {}
    labels = {lead: f"label of {lead}" for lead in leads}
    ecg = Ecg(np.zeros((12, round(500 * seconds))), 500, LEADS)
    return ecg_sheet(ecg, Captions("record"), "en", Emphasis(tenths, leads, labels, LEGEND))


def _shaded(sheet: Sheet) -> list[Band]:
    return [band for band in sheet.charts[0].bands if band.grey and not band.outlined]


def _bars(sheet: Sheet) -> list[Band]:
    return [b for b in sheet.charts[0].bands if b.outlined and b.box.height_mm < 2]


def test_a_tenth_is_shaded_where_it_is_drawn_in_each_row_and_in_the_rhythm_strip() -> None:
    shaded = _shaded(_sheet(_tenths(t27=1.0)))  # 2.7 to 2.8 s: the second column
    assert [band.box.left_mm for band in shaded] == pytest.approx([LEFT + 67.5] * 4)
    assert [band.box.width_mm for band in shaded] == pytest.approx([2.5] * 4)
    bottoms = sorted(band.box.bottom_mm for band in shaded)
    assert np.diff(bottoms) == pytest.approx([40.0] * 3)
    for bottom_mm, baseline_mm in zip(bottoms, reversed(BASELINES), strict=True):
        assert baseline_mm - 20 < bottom_mm < baseline_mm - 15


def test_columns_of_a_short_recording_show_their_own_time() -> None:
    # 5 s: the columns begin at 0, 2.5, 2.5 and 2.5 s; the rhythm strip shows all.
    shaded = _shaded(_sheet(_tenths(t30=1.0)[:50], seconds=5.0))
    assert sorted({round(band.box.left_mm, 2) for band in shaded}) == [
        LEFT + 62.5 + 12.5,  # the strip's 3.0 s and the second column's are at the same place
        LEFT + 125 + 12.5,
        LEFT + 187.5 + 12.5,
    ]


def test_a_bar_is_as_long_as_its_lead_counts_and_hollow_if_it_speaks_against() -> None:
    bars = _bars(_sheet(_tenths(), {"V1": 1.0, "I": 0.5, "aVF": -0.25}))
    full, half, against = (
        bar for _, bar in sorted(((-bar.box.width_mm, bar) for bar in bars), key=lambda p: p[0])
    )
    assert full.box.width_mm == pytest.approx(2 * half.box.width_mm)
    assert full.box.width_mm == pytest.approx(4 * against.box.width_mm)
    assert (full.box.left_mm, half.box.left_mm) == (LEFT + 125, LEFT)
    assert full.grey == half.grey > 0
    assert against.grey == 0


def test_a_lead_that_is_also_the_rhythm_strip_has_one_bar() -> None:
    (bar,) = _bars(_sheet(_tenths(), {"II": 1.0}))
    assert BASELINES[1] - 20 < bar.box.bottom_mm < BASELINES[1]


def test_greys_are_few_stay_apart_in_print_and_leave_the_trace_readable() -> None:
    tenths = [number / 99 for number in range(100)]
    greys = sorted({band.grey for band in _shaded(_sheet(tenths))})
    assert 3 <= len(greys) <= 5
    assert min(b - a for a, b in itertools.pairwise([0.0, *greys])) > 0.1
    luminance = (1 - greys[-1]) ** 2.2
    assert (luminance + 0.05) / 0.05 >= 3  # WCAG 2.1, 1.4.11: black on it, for graphics


def test_nothing_is_shaded_where_nothing_counts() -> None:
    assert not _shaded(_sheet(_tenths(t3=0.05, t4=-1.0)))


def test_labels_and_legend_are_on_the_page_and_do_not_collide() -> None:
    sheet = _sheet(_tenths(), {lead: 1.0 for lead in LEADS})
    texts = {text.text: text for text in sheet.all_texts()}
    assert {f"label of {lead}" for lead in LEADS} | set(LEGEND) <= set(texts)
    for text in texts.values():
        assert 0 <= text.box.left_mm
        assert text.box.right_mm <= A4_LANDSCAPE_MM[0]
        assert 0 <= text.box.bottom_mm
    lower = [text.box for text in texts.values() if text.y_mm < 14]
    for one, other in itertools.combinations(lower, 2):
        apart = one.right_mm <= other.left_mm or other.right_mm <= one.left_mm
        assert apart or one.top_mm <= other.bottom_mm or other.top_mm <= one.bottom_mm


def test_the_picture_has_the_bands_and_a_sheet_without_them_is_as_before() -> None:
    fonts = find_fonts()
    ecg = Ecg(np.zeros((12, 5000)), 500, LEADS)
    plain = render(ecg_sheet(ecg, Captions("record")), fonts, "svg")
    marked = render(_sheet(_tenths(t27=1.0)), fonts, "svg")
    assert b"#666666" in marked
    assert b"#666666" not in plain
    assert ecg_sheet(ecg, Captions("record")).charts[0].bands == ()
