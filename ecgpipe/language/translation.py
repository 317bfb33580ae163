"""A finished English text -> Japanese.

A text may be a message, several messages in a row, or a message whose holes are filled with others.
Owns how it is taken apart and put together again. What is no message stays English.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from ecgpipe.language.catalogue import japanese
from ecgpipe.language.choice import Language, chosen_language
from ecgpipe.language.recognition import matches, names_in, parts

# Holes for one word out of a list that the catalogue has; other single words are names.
_WORDS = ("reason", "unit", "state", "source", "more", "what", "word", "meaning")

# Between messages in a row, widest first, and what stands there in Japanese.
_BORDERS = (
    (re.compile(r"(\n\s*(?:- )?)"), None),
    (re.compile(r"(?<=[.?!])( )"), ""),
    (re.compile(r"(; )"), "。"),
    (re.compile(r"( · )"), " · "),
    (re.compile(r"(: )"), "："),
    (re.compile(r"(, )"), "、"),
    (re.compile(r"( or )"), "か"),
    (re.compile(r"( and )(?=[\d,]+ more)"), "、"),
    (re.compile(r"( and )"), "と"),
    (re.compile(r"( )(?=(?:has|is) )"), ""),
    (re.compile(r"( (?=\())"), ""),
)
_SENTENCES = 5  # the first borders: there one message may stay English beside a Japanese one
_MOST_PIECES = 11  # texts and the borders between them
_LONG = 200
_DEEPEST = 4  # messages inside messages; deeper, a text is no message

# Who speaks, at the beginning of a line.
_SPEAKER = re.compile(
    r"(?s)((?:ecgpipe|check|prepare|embed|train|eval|compare|export|show|figures|predict|search|serve"
    r"|submit|stage-in|verify|gc|compact|fetch-model): )(.+)"
)
_PREFIX = re.compile(r"(?s)(\s*[^\s:]+: )(?=\S)(.*)")
_IN_TWO = re.compile(r"[;:] |[.?!] |\n| · | or | and ")
_BORDER = re.compile(r"[.,;:] |\n| · | or | and ")
_MARKS = {".": "。", ",": "、", ";": "。", ":": "："}
_JAPANESE = re.compile(r"[ぁ-んァ-ヶー々一-龠]")
_WIDE = re.compile(r"[ぁ-んァ-ヶー々一-龠（）「」。、：]")
_ASCII = re.compile(r"[0-9A-Za-z]")


def shown(text: str) -> str:
    """A finished text in the language of this process; a message of the catalogue, or several."""
    return told(text, chosen_language())


def shown_word(word: str) -> str:
    """A single word, such as a unit or a reason; words inside texts are taken for names."""
    return word if chosen_language() == "en" else japanese().get(word, word)


def told(text: str, language: Language) -> str:
    """A finished English text in a language, as far as the catalogue goes."""
    if language == "en":
        return text
    before, bare, after = parts(text)
    if speaker := _SPEAKER.fullmatch(text):
        found = _recognised(parts(text.partition(" · ")[0])[1], 0)
        if not (found and found.message.startswith((speaker[1], "{label}: "))):
            return speaker[1] + told(speaker[2], language)
    word = _plain().get(bare)
    made = word.between(before, after) if word else _joined(text, 0, 0)
    return re.sub(r"。[。 ]+(?=[^\x00-\x7f]|`)|。。+", "。", made.text)


@dataclass(frozen=True)
class _Made:
    """A translation, and whether all of it is one: names and numbers count as translated."""

    text: str
    is_whole: bool


@dataclass(frozen=True)
class _Found:
    """A message that was recognised in a text, and its translation with the holes filled."""

    message: str
    translation: str

    is_whole: bool
    """Whether its holes hold names and messages, and nothing else in English."""

    is_single: bool
    """Whether, moreover, nothing in them looks like a border between messages."""

    def between(self, before: str, after: str) -> _Made:
        """The translation of the text that has this punctuation at its ends."""
        own_before, _, own_after = parts(self.message)
        first, bare, last = parts(self.translation)
        start = first if before == own_before else _punctuation(before)
        return _Made(
            start + bare + (last if after == own_after else _punctuation(after)), self.is_whole
        )


@functools.cache
def _plain() -> Mapping[str, _Found]:
    """Messages without holes, by what is between the punctuation at their ends."""
    return {
        _unescaped(parts(message)[1]): _Found(_unescaped(message), _unescaped(other), True, True)
        for message, other in japanese().items()
        if not names_in(message)
    }


def _unescaped(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


@functools.lru_cache(maxsize=1000)
def _recognised(bare: str, depth: int) -> _Found | None:
    """The message that a text is, without the punctuation at its ends; None if it is none."""
    if bare in _plain():
        return _plain()[bare]
    for template, values in matches(bare):
        last = re.search(r": {(\w+)}$", template.message)  # what follows a colon may be anything
        free = ("where", last[1] if last else "")
        inner = [value for name, value in values.items() if name not in free]
        if template.is_weak and not all(_is_one(value, depth) for value in inner):
            continue
        if values.get("unit", "ECGs") not in japanese():
            continue
        filled = {name: _filling(name, value, depth) for name, value in values.items()}
        if template.is_weak and not all(value.is_whole for value in filled.values()):
            continue
        made = _filled(template.translation, values, filled)
        is_whole = all(filled[name].is_whole for name in values if name not in free)
        is_single = is_whole and not any(map(_IN_TWO.search, inner))
        return _Found(template.message, made, is_whole, is_single)
    return _recognised(bare[0].lower() + bare[1:], depth) if bare[:1].isupper() else None


def _is_one(value: str, depth: int) -> bool:
    """Whether what fills a hole is one name or message, not some in a row."""
    if not _BORDER.search(value):
        return True
    if re.fullmatch(r"[^(]*\).*", value):  # it began inside a bracket
        return False
    return len(value) < _LONG and _recognised(parts(value)[1], depth + 1) is not None


def _filling(name: str, value: str, depth: int) -> _Made:
    """What fills a hole: a message, a known word, or anything else as it is."""
    if value == "none" or (name in _WORDS and value in japanese()):
        return _Made(japanese()[value], True)
    return _joined(value, 0, depth + 1)


def _filled(translation: str, values: Mapping[str, str], filled: Mapping[str, _Made]) -> str:
    """A translation with its holes filled; names keep the spaces that it has around them."""
    made, is_name = "", False
    for literal, name, *_ in Formatter().parse(translation):
        made = made + literal if is_name and literal.startswith(" ") else _met(made, literal)
        if name is not None:
            is_name = filled[name].text == values[name]
            made = (
                made + values[name]
                if is_name and made.endswith(" ")
                else _met(made, filled[name].text)
            )
    return made


def _met(left: str, right: str) -> str:
    """Two texts, with a space between them if just one is Japanese, and none if both are."""
    ends = left.rstrip(" ")[-1:], right.lstrip(" ")[:1]
    if left.endswith("  ") or right.startswith("  "):  # a table's
        return left + right
    if all(map(_WIDE.match, ends)):
        return left.rstrip(" ") + right.lstrip(" ")
    if any(map(_JAPANESE.match, ends)) and any(map(_ASCII.match, ends)):
        return f"{left.rstrip(' ')} {right.lstrip(' ')}"
    return left + right


@functools.lru_cache(maxsize=4000)
def _joined(text: str, level: int, depth: int) -> _Made:
    """A text that may be several messages; those between wider borders were separated before."""
    before, bare, after = parts(text)
    if " " not in bare or depth > _DEEPEST:
        return _Made(text, " " not in bare)
    found = _recognised(bare, depth)
    if found and found.is_single:
        return found.between(before, after)
    whole = found.between(before, after) if found else None
    if not found and bare.startswith("(") and bare.endswith(")"):
        inner = _joined(bare[1:-1], 0, depth + 1)
        if inner.text != bare[1:-1]:
            return _Made(f"{before}（{inner.text}）{_punctuation(after)}", inner.is_whole)
    partly: list[_Made] = []
    for number, (border, instead) in list(enumerate(_BORDERS))[level:]:
        pieces = border.split(text)
        if len(pieces) > 1:
            row = _row(pieces, instead, number, depth)
            if row.is_whole:
                return row
            partly += [row] if number < _SENTENCES else []
    if level == 0 and (match := _PREFIX.fullmatch(text)):
        rest = _joined(match[2], 0, depth)
        made = _Made(match[1] + rest.text, rest.is_whole)
        if rest.is_whole:
            return made
        partly.insert(0, made)
    changed = [made for made in partly if made.text != text]
    return whole or next(iter(changed), _Made(text, _is_name(bare)))


def _is_name(text: str) -> bool:
    """Whether a text without a message is names or numbers, such as `12 ms`, not a sentence."""
    pieces = re.split(r", |; | or | and ", text)
    return all(len(re.findall(r"[A-Za-z]{2,}", piece)) < 2 for piece in pieces)


def _row(pieces: list[str], instead: str | None, level: int, depth: int) -> _Made:
    """Messages in a row: texts and, between them, borders."""
    done, start, is_whole, was_changed = "", 0, True, False
    while start < len(pieces):
        end, made = _next(pieces, start, level, depth)
        is_changed = made.text != "".join(pieces[start:end])
        if start:
            before_bracket = not instead and not made.text.startswith("（")
            is_ours = (
                instead is not None
                and not before_bracket
                and (
                    is_changed
                    or was_changed
                    or all(map(_JAPANESE.match, (done[-1:], made.text[:1])))
                )
            )
            done = _met(done, _border(done, instead or "") if is_ours else pieces[start - 1])
        done = _met(done, made.text)
        is_whole, was_changed = is_whole and made.is_whole, is_changed
        start = end + 1
    return _Made(done, is_whole)


def _next(pieces: list[str], start: int, level: int, depth: int) -> tuple[int, _Made]:
    """Where the message that begins with a piece ends, and its translation: the longest wins."""
    most = min(_MOST_PIECES, len(pieces) - start)
    for end in range(start + most - (most % 2 == 0), start, -2):
        before, bare, after = parts("".join(pieces[start:end]))
        found = _recognised(bare, depth) if " " in bare else None
        if found and (found.is_single or end == start + 1):
            return end, found.between(before, after)
    return start + 1, _joined(pieces[start], level + 1, depth)


def _border(done: str, instead: str) -> str:
    """What stands between two messages, the first of which may be a name such as `prepare`."""
    if instead == "：" and done.isascii():
        return ": "
    return "" if done.endswith("。") and instead == "。" else instead


def _punctuation(english: str) -> str:
    """What stands before or behind a message, in Japanese."""
    return re.sub(r"[.,;:] ?", lambda found: _MARKS[found[0][0]], english)
