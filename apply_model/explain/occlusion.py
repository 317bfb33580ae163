"""What a finding's score hangs on: how it changes when parts of the ECG are hidden.

Owns how a part is hidden and which parts are tried. Knows a model only as a callable that scores
windows, and not where a window comes from.

Leads repeat each other, so a score hardly falls when only one of them is hidden, and then often not
for the lead that shows the finding. So a lead is given what it adds, on average, to the leads that
were uncovered before it, over random orders of all of them: its Shapley value (Castro and others,
2009, doi:10.1016/j.cor.2008.04.004). A hidden lead has no reading, as the model was trained to see
an absent one.

A stretch of time is hidden in all leads by a straight line between its ends, since a gap without
reading would add two steps of its own. Stretches of 0.4 s are hidden one after the other, 0.1 s
apart, and a tenth of a second gets the mean of those that cover it. What was tried and measured is
in docs/lab-log.md.

L = leads, S = samples, T = tenths of a second, C = findings, O = orders.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.read_ecg.signal.window import NO_READING

TENTH_S = 0.1
HIDDEN_TENTHS = 4
"""Length of a hidden stretch."""

_PAIRS_OF_ORDERS = 8
_BATCH = 64

Window = npt.NDArray[np.int16]
Scores = npt.NDArray[np.floating]
ScoreWindows = Callable[[Window], Scores]
"""Windows (n, L, S) in µV as stored to scores (n, C)."""


@dataclass(frozen=True)
class Occlusion:
    """What each part of one ECG adds to its scores; negative where it speaks against."""

    score_C: Scores
    lead_share_LC: Scores
    """By lead. They sum to the score minus that of an ECG without any reading."""

    tenth_drop_TC: Scores
    """By tenth of a second from the start: how far the score falls when it is hidden. The last one
    may be shorter. 0 without a reading."""


def occlude(score: ScoreWindows, signal_uv: Window, rate_hz: float) -> Occlusion:
    """Score an ECG with leads and stretches of time hidden.

    Args:
        score: the model; called with at most 64 windows at a time, some 280 in all.
        signal_uv: (L, S) int16 in µV, -32768 where there is no reading.
        rate_hz: samples a second.
    """
    whole_C = score(signal_uv[None])[0]
    leads_LC = lead_shares(score, signal_uv)
    return Occlusion(whole_C, leads_LC, tenth_drops(score, signal_uv, rate_hz))


def lead_shares(score: ScoreWindows, signal_uv: Window) -> Scores:
    """(L, C) what each lead adds to those before it, the mean over orders; 0 without a reading."""
    leads = np.flatnonzero((signal_uv != NO_READING).any(axis=1))
    orders_OL = _orders(leads)
    path = _in_batches(score, _uncovered(signal_uv, orders_OL))
    steps_OLC = np.diff(path.reshape(len(orders_OL), len(leads) + 1, -1), axis=1)
    shares_LC = np.zeros((len(signal_uv), path.shape[1]), path.dtype)
    for order_L, steps_LC in zip(orders_OL, steps_OLC, strict=True):
        shares_LC[order_L] += steps_LC / len(orders_OL)
    return shares_LC


def tenth_drops(score: ScoreWindows, signal_uv: Window, rate_hz: float) -> Scores:
    """(T, C) how far each score falls when a tenth of a second is hidden."""
    scores = _in_batches(score, _with_stretches_hidden(signal_uv, tenths(signal_uv, rate_hz)))
    whole_C, hidden_MC = scores[0], scores[1:]
    n = len(hidden_MC) - (HIDDEN_TENTHS - 1)
    hidden_TC = np.stack([hidden_MC[t : t + HIDDEN_TENTHS].mean(axis=0) for t in range(n)])
    drops_TC: Scores = whole_C - hidden_TC
    return drops_TC


def tenths(signal_uv: Window, rate_hz: float) -> npt.NDArray[np.int64]:
    """(T + 1,) the samples at which the tenths of a second begin, and the end."""
    samples = signal_uv.shape[1]
    starts = np.rint(np.arange(0, samples / rate_hz - 1e-9, TENTH_S) * rate_hz)
    return np.append(starts, samples).astype(np.int64)


def bridged(signal_uv: Window, start: int, end: int) -> Window:
    """The ECG with a straight line in each lead instead of the samples from `start` to `end`.

    The line joins the sample before with the one after; where there is only one of them, at an edge
    of the recording, it is level. Samples without a reading stay without.
    """
    hidden = signal_uv.copy()
    inside_LS = hidden[:, start:end]
    nothing_L = np.full(len(signal_uv), NO_READING, np.int16)
    before_L = signal_uv[:, start - 1] if start > 0 else nothing_L
    after_L = signal_uv[:, end] if end < signal_uv.shape[1] else nothing_L
    before_L = np.where(before_L == NO_READING, after_L, before_L)
    after_L = np.where(after_L == NO_READING, before_L, after_L)
    share_S = (np.arange(end - start) + 1) / (end - start + 1)
    line_LS = before_L[:, None] + (after_L - before_L.astype(np.float64))[:, None] * share_S
    hidden[:, start:end] = np.where(inside_LS == NO_READING, NO_READING, np.rint(line_LS))
    return hidden


def _with_stretches_hidden(signal_uv: Window, edges: npt.NDArray[np.int64]) -> Iterator[Window]:
    """The ECG as it is, then without each stretch; every tenth is in HIDDEN_TENTHS of them."""
    yield signal_uv
    n = len(edges) - 1
    for first in range(1 - HIDDEN_TENTHS, n):
        start, end = max(first, 0), min(first + HIDDEN_TENTHS, n)
        yield bridged(signal_uv, int(edges[start]), int(edges[end]))


def _orders(leads: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """(O, L) random orders, the same in every call, each also backwards: a lead that comes early in
    one comes late in the other, which halves the variance."""
    rng = np.random.default_rng(0)
    forward = np.stack([rng.permutation(leads) for _ in range(_PAIRS_OF_ORDERS)])
    return np.concatenate([forward, forward[:, ::-1]])


def _uncovered(signal_uv: Window, orders_OL: npt.NDArray[np.intp]) -> Iterator[Window]:
    """For each order the ECG with no lead, with the first, with the first two, ..., with all."""
    for order_L in orders_OL:
        shown = np.full_like(signal_uv, NO_READING)
        yield shown
        for lead in order_L:
            shown = shown.copy()
            shown[lead] = signal_uv[lead]
            yield shown


def _in_batches(score: ScoreWindows, windows: Iterator[Window]) -> Scores:
    scores = []
    while some := list(itertools.islice(windows, _BATCH)):
        scores.append(score(np.stack(some)))
    return np.concatenate(scores)
