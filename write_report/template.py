"""Findings above their thresholds -> the text of a report, without a language model.

Owns which sentences a report has, in which order. Each says what the model found, or why it cannot
say; the first marks the report as a draft, so that a text that is copied or cut still does. Reports
are read back by `evaluate.statements` as exactly the findings they were written of. Pure.
"""

import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import yaml

from ecgpipe.apply_model.applied_task import AppliedTask
from ecgpipe.apply_model.prediction import remark_text
from ecgpipe.config.settings import Language

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
        sentences.append(words["findings"].format(names=words["between"].join(names)))
    elif n_unjudged < n_all:
        sentences.append(words["none"])
    if n_unjudged == n_all:
        sentences.append(words["all_unjudged"])
    elif n_unjudged:
        sentences.append(words["unjudged"].format(n=n_unjudged, n_all=n_all))
    if remarks:
        sentences.append(words["quality"].format(remarks=remarks))
    return ("" if language == "ja" else " ").join(sentences)


@functools.cache
def _words() -> Mapping[str, Mapping[str, str]]:
    file = resources.files("ecgpipe.write_report") / "words.yaml"
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))
