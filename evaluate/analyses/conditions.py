"""Changes of an ECG that recordings suffer: leads missing, noise, a low rate, electrodes swapped.

Owns the conditions, as functions of a signal in mV. A lead or sample without a reading is NaN
before and after; the model sees 0 there. Random numbers of a record depend on (seed, record,
condition) alone. Must not know how a signal is resampled: the caller passes that in.
B = batch, L = leads, S = samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.signals.format import NO_READING

Signal = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.uint64]
Resample = Callable[[Signal, float, float], Signal]
"""(rows, samples), from Hz, to Hz; finite."""

LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")

_UV_PER_MV = 1000
_MOST_UV = 32767


@dataclass(frozen=True)
class Condition:
    """One change of an ECG."""

    name: str
    about: Mapping[str, str]
    """What is done, by language."""

    change: Callable[[Signal, Numbers], Signal]
    """(B, L, S) in mV and a number a record (B,) to (B, L, S); the input is not written to."""

    cannot: str = ""
    """Why these signals do not allow it; '' where they do."""


AS_RECORDED = Condition(
    "as recorded", {"ja": "記録のまま", "en": "As recorded"}, lambda signal, records: signal
)


def conditions(
    leads: Sequence[str], samples: int, rate_hz: int, seed: int, resample: Resample
) -> tuple[Condition, ...]:
    """All conditions for signals of these leads and rate; the first leaves them as recorded.

    Args:
        leads: names, in the order of the signals.
        samples: S.
        rate_hz: of the signals.
        seed: of noise.
        resample: rows to another rate.
    """
    return (
        AS_RECORDED,
        *_lead_conditions(tuple(leads)),
        *_noise_conditions(rate_hz, seed),
        *_time_conditions(samples, rate_hz, resample),
    )


def _lead_conditions(leads: tuple[str, ...]) -> list[Condition]:
    def only(name: str, kept: Sequence[str], ja: str, en: str) -> Condition:
        lost = () if set(kept) & set(leads) else kept
        cannot = f"the signals have none of {', '.join(lost)}" if lost else ""
        return Condition(
            name, {"ja": ja, "en": en}, lambda s, _: keep_leads(s, leads, kept), cannot
        )

    def without(name: str, gone: Sequence[str], ja: str, en: str) -> Condition:
        kept = [lead for lead in leads if lead not in gone]
        cannot = "" if 0 < len(kept) < len(leads) else "the signals have other leads"
        return Condition(
            name, {"ja": ja, "en": en}, lambda s, _: keep_leads(s, leads, kept), cannot
        )

    needed = [lead for lead in ("I", "II", "III", "aVR", "aVL") if lead not in leads]
    return [
        only("limb leads", LIMB, "四肢誘導のみ", "Limb leads only"),
        only("chest leads", CHEST, "胸部誘導のみ", "Chest leads only"),
        only("II and V1", ("II", "V1"), "IIとV1のみ", "II and V1 only, as MIT-BIH mostly has"),
        only("lead I", ("I",), "I誘導のみ", "Lead I only, as a watch records"),
        without("no inferior", ("II", "III", "aVF"), "下壁誘導なし", "Without II, III, aVF"),
        without("no septal", ("V1", "V2"), "中隔誘導なし", "Without V1, V2"),
        without("no anterior", ("V3", "V4"), "前壁誘導なし", "Without V3, V4"),
        without("no lateral", ("I", "aVL", "V5", "V6"), "側壁誘導なし", "Without I, aVL, V5, V6"),
        Condition(
            "arms swapped",
            {"ja": "左右上肢電極の付け間違い", "en": "Electrodes of the two arms swapped"},
            lambda signal, _: swap_arms(signal, leads),
            f"the signals have no {', '.join(needed)}" if needed else "",
        ),
    ]


def _noise_conditions(rate_hz: int, seed: int) -> list[Condition]:
    def draws(records: Numbers, stream: int) -> list[np.random.Generator]:
        return [np.random.default_rng((seed, stream, int(number))) for number in records]

    # A stream's number decides its noise: keep it when a line is added or moved.
    return [
        Condition(
            "noise 0.05 mV",
            {"ja": "白色雑音 0.05 mV", "en": "White noise of 0.05 mV"},
            lambda signal, records: add_noise(signal, draws(records, 1), 0.05),
        ),
        Condition(
            "noise 0.1 mV",
            {"ja": "白色雑音 0.1 mV", "en": "White noise of 0.1 mV"},
            lambda signal, records: add_noise(signal, draws(records, 2), 0.1),
        ),
        Condition(
            "wander 0.5 mV",
            {"ja": "基線動揺 0.5 mV", "en": "Baseline wander of 0.5 mV"},
            lambda signal, records: add_sine(signal, draws(records, 3), 0.5, rate_hz, wander_hz),
        ),
        Condition(
            "mains 0.1 mV",
            {"ja": "交流雑音 0.1 mV", "en": "Mains hum of 0.1 mV, 50 or 60 Hz"},
            lambda signal, records: add_sine(signal, draws(records, 4), 0.1, rate_hz, mains_hz),
            "" if rate_hz > 2 * 60 else f"{rate_hz} Hz cannot hold 60 Hz",
        ),
    ]


def _time_conditions(samples: int, rate_hz: int, resample: Resample) -> list[Condition]:
    def lower(to_hz: int) -> Condition:
        return Condition(
            f"{to_hz} Hz",
            {"ja": f"{to_hz} Hzで記録", "en": f"As if recorded at {to_hz} Hz"},
            lambda signal, _: lower_rate(signal, rate_hz, to_hz, resample),
            "" if rate_hz > to_hz else f"the signals have {rate_hz} Hz",
        )

    first_5_s = Condition(
        "5 s",
        {"ja": "最初の5秒のみ", "en": "The first 5 s only"},
        lambda signal, _: keep_first(signal, 5 * rate_hz),
        "" if samples > 5 * rate_hz else f"the signals are {samples / rate_hz:g} s long",
    )
    return [lower(100), lower(50), first_5_s]


def keep_leads(signal_BLS: Signal, leads: Sequence[str], kept: Sequence[str]) -> Signal:
    """Remove the readings of all other leads."""
    gone_L = np.array([lead not in kept for lead in leads])
    return np.where(gone_L[:, None], np.float32(np.nan), signal_BLS)


def swap_arms(signal_BLS: Signal, leads: Sequence[str]) -> Signal:
    """Exchange the electrodes of the right and the left arm.

    I is the left arm minus the right, so it is inverted; II and III are the foot minus either arm,
    so they change places, as aVR and aVL do. aVF and the chest leads stay: Wilson's terminal is the
    mean of all three.
    """
    place = {lead: number for number, lead in enumerate(leads)}
    swapped = signal_BLS.copy()
    swapped[:, place["I"]] = -signal_BLS[:, place["I"]]
    for one, other in (("II", "III"), ("aVR", "aVL")):
        swapped[:, place[one]] = signal_BLS[:, place[other]]
        swapped[:, place[other]] = signal_BLS[:, place[one]]
    return swapped


def wander_hz(rng: np.random.Generator) -> float:
    """A frequency of baseline wander."""
    return float(rng.uniform(0.05, 0.5))


def mains_hz(rng: np.random.Generator) -> float:
    """The frequency of mains: Japan has both."""
    return (50.0, 60.0)[int(rng.integers(2))]


def add_noise(signal_BLS: Signal, draws: Sequence[np.random.Generator], sd_mv: float) -> Signal:
    """Add white noise, drawn for each lead."""
    noise = [rng.standard_normal(signal_BLS.shape[1:], np.float32) for rng in draws]
    return signal_BLS + np.float32(sd_mv) * np.stack(noise)


def add_sine(
    signal_BLS: Signal,
    draws: Sequence[np.random.Generator],
    peak_mv: float,
    rate_hz: int,
    frequency_hz: Callable[[np.random.Generator], float],
) -> Signal:
    """Add a sine: one frequency a record, an amplitude up to the peak a lead."""
    _, n_leads, samples = signal_BLS.shape
    seconds_S = np.arange(samples) / rate_hz
    changed = signal_BLS.copy()
    for record, rng in enumerate(draws):
        turns_S = frequency_hz(rng) * seconds_S + rng.uniform()
        size_L = peak_mv * rng.uniform(size=n_leads)
        changed[record] += np.outer(size_L, np.sin(2 * np.pi * turns_S)).astype(np.float32)
    return changed


def lower_rate(signal_BLS: Signal, rate_hz: int, to_hz: int, resample: Resample) -> Signal:
    """Resample to a lower rate and back; a sample without a reading stays so."""
    samples = signal_BLS.shape[2]
    known = np.isfinite(signal_BLS)
    changed = np.full_like(signal_BLS, np.nan)
    for record in range(len(signal_BLS)):
        rows = np.flatnonzero(known[record].any(axis=1))
        if len(rows):
            filled = np.where(known[record, rows], signal_BLS[record, rows], np.float32(0))
            back = resample(resample(filled, rate_hz, to_hz), to_hz, rate_hz)[:, :samples]
            changed[record, rows, : back.shape[1]] = back
    return np.where(known, changed, np.float32(np.nan))


def keep_first(signal_BLS: Signal, samples: int) -> Signal:
    """Remove the readings after the first `samples`."""
    changed = signal_BLS.copy()
    changed[:, :, samples:] = np.nan
    return changed


def to_millivolts(stored_BLS: npt.NDArray[np.int16]) -> Signal:
    """Stored µV to mV, NaN where there is no reading."""
    signal = stored_BLS.astype(np.float32) / np.float32(_UV_PER_MV)
    return np.where(stored_BLS == NO_READING, np.float32(np.nan), signal)


def to_stored(signal_BLS: Signal) -> npt.NDArray[np.int16]:
    """Millivolts to stored µV, the inverse of `to_millivolts`."""
    known = np.isfinite(signal_BLS)
    whole = np.rint(np.where(known, signal_BLS, 0) * np.float32(_UV_PER_MV))
    stored = np.clip(whole, -_MOST_UV, _MOST_UV).astype(np.int16)
    return np.where(known, stored, np.int16(NO_READING))
