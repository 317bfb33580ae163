"""Where a report names a finding of a taxonomy.

Owns what counts as a name in running text: the longest wins, an English name ends where its word
does, and a word before it that contradicts it (side, chamber, degree, wall) unmakes it. Pure.
"""

import re
from dataclasses import dataclass
from itertools import islice

from ecgpipe.evaluate.statements.spelling import one_spelling
from ecgpipe.evaluate.tasks.finding_names import contradict, plain_name
from ecgpipe.evaluate.tasks.taxonomy import Finding, Taxonomy

FIRST_MARK = 0xE000
MARK = "[\ue000-\uf8ff]"
"""A pattern for the private character that stands for one mention."""

_MOST_MARKS = 6400
_BESIDE = 60
"""Letters before and after a name that may tell what it means."""

_WORD_BEFORE = re.compile(r"[a-z]+(?= $)|[^\W\dはがをにでとやも]{1,6}$")
_OTHERS_SHAPE = re.compile(
    r"型(?=[一-龥ァ-ヶa-zにの])|様(?!子)| ?(?:like\b|morphology\b|type(?= [a-z]))"
)
"""After a name: only its shape is meant, as in 左脚ブロック型の心室期外収縮."""

_AS_IT_SHOULD_BE = re.compile(r"正常|洞調律|sinus rhythm|\bnormal\b")
_OF_ANYTHING = frozenset(
    "正常 正常範囲 正常範囲内 正常所見 正常心電図 異常なし 異常所見なし normal".split()
) | {"normal ecg"}
"""Names that may also be said of an interval, or of what is left beside other findings."""

_ONLY_THE_ECG = re.compile(
    r"(?:[\s:*はがに]|として|心電図|全体|所見|結果|診断|判定|今回|本日|特に|特記すべき|明らかな|概ね|"
    r"おおむね|ecg|ekg|tracing|impression|findings?|conclusion|diagnosis|the|this|is|an?|within|not|probabl[ey]|possibl[ey])*"
)
_BESIDES = re.compile(r"(?:他|以外|otherwise)[にはも]*[、,\s]*$")
_END_OF_NORMAL = re.compile(
    r"(?:範囲|内|所見|心電図|です|である|と(?:判定|判断|診断)|と|で|"
    r" ?(?:ecg|ekg|electrocardiogram|tracing|limits|study))*"
    r"\s*(?:$|[、,)])"
)


@dataclass(frozen=True)
class Mention:
    """One name in a text."""

    finding: str | None
    """Its id; None if the name may mean several, or not this finding here."""

    as_it_should_be: bool
    """Whether it names nothing ill, such as 洞調律: no part of a list of what is denied."""


class Names:
    """All names of a taxonomy, ready to be found in texts."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        names: dict[str, Finding | None] = {
            one_spelling(name): finding
            for finding in taxonomy.findings
            for name in finding.names[1:]  # an id would be any number of a report
        }
        for finding in taxonomy.findings:
            for name in finding.ambiguous:
                names.setdefault(one_spelling(name), None)
        self._finding_of = names
        longest_first = sorted(names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_as_pattern, longest_first)) or "(?!)")

    def masked(self, sentence: str) -> tuple[str, list[Mention]]:
        """A sentence with a private character in place of each name, and what each is.

        Args:
            sentence: as `one_spelling` writes it. Of more than 6,400 names the rest stays text.
        """
        mentions: list[Mention] = []
        masked, end = "", 0
        for match in islice(self._pattern.finditer(sentence), _MOST_MARKS):
            masked += sentence[end : match.start()]
            beside = masked[-_BESIDE:], sentence[match.end() : match.end() + _BESIDE]
            mentions.append(self._mention(beside[0], match[0], beside[1]))
            masked += chr(FIRST_MARK + len(mentions) - 1)
            end = match.end()
        return masked + sentence[end:], mentions

    def _mention(self, before: str, written: str, after: str) -> Mention:
        singular = (written, written[:-1], written[:-2])
        name = next(each for each in singular if each in self._finding_of)
        finding = self._finding_of[name]
        ill = not _AS_IT_SHOULD_BE.search(name)
        if (
            finding is None
            or _OTHERS_SHAPE.match(after)
            or _unmade(before, name, finding)
            or (name in _OF_ANYTHING and not _of_the_ecg(before, after))
        ):
            return Mention(None, not ill)
        return Mention(finding.id, not ill)


def _as_pattern(name: str) -> str:
    """A name in running text: the edges of English words, and their plural."""
    start = "(?<![a-z0-9])" if re.match("[a-z0-9]", name) else ""
    end = "(?:e?s)?(?![a-z0-9])" if re.search("[a-z0-9]$", name) else ""
    return f"{start}{re.escape(name)}{end}"


def _unmade(before: str, name: str, finding: Finding) -> bool:
    """Whether the word before a name makes another finding of it, as 不完全 and left do."""
    word = _WORD_BEFORE.search(before)
    if word is None:
        return False
    return contradict(plain_name(word[0]), plain_name(name), plain_name(finding.japanese))


def _of_the_ecg(before: str, after: str) -> bool:
    """Whether 正常 is said of the whole ECG, and not of an interval or of the rest."""
    clause = re.split("[、,]", before)[-1]
    return (
        _BESIDES.search(before) is None
        and _ONLY_THE_ECG.fullmatch(clause) is not None
        and _END_OF_NORMAL.match(after) is not None
    )
