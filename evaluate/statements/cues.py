"""A word of denial, doubt or history in a sentence: what it says, which way it looks, how far.

Owns the kinds of such words, and which wins where two overlap. The words themselves are in
`japanese_cues` and `english_cues`. Japanese mostly speaks of what stands before, English of what
follows; a sentence may mix both, so all are always looked for. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Says = Literal["denied", "uncertain", "not of now", "nothing"]
"""`not of now`: history, another ECG, or what cannot be judged. `nothing`: it only ends the reach
of others, as a verb, a contrast or "with" does."""

Of = Literal["before", "after", "both"]
Reach = Literal["near", "list", "closed list"]
"""How a cue treats commas: `near` stops at the first, `list` crosses all, `closed list` crosses
those of a list whose end has "or" or "and", and stops at the first of any other."""


@dataclass(frozen=True)
class Cue:
    """Words that say the same of findings beside them."""

    says: Says
    of: Of
    reach: Reach
    patterns: tuple[re.Pattern[str], ...]


@dataclass(frozen=True)
class FoundCue:
    """A cue in a sentence, from `start` to `end`."""

    start: int
    end: int
    cue: Cue


def cue(says: Says, of: Of, reach: Reach, *patterns: str) -> Cue:
    """A cue of regular expressions, whose letters, digits and word edges are English ones."""
    return Cue(says, of, reach, tuple(re.compile(pattern, re.ASCII) for pattern in patterns))


def find_cues(cues: Sequence[Cue], sentence: str) -> list[FoundCue]:
    """The cues of a sentence in their order; of those that overlap, the longest.

    Args:
        cues: to look for; of equally long ones the first wins.
        sentence: as `Names.masked` gives it, so that no cue is part of a finding's name (異常なし,
            変行伝導を伴う心房期外収縮).
    """
    every = [
        FoundCue(match.start(), match.end(), each)
        for each in cues
        for pattern in each.patterns
        for match in pattern.finditer(sentence)
    ]
    chosen: list[FoundCue] = []
    for found in sorted(every, key=lambda each: each.start - each.end):
        if all(found.end <= other.start or other.end <= found.start for other in chosen):
            chosen.append(found)
    return sorted(chosen, key=lambda each: each.start)
