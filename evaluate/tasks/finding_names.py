"""How people write the name of a finding, in Japanese and English.

Owns the spellings of a degree, the marks of doubt, and the words that set findings apart. Pure:
knows no list of findings.
"""

import re
import unicodedata

_DEGREE = re.compile("第?(iii|ii|i|[1-3]|[一二三])度|(first|1st|second|2nd|third|3rd)[- ]?degree")
_DIGITS = {
    "1": ("i", "1", "一", "first", "1st"),
    "2": ("ii", "2", "二", "second", "2nd"),
    "3": ("iii", "3", "三", "third", "3rd"),
}
_DIGIT_OF = {spelling: digit for digit, spellings in _DIGITS.items() for spelling in spellings}

_DOUBT = re.compile(
    r"[(\[]?(?:の|を)?(?:疑い|疑う|疑|可能性(?:あり|がある|を否定できない)?|\?)[)\]]?$"
    "|^(?:possible|probable|suspected|consider|(?:cannot)?ruleout)"
)

# Findings that differ in one of these are different findings, however alike the names are.
_APART: tuple[dict[str, str], ...] = (
    {"左": "left", "left": "left", "lbbb": "left", "右": "right", "right": "right"}
    | {"rbbb": "right", "両": "both", "biventricular": "both"},
    {"上室": "supraventricular", "svpc": "supraventricular", "svt": "supraventricular"}
    | {each: "ventricular" for each in ("心室", "左室", "右室", "両室", "vpc", "pvc")}
    | {each: "atrial" for each in ("心房", "左房", "右房", "apc", "pac")}
    | {"房室": "atrioventricular", "接合部": "junctional", "洞": "sinus"}
    | {each: each for each in ("supraventricular", "ventricular", "atrioventricular", "atrial")}
    | {each: each for each in ("junctional", "sinus")},
    {"1度": "1", "2度": "2", "3度": "3", "高度": "high", "2:1": "2", "完全房室": "3"},
    {"不完全": "incomplete", "完全": "complete"}
    | {each: each for each in ("incomplete", "complete")},
    {"頻": "fast", "tachy": "fast", "徐": "slow", "brady": "slow"},
    {"上昇": "up", "elevation": "up", "低下": "down", "下降": "down", "depression": "down"},
    {"延長": "long", "prolonged": "long", "短縮": "short", "short": "short"},
    {"前壁": "anterior", "後壁": "posterior", "下壁": "inferior", "側壁": "lateral"}
    | {each: each for each in ("anterior", "posterior", "inferior", "lateral")},
)
_WORDS = [re.compile("|".join(sorted(axis, key=len, reverse=True))) for axis in _APART]
_LEAST_LETTERS = 4


def plain_name(name: str) -> str:
    """The name without differences of width, case and spaces, and with one spelling of a degree
    (第一度, I度 and First-degree are 1度) and of an AV block."""
    plain = "".join(unicodedata.normalize("NFKC", name).casefold().split())
    plain = plain.replace("avブロック", "房室ブロック").replace("avblock", "atrioventricularblock")
    return one_degree(plain)


def one_degree(text: str) -> str:
    """A text in lower case with one spelling of degrees: 1度 for 第一度, i度 and first-degree."""
    return _DEGREE.sub(lambda found: f"{_DIGIT_OF[found[1] or found[2]]}度", text)


def without_doubt(plain: str) -> str:
    """A plain name without 疑い, の可能性, possible and the like, if it has one."""
    return _DOUBT.sub("", plain)


def contradict(one: str, *other: str) -> bool:
    """Whether two findings differ in side, chamber, degree, wall or direction.

    Args:
        one: a plain name.
        other: plain names of the other finding; each says what those before it leave open, as
            完全右脚ブロック does of 右脚ブロック.
    """
    for axis, words in zip(_APART, _WORDS, strict=True):
        said, *meant = ({axis[word] for word in words.findall(name)} for name in (one, *other))
        wanted = next(filter(None, meant), set())
        if said and wanted and not (said <= wanted or wanted <= said):
            return True
    return False


def is_one_edit_apart(one: str, other: str) -> bool:
    """Whether one letter more, fewer or other, or two swapped, make one name the other.

    Names of fewer than four letters are too like to tell, and a digit is never a slip.
    """
    least, most = sorted((len(one), len(other)))
    if least < _LEAST_LETTERS or most - least > 1 or one == other:
        return False
    start = next((n for n in range(least) if one[n] != other[n]), least)
    if any(map(str.isdigit, one[start : start + 1] + other[start : start + 1])):
        return False
    is_swapped = one[start : start + 2] == other[start : start + 2][::-1]
    tails = [(1, 1), (2, 2)][: 1 + is_swapped] if least == most else [(1, 0), (0, 1)]
    return any(one[start + left :] == other[start + right :] for left, right in tails)
