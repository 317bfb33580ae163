"""A finding's wordings, each scored by itself.

Owns what a wording is worth, and the mean over findings of the mean over a finding's wordings, so
that a finding of many wordings counts once. N = records, F = findings, M = wordings, D = draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.settings import Language
from ecgpipe.evaluate.analyses.analysis import scorable_findings
from ecgpipe.evaluate.evaluation import TwoSidedModel
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.results import Metric
from ecgpipe.evaluate.scoring import (
    TaskDraws,
    bootstrap_metrics,
    mean_over,
    n_effective_of_mean,
    share_metric,
)
from ecgpipe.evaluate.tasks.task_file import LANGUAGES
from ecgpipe.evaluate.tasks.taxonomy import Finding, Taxonomy
from ecgpipe.evaluate.tasks.wordings import Bank
from ecgpipe.evaluate.words import Words, both

Scores = npt.NDArray[np.float32]
Truth = npt.NDArray[np.bool_]

NAME = "name"


@dataclass(frozen=True)
class Spoken:
    """One wording, or name, of a finding that is scored."""

    finding: int
    """Its number among the findings that are scored."""

    language: Language
    kind: str
    """One of KINDS, or NAME."""

    text: str


@dataclass(frozen=True)
class SpokenScores:
    """What the wordings are worth: AUROCs and their draws."""

    spoken: Sequence[Spoken]
    found: TaskDraws
    """A wording's AUROC is that of a class of its own."""

    n_patients: float

    @staticmethod
    def of(
        spoken: Sequence[Spoken], scores_NM: Scores, truth_NF: Truth, draws: PatientDraws
    ) -> "SpokenScores":
        """Score each wording against its finding."""
        truth_NM = truth_NF[:, [each.finding for each in spoken]]
        everybody = draws.n_patients(np.ones((len(truth_NF), 1), np.bool_))
        return SpokenScores(
            spoken, bootstrap_metrics(scores_NM, truth_NM, draws, 1), float(everybody[0])
        )

    def macro_auroc(self, places: Sequence[int]) -> Metric:
        """`macro_auroc_D` with its interval."""
        first = [own[0] for own in self._of_findings(places)]
        behind_F = self.found.class_n_effective["auroc"][first]
        n_effective = n_effective_of_mean(behind_F, self.n_patients)
        return share_metric(self.macro_auroc_D(places), n_effective)

    def macro_auroc_D(self, places: Sequence[int]) -> npt.NDArray[np.float64]:
        """The mean over findings of the mean over those of their wordings that are at `places`: of
        all ECGs, then of every draw."""
        auroc_DM = self.found.by_class["auroc"]
        # A draw without a finding lacks all its wordings.
        means = [auroc_DM[:, own].mean(axis=1) for own in self._of_findings(places)]
        return mean_over(np.stack(means, axis=1), np.ones(len(means), np.bool_))

    def _of_findings(self, places: Sequence[int]) -> list[list[int]]:
        of_finding: dict[int, list[int]] = {}
        for place in places:
            of_finding.setdefault(self.spoken[place].finding, []).append(place)
        return list(of_finding.values())


def names_of(finding: Finding) -> Words:
    """A finding's names, for a table."""
    return both(finding.japanese, finding.english)


def spoken_of(findings: Sequence[Finding], bank: Bank) -> list[Spoken]:
    """Both names and the held-out wordings of each finding."""
    spoken = []
    for number, finding in enumerate(findings):
        spoken += [Spoken(number, each, NAME, finding.name(each)) for each in LANGUAGES]
        for wording in bank.held_out[finding.id]:
            spoken.append(Spoken(number, wording.language, wording.kind, wording.text))
    return spoken


def held_out_auroc(
    model: TwoSidedModel, records: RecordsTable, taxonomy: Taxonomy, bank: Bank, least: int
) -> float:
    """The macro AUROC of a bank's held-out wordings, for choosing an epoch: of the findings with
    `least` records, or of all that occur if none has so many. NaN if there is nothing to score."""
    findings, truth_NF = scorable_findings(taxonomy.findings, records, least)
    if not findings:
        findings, truth_NF = scorable_findings(taxonomy.findings, records, 1)
    spoken = spoken_of(findings, bank)
    held_out = [place for place, each in enumerate(spoken) if each.kind != NAME]
    if not held_out:
        return float("nan")
    no_draws = PatientDraws.of(records.patients, 0, 0)
    scores_NM = wording_scores(model, records, spoken)
    found = SpokenScores.of(spoken, scores_NM, truth_NF, no_draws)
    return float(found.macro_auroc_D(held_out)[0])


def wording_scores(model: TwoSidedModel, records: RecordsTable, spoken: Sequence[Spoken]) -> Scores:
    """(N, M) the cosine of each record and each wording, in the prompt of its language."""
    ecg_ND = model.encode_ecg(records.slots)
    scores_NM = np.empty((len(ecg_ND), len(spoken)), np.float32)
    for language in LANGUAGES:
        places = [place for place, each in enumerate(spoken) if each.language == language]
        text_MD = model.encode_text([spoken[place].text for place in places], language)
        scores_NM[:, places] = ecg_ND @ text_MD.T
    return scores_NM
