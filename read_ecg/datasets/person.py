"""Ages and sexes as people write them in tables.

Owns which spellings are understood. What is not understood is refused, never guessed. (pure)
"""

import functools
import re
import unicodedata
from collections.abc import Iterable

_OLDEST = 130.0  # years; nobody has lived so long

_UNKNOWN = frozenset(
    (
        *("", "-", "ー", "―", "–", "?", "不明", "不詳", "未記載", "未記入", "未入力"),
        *("unknown", "unk", "u", "n/a", "#n/a", "na", "nan", "none", "null"),
    )
)

_MONTHS = "[かヶヵカケ箇]月"
_YEARS = re.compile(
    r"([0-9]{1,3}(?:\.[0-9]+)?) ?"
    rf"(?:y|yo|y/o|yrs?|years?|years? old|[歳才](?: ?([0-9]{{1,2}}) ?{_MONTHS})?)?"
)
_YOUNGER = re.compile(rf"([0-9]{{1,3}}) ?(?:(m|months?|{_MONTHS})|(w|weeks?|週)|(d|days?|日))")
_PER_YEAR = (12.0, 365.25 / 7, 365.25)  # months, weeks, days

_WORDS = {
    "male": ("m", "male", "man", "boy", "男", "男性", "男子", "男児", "♂"),
    "female": ("f", "female", "woman", "girl", "女", "女性", "女子", "女児", "♀"),
    "other": ("o", "x", "other", "その他"),
}
_SEXES = {word: sex for sex, words in _WORDS.items() for word in words}

_CODES = {"0": None, "1": "male", "2": "female", "9": None}
"""Source: ISO/IEC 5218, which SCP-ECG uses as well."""


def says_unknown(cell: str) -> bool:
    """Whether a cell is empty or says that its value is not known."""
    return _plain(cell) in _UNKNOWN


@functools.lru_cache(4096)  # many rows have the same
def parse_age(cell: str) -> float | None:
    """An age in years; None if the cell is empty or says that it is unknown.

    Understood are 63, 63.5, 63歳, 63才, 63y, 1歳6か月, 8か月, 18 months, 20日, and DICOM's 063Y,
    018M, 003W and 010D, in full width too.

    Raises:
        ValueError: it is anything else, such as a decade, or above 130.
    """
    if says_unknown(cell):
        return None
    text = _plain(cell)
    if years := _YEARS.fullmatch(text):
        age = float(years[1]) + int(years[2] or 0) / 12
    elif younger := _YOUNGER.fullmatch(text):
        number, *units = younger.groups()
        age = next(int(number) / n for unit, n in zip(units, _PER_YEAR, strict=True) if unit)
    else:
        raise ValueError("no age")
    if age > _OLDEST:
        raise ValueError("nobody is so old")
    return age


def understand_sexes(cells: Iterable[str]) -> dict[str, str | None]:
    """What the distinct cells of a column mean: male, female, other, or None for unknown.

    Cells that are not understood are left out. The codes are those of ISO/IEC 5218: 1 male, 2
    female, 0 and 9 unknown. If a column has 0 and 1 and no 2, its codes are left out: in other
    lists 0 is male, or female.
    """
    plain = {cell: _plain(cell).removesuffix(".0") for cell in cells}
    written = set(plain.values())
    codes = {} if {"0", "1"} <= written and "2" not in written else _CODES
    known = codes | _SEXES | dict.fromkeys(_UNKNOWN)
    return {cell: known[text] for cell, text in plain.items() if text in known}


def _plain(cell: str) -> str:
    """The cell without differences of width, case and spaces around it."""
    return unicodedata.normalize("NFKC", cell).casefold().strip()
