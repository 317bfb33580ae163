"""Lay out millivolts as traces on grid paper.

Owns the standard geometry: 25 mm/s and 10 mm/mV on a full sheet, three rows of four leads, 2.5 s
each, and a rhythm strip of 10 s. Missing samples interrupt the line, and long gaps are labelled.
Nothing is filtered, interpolated or downsampled: each sample is one point.

Source: the usual 3 x 4 + 1 format of the AHA/ACCF/HRS 2007 recommendations, part I.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.drawing.emphasis import Emphasis, emphasis_bands
from ecgpipe.drawing.shapes import Band, Box, Chart, Panel, Points, Text, width_of
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

# Up to this many leads get a row each; in the 3 x 4 layout most of the paper would stay empty.
_FEW_LEADS = 3

_FULL_LENGTH_S = SHOWN_S - 0.1
_CLIPPED_MM = 2000.0


@dataclass(frozen=True)
class Ecg:
    """The signal to draw. Only its first SHOWN_S seconds are shown."""

    signal_mv: npt.NDArray[np.floating]
    """(leads, samples) in mV; NaN marks a missing sample."""

    rate_hz: float
    leads: tuple[str, ...]
    """The name of each row of `signal_mv`."""

    def __post_init__(self) -> None:
        if self.signal_mv.ndim != 2 or len(self.signal_mv) != len(self.leads):
            raise ValueError(f"signal_mv has shape {self.signal_mv.shape}, leads are {self.leads}")
        if not self.rate_hz > 0:
            raise ValueError(f"rate_hz is {self.rate_hz}; it must be positive")

    @property
    def present_leads(self) -> tuple[str, ...]:
        """Leads with at least one sample in the part shown."""
        return tuple(lead for lead in self.leads if np.isfinite(self.lead_mv(lead)).any())

    @property
    def end_s(self) -> float:
        """The end of the last sample of any lead, at most SHOWN_S."""
        samples = np.flatnonzero(np.isfinite(self.signal_mv).any(axis=0))
        return min(SHOWN_S, (int(samples[-1]) + 1) / self.rate_hz) if len(samples) else 0.0

    def lead_mv(self, lead: str) -> npt.NDArray[np.float64]:
        """(n,) in mV: the shown part of a lead, all NaN if the ECG has no such lead."""
        # One extra sample, so that a trace reaches the end of its column.
        n = min(self.signal_mv.shape[1], int(SHOWN_S * self.rate_hz + 1e-6) + 1)
        if lead not in self.leads:
            return np.full(n, np.nan)
        drawn = self.signal_mv[self.leads.index(lead), :n].astype(np.float64)
        return np.where(np.isfinite(drawn), drawn, np.nan)


@dataclass(frozen=True)
class Scale:
    """The size of a drawn ECG."""

    mm_per_s: float
    mm_per_mv: float
    row_mm: float
    """Distance between baselines."""

    name_mm: float
    """Font size of lead names."""

    trace_width_mm: float
    fine_grid: bool

    @property
    def zoom(self) -> float:
        """Size relative to a full sheet."""
        return self.mm_per_s / 25.0

    @property
    def lead_in_mm(self) -> float:
        """Space left of the traces for the calibration pulse."""
        return 10.0 * self.zoom

    @property
    def width_mm(self) -> float:
        """Width of the whole chart: lead-in, 10 s and one large square."""
        return self.lead_in_mm + SHOWN_S * self.mm_per_s + 5.0 * self.zoom

    @property
    def height_mm(self) -> float:
        """Height of the whole chart."""
        return N_ROWS * self.row_mm

    def __str__(self) -> str:
        return f"{self.mm_per_s:g} mm/s   {self.mm_per_mv:g} mm/mV"


FULL = Scale(25.0, 10.0, 40.0, name_mm=3.9, trace_width_mm=0.3, fine_grid=True)
HALF = Scale(12.5, 5.0, 12.5, name_mm=2.2, trace_width_mm=0.18, fine_grid=False)


def ecg_chart(
    ecg: Ecg,
    left_mm: float,
    bottom_mm: float,
    scale: Scale,
    words: Words,
    emphasis: Emphasis | None = None,
) -> Chart:
    """Lay out an ECG on grid paper.

    Args:
        ecg: the signal to draw.
        left_mm: the chart's left edge.
        bottom_mm: the chart's lower edge.
        scale: the size.
        words: the text for gaps.
        emphasis: what to mark below the traces.
    """
    box = Box(left_mm, bottom_mm, scale.width_mm, scale.height_mm)
    panels = tuple(_panels(ecg, box, scale))
    rows = sorted({panel.baseline_mm for panel in panels}, reverse=True)
    marks = [_calibration_pulse(box.left_mm, baseline, scale) for baseline in rows]
    marks += _ticks(panels, box, scale)
    texts = [*_gap_texts(ecg, panels, scale, words), *_place_names(panels, scale)]
    if _has_few_leads(ecg):
        texts.append(_missing_leads_text(ecg, len(rows), box, scale, words))
    bands: tuple[Band, ...] = ()
    if emphasis is not None:
        bands, labels = emphasis_bands(emphasis, panels, scale.row_mm, scale.mm_per_s)
        texts += labels
    return Chart(
        box=box,
        fine_mm=1.0 * scale.zoom if scale.fine_grid else None,
        coarse_mm=5.0 * scale.zoom,
        panels=panels,
        marks=tuple(marks),
        texts=tuple(texts),
        trace_width_mm=scale.trace_width_mm,
        bands=bands,
    )


def column_starts(end_s: float) -> tuple[float, ...]:
    """Return the start of each of the four columns in seconds.

    0, 2.5, 5 and 7.5 s. In a shorter ECG the later columns start earlier, so that every lead is
    still shown for 2.5 s.
    """
    starts = [number * COLUMN_S for number in range(len(LAYOUT[0]))]
    if end_s < _FULL_LENGTH_S:
        latest = max(0.0, np.floor((end_s - COLUMN_S) * 10 + 1e-6) / 10)
        starts = [min(start, float(latest)) for start in starts]
    return tuple(starts)


def _has_few_leads(ecg: Ecg) -> bool:
    return 1 <= len(ecg.present_leads) <= _FEW_LEADS


def _panels(ecg: Ecg, box: Box, scale: Scale) -> Iterator[Panel]:
    left_mm = box.left_mm + scale.lead_in_mm
    baselines = [box.top_mm - (row + 0.5) * scale.row_mm for row in range(N_ROWS)]
    present = ecg.present_leads
    if _has_few_leads(ecg):
        for lead, baseline in zip(present, baselines, strict=False):
            yield _panel(ecg, lead, (0.0, SHOWN_S), (left_mm, baseline), scale)
        return
    for leads, baseline in zip(LAYOUT, baselines, strict=False):
        for column, (lead, start_s) in enumerate(zip(leads, column_starts(ecg.end_s), strict=True)):
            x_mm = left_mm + column * COLUMN_S * scale.mm_per_s
            yield _panel(ecg, lead, (start_s, start_s + COLUMN_S), (x_mm, baseline), scale)
    rhythm = RHYTHM_LEAD if RHYTHM_LEAD in present or not present else present[0]
    yield _panel(ecg, rhythm, (0.0, SHOWN_S), (left_mm, baselines[-1]), scale)


def _panel(
    ecg: Ecg, lead: str, span_s: tuple[float, float], origin_mm: tuple[float, float], scale: Scale
) -> Panel:
    lead_mv = ecg.lead_mv(lead)
    offset_mv = float(np.nanmedian(lead_mv)) if np.isfinite(lead_mv).any() else 0.0
    first = int(np.ceil(span_s[0] * ecg.rate_hz - 1e-6))
    last = int(np.floor(span_s[1] * ecg.rate_hz + 1e-6))
    part_mv = lead_mv[first : last + 1]
    times_s = (first + np.arange(len(part_mv))) / ecg.rate_hz - span_s[0]
    # Values this far off the sheet are invisible, and some renderers overflow on larger ones.
    heights_mm = np.clip((part_mv - offset_mv) * scale.mm_per_mv, -_CLIPPED_MM, _CLIPPED_MM)
    points = np.column_stack([origin_mm[0] + times_s * scale.mm_per_s, origin_mm[1] + heights_mm])
    step_mm = scale.mm_per_s / ecg.rate_hz
    return Panel(lead, *span_s, *origin_mm, tuple(_split_at_gaps(points, step_mm)))


def _split_at_gaps(points: Points, step_mm: float) -> Iterator[Points]:
    """The runs without NaN; an isolated sample becomes a dash one sample long."""
    for start, end in _true_runs(np.isfinite(points[:, 1])):
        if end - start > 1:
            yield points[start:end]
        else:
            yield points[start] + np.array([(-step_mm / 2, 0.0), (step_mm / 2, 0.0)])


def _true_runs(flags: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of True."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def _gap_texts(ecg: Ecg, panels: Sequence[Panel], scale: Scale, words: Words) -> Iterator[Text]:
    """A label in every gap that is wide enough for it."""
    size_mm = 0.75 * scale.name_mm
    for panel in panels:
        lead_mv = ecg.lead_mv(panel.lead)
        absent = not np.isfinite(lead_mv).any()
        y_mm = panel.baseline_mm - 0.35 * size_mm
        for start_s, end_s in _gaps(lead_mv, ecg.rate_hz, panel):
            ended = start_s >= ecg.end_s - 1.5 / ecg.rate_hz and not absent
            label = (
                words["no_signal"] if absent else words["ended"] if ended else words["no_reading"]
            )
            x_mm = panel.left_mm + ((start_s + end_s) / 2 - panel.start_s) * scale.mm_per_s
            if width_of(label, size_mm) < (end_s - start_s) * scale.mm_per_s - 1:
                yield Text(x_mm, y_mm, label, size_mm, align="center", faint=True)


def _gaps(
    lead_mv: npt.NDArray[np.float64], rate_hz: float, panel: Panel
) -> Iterator[tuple[float, float]]:
    """Start and end in seconds of each gap of a panel, including the time after the last sample."""
    first = int(np.ceil(panel.start_s * rate_hz - 1e-6))
    n = int(np.floor((panel.end_s - panel.start_s) * rate_hz + 1e-6))
    missing = np.ones(n, bool)
    part_mv = lead_mv[first : first + n]
    missing[: len(part_mv)] = np.isnan(part_mv)
    for start, end in _true_runs(missing):
        yield panel.start_s + start / rate_hz, panel.start_s + end / rate_hz


def _missing_leads_text(ecg: Ecg, n_rows: int, box: Box, scale: Scale, words: Words) -> Text:
    """Names the missing leads below the rows of the present ones."""
    twelve = [lead for leads in zip(*LAYOUT, strict=True) for lead in leads]
    missing = [lead for lead in twelve if lead not in ecg.present_leads]
    return Text(
        box.left_mm + box.width_mm / 2,
        box.bottom_mm + (N_ROWS - n_rows) * scale.row_mm / 2,
        f"{', '.join(missing)}: {words['no_signal']}",
        0.75 * scale.name_mm,
        align="center",
        faint=True,
    )


def _calibration_pulse(left_mm: float, baseline_mm: float, scale: Scale) -> Points:
    """1 mV for 0.2 s, between two short pieces of the baseline."""
    x_mm = left_mm + np.array([2, 3, 3, 8, 8, 9]) * scale.zoom
    y_mm = baseline_mm + np.array([0, 0, 1, 1, 0, 0]) * scale.mm_per_mv
    return np.column_stack([x_mm, y_mm])


def _ticks(panels: Sequence[Panel], box: Box, scale: Scale) -> list[Points]:
    """Short vertical lines above and below the baseline where one lead ends and the next begins."""
    ticks: list[Points] = []
    for panel in panels:
        if panel.left_mm > box.left_mm + scale.lead_in_mm:
            for side in (-1, 1):
                heights = panel.baseline_mm + side * np.array([4.0, 7.0]) * scale.row_mm / 40
                ticks.append(np.column_stack([[panel.left_mm] * 2, heights]))
    return ticks


def _place_names(panels: Sequence[Panel], scale: Scale) -> Iterator[Text]:
    """Put each lead's name above the start of its trace, where it overlaps the traces least.

    Never below the baseline, where it could be mistaken for the next row's name.
    """
    traces = [trace for panel in panels for trace in panel.traces]
    starts = np.concatenate([trace[:-1] for trace in traces]) if traces else np.zeros((0, 2))
    ends = np.concatenate([trace[1:] for trace in traces]) if traces else np.zeros((0, 2))
    for panel in panels:
        places = [_name(panel, right, up, scale) for right in _NAME_RIGHT for up in _NAME_UP]
        yield min(places, key=lambda text: _count_crossings(text.box, starts, ends))


# The places to try for a name, the preferred one first: to the right as a share of a column's
# width, and up as a share of the space above the baseline.
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


def _count_crossings(box: Box, starts: Points, ends: Points) -> int:
    """How many trace segments have a bounding box that overlaps `box` and a margin beside it."""
    margin_mm = 0.15 * box.height_mm
    lows, highs = np.minimum(starts, ends), np.maximum(starts, ends)
    crossing = (
        (highs[:, 0] >= box.left_mm - margin_mm)
        & (lows[:, 0] <= box.right_mm + margin_mm)
        & (highs[:, 1] >= box.bottom_mm)
        & (lows[:, 1] <= box.top_mm)
    )
    return int(crossing.sum())
