"""How far from the texts trained on a question may lie, as the model's own evaluation measured it.

Owns the limit, which an export keeps with the model. Knows no question and no vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SAME = 2e-3
"""A text so near is one that was trained on: what is kept of these is in half precision."""


@dataclass(frozen=True)
class Reach:
    """How far from the texts trained on wordings were scored better than chance."""

    limit: float | None
    """The largest such distance; None: not even the nearest wordings were."""

    tried: int
    """Wordings that training had not read."""

    @staticmethod
    def of(about: Mapping[str, Any]) -> "Reach | None":
        """What a model's evaluation measured (`ModelContent.about`); None if it did not."""
        found = about.get("reach")
        return None if found is None else Reach(found["limit"], found["tried"])

    def is_beyond(self, distance: float) -> bool:
        """Whether a wording lies farther than that."""
        return distance > (self.limit or 0) + SAME
