"""How an ECG's answer looks on a terminal.

Owns the words and columns. An ECG is printed as soon as it is answered.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from ecgpipe.language.translation import told

if TYPE_CHECKING:
    from rich.console import Console

_HEADS = {
    "ja": ("所見", "(英語)", "コサイン", "確率", "閾値", "以上", "未満"),
    "en": ("finding", "(Japanese)", "cosine", "probability", "threshold", "above", "below"),
}
_REFUSED = {"ja": "読めない", "en": "refused"}
_FAR = {"ja": "学習した文との距離 {:.3f}", "en": "{:.3f} from what was trained on"}
_BEYOND = {"ja": "、遠すぎる", "en": ", too far"}


def print_prediction(
    row: Mapping[str, Any], language: Literal["ja", "en"], console: "Console"
) -> None:
    """Print one ECG: its name, remarks, findings, and answers to questions.

    Args:
        row: as a line of the JSON Lines file.
        language: of names and remarks; the other one stands beside each name.
        console: where to.
    """
    from rich.table import Table
    from rich.text import Text

    console.print(Text(row["record_id"], style="bold"))
    if row["refused"]:
        console.print(Text(f"  {_REFUSED[language]}: {told(row['refused'], language)}"))
        return
    for remark in row["remarks"]:
        console.print(Text(f"  {remark['texts'][language]}"))
    finding, other, cosine, probability, threshold, above, below = _HEADS[language]
    words = {True: above, False: below, None: "–"}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", finding, other):
        table.add_column(name)
    for name in (cosine, probability):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(threshold, no_wrap=True)
    second = "en" if language == "ja" else "ja"
    for rank, one in enumerate(row["findings"], 1):
        table.add_row(
            f"  {rank}",
            Text(one["names"][language]),
            Text(one["names"][second]),
            f"{one['cosine']:.3f}",
            "–" if one["probability"] is None else f"{one['probability']:.1%}",
            words[one["above_threshold"]],
        )
    for asked in row["questions"]:
        far = "" if asked["distance"] is None else _FAR[language].format(asked["distance"])
        far += _BEYOND[language] if asked["beyond"] else ""
        table.add_row("  ?", Text(asked["text"]), far, f"{asked['cosine']:.3f}", "–", "–")
    console.print(table)
