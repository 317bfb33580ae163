"""The report of the nearest training ECG, by a model's vectors.

Owns that it is never one of the same patient. M = ECGs with a report, N = ECGs to report on,
D = width of the vectors. Pure.

Source: retrieval alone is a strong baseline of report generation; ECG-ReGen (arXiv 2409.08788)
reaches BLEU-4 .700 with it on PTB-XL.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.archive import closest
from ecgpipe.write_report.rung import Body, Ecgs, RungName


@dataclass(frozen=True)
class NearestReports:
    """The reports of other ECGs, to be found by their vectors; of two patients or more."""

    digest: str
    vectors_MD: npt.NDArray[np.float32]
    """Unit vectors."""

    patients: Sequence[str]
    """(M,)"""

    texts: Sequence[Mapping[str, str]]
    """(M,) by language."""

    name: Final[RungName] = "nearest"
    _n_of: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_n_of", Counter(self.patients))

    def bodies(self, ecgs: Ecgs) -> list[Body]:
        """(N,) the report of the ECG with the highest cosine that is another patient's."""
        # So many that one of another patient is among them.
        wanted = 1 + max((self._n_of[patient] for patient in ecgs.patients), default=0)
        cosines_NK, rows_NK = closest([self.vectors_MD], ecgs.vectors_ND, wanted)
        found = []
        for patient, cosines_K, rows_K in zip(ecgs.patients, cosines_NK, rows_NK, strict=True):
            place = next(k for k, row in enumerate(rows_K) if self.patients[row] != patient)
            about = {"cosine": float(cosines_K[place])}
            found.append(Body(self.texts[int(rows_K[place])], about))
        return found
