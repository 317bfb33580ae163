"""How well written reports say what the reference reports say: F1 of findings.

Owns what counts as right. A finding is right if both reports assert it. What the reference leaves
uncertain is neither right nor wrong: whoever wrote it did not decide either. A finding that the
written report leaves uncertain or denies is not asserted. Pure. N = ECGs, C = findings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.results import Metric
from ecgpipe.evaluate.scoring import mean_over, n_effective_of_mean, share_metric
from ecgpipe.evaluate.statements.report_parser import Statements

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_DRAWS_AT_ONCE = 100
"""The weights of a thousand would take 4 GB for a million ECGs."""


@dataclass(frozen=True)
class FindingScore:
    """One finding in all reports."""

    n: int
    """Reference reports that assert it."""

    f1: Metric


@dataclass(frozen=True)
class ClinicalScores:
    """What written reports are worth, with 95 % intervals by patients."""

    n: int
    """ECGs."""

    precision: Metric
    """Of the findings that the written reports assert, the share that is right."""

    recall: Metric
    """Of the findings that the references assert, the share that is written."""

    micro_f1: Metric
    """Of all findings of all ECGs together, so that frequent findings decide."""

    macro_f1: Metric
    """The mean over findings that enough references assert; each has the same weight."""

    findings: dict[str, FindingScore]
    """By id: those that any reference or written report asserts."""


def clinical_scores(
    written: Sequence[Statements],
    reference: Sequence[Statements],
    findings: Sequence[str],
    draws: PatientDraws,
    min_positives: int,
) -> ClinicalScores:
    """Compare reports ECG by ECG.

    Args:
        written: (N,) what the written reports say.
        reference: (N,) what the references say of the same ECGs.
        findings: (C,) ids of all findings of the taxonomy.
        draws: bootstrap draws of the ECGs.
        min_positives: the macro F1 is over findings that so many references assert.

    Raises:
        ValueError: not equally many of each.
    """
    if not len(written) == len(reference) == draws.n_records:
        raise ValueError(
            f"{len(written)} written reports, {len(reference)} references, {draws.n_records} ECGs"
        )
    truth_NC = _table([r.asserted for r in reference], findings)
    said_NC = _table([w.asserted for w in written], findings)
    said_NC &= ~_table([r.uncertain for r in reference], findings)
    right_KC, said_KC, true_KC = (
        _counts(table_NC, draws) for table_NC in (said_NC & truth_NC, said_NC, truth_NC)
    )
    n_C, f1_KC = truth_NC.sum(axis=0), _share(2 * right_KC, said_KC + true_KC)
    patients_C = draws.n_patients(truth_NC).astype(np.float64)
    frequent_C = n_C >= min_positives
    either_N1 = (truth_NC | said_NC).sum(axis=1, keepdims=True) > 0
    all_told = float(draws.n_patients(either_N1)[0])
    right_K, said_K, true_K = (each.sum(axis=1) for each in (right_KC, said_KC, true_KC))
    return ClinicalScores(
        n=len(written),
        precision=share_metric(_share(right_K, said_K), all_told),
        recall=share_metric(_share(right_K, true_K), all_told),
        micro_f1=share_metric(_share(2 * right_K, said_K + true_K), all_told),
        macro_f1=share_metric(
            mean_over(f1_KC, frequent_C), n_effective_of_mean(patients_C[frequent_C], all_told)
        ),
        findings={
            findings[c]: FindingScore(int(n_C[c]), share_metric(f1_KC[:, c], patients_C[c]))
            for c in np.flatnonzero((truth_NC | said_NC).any(axis=0)).tolist()
        },
    )


def _table(ids: Sequence[Sequence[str]], findings: Sequence[str]) -> Booleans:
    """(N, C) which findings are among the ids of each ECG."""
    place = {finding: c for c, finding in enumerate(findings)}
    table_NC = np.zeros((len(ids), len(findings)), np.bool_)
    for n, some in enumerate(ids):
        table_NC[n, [place[each] for each in some]] = True
    return table_NC


def _counts(table_NC: Booleans, draws: PatientDraws) -> Floats:
    """(1 + D, C) how often each finding is true: of the ECGs themselves, then of each draw."""
    true_NC = table_NC.astype(np.float32)
    counts = [true_NC.sum(axis=0, dtype=np.float64)[None]]
    for first in range(0, len(draws), _DRAWS_AT_ONCE):
        after = min(first + _DRAWS_AT_ONCE, len(draws))
        counts.append((draws.weights(first, after).T @ true_NC).astype(np.float64))
    return np.concatenate(counts)


def _share(part: Floats, whole: Floats) -> Floats:
    """part / whole; NaN where there is nothing."""
    found: Floats = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found
