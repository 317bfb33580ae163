"""How alike the letters of written reports and references are: chrF and BLEU of characters.

Owns how reports are made comparable and averaged; sacrebleu owns both scores. They say nothing of
whether a report is right (認める and 認めない are nearly the same letters), and stand beside
`clinical_scores` because papers give them. They are of characters, because Japanese has no blanks
between words. N = ECGs.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.results import Metric
from ecgpipe.evaluate.scoring import share_metric

Floats = npt.NDArray[np.float64]

_DRAWS_AT_ONCE = 100


@dataclass(frozen=True)
class OverlapScores:
    """Means over reports from 0 to 1, with 95 % intervals by patients."""

    chrf: Metric
    """F2 of character n-grams up to 6 (Popović 2015), without blanks."""

    char_bleu: Metric
    """BLEU-4 of characters for each report (Papineni 2002), of as many orders as it has."""


def overlap_scores(
    written: Sequence[str], reference: Sequence[str], draws: PatientDraws
) -> OverlapScores:
    """Compare reports letter by letter, in one width and with single blanks.

    Args:
        written: (N,) reports.
        reference: (N,) reports of the same ECGs.
        draws: bootstrap draws of the ECGs.

    Raises:
        ValueError: not equally many of each.
        ModuleNotFoundError: sacrebleu is not installed (`pip install '.[reports]'`).
    """
    # Imported here: they are of the extra `reports`.
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    if not len(written) == len(reference) == draws.n_records:
        raise ValueError(
            f"{len(written)} written reports, {len(reference)} references, {draws.n_records} ECGs"
        )
    pairs = [
        (_plain(ours), [_plain(theirs)]) for ours, theirs in zip(written, reference, strict=True)
    ]
    chrf, bleu = CHRF(), BLEU(tokenize="char", effective_order=True)
    return OverlapScores(
        chrf=_mean([chrf.sentence_score(*pair).score for pair in pairs], draws),
        char_bleu=_mean([bleu.sentence_score(*pair).score for pair in pairs], draws),
    )


def _plain(report: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", report).split())


def _mean(percents: Sequence[float], draws: PatientDraws) -> Metric:
    """The mean of all ECGs and of each draw."""
    if not percents:
        return {"value": None, "low": None, "high": None}
    shares_N = np.array(percents, np.float64) / 100
    means = [shares_N.mean()[None]]
    for first in range(0, len(draws), _DRAWS_AT_ONCE):
        weights_ND = draws.weights(first, min(first + _DRAWS_AT_ONCE, len(draws)))
        means.append(shares_N @ weights_ND / weights_ND.sum(axis=0))
    everybody_N1 = np.ones((len(percents), 1), np.bool_)
    return share_metric(np.concatenate(means), float(draws.n_patients(everybody_N1)[0]))
