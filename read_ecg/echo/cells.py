"""Measurements, grades and yes or no, as people write them in a table of echocardiograms.

Owns which spellings are understood. What is not understood is refused, never guessed. (pure)
"""

import functools
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from ecgpipe.echo_measurements import Interval, Measurement, Unit
from ecgpipe.read_ecg.datasets.person import says_unknown

_NOT_MEASURED = frozenset(
    (
        *("測定不能", "計測不能", "評価不能", "描出不良", "未測定", "未計測", "未評価"),
        *("not measured", "not assessed", "not seen", "poor window"),
    )
)

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_VALUE = re.compile(
    rf"(?P<sign><=|>=|[<>≤≥])? ?(?P<low>{_NUMBER})(?: ?(?:-|~|〜|–|to) ?(?P<high>{_NUMBER}))?"
    r" ?(?P<unit>[a-z%][a-z%/^]*2?)? ?(?P<than>以上|以下|未満|超)?"
)
_SIGNS = {"以上": ">=", "≥": ">=", "以下": "<=", "≤": "<=", "未満": "<", "超": ">"}
_UNITS = {"m/sec": "m/s", "cm/sec": "cm/s", "g/m^2": "g/m2", "ml/m^2": "ml/m2"}

_GRADE_WORDS: Mapping[str, tuple[str, ...]] = {
    "0": ("none", "no", "normal", "absent", "nil", "preserved", "good", "なし", "無し", "無",
          "正常", "良好", "保たれている", "認めず", "認めない", "(-)"),
    "0.5": ("trace", "trivial", "minimal", "physiologic", "physiological", "微量", "わずか",
            "ごく軽度", "ごく少量", "(±)", "±"),
    "1": ("mild", "small", "slight", "軽度", "軽症", "少量", "i", "(1+)"),
    "2": ("moderate", "medium", "中等度", "中等症", "中等量", "中程度", "ii", "(2+)"),
    "3": ("severe", "large", "高度", "重度", "重症", "大量", "多量", "iii", "(3+)"),
    "4": ("iv", "(4+)"),
}  # fmt: skip
_GRADES: dict[str, Interval] = {
    word: (float(grade), float(grade)) for grade, words in _GRADE_WORDS.items() for word in words
}
# Present, but nobody says how much.
_GRADES |= dict.fromkeys(("reduced", "impaired", "低下", "障害"), (1.0, 4.0))
_GRADES |= dict.fromkeys(("present", "yes", "あり", "有り", "有", "認める", "(+)", "+"), (0.5, 4.0))

# Grade II, 2/4, 中等度低下 and moderately reduced say no more than II, 2 and moderate.
_AROUND = re.compile(
    r"^(?:grade|class|sellers|pericardial effusion) ?|ly (?=reduced|impaired)|"
    r" ?(?:/ ?(?:4|iv)|度|低下|の低下|機能低下|reduced|impaired|dysfunction|stenosis|regurgitation|"
    r"effusion|逆流|狭窄|貯留|as|ar|mr|tr)$"
)
_SPAN = re.compile(r" ?(?:to|-|~|〜|–|から|ないし) ?")
_GRADE_NUMBER = re.compile(r"([0-4](?:\.[05])?)\+?")

_YES = frozenset(("1", "y", "yes", "true", "あり", "有り", "有", "(+)", "+", "はい", "present"))
_NO = frozenset(("0", "n", "no", "false", "なし", "無し", "無", "(-)", "いいえ", "none", "absent"))


@dataclass(frozen=True, slots=True)
class Reading:
    """A value as a cell states it."""

    value: Interval
    """In the cell's unit."""

    unit: Unit | None = None
    """None if the cell states none, as for a grade."""


@functools.lru_cache(65536)  # a table has few different cells
def parse_reading(cell: str, measurement: Measurement) -> Reading | None:
    """What a cell says of a measurement; None if it is empty or says that nothing is known.

    Understood are 13, 1.3 cm, 55-60 %, > 60, 60%以上; and grades as numbers from 0 to 4, Roman
    numerals, 1+, or words of both languages, also between two: mild to moderate, 軽度〜中等度.

    Raises:
        ValueError: it is anything else.
    """
    text = _plain(cell)
    is_grade_word = measurement.is_grade and text in _GRADES  # such as none
    if (says_unknown(cell) or text in _NOT_MEASURED) and not is_grade_word:
        return None
    return Reading(_grade(text)) if measurement.is_grade else _quantity(text, measurement)


def parse_yes(cell: str) -> bool | None:
    """Whether a cell says yes; None if it is empty or says that nothing is known.

    Raises:
        ValueError: it is anything else.
    """
    text = _plain(cell)
    if text in _YES or text in _NO:
        return text in _YES
    if says_unknown(cell):
        return None
    raise ValueError("neither yes nor no")


def _plain(cell: str) -> str:
    """A cell without differences of width, case and spaces around it."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", cell).casefold()).strip()


def _quantity(text: str, measurement: Measurement) -> Reading:
    match = _VALUE.fullmatch(text)
    if match is None:
        raise ValueError("no number")
    written = (match["unit"] or "").strip()
    written = _UNITS.get(written, written)
    unit = next((u for u in measurement.units if u.written and u.written == written), None)
    if written and unit is None:
        raise ValueError("another unit")
    low = float(match["low"])
    high = float(match["high"] or match["low"])
    sign = match["than"] or match["sign"] or ""
    if high < low or (match["than"] and match["sign"]) or (sign and high > low):
        raise ValueError("no interval")
    return Reading(_limited(low, high, _SIGNS.get(sign, sign)), unit)


def _limited(low: float, high: float, sign: str) -> Interval:
    match sign:
        case ">=":
            return low, math.inf
        case ">":
            return math.nextafter(low, math.inf), math.inf
        case "<=":
            return -math.inf, high
        case "<":
            return -math.inf, math.nextafter(high, -math.inf)
    return low, high


def _grade(text: str) -> Interval:
    if text in _GRADES:
        return _GRADES[text]
    parts = [_one_grade(part) for part in _SPAN.split(text)]
    low, high = parts[0][0], parts[-1][1]
    if len(parts) > 2 or high < low:
        raise ValueError("no grade")
    return low, high


def _one_grade(text: str) -> Interval:
    bare = text
    while bare not in _GRADES and (shorter := _AROUND.sub("", bare).strip()) != bare:
        bare = shorter
    if bare in _GRADES:
        return _GRADES[bare]
    match = _GRADE_NUMBER.fullmatch(bare)
    if match is None:
        raise ValueError("no grade")
    return float(match[1]), float(match[1])
