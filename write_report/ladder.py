"""How right the rungs' reports are, with the controls that tell whether they look at an ECG.

Owns which controls there are. Pure. N = ECGs.

shuffled_ecg       each ECG gets the report that was written for another patient's
blank_ecg          every ECG gets the report that is written for one without any signal
commonest_report   every ECG gets the commonest report of the training ECGs

A language model can write a likely report without looking at the ECG, and so can a list of frequent
findings. The first control keeps how often each report is written, the second what is written
without an ECG, the third needs no model.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecgpipe.evaluate.metrics.baselines import ecg_shuffles
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.statements.report_parser import ReportParser
from ecgpipe.write_report.clinical_scores import clinical_scores
from ecgpipe.write_report.overlap_scores import overlap_scores

CONTROLS = ("shuffled_ecg", "blank_ecg", "commonest_report")
METRICS = ("micro_f1", "macro_f1", "precision", "recall", "chrf", "char_bleu")
JUDGED = ("micro_f1", "macro_f1")
"""By which a rung is judged: what reports say. The others are shown beside."""

Scores = dict[str, Any]
"""`summary`, a metric each by METRICS, and `findings`, by id n and f1."""


@dataclass(frozen=True)
class Written:
    """What a rung wrote."""

    texts: Sequence[str]
    """(N,) of the ECGs."""

    blank: str
    """Of an ECG without any signal."""


@dataclass(frozen=True)
class References:
    """The reports that drafts are compared with."""

    texts: Sequence[str]
    """(N,) each of which says something of a finding."""

    patients: Sequence[str]
    """(N,)"""

    findings: Sequence[str]
    """Ids of all findings of the taxonomy."""

    parser: ReportParser
    commonest: str
    """The commonest report of the training ECGs."""

    min_positives: int
    draws: int
    seed: int


def score_rungs(
    written: Mapping[str, Written], references: References
) -> tuple[dict[str, Scores], bool]:
    """The scores of each rung, each with those of its `controls`.

    Returns:
        By rung, and whether letters could be compared, which needs the extra `reports`.
    """
    scorer = _Scorer(references)
    n = len(references.texts)
    orders = ecg_shuffles(scorer.draws.patient_of_N, references.seed)
    order_N = orders[0] if orders else np.arange(n)  # of one patient nobody else is there
    commonest = scorer.scores([references.commonest] * n)
    found = {}
    for name, rung in written.items():
        shuffled = [rung.texts[place] for place in order_N.tolist()]
        controls = {
            "shuffled_ecg": scorer.scores(shuffled),
            "blank_ecg": scorer.scores([rung.blank] * n),
            "commonest_report": commonest,
        }
        found[name] = {**scorer.scores(rung.texts), "controls": controls}
    return found, scorer.has_overlap


class _Scorer:
    """Compares texts with the references; each distinct text is read once."""

    def __init__(self, references: References) -> None:
        self._references = references
        self.draws = PatientDraws.of(references.patients, references.draws, references.seed)
        self._read = functools.cache(references.parser.read)
        self._said = [self._read(text) for text in references.texts]
        self.has_overlap = True

    def scores(self, texts: Sequence[str]) -> Scores:
        """The scores of (N,) texts."""
        ours, said = self._references, [self._read(text) for text in texts]
        clinical = clinical_scores(said, self._said, ours.findings, self.draws, ours.min_positives)
        summary: dict[str, Any] = {
            name: getattr(clinical, name) for name in METRICS if hasattr(clinical, name)
        }
        try:
            overlap = overlap_scores(texts, ours.texts, self.draws)
            summary |= {"chrf": overlap.chrf, "char_bleu": overlap.char_bleu}
        except ModuleNotFoundError:
            self.has_overlap = False
        findings = {id: {"n": one.n, "f1": one.f1} for id, one in clinical.findings.items()}
        return {"summary": summary, "findings": findings}
