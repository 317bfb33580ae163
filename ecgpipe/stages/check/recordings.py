"""What the recordings hold: all of them, or a sample drawn with a seed.

Owns which are opened, and how what `suspicion` says of them becomes problems with places. Reads as
the preparation would, and keeps of each recording only its facts.
"""

import dataclasses
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecgpipe.config.data import DataConfig
from ecgpipe.errors import RecordError
from ecgpipe.progress import progress
from ecgpipe.read_ecg.prepare.shard_job import PlannedRecording, read_planned
from ecgpipe.read_ecg.quality.inspection import Facts, inspect, window_digest
from ecgpipe.read_ecg.quality.suspicion import duplicates, suspicions
from ecgpipe.read_ecg.signal.record import Reason
from ecgpipe.read_ecg.signal.window import to_window
from ecgpipe.stages.check.report import Example, Problem, Severity
from ecgpipe.stages.check.rows import CheckedRow

_SEED = 0

# What a suspicion tells better than the reason for rejection does.
_TOLD_BY_SUSPICION = (Reason.AMPLITUDE,)


@dataclass(frozen=True)
class LookedAt:
    """One recording that was opened, or could not be."""

    row: CheckedRow
    facts: Facts | None
    digest: str | None
    """Of the window that would be stored."""

    reason: str | None
    """Why it would be rejected."""


def chosen_rows(rows: Sequence[CheckedRow], sample: int | None) -> list[CheckedRow]:
    """All rows with a good path, or so many of them, always the same; ordered by recording."""
    good = [row for row in rows if row.reason != Reason.OUTSIDE_ROOT]
    if sample is not None and sample < len(good):
        good = random.Random(_SEED).sample(good, sample)
    return sorted(good, key=lambda c: (str(c.source.root), c.row.path, c.row.start_s or 0.0))


def look_at_recordings(rows: Sequence[CheckedRow], config: DataConfig) -> list[LookedAt]:
    """Open these recordings, one after the other."""
    looked_at = []
    with progress("check", len(rows), "recordings") as tick:
        for row in rows:
            looked_at.append(_look_at(row, config))
            tick()
    return looked_at


def recording_problems(looked_at: Sequence[LookedAt], config: DataConfig) -> Iterator[Problem]:
    """What is suspicious about recordings, and which would be rejected."""
    with_facts = [(look, look.facts) for look in looked_at if look.facts is not None]
    for suspicion in suspicions([facts for _, facts in with_facts], config):
        n = len(suspicion.cases)
        yield Problem(
            Severity.WRONG if suspicion.grave else Severity.LOOK,
            suspicion.kind,
            _counted(n, suspicion.summary),
            suspicion.fix,
            tuple(
                dataclasses.replace(with_facts[case.number][0].row.example, detail=case.detail)
                for case in suspicion.cases
            ),
        )
    yield from _rejected(looked_at)
    yield from _duplicates(looked_at)


def too_many_rejected(
    looked_at: Sequence[LookedAt], rows: Sequence[CheckedRow], config: DataConfig
) -> Iterator[Problem]:
    """Whether the preparation would stop, because it rejects more than it may."""
    unusable = sum(row.reason is not None for row in rows) / len(rows) if rows else 0.0
    reasons = Counter(
        str(look.reason or look.row.reason)
        for look in looked_at
        if look.reason is not None or look.row.reason is not None
    )
    rejected = sum(reasons.values()) / len(looked_at) if looked_at else 0.0
    share = max(unusable, rejected)
    if share > config.max_rejected_fraction:
        told = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common())
        yield Problem(
            Severity.STOPS,
            "too many rejected",
            f"{share:.0%} of the ECGs would be rejected, more than data.max_rejected_fraction"
            f" ({config.max_rejected_fraction:.0%}) allows"
            + (f"; of {len(looked_at):,} looked at: {told}" if told else ""),
            "Mend what is told below, or raise the limit.",
        )


def recording_figures(looked_at: Sequence[LookedAt], n_rows: int) -> Iterator[tuple[str, str]]:
    """What the recordings are like, in lines."""
    facts = [look.facts for look in looked_at if look.facts is not None]
    part = (
        f"all {n_rows:,}"
        if len(looked_at) == n_rows
        else f"{len(looked_at):,} of {n_rows:,} (drawn; --all reads every one)"
    )
    yield "recordings", f"{part} looked at, {len(looked_at) - len(facts):,} unreadable"
    if not facts:
        return
    yield "rates", _commonest(Counter(f"{f.rate_hz:g} Hz" for f in facts))
    yield "durations", _commonest(Counter(f"{f.duration_s:.1f} s" for f in facts))
    yield "leads", _commonest(Counter(str(12 - len(f.absent)) for f in facts))
    spans = [f.typical_span_mv for f in facts if np.isfinite(f.typical_span_mv)]
    if spans:
        yield (
            "amplitude",
            f"{_three(spans, '.2f')} mV (5th, 50th, 95th percentile of the median lead's span)",
        )
    rates = [f.heart_rate_bpm for f in facts if f.heart_rate_bpm is not None]
    if rates:
        yield "heart rate", f"{_three(rates, '.0f')} a minute (5th, 50th, 95th percentile)"


def _look_at(checked: CheckedRow, config: DataConfig) -> LookedAt:
    try:
        record = read_planned(PlannedRecording.of(checked.row, checked.source), config)
    except RecordError as error:
        return LookedAt(checked, None, None, str(error.reason))
    except (OSError, ValueError):  # a folder that may not be entered, a name too long
        return LookedAt(checked, None, None, str(Reason.UNREADABLE))
    facts = inspect(record)
    try:
        window_uv, _ = to_window(record, config)
    except RecordError as error:
        return LookedAt(checked, facts, None, str(error.reason))
    return LookedAt(checked, facts, window_digest(window_uv), None)


def _rejected(looked_at: Sequence[LookedAt]) -> Iterator[Problem]:
    for reason, n in Counter(look.reason for look in looked_at).items():
        if reason is None or reason in _TOLD_BY_SUSPICION:
            continue
        yield Problem(
            Severity.LOOK,
            str(reason),
            _counted(n, f"would be rejected ({reason})"),
            "Mend or bring the files; `ecgpipe prepare` lists each with what was met.",
            tuple(look.row.example for look in looked_at if look.reason == reason),
        )


def _duplicates(looked_at: Sequence[LookedAt]) -> Iterator[Problem]:
    """Equal windows under several ids: across splits the test is on what the model learnt."""
    grave: list[Example] = []
    harmless: list[Example] = []
    for group in duplicates([look.digest for look in looked_at]):
        first, *others = (looked_at[number].row for number in group)
        for other in others:
            if (other.source.root, other.row.path) == (first.source.root, first.row.path):
                continue  # told from the table
            what = f"the waveform of {first.row.place}"
            if other.row.patient_id != first.row.patient_id:
                what += ", another patient's"
            if other.split != first.split:
                what += f"; {other.split} and {first.split}"
            (grave if other.split != first.split else harmless).append(
                Example(other.row.place, what, other.row.record_id)
            )
    for severity, examples in ((Severity.WRONG, grave), (Severity.LOOK, harmless)):
        if examples:
            yield Problem(
                severity,
                "duplicate waveform",
                _counted(len(examples), "waveform is identical to that of another id")
                + (" in another split" if severity == Severity.WRONG else ""),
                "Find out whose it is; keep one.",
                tuple(examples),
            )


def _counted(n: int, what: str) -> str:
    return f"{n:,} recording{'s' * (n != 1)}: {what}"


def _commonest(counts: Counter[str]) -> str:
    shown = ", ".join(f"{what} × {n:,}" for what, n in counts.most_common(4))
    return shown + (f" and {len(counts) - 4} others" if len(counts) > 4 else "")


def _three(values: Sequence[float], form: str) -> str:
    return " / ".join(f"{value:{form}}" for value in np.percentile(values, [5, 50, 95]))
