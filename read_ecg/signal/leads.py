"""Lead names, and the limb leads that follow from two others.

Owns lead names, units, and Einthoven's and Goldberger's relations. A lead is identified by its
name, never by its place.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.signal.record import LEADS, Reason

# Micro is two characters: U+00B5 and the Greek letter U+03BC.
MV_PER_UNIT = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3}
"""Millivolts in the units that all formats know; some formats allow others as well."""

# ISO/IEEE 11073-10102, SCP-ECG (EN 1064, section 3) and MFER (ISO 22077) number the leads alike.
LEAD_NUMBERS = {
    **dict(enumerate(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"), start=1)),
    **dict(enumerate(("III", "aVR", "aVL", "aVF"), start=61)),
}

# DICOM's codes (PS3.16 CID 3001): MDC's partition 2 or whole number, SCP-ECG's 5.6.3-9-1, or MDC's
# name, in which d means derived from other electrodes and aVRneg is Cabrera's lead.
_CODE = re.compile(
    r"(?:2:|5\.6\.3-9-)(?P<number>\d{1,3})|(?P<mdc>131\d{3})|MDC_ECG_LEAD_(?P<name>\w+)",
    re.IGNORECASE | re.ASCII,
)
_MDC_LEADS = 2 << 16

_BETWEEN = r"[\s_.:-]*"
_PREFIX = rf"(?:E[CK]G{_BETWEEN})?"
_NAME = re.compile(
    rf"{_PREFIX}(?:LEAD{_BETWEEN})?(?:"
    rf"D?(?P<roman>I{{1,3}})"  # not 1 to 3: decoders and devices number unknown channels "Lead 1"
    rf"|A{_BETWEEN}V{_BETWEEN}(?P<augmented>[RLF])"
    rf"|[VC]{_BETWEEN}(?P<chest>[1-6])"
    r")(?:\s*\((?:Einthoven|Goldberger|Wilson)\)|,\s*augmented voltage,\s*(?:right|left|foot))?",
    re.IGNORECASE | re.ASCII,
)
# A minus directly before something, before aVR, or at the end means an inverted lead.
_INVERTED = re.compile(r"^-|\s-(?!\s)|-\s*a[\s_.-]*v[\s_.-]*r|-$", re.IGNORECASE)
_DASHES = str.maketrans("−–—‐‑", "-----")
_DERIVED = re.compile(r"d(?=I|V|aV)")  # not DI or di, which mean I in Spain and Brazil
_INDUCTION = re.compile(r"^第|誘導$|^誘導\s*")

_DERIVED_FROM = {
    # Einthoven: I = LA - RA, II = LL - RA, III = LL - LA. Goldberger: aVR = RA - (LA + LL)/2, ...
    "I": (("II", 1.0), ("III", -1.0)),
    "II": (("I", 1.0), ("III", 1.0)),
    "III": (("II", 1.0), ("I", -1.0)),
    "aVR": (("I", -0.5), ("II", -0.5)),
    "aVL": (("I", 1.0), ("II", -0.5)),
    "aVF": (("II", 1.0), ("I", -0.5)),
}


@functools.lru_cache(1024)  # called twice for each lead of each recording
def canonical_lead(name: str) -> str | None:
    """The standard name of a lead, or None if `name` is not one of the twelve.

    Case, spaces, full-width letters, a leading 'Lead', 'ECG' or 'EKG' and 「誘導」 do not matter,
    and the standards' codes are names too. A minus matters: Cabrera's -aVR is aVR inverted, so it
    is not one of the twelve. Nor is a right-sided (V3R), derived (dI) or bipolar (I-II) lead.
    """
    written = unicodedata.normalize("NFKC", name).translate(_DASHES).strip()
    if code := _CODE.fullmatch(written):
        return lead_of_code(code[0])
    if _INVERTED.search(written) or _DERIVED.match(written):
        return None
    found = _NAME.fullmatch(_INDUCTION.sub("", written).strip())
    if found is None:
        return None
    if found["roman"]:
        return found["roman"].upper()
    return f"aV{found['augmented'].upper()}" if found["augmented"] else f"V{found['chest']}"


def is_lead_code(text: str) -> bool:
    """Whether this is a code for a lead, one of the twelve or another."""
    return _CODE.fullmatch(text) is not None


def lead_of_code(text: str) -> str | None:
    """The lead of a standard's code, such as '2:1', '131073', '5.6.3-9-1' or 'MDC_ECG_LEAD_I'; None
    for other leads and for anything that is not a code."""
    code = _CODE.fullmatch(text)
    if code is None:
        return None
    if code["name"]:
        return _MDC_NAMES.get(code["name"])
    number = int(code["number"]) if code["number"] else int(code["mdc"]) - _MDC_LEADS
    return LEAD_NUMBERS.get(number)


# Some writers use the standard's aVR, others AVR. Case marks derived leads (dI), so no other
# spelling is accepted.
_MDC_NAMES = {spelt: lead for lead in LEADS for spelt in (lead, lead.upper(), lead.lower())}


def arrange_leads(
    names: Sequence[str], signals_mv: Sequence[npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """Bring named signals into the standard order and derive missing limb leads.

    Args:
        names: as the file spells them; anything but the twelve leads is left out.
        signals_mv: one (samples,) for each name, in millivolts.

    Returns:
        (12, samples), NaN where a lead is absent; and notes on what was derived or left out.

    Raises:
        RecordError: no name is known, or a lead appears twice.
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
        raise RecordError(Reason.LEADS, f"lead {', '.join(twice)} appears more than once")


def _derive(arranged: npt.NDArray[np.float32], present: set[str]) -> tuple[str, ...]:
    """Fill absent limb leads in place: the bipolar ones first, then the augmented from I and II.

    Only from leads that move: a flat one comes from an electrode that fell off, and a lead derived
    from it would be a copy of the other.
    """
    notes: list[str] = []
    if present.issuperset(_DERIVED_FROM):
        return ()
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
