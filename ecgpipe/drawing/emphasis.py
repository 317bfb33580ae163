"""Lay out, below the traces, what a score hangs on: a band of time, and a bar for each lead.

Owns their place and greys, which stay apart in a black-and-white print and leave a trace readable.
Takes numbers; knows nothing of models, scores or findings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecgpipe.drawing.shapes import Band, Box, Panel, Text

TENTH_S = 0.1

_BAND_MM = 3.2
_BAR_MM = 1.8
_ABOVE_BOTTOM_MM = 1.4
_LONGEST_BAR = 0.6
"""Of a column's width."""

_STEPS = 4
_DARKEST = 0.6
_SMALL_MM = 2.6


@dataclass(frozen=True)
class Emphasis:
    """How much each part of an ECG counts."""

    tenths: Sequence[float]
    """From 0 (white) to 1 (dark), for each tenth of a second from the start of the signal."""

    leads: Mapping[str, float]
    """From -1 to 1, by lead: the length of its bar; hollow if negative."""

    labels: Mapping[str, str]
    """What is written behind a lead's bar."""

    legend: tuple[str, str]
    """What band and bars mean, in the sheet's language, and what they are about."""


def emphasis_bands(
    emphasis: Emphasis, panels: Sequence[Panel], row_mm: float, mm_per_s: float
) -> tuple[tuple[Band, ...], tuple[Text, ...]]:
    """The bands and bars of all panels, and the texts behind the bars.

    A lead that is drawn twice, as the rhythm strip, has its bar at its first place only.

    Args:
        emphasis: what to draw.
        panels: of one chart.
        row_mm: distance between baselines.
        mm_per_s: along the traces.
    """
    bands: list[Band] = []
    texts: list[Text] = []
    seen: set[str] = set()
    for panel in panels:
        bottom_mm = panel.baseline_mm - row_mm / 2 + _ABOVE_BOTTOM_MM
        bands += _time_band(emphasis.tenths, panel, bottom_mm + _BAR_MM, mm_per_s)
        if panel.lead in emphasis.leads and panel.lead not in seen:
            seen.add(panel.lead)
            length_mm = (panel.end_s - panel.start_s) * mm_per_s * _LONGEST_BAR
            value = emphasis.leads[panel.lead]
            box = Box(panel.left_mm, bottom_mm, max(abs(value) * length_mm, 0.3), _BAR_MM)
            bands.append(Band(box, _DARKEST if value > 0 else 0.0, outlined=True))
            label = emphasis.labels.get(panel.lead, "")
            texts.append(Text(box.right_mm + 0.8, bottom_mm - 0.1, label, _SMALL_MM))
    return tuple(bands), tuple(texts)


def _time_band(
    tenths: Sequence[float], panel: Panel, bottom_mm: float, mm_per_s: float
) -> Iterator[Band]:
    """A white strip as wide as the panel, and in it the shaded tenths."""
    width_mm = (panel.end_s - panel.start_s) * mm_per_s
    yield Band(Box(panel.left_mm, bottom_mm, width_mm, _BAND_MM), 0.0, outlined=True)
    for number, strength in enumerate(tenths):
        start_s = max(number * TENTH_S, panel.start_s)
        end_s = min((number + 1) * TENTH_S, panel.end_s)
        # Few distinct greys, because a print does not keep many apart.
        grey = round(strength * _STEPS) / _STEPS * _DARKEST
        if end_s > start_s + 1e-6 and grey > 0:
            left_mm = panel.left_mm + (start_s - panel.start_s) * mm_per_s
            yield Band(Box(left_mm, bottom_mm, (end_s - start_s) * mm_per_s, _BAND_MM), grey)
