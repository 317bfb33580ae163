"""What a model says of one ECG: its best findings, and what to think of the recording.

Owns the shape of an answer, and which remark about a recording matters how much. Pure: it is given
scores and facts, and knows neither files nor the model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.applied_task import FindingScore
from ecgpipe.apply_model.contract import Contract
from ecgpipe.config.settings import Language
from ecgpipe.read_ecg.quality.inspection import Facts
from ecgpipe.read_ecg.quality.suspicion import suspicions

Weight = Literal["serious", "minor"]


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What is noticeable about a recording, and what it means for the answer."""

    kind: str
    weight: Weight
    texts: Mapping[str, str]
    """By language, ja and en."""


@dataclass(frozen=True, kw_only=True)
class QuestionAnswer:
    """How well an ECG fits a wording of the user's own."""

    text: str
    cosine: float
    distance: float | None
    """Of the wording from all that were trained on; None if the model kept none of them."""

    beyond: bool | None = None
    """Whether that is farther than wordings were scored better than chance; None: not measured."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """All about one ECG."""

    record_id: str
    path: str
    refused: str = ""
    """Why there is no answer; '' if there is one."""

    findings: tuple[FindingScore, ...] = ()
    remarks: tuple[Remark, ...] = ()
    questions: tuple[QuestionAnswer, ...] = ()
    probabilities: tuple[float | None, ...] = ()
    """Of all classes in the task's order, if prevalences are to be estimated; else empty."""

    @property
    def quality(self) -> str:
        """'good', or the weight of the gravest remark; '' if it was refused."""
        if self.refused:
            return ""
        weights = {remark.weight for remark in self.remarks}
        return "serious" if "serious" in weights else "minor" if weights else "good"

    def as_dict(self) -> dict[str, Any]:
        """Its fields and quality, ready for JSON."""
        return {**asdict(self), "quality": self.quality}


def all_probabilities(chances_C: npt.NDArray[np.float64]) -> tuple[float | None, ...]:
    """Of all classes, to six digits: they are kept for every ECG until the end."""
    return tuple(None if np.isnan(p) else float(f"{p:.6g}") for p in chances_C.tolist())


def remarks_on(facts: Facts, contract: Contract) -> tuple[Remark, ...]:
    """What is noticeable about a recording, serious remarks first."""
    found = sorted(_remarks(facts, contract), key=lambda remark: remark.weight == "minor")
    return tuple(found)


def remark_text(remarks: Sequence[Mapping[str, Any]], language: Language) -> str:
    """Remarks as one cell of a table."""
    return " ".join(remark["texts"][language] for remark in remarks)


def _remarks(facts: Facts, contract: Contract) -> Iterator[Remark]:
    if facts.absent:
        yield _remark("absent lead", ", ".join(facts.absent))
    for suspicion in suspicions([facts], contract):
        for case in suspicion.cases:
            yield _remark(suspicion.kind, case.detail)


def _remark(kind: str, detail: str) -> Remark:
    weight, ja, en = _MEANING[kind]
    return Remark(
        kind=kind,
        weight=weight,
        texts={
            "ja": ja.format(detail=detail, weight="重要" if weight == "serious" else "軽微"),
            "en": en.format(detail=detail, weight=weight),
        },
    )


# By the kinds of `suspicion`, which has found and measured them.
_MEANING: dict[str, tuple[Weight, str, str]] = {
    "absent lead": (
        "serious",
        "[{weight}] 欠けている誘導: {detail}。その誘導に現れる所見は判定できない。",
        "[{weight}] Leads are missing: {detail}. What shows in them cannot be seen.",
    ),
    "flat lead": (
        "serious",
        "[{weight}] 平坦な誘導 (電極はずれ): {detail}。その誘導は使われていない。",
        "[{weight}] Flat leads, perhaps an electrode was off: {detail}. They are not used.",
    ),
    "limb leads": (
        "serious",
        "[{weight}] 四肢誘導が互いに矛盾: {detail}。電気軸や下壁・側壁の所見は信頼できない。",
        "[{weight}] Limb leads contradict each other: {detail}. Do not trust the axis, nor"
        " inferior and lateral findings.",
    ),
    "arm electrodes": (
        "serious",
        "[{weight}] 左右の手の電極の付け違いの疑い ({detail})。右胸心でも同様に見える。"
        "電気軸や側壁の所見は信頼できない。",
        "[{weight}] Arm electrodes may be swapped ({detail}); dextrocardia looks the same. Do not"
        " trust the axis, nor lateral findings.",
    ),
    "units": (
        "serious",
        "[{weight}] 振幅の桁が違う: {detail}。ファイルの単位か感度を確認すること。"
        "この結果は使えない。",
        "[{weight}] The amplitude is wrong by a power of ten: {detail}. Check unit and gain in the"
        " file; this answer is worth nothing.",
    ),
    "amplitude": (
        "minor",
        "[{weight}] 通常でない振幅: {detail}。電位に関する所見に注意。",
        "[{weight}] Unusual amplitude: {detail}. Take care with findings of voltage.",
    ),
    "rate of all": (
        "serious",
        "[{weight}] ありえない心拍数。サンプリング周波数を確認すること。",
        "[{weight}] Impossible heart rate. Check the sampling rate in the file.",
    ),
    "heart rate": (
        "serious",
        "[{weight}] 通常ありえない心拍数: {detail}。心電図でないか、"
        "サンプリング周波数が誤っている可能性。",
        "[{weight}] Hardly possible heart rate: {detail}. Perhaps it is no ECG, or the sampling"
        " rate in the file is wrong.",
    ),
    "clipping": (
        "minor",
        "[{weight}] 振り切れた誘導: {detail}。電位に関する所見に注意。",
        "[{weight}] Clipped at the device's limit: {detail}. Take care with findings of voltage.",
    ),
    "mains": (
        "minor",
        "[{weight}] 交流雑音: {detail}。細かい波 (P 波、細動波) の所見に注意。",
        "[{weight}] Power-line noise: {detail}. Take care with fine waves, such as P and"
        " fibrillation.",
    ),
    "missing samples": (
        "minor",
        "[{weight}] 記録に欠落: {detail}。短い欠落は補間されている。",
        "[{weight}] Samples are missing: {detail}. Short gaps were filled.",
    ),
    "short": (
        "minor",
        "[{weight}] 記録が短い: {detail}。まれな拍や調律の所見は見落としうる。",
        "[{weight}] The recording is short: {detail}. Rare beats and rhythms may be missed.",
    ),
}
