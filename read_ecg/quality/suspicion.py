"""Find what is suspicious about recordings, from the facts measured on each.

Owns the limits, and what a recording is compared with: the usual values of an ECG, and the other
recordings. A suspicion is a reason to look, never a decision: `prepare` counts the three kinds that
`measures` finds, and ignores the rest.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecgpipe.config.data import WindowConfig
from ecgpipe.read_ecg.quality.inspection import Facts
from ecgpipe.read_ecg.quality.measures import disagree, is_full_of_mains

# The median lead's middle 99 % spans 0.4 to 4.2 mV in 1,324 PTB-XL records, median 1.1 mV.
_USUAL_SPAN_MV = (0.2, 5.0)
_TYPICAL_SPAN_MV = 1.0

_POSSIBLE_BPM = (25.0, 250.0)
_USUAL_MEDIAN_BPM = (45.0, 130.0)
_ENOUGH_TO_COMPARE = 5
_ENOUGH_FOR_A_MEDIAN = 10
_MISSING_SHARE = 0.01


@dataclass(frozen=True)
class Case:
    """One recording of a suspicion."""

    number: int
    """Its index among the recordings that were opened."""

    detail: str
    """What was found in this recording, without any id; '' where the summary says it all."""


@dataclass(frozen=True)
class Suspicion:
    """One kind of suspicious finding, with the recordings that show it."""

    kind: str
    grave: bool
    """Whether it would make results wrong, rather than merely deserve a look."""

    summary: str
    """What was found, to follow '3 recordings: '."""

    fix: str
    cases: tuple[Case, ...]


def suspicions(facts: Sequence[Facts], config: WindowConfig) -> list[Suspicion]:
    """All suspicions about these recordings, one per kind."""
    return [
        *_units(facts),
        *_rates(facts),
        *_heart_rates(facts),
        *_in_single_recordings(facts, config),
    ]


def duplicates(digests: Sequence[str | None]) -> list[list[int]]:
    """Groups of recordings whose stored windows are equal; None means no window to compare."""
    groups: dict[str, list[int]] = {}
    for number, digest in enumerate(digests):
        if digest is not None:
            groups.setdefault(digest, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def _units(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    """Amplitudes that are wrong by a power of ten, or merely unusual."""
    typical_mv = _typical_span(facts)
    off, unusual = [], []
    for number, fact in enumerate(facts):
        span_mv = fact.typical_span_mv
        if not math.isfinite(span_mv) or _USUAL_SPAN_MV[0] <= span_mv <= _USUAL_SPAN_MV[1]:
            continue
        power = round(math.log10(span_mv / typical_mv))
        if power:
            off.append(Case(number, f"leads span {_mv(span_mv)}, {_factor(power)}"))
        else:
            unusual.append(Case(number, f"leads span {_mv(span_mv)}"))
    if off:
        yield Suspicion(
            "units",
            True,
            "amplitude is wrong by a power of ten",
            "Correct the gain or the unit in the file: µV read as mV is 1,000 times too large.",
            tuple(off),
        )
    if unusual:
        yield Suspicion(
            "amplitude",
            False,
            "amplitude is outside the usual {:g} to {:g} mV".format(*_USUAL_SPAN_MV),
            "Check that these are ECGs, and that their gain is right.",
            tuple(unusual),
        )


def _typical_span(facts: Sequence[Facts]) -> float:
    """The median span of all, or an ECG's usual one if the table seems to be in other units."""
    spans = [f.typical_span_mv for f in facts if math.isfinite(f.typical_span_mv)]
    median = float(np.median(spans)) if len(spans) >= _ENOUGH_TO_COMPARE else _TYPICAL_SPAN_MV
    return median if _USUAL_SPAN_MV[0] <= median <= _USUAL_SPAN_MV[1] else _TYPICAL_SPAN_MV


def _mv(value: float) -> str:
    return f"{value:,.0f} mV" if value >= 100 else f"{value:.2g} mV"


def _factor(power: int) -> str:
    factor = f"about {10 ** abs(power):,} times too {'large' if power > 0 else 'small'}"
    return factor + {3: " (µV read as mV?)", -3: " (V read as mV?)"}.get(power, "")


def _rates(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    """The usual number of samples at an unusual rate: one of the two must be wrong."""
    if len(facts) < _ENOUGH_TO_COMPARE:
        return
    (samples, rate_hz), n = Counter((f.samples, f.rate_hz) for f in facts).most_common(1)[0]
    if n < len(facts) / 2:
        return
    cases = tuple(
        Case(
            number,
            f"{fact.rate_hz:g} Hz for {samples:,} samples, where most have {rate_hz:g} Hz"
            + _rate_by_heart(fact, rate_hz),
        )
        for number, fact in enumerate(facts)
        if fact.samples == samples and fact.rate_hz != rate_hz
    )
    if cases:
        yield Suspicion(
            "rate",
            True,
            "sampling rate differs from that of most recordings with the same number of samples",
            "Find the true rate and correct the file: a wrong rate stretches time.",
            cases,
        )


def _rate_by_heart(fact: Facts, rate_hz: float) -> str:
    if fact.heart_rate_bpm is None:
        return ""
    other = fact.heart_rate_bpm * rate_hz / fact.rate_hz
    here = fact.heart_rate_bpm
    return f"; the heart rate is {here:.0f} bpm, but would be {other:.0f} at {rate_hz:g} Hz"


def _heart_rates(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    rates = [f.heart_rate_bpm for f in facts if f.heart_rate_bpm is not None]
    if len(rates) >= _ENOUGH_FOR_A_MEDIAN:
        median = float(np.median(rates))
        if not _USUAL_MEDIAN_BPM[0] <= median <= _USUAL_MEDIAN_BPM[1]:
            yield Suspicion(
                "rate of all",
                True,
                f"median heart rate is {median:.0f} bpm, outside the usual {{:g}} to {{:g}}".format(
                    *_USUAL_MEDIAN_BPM
                ),
                "Compare the sampling rate in the files with that of the device: at twice the true"
                " rate the heart seems to beat twice as fast.",
                tuple(Case(number, "") for number in range(len(facts))),
            )
            return
    cases = tuple(
        Case(number, f"{fact.heart_rate_bpm:.0f} bpm")
        for number, fact in enumerate(facts)
        if fact.heart_rate_bpm is not None
        and not _POSSIBLE_BPM[0] <= fact.heart_rate_bpm <= _POSSIBLE_BPM[1]
    )
    if cases:
        yield Suspicion(
            "heart rate",
            False,
            "heart rate is outside {:g} to {:g} bpm".format(*_POSSIBLE_BPM),
            "Check that these are ECGs, and that the file states the right sampling rate.",
            cases,
        )


def _in_single_recordings(facts: Sequence[Facts], config: WindowConfig) -> Iterator[Suspicion]:
    """Whatever a recording shows by itself; a detail of '' means that it does not."""
    n_absent = Counter(lead for fact in facts for lead in fact.absent)
    looks: tuple[tuple[str, str, str, Callable[[Facts], str]], ...] = (
        (
            "limb leads",
            "limb leads contradict each other (I + III = II and Goldberger's equations fail)",
            "Correct the names, signs or gains of the leads, in the file or where it was exported.",
            _limb_leads,
        ),
        (
            "flat lead",
            "a lead is flat",
            "Nothing to do if an electrode was off: flat leads are masked.",
            lambda fact: ", ".join(fact.flat),
        ),
        (
            "absent lead",
            "leads are missing that most recordings have",
            "Check their lead names. data.min_leads sets how many a recording needs.",
            lambda fact: ", ".join(
                lead for lead in fact.absent if n_absent[lead] <= len(facts) / 2
            ),
        ),
        (
            "arm electrodes",
            "arm electrodes may be reversed",
            "Look at these ECGs: dextrocardia looks the same.",
            lambda fact: "lead I opposite to V6, aVR upright" if fact.arms_reversed else "",
        ),
        (
            "clipping",
            "signal is clipped at the limit of the device's range",
            "Check the gain at which they were recorded.",
            lambda fact: ", ".join(fact.clipped),
        ),
        (
            "mains",
            "power-line noise is strong",
            "Nothing to do: these recordings are kept as they are.",
            _mains,
        ),
        (
            "missing samples",
            "samples are missing",
            "data.max_missing_fraction sets how many may be filled in.",
            _gaps,
        ),
        (
            "short",
            f"shorter than data.duration_s ({config.duration_s:g} s)",
            "Nothing to do: they are padded with 'no reading'.",
            lambda fact: f"{fact.duration_s:.1f} s" if _is_short(fact, config) else "",
        ),
    )
    for kind, summary, fix, detail_of in looks:
        details = map(detail_of, facts)
        cases = tuple(Case(number, detail) for number, detail in enumerate(details) if detail)
        if cases:
            yield Suspicion(kind, kind == "limb leads", summary, fix, cases)


def _limb_leads(fact: Facts) -> str:
    if fact.limb is None or not disagree(fact.limb):
        return ""
    return fact.limb.explanation or f"they disagree by {fact.limb.residual:.0%} of their size"


def _mains(fact: Facts) -> str:
    if not is_full_of_mains(fact.mains_share):
        return ""
    return f"{fact.mains_share:.0%} of the power at {fact.mains_hz:g} Hz"


def _gaps(fact: Facts) -> str:
    share = fact.missing_share
    return f"{share:.0%} missing" if _MISSING_SHARE <= share < 1 else ""


def _is_short(fact: Facts, config: WindowConfig) -> bool:
    rounding_s = 0.5 / fact.rate_hz
    return config.min_duration_s <= fact.duration_s < config.duration_s - rounding_s
