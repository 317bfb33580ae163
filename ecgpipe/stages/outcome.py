"""What a stage says when it is done: a line for people, values for programs.

Owns nothing but this shape.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """The end of one stage."""

    stage: str
    did_work: bool
    line: str
    """What happened, or why nothing had to."""

    summary: dict[str, Any] = field(default_factory=dict)
    """The same for programs: counts, paths, figures."""
