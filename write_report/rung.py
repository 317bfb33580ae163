"""What every way to write a report is given, and gives.

Owns the shape of both. The ways are rungs of a ladder: the template, which needs no text; the
report of the nearest training ECG; and what a language model writes. N = ECGs, S = samples,
D = width of a model's vectors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

RungName = Literal["template", "nearest", "written"]
RUNGS: tuple[RungName, ...] = get_args(RungName)


@dataclass(frozen=True)
class Ecgs:
    """ECGs to report on."""

    signal_uv: npt.NDArray[np.int16]
    """(N, 12, S) windows in µV, as the model demands."""

    vectors_ND: npt.NDArray[np.float32]
    """Their unit vectors by the model."""

    patients: Sequence[str]
    """(N,) whose they are."""


@dataclass(frozen=True)
class Body:
    """What a rung says of one ECG, without the sentences that every draft of it has."""

    texts: Mapping[str, str]
    """By language, ja and en; the same in both if it was written in one."""

    about: Mapping[str, Any] = field(default_factory=dict)
    """What fills the sentences around it: `cosine` of the nearest; `limit`, in tokens, of a written
    text that did not end."""


class Rung(Protocol):
    """One way to write reports."""

    @property
    def name(self) -> RungName:
        """Which one."""

    @property
    def digest(self) -> str:
        """Changes when its texts may."""

    def bodies(self, ecgs: Ecgs) -> list[Body]:
        """(N,) what it says of each ECG."""
