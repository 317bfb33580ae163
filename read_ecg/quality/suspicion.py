"""From the facts of all recordings that were looked at to what is suspicious about them.

Owns the limits, and what a recording is compared with: an ECG's usual values, and the others'. A
suspicion is a reason to look, never a decision: the preparation counts the three kinds of `quality`
as notes, and knows of no other.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecgpipe.config.data import DataConfig
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
    """Its place among the recordings that were looked at."""

    detail: str
    """What is the matter with this one, in a few words without any id; '' where that is clear."""


@dataclass(frozen=True)
class Suspicion:
    """Something about some recordings that a person should look at."""

    kind: str
    grave: bool
    """Whether results would be wrong; else it merely deserves a look."""

    summary: str
    """What is the matter, behind 'n recordings'."""

    mend: str
    cases: tuple[Case, ...]


def suspicions(facts: Sequence[Facts], config: DataConfig) -> list[Suspicion]:
    """Everything suspicious about these recordings, each kind once."""
    looks: tuple[Callable[[Sequence[Facts]], Iterator[Suspicion]], ...] = (
        _units,
        _limb_leads,
        _rates,
        _heart_rates,
        _flat_leads,
        _absent_leads,
        _arms,
        _clipping,
        _mains,
        _gaps,
    )
    found = [suspicion for look in looks for suspicion in look(facts)]
    return [*found, *_short(facts, config)]


def duplicates(digests: Sequence[str | None]) -> list[list[int]]:
    """Groups of recordings whose stored windows are equal; None has no window to compare."""
    groups: dict[str, list[int]] = {}
    for number, digest in enumerate(digests):
        if digest is not None:
            groups.setdefault(digest, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def _units(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    """Spans that are a power of ten off an ECG's, or merely unusual."""
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
            "have amplitudes that are a power of ten off an ECG's",
            "Mend the gain or the unit in the file: µV read as mV is 1,000 times too large.",
            tuple(off),
        )
    if unusual:
        yield Suspicion(
            "amplitude",
            False,
            "have unusually large or small amplitudes",
            "Look whether they are ECGs, and at their gain.",
            tuple(unusual),
        )


def _typical_span(facts: Sequence[Facts]) -> float:
    """The others' median span where it is an ECG's, else an ECG's usual one: the whole table may be
    in other units."""
    spans = [f.typical_span_mv for f in facts if math.isfinite(f.typical_span_mv)]
    median = float(np.median(spans)) if len(spans) >= _ENOUGH_TO_COMPARE else _TYPICAL_SPAN_MV
    return median if _USUAL_SPAN_MV[0] <= median <= _USUAL_SPAN_MV[1] else _TYPICAL_SPAN_MV


def _mv(value: float) -> str:
    return f"{value:,.0f} mV" if value >= 100 else f"{value:.2g} mV"


def _factor(power: int) -> str:
    factor = f"about {10 ** abs(power):,} times too {'large' if power > 0 else 'small'}"
    return factor + {3: " (µV read as mV?)", -3: " (V read as mV?)"}.get(power, "")


def _limb_leads(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    cases = [
        Case(number, limb.explanation or f"{limb.residual:.0%} of their size is left over")
        for number, limb in enumerate(fact.limb for fact in facts)
        if limb is not None and disagree(limb)
    ]
    if cases:
        yield Suspicion(
            "limb leads",
            True,
            "have limb leads that contradict each other (I + III = II and Goldberger's fail)",
            "Mend the names, signs or gains of the leads in the file or in what exported it.",
            tuple(cases),
        )


def _rates(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    """As many samples as the others at another rate: one of the two statements is wrong."""
    if len(facts) < _ENOUGH_TO_COMPARE:
        return
    (samples, rate_hz), n = Counter((f.samples, f.rate_hz) for f in facts).most_common(1)[0]
    if n < len(facts) / 2:
        return
    cases = tuple(
        Case(
            number,
            f"{fact.rate_hz:g} Hz for {samples:,} samples, the others {rate_hz:g} Hz"
            + _rate_by_heart(fact, rate_hz),
        )
        for number, fact in enumerate(facts)
        if fact.samples == samples and fact.rate_hz != rate_hz
    )
    if cases:
        yield Suspicion(
            "rate",
            True,
            "have the others' number of samples and another rate",
            "Find the true rate and mend it in the file: time is stretched otherwise.",
            cases,
        )


def _rate_by_heart(fact: Facts, rate_hz: float) -> str:
    if fact.heart_rate_bpm is None:
        return ""
    other = fact.heart_rate_bpm * rate_hz / fact.rate_hz
    return f"; the heart rate is {fact.heart_rate_bpm:.0f}, with theirs {other:.0f}"


def _heart_rates(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    rates = [f.heart_rate_bpm for f in facts if f.heart_rate_bpm is not None]
    if len(rates) >= _ENOUGH_FOR_A_MEDIAN:
        median = float(np.median(rates))
        if not _USUAL_MEDIAN_BPM[0] <= median <= _USUAL_MEDIAN_BPM[1]:
            yield Suspicion(
                "rate of all",
                True,
                f"have a median heart rate of {median:.0f} a minute",
                "Compare the rate that the files state with the device's: at twice the true rate"
                " the heart beats twice as fast.",
                tuple(Case(number, "") for number in range(len(facts))),
            )
            return
    cases = tuple(
        Case(number, f"{fact.heart_rate_bpm:.0f} a minute")
        for number, fact in enumerate(facts)
        if fact.heart_rate_bpm is not None
        and not _POSSIBLE_BPM[0] <= fact.heart_rate_bpm <= _POSSIBLE_BPM[1]
    )
    if cases:
        yield Suspicion(
            "heart rate",
            False,
            "have a heart rate that hardly can be",
            "Look whether they are ECGs, and at the rate that the file states.",
            cases,
        )


def _flat_leads(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    yield from _leads(
        facts,
        lambda fact: fact.flat,
        "flat lead",
        "have a lead that does not move",
        "Nothing, where an electrode was off: a lead without any movement is masked.",
    )


def _absent_leads(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    """Leads that these lack and most others have."""
    usual = {lead for fact in facts for lead in fact.absent}
    usual = {lead for lead in usual if sum(lead in f.absent for f in facts) > len(facts) / 2}
    yield from _leads(
        facts,
        lambda fact: tuple(lead for lead in fact.absent if lead not in usual),
        "absent lead",
        "lack leads that most others have",
        "Look at their lead names; data.min_leads says how many are needed.",
    )


def _arms(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    yield from _leads(
        facts,
        lambda fact: ("lead I upside down against V6, aVR upright",) if fact.arms_reversed else (),
        "arm electrodes",
        "may have reversed arm electrodes",
        "Look at them: dextrocardia looks alike.",
    )


def _clipping(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    yield from _leads(
        facts,
        lambda fact: fact.clipped,
        "clipping",
        "are cut off at the end of the device's range",
        "Look at the gain they were recorded with.",
    )


def _mains(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    yield from _leads(
        facts,
        lambda fact: (
            (f"{fact.mains_share:.0%} of the power at {fact.mains_hz:g} Hz",)
            if is_full_of_mains(fact.mains_share)
            else ()
        ),
        "mains",
        "are full of mains noise",
        "Nothing; they are kept as they are.",
    )


def _gaps(facts: Sequence[Facts]) -> Iterator[Suspicion]:
    yield from _leads(
        facts,
        lambda fact: (
            (f"{fact.missing_share:.0%} missing",)
            if _MISSING_SHARE <= fact.missing_share < 1
            else ()
        ),
        "missing samples",
        "lack samples in leads that are there",
        "data.max_missing_fraction says how many may be filled.",
    )


def _leads(
    facts: Sequence[Facts],
    words: Callable[[Facts], tuple[str, ...]],
    kind: str,
    summary: str,
    mend: str,
) -> Iterator[Suspicion]:
    """What deserves a look in each recording for which there are words."""
    told = [(number, words(fact)) for number, fact in enumerate(facts)]
    cases = tuple(Case(number, ", ".join(said)) for number, said in told if said)
    if cases:
        yield Suspicion(kind, False, summary, mend, cases)


def _short(facts: Sequence[Facts], config: DataConfig) -> Iterator[Suspicion]:
    yield from _leads(
        facts,
        lambda fact: (
            (f"{fact.duration_s:.1f} s",)
            if config.min_duration_s <= fact.duration_s < config.duration_s - 0.5 / fact.rate_hz
            else ()
        ),
        "short",
        f"are shorter than data.duration_s ({config.duration_s:g} s)",
        "Nothing: they are padded with 'no reading'.",
    )
