"""The fixed text of a sheet in Japanese and English.

Lead names and scales are the same in both languages.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The text of a sheet besides names and numbers."""

    no_signal: str
    no_reading: str
    ended: str
    findings: str
    unknown: str
    none_stated: str
    separator: str
    heart_rate: str
    shown: str
    missing_leads: str
    flat_leads: str
    baseline: str
    research: str


ENGLISH = Words(
    no_signal="no signal",
    no_reading="no reading",
    ended="end of recording",
    findings="Findings: ",
    unknown="unknown",
    none_stated="none stated",
    separator="; ",
    heart_rate="heart rate {}/min",
    shown="{} of {} s",
    missing_leads="No signal in: ",
    flat_leads="Flat, not drawn: ",
    baseline="Each lead's median is drawn on its baseline; no filter.",
    research="For research; not a diagnosis.",
)

JAPANESE = Words(
    no_signal="信号なし",
    no_reading="欠測",
    ended="記録終了",
    findings="所見：",
    unknown="不明",
    none_stated="記載なし",
    separator="、",
    heart_rate="心拍数 {}/分",
    shown="{} / 全 {} s",
    missing_leads="信号のない誘導：",
    flat_leads="平坦のため非表示：",
    baseline="各誘導は中央値を基線に表示。フィルタなし。",
    research="研究用。診断ではありません。",
)


def words_in(language: str) -> Words:
    """Return the text in a language, ja or en."""
    return JAPANESE if language == "ja" else ENGLISH
