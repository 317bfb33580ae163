"""Millivolts to traces on grid paper.

Owns the geometry that a cardiologist measures by: 25 mm are a second and 10 mm a millivolt on a
full sheet, three rows of four leads with 2.5 s each, and a rhythm strip of 10 s. A sample without
reading interrupts the line; where that is long enough, words say so. Nothing is filtered, joined or
thinned: each sample is one point.

Source: the usual 3 x 4 + 1 format of the AHA/ACCF/HRS 2007 recommendations, part I.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.drawing.shapes import Box, Chart, Panel, Points, Text, width_of
from ecgpipe.drawing.words import Words

LAYOUT = (
    ("I", "aVR", "V1", "V4"),
    ("II", "aVL", "V2", "V5"),
    ("III", "aVF", "V3", "V6"),
)
RHYTHM_LEAD = "II"
COLUMN_S = 2.5
SHOWN_S = 10.0
N_ROWS = 4

# With fewer leads each has a row of its own: two leads in twelve places are mostly paper.
_FEW_LEADS = 3

_FULL_LENGTH_S = SHOWN_S - 0.1
_CLIPPED_MM = 2000.0


@dataclass(frozen=True)
class Ecg:
    """What is to be drawn; the first SHOWN_S seconds of it."""

    signal_mv: npt.NDArray[np.floating]
    """(leads, samples); NaN is no reading."""

    rate_hz: float
    leads: tuple[str, ...]
    """The name of each row."""

    def __post_init__(self) -> None:
        if self.signal_mv.ndim != 2 or len(self.signal_mv) != len(self.leads):
            raise ValueError(f"{self.signal_mv.shape} is not one row for each of {self.leads}")
        if not self.rate_hz > 0:
            raise ValueError(f"a rate of {self.rate_hz} Hz is none")

    @property
    def present(self) -> tuple[str, ...]:
        """Leads with any reading in what is drawn."""
        return tuple(lead for lead in self.leads if np.isfinite(self.of(lead)).any())

    @property
    def end_s(self) -> float:
        """Where the last reading of any lead ends, at most SHOWN_S."""
        readings = np.flatnonzero(np.isfinite(self.signal_mv).any(axis=0))
        return min(SHOWN_S, (int(readings[-1]) + 1) / self.rate_hz) if len(readings) else 0.0

    def of(self, lead: str) -> npt.NDArray[np.float64]:
        """(n,) mV of the drawn part of a lead; NaN throughout where there is no such lead."""
        # One sample more, so that a trace reaches the end of its column.
        n = min(self.signal_mv.shape[1], int(SHOWN_S * self.rate_hz + 1e-6) + 1)
        if lead not in self.leads:
            return np.full(n, np.nan)
        drawn = self.signal_mv[self.leads.index(lead), :n].astype(np.float64)
        return np.where(np.isfinite(drawn), drawn, np.nan)


@dataclass(frozen=True)
class Scale:
    """How large an ECG is drawn."""

    mm_per_s: float
    mm_per_mv: float
    row_mm: float
    """Between two baselines."""

    name_mm: float
    """The font size of lead names."""

    trace_width_mm: float
    fine_grid: bool

    @property
    def zoom(self) -> float:
        """1 on a full sheet."""
        return self.mm_per_s / 25.0

    @property
    def lead_in_mm(self) -> float:
        """Left of the traces, for the calibration pulse."""
        return 10.0 * self.zoom

    @property
    def width_mm(self) -> float:
        """Of the whole chart: lead-in, 10 s, and one large square."""
        return self.lead_in_mm + SHOWN_S * self.mm_per_s + 5.0 * self.zoom

    @property
    def height_mm(self) -> float:
        """Of the whole chart."""
        return N_ROWS * self.row_mm

    def __str__(self) -> str:
        return f"{self.mm_per_s:g} mm/s   {self.mm_per_mv:g} mm/mV"


FULL = Scale(25.0, 10.0, 40.0, name_mm=3.9, trace_width_mm=0.3, fine_grid=True)
HALF = Scale(12.5, 5.0, 12.5, name_mm=2.2, trace_width_mm=0.18, fine_grid=False)


def ecg_chart(ecg: Ecg, left_mm: float, bottom_mm: float, scale: Scale, words: Words) -> Chart:
    """Lay an ECG out on grid paper.

    Args:
        ecg: what is drawn.
        left_mm: of the chart's lower left corner.
        bottom_mm: of the chart's lower left corner.
        scale: how large.
        words: for what is said in gaps.
    """
    box = Box(left_mm, bottom_mm, scale.width_mm, scale.height_mm)
    panels = tuple(_panels(ecg, box, scale))
    rows = sorted({panel.baseline_mm for panel in panels}, reverse=True)
    few = _is_few(ecg)
    marks = [_calibration(box.left_mm, baseline, scale) for baseline in rows]
    if not few:
        marks += _ticks(panels, box, scale)
    texts = [*_gap_texts(ecg, panels, scale, words), *_names(panels, scale)]
    if few:
        texts += _absent_text(ecg, len(rows), box, scale, words)
    return Chart(
        box=box,
        fine_mm=1.0 * scale.zoom if scale.fine_grid else None,
        coarse_mm=5.0 * scale.zoom,
        panels=panels,
        marks=tuple(marks),
        texts=tuple(texts),
        trace_width_mm=scale.trace_width_mm,
    )


def column_starts(end_s: float) -> tuple[float, ...]:
    """When each of the four columns begins.

    0, 2.5, 5 and 7.5 s; in an ECG that ends earlier, no column begins so late that it would not be
    full, so that each lead is seen for 2.5 s.
    """
    starts = [number * COLUMN_S for number in range(len(LAYOUT[0]))]
    if end_s < _FULL_LENGTH_S:
        latest = max(0.0, np.floor((end_s - COLUMN_S) * 10 + 1e-6) / 10)
        starts = [min(start, float(latest)) for start in starts]
    return tuple(starts)


def _is_few(ecg: Ecg) -> bool:
    return 1 <= len(ecg.present) <= _FEW_LEADS


def _panels(ecg: Ecg, box: Box, scale: Scale) -> Iterator[Panel]:
    left_mm = box.left_mm + scale.lead_in_mm
    baselines = [box.top_mm - (row + 0.5) * scale.row_mm for row in range(N_ROWS)]
    if _is_few(ecg):
        for lead, baseline in zip(ecg.present, baselines, strict=False):
            yield _panel(ecg, lead, (0.0, SHOWN_S), (left_mm, baseline), scale)
        return
    for leads, baseline in zip(LAYOUT, baselines, strict=False):
        for column, (lead, start_s) in enumerate(zip(leads, column_starts(ecg.end_s), strict=True)):
            x_mm = left_mm + column * COLUMN_S * scale.mm_per_s
            yield _panel(ecg, lead, (start_s, start_s + COLUMN_S), (x_mm, baseline), scale)
    present = ecg.present
    rhythm = RHYTHM_LEAD if RHYTHM_LEAD in present or not present else present[0]
    yield _panel(ecg, rhythm, (0.0, SHOWN_S), (left_mm, baselines[-1]), scale)


def _panel(
    ecg: Ecg, lead: str, span_s: tuple[float, float], origin_mm: tuple[float, float], scale: Scale
) -> Panel:
    lead_mv = ecg.of(lead)
    offset_mv = float(np.nanmedian(lead_mv)) if np.isfinite(lead_mv).any() else 0.0
    first = int(np.ceil(span_s[0] * ecg.rate_hz - 1e-6))
    last = int(np.floor(span_s[1] * ecg.rate_hz + 1e-6))
    part_mv = lead_mv[first : last + 1]
    times_s = (first + np.arange(len(part_mv))) / ecg.rate_hz - span_s[0]
    # Beyond this nothing can be seen, and some renderers' numbers end.
    heights_mm = np.clip((part_mv - offset_mv) * scale.mm_per_mv, -_CLIPPED_MM, _CLIPPED_MM)
    points = np.column_stack([origin_mm[0] + times_s * scale.mm_per_s, origin_mm[1] + heights_mm])
    step_mm = scale.mm_per_s / ecg.rate_hz
    return Panel(lead, *span_s, *origin_mm, offset_mv, tuple(_runs(points, step_mm)))


def _runs(points: Points, step_mm: float) -> Iterator[Points]:
    """The stretches without NaN; a sample that stands alone becomes a dash as long as a sample."""
    known = np.isfinite(points[:, 1])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start > 1:
            yield points[start:end]
        else:
            yield points[start] + np.array([(-step_mm / 2, 0.0), (step_mm / 2, 0.0)])


def _gap_texts(ecg: Ecg, panels: Sequence[Panel], scale: Scale, words: Words) -> Iterator[Text]:
    """Words in every gap that is wide enough for them."""
    size_mm = 0.75 * scale.name_mm
    for panel in panels:
        lead_mv = ecg.of(panel.lead)
        absent = not np.isfinite(lead_mv).any()
        for start_s, end_s in _gaps(lead_mv, ecg.rate_hz, panel):
            ended = start_s >= ecg.end_s - 1.5 / ecg.rate_hz and not absent
            said = words.no_signal if absent else words.ended if ended else words.no_reading
            middle_mm = ((start_s + end_s) / 2 - panel.start_s) * scale.mm_per_s
            if width_of(said, size_mm) < (end_s - start_s) * scale.mm_per_s - 1:
                yield Text(
                    panel.left_mm + middle_mm,
                    panel.baseline_mm - 0.35 * size_mm,
                    said,
                    size_mm,
                    align="center",
                    faint=True,
                )


def _gaps(
    lead_mv: npt.NDArray[np.float64], rate_hz: float, panel: Panel
) -> Iterator[tuple[float, float]]:
    """Stretches of a panel without reading, in seconds; what lies behind the last sample too."""
    first = int(np.ceil(panel.start_s * rate_hz - 1e-6))
    n = int(np.floor((panel.end_s - panel.start_s) * rate_hz + 1e-6))
    known = np.zeros(n, bool)
    part = np.isfinite(lead_mv[first : first + n])
    known[: len(part)] = part
    edges = np.flatnonzero(np.diff(np.concatenate([[True], known, [True]]).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        yield panel.start_s + start / rate_hz, panel.start_s + end / rate_hz


def _absent_text(ecg: Ecg, n_rows: int, box: Box, scale: Scale, words: Words) -> Iterator[Text]:
    """Below the leads that are there: which are not."""
    absent = [lead for leads in zip(*LAYOUT, strict=True) for lead in leads]
    absent = [lead for lead in absent if lead not in ecg.present]
    yield Text(
        box.left_mm + box.width_mm / 2,
        box.bottom_mm + (N_ROWS - n_rows) * scale.row_mm / 2,
        f"{', '.join(absent)}: {words.no_signal}",
        0.75 * scale.name_mm,
        align="center",
        faint=True,
    )


def _calibration(left_mm: float, baseline_mm: float, scale: Scale) -> Points:
    """1 mV for 0.2 s, between two short stretches of the baseline."""
    x_mm = left_mm + np.array([2, 3, 3, 8, 8, 9]) * scale.zoom
    y_mm = baseline_mm + np.array([0, 0, 1, 1, 0, 0]) * scale.mm_per_mv
    return np.column_stack([x_mm, y_mm])


def _ticks(panels: Sequence[Panel], box: Box, scale: Scale) -> list[Points]:
    """Short upright lines above and below the baseline where one lead ends and the next begins."""
    ticks: list[Points] = []
    for panel in panels:
        if panel.left_mm > box.left_mm + scale.lead_in_mm:
            for side in (-1, 1):
                heights = panel.baseline_mm + side * np.array([4.0, 7.0]) * scale.row_mm / 40
                ticks.append(np.column_stack([[panel.left_mm] * 2, heights]))
    return ticks


def _names(panels: Sequence[Panel], scale: Scale) -> Iterator[Text]:
    """Each lead's name above the begin of its trace, moved to where no trace runs through it.

    Always above and within its own row: below it would be taken for the next row's.
    """
    traces = [trace for panel in panels for trace in panel.traces]
    starts = np.concatenate([trace[:-1] for trace in traces]) if traces else np.zeros((0, 2))
    ends = np.concatenate([trace[1:] for trace in traces]) if traces else np.zeros((0, 2))
    for panel in panels:
        tried = [_name(panel, right, up, scale) for right in _NAME_RIGHT for up in _NAME_UP]
        yield min(tried, key=lambda text: _n_crossing(_with_air(text.box), starts, ends))


# Where a name is tried, the best place first: to the right in parts of a column, and upwards in
# parts of what is free above the baseline.
_NAME_RIGHT = (0.016, 0.06, 0.1, 0.15, 0.2, 0.27, 0.34, 0.42, 0.5)
_NAME_UP = (0.75, 0.85, 0.65, 1.0, 0.55)


def _name(panel: Panel, right: float, up: float, scale: Scale) -> Text:
    return Text(
        panel.left_mm + right * COLUMN_S * scale.mm_per_s,
        panel.baseline_mm + up * (scale.row_mm / 2 - scale.name_mm),
        panel.lead,
        scale.name_mm,
        bold=True,
    )


def _with_air(box: Box) -> Box:
    air_mm = 0.15 * box.height_mm
    return Box(box.left_mm - air_mm, box.bottom_mm, box.width_mm + 2 * air_mm, box.height_mm)


def _n_crossing(box: Box, starts: Points, ends: Points) -> int:
    """How many pieces of the traces come within the box, taken as the boxes around them."""
    lows, highs = np.minimum(starts, ends), np.maximum(starts, ends)
    crossing = (
        (highs[:, 0] >= box.left_mm)
        & (lows[:, 0] <= box.right_mm)
        & (highs[:, 1] >= box.bottom_mm)
        & (lows[:, 1] <= box.top_mm)
    )
    return int(crossing.sum())
