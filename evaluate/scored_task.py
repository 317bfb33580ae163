"""One task's ECGs as the model scored them: the start of every table, chart and comparison.

Owns only its shape. N = records of the split, C = classes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.tasks.task import Task


@dataclass(frozen=True)
class ScoredTask:
    """The scores and the truth of every record of a split."""

    task: Task

    chosen_N: npt.NDArray[np.bool_]
    """Which records the task scores: with some class, or with exactly one."""

    scores_NC: npt.NDArray[np.float32]
    """Cosine of each record and each class."""

    truth_NC: npt.NDArray[np.bool_]
    """Which classes each record shows."""

    known_NC: npt.NDArray[np.bool_] | None = None
    """Of which classes that is known; None: of all."""

    def where(self, kept_N: npt.NDArray[np.bool_]) -> "ScoredTask":
        """The same of some records of the split."""
        return ScoredTask(
            self.task,
            self.chosen_N[kept_N],
            self.scores_NC[kept_N],
            self.truth_NC[kept_N],
            None if self.known_NC is None else self.known_NC[kept_N],
        )

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Those of the scored records."""
        return self.scores_NC[self.chosen_N]

    @property
    def truth(self) -> npt.NDArray[np.bool_]:
        """That of the scored records."""
        return self.truth_NC[self.chosen_N]

    @property
    def known(self) -> npt.NDArray[np.bool_] | None:
        """What is known of the scored records; None: all."""
        return None if self.known_NC is None else self.known_NC[self.chosen_N]
