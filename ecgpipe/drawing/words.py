"""The fixed text of a sheet besides names and numbers, in Japanese and English.

Lead names and scales are the same in both languages.
"""

from collections.abc import Mapping

Words = Mapping[str, str]
"""The text in one language."""

_WORDS = {
    "no_signal": {"en": "no signal", "ja": "信号なし"},
    "no_reading": {"en": "no reading", "ja": "欠測"},
    "ended": {"en": "end of recording", "ja": "記録終了"},
    "findings": {"en": "Findings: ", "ja": "所見："},
    "unknown": {"en": "unknown", "ja": "不明"},
    "none_stated": {"en": "none stated", "ja": "記載なし"},
    "separator": {"en": "; ", "ja": "、"},
    "heart_rate": {"en": "heart rate {}/min", "ja": "心拍数 {}/分"},
    "shown": {"en": "{} of {} s", "ja": "{} / 全 {} s"},
    "missing_leads": {"en": "No signal in: ", "ja": "信号のない誘導："},
    "flat_leads": {"en": "Flat, not drawn: ", "ja": "平坦のため非表示："},
    "baseline": {
        "en": "Each lead's median is drawn on its baseline; no filter.",
        "ja": "各誘導は中央値を基線に表示。フィルタなし。",
    },
    "research": {"en": "For research; not a diagnosis.", "ja": "研究用。診断ではありません。"},
}


def words_in(language: str) -> Words:
    """Return the text in a language, ja or en."""
    return {key: texts[language] for key, texts in _WORDS.items()}
