"""The text of a report: findings above their thresholds, or what another rung says, as a draft.

Owns which sentences a report has, in which order. Each says what the model found, or why it cannot
say; the first marks the report as a draft, so that a text that is copied or cut still does. Reports
of findings are read back by `evaluate.statements` as exactly the findings they were written of.
Pure.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import yaml

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.applied_task import AppliedTask
from ecgpipe.apply_model.prediction import remark_text
from ecgpipe.config.settings import Language
from ecgpipe.files import digest_of
from ecgpipe.write_report.rung import Body, Ecgs, RungName

LANGUAGES: tuple[Language, ...] = ("ja", "en")


def with_report(prediction: Mapping[str, Any], task: AppliedTask) -> dict[str, Any]:
    """A line of a file of reports.

    Args:
        prediction: as `Prediction.as_dict` gives it, with all findings above their thresholds.
        task: that it answers.

    Returns:
        Its record_id, path, refused, quality and findings (id, names and probability, in the task's
        order), how many classes are `unjudged`, and `reports` by language; '' if it was refused.
    """
    found = {one["id"]: one for one in prediction["findings"] if one["above_threshold"]}
    present = [found[c.id] for c in task.classes if c.id in found]
    unjudged = sum(c.threshold is None for c in task.classes)
    same = {name: prediction[name] for name in ("record_id", "path", "refused", "quality")}
    kept = ("id", "names", "probability")
    return {
        **same,
        "findings": [{name: one[name] for name in kept} for one in present],
        "unjudged": unjudged,
        "reports": {
            language: ""
            if prediction["refused"]
            else report_text(
                [one["names"][language] for one in present],
                unjudged,
                len(task.classes),
                remark_text(prediction["remarks"], language),
                language,
            )
            for language in LANGUAGES
        },
    }


@dataclass(frozen=True)
class TemplateReports:
    """The template as a rung: of the findings of a model's first task."""

    model: AppliedModel
    name: Final[RungName] = "template"

    @property
    def digest(self) -> str:
        """Changes when its texts may."""
        return digest_of({"model": self.model.digest, "task": repr(self.model.task())})

    def bodies(self, ecgs: Ecgs) -> list[Body]:
        """(N,) the sentence that names the findings above their thresholds."""
        task = self.model.task()
        scores_NC = self.model.scores(ecgs.vectors_ND, task.name)
        chances_NC = task.probabilities(scores_NC)
        found = []
        for scores_C, chances_C in zip(scores_NC, chances_NC, strict=True):
            ranked = task.ranked(scores_C, chances_C)
            above = {one.id for one in ranked if one.above_threshold}
            names = [each.names for each in task.classes if each.id in above]
            found.append(Body({each: _said(names, each) for each in LANGUAGES}))
        return found


def _said(names: Sequence[Mapping[str, str]], language: Language) -> str:
    if not names:
        return no_findings_text(language)
    return findings_text([each[language] for each in names], language)


def with_draft(
    prediction: Mapping[str, Any], rung: RungName, said: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A line of a file of reports that another rung has written.

    Args:
        prediction: as `Prediction.as_dict` gives it, with the rung's `Body` as `draft` (texts and
            about) unless it was refused.
        rung: which.
        said: the findings that the text asserts, with id and names.

    Returns:
        Its record_id, path, refused, quality, findings, and `reports` by language; '' if it was
        refused.
    """
    same = {name: prediction[name] for name in ("record_id", "path", "refused", "quality")}
    reports = dict.fromkeys(LANGUAGES, "")
    if not prediction["refused"]:
        texts, about = prediction["draft"]["texts"], prediction["draft"]["about"]
        for language in LANGUAGES:
            words = {key: entry[language] for key, entry in _words().items()}
            sentences = [words["draft"], words[rung].format(**about), texts[language]]
            if "limit" in about:
                sentences.append(words["cut"].format(**about))
            if remarks := remark_text(prediction["remarks"], language):
                sentences.append(words["quality"].format(remarks=remarks))
            reports[language] = _joined(sentences, language)
    return {**same, "findings": [dict(one) for one in said], "reports": reports}


def findings_text(names: Sequence[str], language: Language) -> str:
    """The sentence that names findings, one or more, in the taxonomy's order and wording."""
    words = _words()
    return words["findings"][language].format(names=words["between"][language].join(names))


def no_findings_text(language: Language) -> str:
    """The sentence that says no finding is above its threshold."""
    return _words()["none"][language]


def report_text(
    names: Sequence[str], n_unjudged: int, n_all: int, remarks: str, language: Language
) -> str:
    """The report of one ECG.

    Args:
        names: of the findings above their thresholds, in the taxonomy's order and wording.
        n_unjudged: findings without a threshold.
        n_all: findings the model knows.
        remarks: on the recording, ready to be read; '' for none.
        language: of the names and the report.
    """
    words = {key: entry[language] for key, entry in _words().items()}
    sentences = [words["draft"]]
    if names:
        sentences.append(findings_text(names, language))
    elif n_unjudged < n_all:
        sentences.append(no_findings_text(language))
    if n_unjudged == n_all:
        sentences.append(words["all_unjudged"])
    elif n_unjudged:
        sentences.append(words["unjudged"].format(n=n_unjudged, n_all=n_all))
    if remarks:
        sentences.append(words["quality"].format(remarks=remarks))
    return _joined(sentences, language)


def _joined(sentences: Sequence[str], language: Language) -> str:
    return ("" if language == "ja" else " ").join(sentences)


@functools.cache
def _words() -> Mapping[str, Mapping[str, str]]:
    file = resources.files("ecgpipe.write_report") / "words.yaml"
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))
