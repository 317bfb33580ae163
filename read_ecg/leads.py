"""Lead names, and the limb leads that follow from two others.

Owns which spelling means which lead, and Einthoven's and Goldberger's relations. A lead is known by
its name, never by its place.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.record import LEADS, Reason

_CANONICAL = {lead.casefold(): lead for lead in LEADS} | {
    "lead1": "I",  # but not "ECG1" or "1": those number a device's channels
    "lead2": "II",
    "lead3": "III",
    "di": "I",
    "dii": "II",
    "diii": "III",
    "c1": "V1",
    "c2": "V2",
    "c3": "V3",
    "c4": "V4",
    "c5": "V5",
    "c6": "V6",
}

_DERIVED_FROM = {
    # Einthoven: I = LA - RA, II = LL - RA, III = LL - LA. Goldberger: aVR = RA - (LA + LL)/2, ...
    "I": (("II", 1.0), ("III", -1.0)),
    "II": (("I", 1.0), ("III", 1.0)),
    "III": (("II", 1.0), ("I", -1.0)),
    "aVR": (("I", -0.5), ("II", -0.5)),
    "aVL": (("I", 1.0), ("II", -0.5)),
    "aVF": (("II", 1.0), ("I", -0.5)),
}


def canonical_lead(name: str) -> str | None:
    """The standard name of a lead, or None if `name` is not one of the twelve.

    Case, spaces, full-width letters and a leading 'Lead' or 'ECG' do not matter. A leading minus
    does: Cabrera's -aVR is aVR upside down, so it is none of the twelve.
    """
    written = unicodedata.normalize("NFKC", name).strip()
    if written.startswith(("-", "−", "–")):
        return None
    plain = re.sub(r"[\s_.-]", "", written).casefold()
    for prefix in ("", "lead", "ecglead", "ecg"):
        if plain.startswith(prefix) and plain.removeprefix(prefix) in _CANONICAL:
            return _CANONICAL[plain.removeprefix(prefix)]
    return None


def arrange_leads(
    names: Sequence[str], signals_mv: Sequence[npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """Bring named signals into the standard order, deriving limb leads where they are missing.

    Args:
        names: as the file spells them; others than the twelve leads are left out.
        signals_mv: one (samples,) for each name, in millivolts.

    Returns:
        (12, samples), NaN where a lead is absent; and notes on what was derived or left out.

    Raises:
        RecordError: no name is known, or one lead is there twice.
    """
    known = [canonical_lead(name) for name in names]
    _check_names(names, known)
    arranged = np.full((len(LEADS), len(signals_mv[0])), np.nan, np.float32)
    for lead, signal in zip(known, signals_mv, strict=True):
        if lead is not None:
            arranged[LEADS.index(lead)] = signal
    notes = ["other signals left out"] if None in known else []
    return arranged, (*notes, *_derive(arranged, {lead for lead in known if lead}))


def _check_names(names: Sequence[str], known: Sequence[str | None]) -> None:
    found = [lead for lead in known if lead]
    if not found:
        raise RecordError(
            Reason.LEADS,
            f"none of its signals ({', '.join(names) or 'it has none'}) is a known lead"
            f" ({', '.join(LEADS)})",
        )
    if twice := sorted({lead for lead in found if found.count(lead) > 1}):
        raise RecordError(Reason.LEADS, f"lead {', '.join(twice)} is there more than once")


def _derive(arranged: npt.NDArray[np.float32], present: set[str]) -> tuple[str, ...]:
    """Fill absent limb leads in place; III first, then the augmented leads from I and II.

    Only from leads that move: a flat one is an electrode that fell off, and what would be derived
    from it is a copy of the other.
    """
    notes = []
    have = {lead for lead in present if _moves(arranged[LEADS.index(lead)])}
    for lead, parts in _DERIVED_FROM.items():
        if lead not in present and all(part in have for part, _ in parts):
            arranged[LEADS.index(lead)] = sum(
                factor * arranged[LEADS.index(part)] for part, factor in parts
            )
            have.add(lead)
            notes.append("limb lead derived")
    return tuple(notes[:1])


def _moves(signal_mv: npt.NDArray[np.float32]) -> bool:
    known = signal_mv[np.isfinite(signal_mv)]
    return len(known) > 0 and bool(np.ptp(known) > 0)
