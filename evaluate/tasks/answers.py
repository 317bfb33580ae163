"""Which records show which class, and where nobody knows.

Owns the three values: shown, not shown, unknown. What is unknown counts on neither side. N =
records, C = classes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.tasks.task_file import Kind

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """The truth that scores are compared with."""

    shown_NC: Booleans
    """Where it is unknown, False."""

    known_NC: Booleans | None
    """None where all is known, so that nothing is masked."""

    @property
    def absent_NC(self) -> Booleans:
        """Which records are known not to show which class."""
        return ~self.shown_NC if self.known_NC is None else self.known_NC & ~self.shown_NC

    @property
    def n_known_C(self) -> npt.NDArray[np.int64]:
        """(C,) the records of which each class is known."""
        if self.known_NC is None:
            return np.full(self.shown_NC.shape[1], len(self.shown_NC), np.int64)
        counts: npt.NDArray[np.int64] = self.known_NC.sum(axis=0)
        return counts

    def of(self, chosen_N: Booleans) -> "Answers":
        """Those of some records."""
        known = None if self.known_NC is None else self.known_NC[chosen_N]
        return Answers(self.shown_NC[chosen_N], known)

    def known(self, number: int) -> Booleans:
        """(N,) the records of which a class is known."""
        if self.known_NC is None:
            return np.ones(len(self.shown_NC), np.bool_)
        return self.known_NC[:, number]

    def enough(self, least: int) -> Booleans:
        """(C,) the classes with metrics worth a mean: `least` records show them, and if some are
        unknown as many must be known not to.

        Elsewhere hardly any record shows a class, so those without it need no counting.
        """
        counted = [self.shown_NC] if self.known_NC is None else [self.shown_NC, self.absent_NC]
        enough_C: Booleans = np.min([each.sum(axis=0) for each in counted], axis=0) >= least
        return enough_C

    def scored(self, kind: Kind) -> Booleans:
        """(N,) the records that a task scores: with some class, with exactly one (single_label), or
        of which some class is known (partly_known)."""
        if self.known_NC is not None:
            of_any: Booleans = np.logical_or.reduce(self.known_NC, axis=1)
            return of_any
        n_shown = self.shown_NC.sum(axis=1)
        chosen: Booleans = n_shown == 1 if kind == "single_label" else n_shown >= 1
        return chosen
