"""One ECG and one finding: what the model's score hangs on, in numbers and as a sheet.

Owns which finding a word means, and the scale of the greys and bars. Knows no file.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.explain.occlusion import Occlusion, ScoreWindows, occlude
from ecgpipe.config.settings import Language
from ecgpipe.drawing.ecg_chart import Ecg
from ecgpipe.drawing.ecg_sheet import Captions, ecg_sheet
from ecgpipe.drawing.emphasis import Emphasis
from ecgpipe.drawing.shapes import Sheet
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.read_ecg.signal.window import NO_READING, in_millivolts

LEAST_FULL_LEAD, LEAST_FULL_TENTH = 0.1, 0.02
"""A lead's share and a tenth's fall, in cosines, that are drawn in full at least. The largest ones
of untrained models were .06 and .004, those of a trained one .11 to .24 and .006 to .4
(docs/lab-log.md), so a model that knows nothing gives a nearly white sheet."""

_WORDS: Mapping[Language, tuple[str, str, str]] = {
    "en": (
        "the model's score for {}: {}",
        "Dark: the score falls when this tenth of a second is hidden in all leads; by {} at most.",
        "Bar: what a lead adds to the score, the mean over orders of uncovering them; hollow: it"
        " speaks against.",
    ),
    "ja": (
        "{}のモデルスコア {}",
        "濃い部分：その0.1秒を全誘導で隠すとスコアが下がる（最大 {}）。",
        "棒：その誘導がスコアに加える分（誘導を見せる順序についての平均）。白抜き：否定する方向。",
    ),
}


@dataclass(frozen=True)
class Subject:
    """A finding that a model can be asked about."""

    names: Mapping[str, str]
    """By language, ja and en."""

    score: ScoreWindows
    """Windows to cosines (n, 1)."""


@dataclass(frozen=True)
class Explanation:
    """What the score of one finding hangs on, in one ECG."""

    names: Mapping[str, str]
    score: float
    lead_shares: Mapping[str, float]
    """What each lead adds; they sum to the score minus that of an ECG without any reading."""

    tenth_drops: tuple[float, ...]
    """How far the score falls when a tenth of a second is hidden, from the start of the window."""


def find_subject(
    model: AppliedModel, finding: str, task: str | None = None, language: Language | None = None
) -> Subject:
    """The class of a task that is called so, or any other wording.

    Args:
        model: the model.
        finding: the id of a class, its name in either language, or a wording of one's own.
        task: whose classes; None: the first.
        language: of the prompt that a wording is put into; None: the one it is written in.

    Raises:
        ConfigError: there is no such task, or the wording is empty.
        ModelError: a wording has no kept vector, and the language model is not at hand.
    """
    one, wanted = model.task(task), finding.strip().casefold()
    for place, candidate in enumerate(one.classes):
        if wanted in (candidate.id.casefold(), *map(str.casefold, candidate.names.values())):
            return Subject(candidate.names, _class_score(model, one.name, place))
    text_1D = model.encode_texts([finding], language)

    def score(windows: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        cosines: npt.NDArray[np.float32] = model.encode_ecg(windows) @ text_1D.T
        return cosines

    return Subject({"ja": finding, "en": finding}, score)


def _class_score(model: AppliedModel, task: str, place: int) -> ScoreWindows:
    def score(windows: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        return model.scores(model.encode_ecg(windows), task)[:, [place]]

    return score


def explain(model: AppliedModel, signal_uv: npt.NDArray[np.int16], subject: Subject) -> Explanation:
    """Find what the score hangs on, by some 310 scores of changed windows.

    Args:
        model: the model.
        signal_uv: (12, samples) as the contract demands.
        subject: what to explain.
    """
    found = occlude(subject.score, signal_uv, model.contract.rate_hz)
    return explanation_of(found, 0, subject.names)


def explanation_of(found: Occlusion, place: int, names: Mapping[str, str]) -> Explanation:
    """One of the findings whose occlusion was computed together.

    Args:
        found: of C findings.
        place: which of them.
        names: of it, by language.
    """
    return Explanation(
        names=names,
        score=float(found.score_C[place]),
        lead_shares=dict(zip(LEADS, found.lead_share_LC[:, place].tolist(), strict=True)),
        tenth_drops=tuple(found.tenth_drop_TC[:, place].tolist()),
    )


def explanation_sheet(
    explanation: Explanation,
    signal_uv: npt.NDArray[np.int16],
    rate_hz: float,
    title: str,
    language: Language,
    notice: str = "",
) -> Sheet:
    """The window as a 12-lead sheet, with what the score hangs on below the traces.

    Args:
        explanation: of this window.
        signal_uv: (12, samples) int16 in µV; only the first 10 s are drawn.
        rate_hz: of the window.
        title: the record's id or file name.
        language: of all words.
        notice: a warning at the top.
    """
    about, time, bars = _WORDS[language]
    present = {
        lead: share
        for lead, share, samples in zip(
            LEADS, explanation.lead_shares.values(), signal_uv, strict=True
        )
        if (samples != NO_READING).any()
    }
    full_lead = max(LEAST_FULL_LEAD, *map(abs, present.values()))
    full_tenth = max(LEAST_FULL_TENTH, *explanation.tenth_drops)
    emphasis = Emphasis(
        tenths=[drop / full_tenth for drop in explanation.tenth_drops],
        leads={lead: share / full_lead for lead, share in present.items()},
        labels={lead: _signed(share) for lead, share in present.items()},
        legend=(time.format(_signed(-max(explanation.tenth_drops), 3)), bars),
    )
    score = about.format(explanation.names[language], _signed(explanation.score).lstrip("+"))
    captions = Captions(title, remarks=(score,), notice=notice)
    return ecg_sheet(Ecg(in_millivolts(signal_uv), rate_hz, LEADS), captions, language, emphasis)


def _signed(value: float, digits: int = 2) -> str:
    """'+.28', '−.05'."""
    text = f"{abs(value):.{digits}f}".removeprefix("0")
    return f"{'−' if value < 0 else '+'}{text}"
