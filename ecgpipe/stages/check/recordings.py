"""Check what the recordings hold: all of them, or a fixed random sample.

Owns which recordings are opened, and how suspicions about them become problems with places. Reads
recordings as `prepare` does, and keeps only the facts of each.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecgpipe.config.data import DataConfig
from ecgpipe.errors import RecordError
from ecgpipe.progress import progress
from ecgpipe.read_ecg.datasets.source import recording_path
from ecgpipe.read_ecg.prepare.shard_job import read_planned
from ecgpipe.read_ecg.quality.inspection import Facts, inspect, window_digest
from ecgpipe.read_ecg.quality.suspicion import duplicates, suspicions
from ecgpipe.read_ecg.signal.record import Reason
from ecgpipe.read_ecg.signal.window import to_window
from ecgpipe.stages.check.report import Example, Problem, Severity, problem_at
from ecgpipe.stages.check.table_rows import CheckedRow

_SEED = 0

# A suspicion explains these better than the reason for rejection does.
_EXPLAINED_BY_SUSPICION = (Reason.AMPLITUDE,)

# Where a reason's own word does not say what is wrong.
_WHY = {str(Reason.LEADS): "leads missing or unclear", str(Reason.UNITS): "no unit of voltage"}


@dataclass(frozen=True)
class LookedAt:
    """A recording that was opened, or could not be."""

    row: CheckedRow
    facts: Facts | None
    digest: str | None
    """Of the window that would be stored."""

    reason: str | None
    """Why it would be rejected."""

    message: str = ""
    """The same in full, as `prepare` lists it. It may name the file."""


def chosen_rows(rows: Sequence[CheckedRow], sample: int | None) -> list[CheckedRow]:
    """The rows with a usable path, or a fixed random sample, in the order of files."""
    good = [row for row in rows if row.reason != Reason.OUTSIDE_ROOT]
    if sample is not None and sample < len(good):
        good = random.Random(_SEED).sample(good, sample)
    return sorted(good, key=lambda c: (str(c.source.root), c.row.path, c.row.start_s or 0.0))


def look_at_recordings(rows: Sequence[CheckedRow], config: DataConfig) -> list[LookedAt]:
    """Open these recordings, one after another."""
    looked_at = []
    with progress("check", len(rows), "recordings") as tick:
        for row in rows:
            looked_at.append(_look_at(row, config))
            tick()
    return looked_at


def recording_problems(looked_at: Sequence[LookedAt], config: DataConfig) -> Iterator[Problem]:
    """Suspicious recordings, recordings that would be rejected, and duplicates."""
    with_facts = [(look, look.facts) for look in looked_at if look.facts is not None]
    for suspicion in suspicions([facts for _, facts in with_facts], config):
        yield from problem_at(
            [with_facts[case.number][0].row.example(case.detail) for case in suspicion.cases],
            Severity.WRONG if suspicion.grave else Severity.LOOK,
            suspicion.kind,
            "recording",
            suspicion.summary,
            suspicion.fix,
        )
    yield from _rejected(looked_at)
    yield from _duplicates(looked_at)


def too_many_rejected(
    looked_at: Sequence[LookedAt], rows: Sequence[CheckedRow], config: DataConfig
) -> Iterator[Problem]:
    """Whether `prepare` would stop because it rejects more than data.max_rejected_fraction."""
    if not rows or not looked_at:
        return
    reasons = Counter(
        str(reason) for look in looked_at if (reason := look.reason or look.row.reason) is not None
    )
    unusable = sum(row.reason is not None for row in rows) / len(rows)
    share = max(unusable, reasons.total() / len(looked_at))
    if share > config.max_rejected_fraction:
        counts = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common())
        yield Problem(
            Severity.STOPS,
            "too many rejected",
            f"{share:.0%} of the ECGs would be rejected; data.max_rejected_fraction allows"
            f" {config.max_rejected_fraction:.0%}"
            + (f". Of {len(looked_at):,} recordings opened: {counts}" if counts else ""),
            "Fix the problems below, or raise data.max_rejected_fraction.",
        )


def recording_overview(
    looked_at: Sequence[LookedAt], rows: Sequence[CheckedRow], sample: int | None
) -> dict[str, str]:
    """What the recordings are like, one line per property."""
    facts = [look.facts for look in looked_at if look.facts is not None]
    drawn = " (a sample; --all opens every one)" if sample == len(looked_at) < len(rows) else ""
    opened = f"{len(looked_at):,} of {len(rows):,} opened{drawn}"
    lines = {"recordings": f"{opened}, {len(looked_at) - len(facts):,} unreadable"}
    if not facts:
        return lines
    lines["sampling rates"] = _commonest(Counter(f"{f.rate_hz:g} Hz" for f in facts))
    lines["durations"] = _commonest(Counter(f"{f.duration_s:.1f} s" for f in facts))
    lines["leads"] = _commonest(Counter(str(12 - len(f.absent)) for f in facts))
    if spans := [f.typical_span_mv for f in facts if np.isfinite(f.typical_span_mv)]:
        lines["amplitude"] = (
            f"{_percentiles(spans, '.2f')} mV (5th, 50th, 95th percentile; span of the median lead)"
        )
    if rates := [f.heart_rate_bpm for f in facts if f.heart_rate_bpm is not None]:
        lines["heart rate"] = f"{_percentiles(rates, '.0f')} bpm (5th, 50th, 95th percentile)"
    return lines


def _look_at(checked: CheckedRow, config: DataConfig) -> LookedAt:
    try:
        record = read_planned(checked.row, checked.source, config)
    except RecordError as error:
        return LookedAt(checked, None, None, str(error.reason), str(error))
    except (OSError, ValueError) as error:  # a folder that may not be entered, a name too long
        message = f"it cannot be read: {error}"
        return LookedAt(checked, None, None, str(Reason.UNREADABLE), message)
    facts = inspect(record)
    try:
        window_uv, _ = to_window(record, config)
    except RecordError as error:
        return LookedAt(checked, facts, None, str(error.reason), str(error))
    return LookedAt(checked, facts, window_digest(window_uv), None)


def _rejected(looked_at: Sequence[LookedAt]) -> Iterator[Problem]:
    for kind in dict.fromkeys(look.reason for look in looked_at):
        if kind is None or kind in _EXPLAINED_BY_SUSPICION:
            continue
        reason = _WHY.get(kind, kind)
        yield from problem_at(
            [_unusable(look) for look in looked_at if look.reason == kind],
            Severity.LOOK,
            kind,
            "recording",
            f"would be rejected ({reason})",
            "Correct or replace these files. `ecgpipe check --list` names each.",
        )


def _unusable(look: LookedAt) -> Example:
    """Why a recording cannot be used: in full for the list, without names for the terminal."""
    place = Path(look.row.row.path.partition("#")[0])
    names = [str(recording_path(look.row.source.root, look.row.row.path)), str(place)]
    shown = look.message
    for name in (*names, place.name, place.stem):
        shown = re.sub(rf"(?<![\w-]){re.escape(name)}(\.\w+)?(?![\w-])", "the file", shown)
    # What is quoted comes from the file or is its name.
    shown = re.sub(r"'[^']*'", "'…'", shown)
    row = look.row
    return replace(row.example(shown), private=look.message)


def _duplicates(looked_at: Sequence[LookedAt]) -> Iterator[Problem]:
    """Equal windows under different ids; across splits, the model is tested on what it learnt."""
    grave: list[Example] = []
    harmless: list[Example] = []
    for group in duplicates([look.digest for look in looked_at]):
        first, *others = (looked_at[number].row for number in group)
        for other in others:
            if (other.source.root, other.row.path) == (first.source.root, first.row.path):
                continue  # the table shows this: "one recording twice"
            what = f"same as {first.row.place}"
            if other.row.patient_id != first.row.patient_id:
                what += ", of another patient"
            if other.split != first.split:
                what += f"; in {other.split} and {first.split}"
            (grave if other.split != first.split else harmless).append(other.example(what))
    for severity, where, examples in (
        (Severity.WRONG, " in another split", grave),
        (Severity.LOOK, "", harmless),
    ):
        yield from problem_at(
            examples,
            severity,
            "duplicate waveform",
            "recording",
            f"waveform is identical to that of another id{where}",
            "Find out which id is right, and remove the other.",
        )


def _commonest(counts: Counter[str]) -> str:
    shown = ", ".join(f"{what} × {n:,}" for what, n in counts.most_common(4))
    return shown + (f" and {len(counts) - 4} more" if len(counts) > 4 else "")


def _percentiles(values: Sequence[float], form: str) -> str:
    return " / ".join(f"{value:{form}}" for value in np.percentile(values, [5, 50, 95]))
