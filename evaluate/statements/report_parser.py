"""A report in free text -> the findings that it asserts, denies, and leaves uncertain.

Owns how far a word of denial or doubt reaches, and what wins where a report says two things of one
finding. Rules, not a language model: the same text always says the same, a mistake can be looked up
and mended, and a written report is not judged by a model that may share its writer's faults. What
it cannot do is in docs/reports.md. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ecgpipe.evaluate.statements.cues import FoundCue, Reach, find_cues
from ecgpipe.evaluate.statements.english_cues import ENGLISH_CUES
from ecgpipe.evaluate.statements.japanese_cues import JAPANESE_CUES
from ecgpipe.evaluate.statements.mentions import FIRST_MARK, MARK, Mention, Names
from ecgpipe.evaluate.statements.spelling import one_spelling
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy

_CUES = (*JAPANESE_CUES, *ENGLISH_CUES)
_SENTENCE_END = re.compile(r"[。;!\n]+|\.(?=\s|$)")
_COMMA = re.compile("[、,]")
_JOINED = re.compile(r"\b(?:or|nor|and)\b", re.ASCII)
_WHERE = re.compile(r"\((?:[iv]+|av[rlf]|v\d|\d)[^()\uE000-\uF8FF]*\)")
"""Leads or numbers in brackets, between a finding and what is said of it."""

_MEASURED = re.compile(r"\d{2}")
"""A rate or an interval, which ends a list of findings."""

_WEAKEST_FIRST = ("denied", "uncertain", "asserted")


@dataclass(frozen=True)
class Statements:
    """What a report says: ids of findings in the taxonomy's order, each in one place only."""

    asserted: tuple[str, ...]
    denied: tuple[str, ...]
    uncertain: tuple[str, ...]


class ReportParser:
    """Reads reports with the names of one taxonomy.

    Where a report says several things of one finding, asserted wins over uncertain, and that over
    denied. What it says of the past or of another ECG is left out.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._names = Names(taxonomy)
        self._order = [finding.id for finding in taxonomy.findings]

    def read(self, report: str) -> Statements:
        """What a report says, in Japanese, English or both; nothing if it names no finding."""
        said: dict[str, str] = {}
        for sentence in _SENTENCE_END.split(one_spelling(report)):
            for finding, says in self._said(sentence):
                said[finding] = max(said.get(finding, says), says, key=_WEAKEST_FIRST.index)
        asserted, denied, uncertain = (
            tuple(finding for finding in self._order if said.get(finding) == says)
            for says in ("asserted", "denied", "uncertain")
        )
        return Statements(asserted, denied, uncertain)

    def _said(self, sentence: str) -> Iterator[tuple[str, str]]:
        """What one sentence says of each finding it names; of two words about one, the denial."""
        masked, mentions = self._names.masked(sentence)
        masked = _WHERE.sub("", masked)
        cues = find_cues(_CUES, masked) if mentions else []
        said: dict[int, set[str]] = {}
        for place, found in enumerate(cues):
            for number in _reached(masked, cues, place, mentions):
                said.setdefault(number, set()).add(found.cue.says)
        for number, mention in enumerate(mentions):
            says = said.get(number, set())
            if mention.finding is not None and "not of now" not in says:
                yield mention.finding, next((s for s in _WEAKEST_FIRST if s in says), "asserted")


def _reached(
    masked: str, cues: Sequence[FoundCue], place: int, mentions: Sequence[Mention]
) -> list[int]:
    """The numbers of the mentions of which a cue speaks: none beyond the next cue."""
    found = cues[place]
    reached: list[int] = []
    if found.cue.says == "nothing":
        return reached
    if found.cue.of != "after":
        start = cues[place - 1].end if place else 0
        parts = _COMMA.split(masked[start : found.start].rstrip("、, "))[::-1]
        n = len(parts) if _JOINED.search(parts[0]) else 1
        reached += _of_list(parts, found.cue.reach, n, mentions, step=-1)
    if found.cue.of != "before":
        end = cues[place + 1].start if place + 1 < len(cues) else len(masked)
        parts = _COMMA.split(masked[found.end : end])
        n = max((i for i, part in enumerate(parts, 1) if _JOINED.search(part)), default=1)
        reached += _of_list(parts, found.cue.reach, n, mentions, step=1)
    return reached


def _of_list(
    parts: Sequence[str], reach: Reach, n_closed: int, mentions: Sequence[Mention], step: int
) -> list[int]:
    """The mentions within reach, away from the cue; what is as it should be ends a list.

    Args:
        parts: the text between commas, the nearest first.
        reach: of the cue.
        n_closed: the parts of a list that "or" or "and" closes.
        mentions: of the sentence.
        step: -1 if the cue stands behind the parts, 1 if before them.
    """
    n = {"near": 1, "list": len(parts), "closed list": n_closed}[reach]
    reached: list[int] = []
    for part in parts[:n]:
        if reached and _MEASURED.search(part):
            break
        for mark in re.findall(MARK, part)[::step]:
            number = ord(mark) - FIRST_MARK
            if reached and mentions[number].as_it_should_be:
                return reached
            reached.append(number)
    return reached
