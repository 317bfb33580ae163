"""A task away from its evaluation: classes, thresholds, and scores -> probabilities.

Owns the arithmetic of a fitted calibration, and which classes have none. Knows no file and no
model. N = ECGs, C = classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ecgpipe.config.settings import Language

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AppliedClass:
    """One candidate answer."""

    id: str
    names: Mapping[str, str]
    """By language, ja and en."""

    wordings: Mapping[str, tuple[str, ...]]
    """The texts of its prompts, by language; one or several."""

    member_names: tuple[Mapping[str, str], ...]
    """Names of its members by language; empty if it is itself one finding."""

    n_val: int
    """Validation ECGs that show it: what threshold and calibration were chosen on."""

    threshold: float | None
    """The cosine of the best F1; None where too few validation ECGs show it."""

    slope: float | None
    offset: float | None
    """Unless single_label: probability = 1 / (1 + exp(-(slope x cosine + offset))); None: not
    fitted."""

    n_val_known: int | None = None
    """Validation ECGs of which it is known whether they show it; None: all of the task's."""


@dataclass(frozen=True, kw_only=True)
class FindingScore:
    """What a model says of one class for one ECG."""

    id: str
    names: Mapping[str, str]
    """By language, ja and en."""

    cosine: float
    probability: float | None
    """Calibrated on validation ECGs; None where too few show the class."""

    threshold: float | None
    """The cosine from which the class is predicted; None as for `probability`."""

    above_threshold: bool | None
    """Whether the class is predicted; None without a threshold."""


@dataclass(frozen=True, kw_only=True)
class AppliedTask:
    """Classes that compete for an ECG, and what validation found about their scores."""

    name: str
    title: Mapping[str, str]
    source: str
    kind: Literal["multi_label", "single_label", "partly_known"]
    ensemble: Literal["mean", "max"]
    language: Language
    """In which it was evaluated: thresholds and calibration belong to this language's prompts."""

    classes: tuple[AppliedClass, ...]
    min_positives: int
    """Classes that fewer validation ECGs show have no threshold and no calibration."""

    n_val: int
    """Validation ECGs of the task."""

    scale: float | None
    """single_label: probabilities = softmax(scale x cosine); None: not calibrated."""

    evaluation: Mapping[str, Any]
    """What the run's own evaluation found, with the names of results.json: split, n, summary,
    baselines, calibration, and the metrics of each class."""

    def wordings(self, language: Language) -> list[list[str]]:
        """The texts of each class in one language."""
        return [list(c.wordings[language]) for c in self.classes]

    def probabilities(self, scores_NC: npt.NDArray[np.float32]) -> Floats:
        """(N, C) calibrated probabilities of scores; NaN for a class without calibration."""
        scores = scores_NC.astype(np.float64)
        if self.kind == "single_label":
            if self.scale is None:
                return np.full(scores.shape, np.nan)
            return _softmax(self.scale * scores)
        lines = [(c.slope, c.offset) for c in self.classes]
        slope_C, offset_C = np.array(
            [(np.nan, np.nan) if a is None or b is None else (a, b) for a, b in lines]
        ).T
        # = 1 / (1 + exp(-x)), which would overflow.
        chances: Floats = (1 + np.tanh((slope_C * scores + offset_C) / 2)) / 2
        return chances

    def ranked(
        self, scores_C: npt.NDArray[np.float32], chances_C: Floats, k: int | None = None
    ) -> list[FindingScore]:
        """Classes for one ECG, the best first; of equal ones the task's order decides.

        Args:
            scores_C: cosines.
            chances_C: their probabilities.
            k: how many of them; None for all.
        """
        cosines, chances = scores_C.tolist(), chances_C.tolist()
        return [
            FindingScore(
                id=self.classes[n].id,
                names=dict(self.classes[n].names),
                cosine=cosines[n],
                probability=None if np.isnan(chances[n]) else chances[n],
                threshold=self.classes[n].threshold,
                above_threshold=_is_above(scores_C[n], self.classes[n].threshold),
            )
            for n in np.argsort(-scores_C, kind="stable")[:k].tolist()
        ]


def _is_above(cosine: np.float32, threshold: float | None) -> bool | None:
    return None if threshold is None else bool(cosine >= np.float32(threshold))


def _softmax(logits_NC: Floats) -> Floats:
    powers = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def task_from_results(
    name: str,
    results: Mapping[str, Any],
    wordings: Mapping[str, Mapping[str, tuple[str, ...]]],
    member_names: Mapping[str, tuple[Mapping[str, str], ...]],
) -> AppliedTask:
    """A task of results.json, with what validation cannot support left out.

    Args:
        name: of the task.
        results: its block.
        wordings: of each class by its id: the texts of its prompts by language.
        member_names: of each class by its id.
    """
    least, calibration = results["min_positives"], results["calibration"]
    n_val = calibration["n_val"] if calibration else 0
    sigmoids = calibration["sigmoids"] if calibration else {}
    classes = []
    for class_id, found in results["classes"].items():
        known = found.get("n_val_known")
        enough = found["n_val"] >= least and (known is None or known - found["n_val"] >= least)
        sigmoid = sigmoids.get(class_id) if enough else None
        classes.append(
            AppliedClass(
                id=class_id,
                names=found["names"],
                wordings=wordings[class_id],
                member_names=member_names[class_id],
                n_val=found["n_val"],
                threshold=found["threshold"] if enough else None,
                slope=sigmoid["slope"] if sigmoid else None,
                offset=sigmoid["offset"] if sigmoid else None,
                n_val_known=known,
            )
        )
    return AppliedTask(
        name=name,
        title=results["title"],
        source=results["source"],
        kind=results["kind"],
        ensemble=results["ensemble"],
        language=results["language"],
        classes=tuple(classes),
        min_positives=least,
        n_val=n_val,
        scale=calibration["scale"] if calibration and n_val >= least else None,
        evaluation=_evaluation(results),
    )


_OF_TASK = ("split", "n", "n_left_out", "summary", "calibration")
_NOT_OF_CLASS = ("names", "wordings", "threshold", "n_val", "n_val_known")


def _evaluation(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's card says of a task: no curves, and nothing of a single record."""
    return {
        **{key: results[key] for key in _OF_TASK},
        "baselines": {
            kind: {"summary": scores["summary"]} for kind, scores in results["baselines"].items()
        },
        "classes": {
            class_id: {key: value for key, value in found.items() if key not in _NOT_OF_CLASS}
            for class_id, found in results["classes"].items()
        },
    }
