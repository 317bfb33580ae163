"""The scores of all rungs, side by side: on a terminal, as Markdown, and as rows of a CSV file.

Owns their order and wording, and that a rung which does not beat its controls says so, in red where
there are colours. Knows only the JSON of `ecgpipe eval-reports`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.table import Table as RichTable
from rich.text import Text

from ecgpipe.config.settings import Language
from ecgpipe.evaluate.report.markdown import cell_text, document, markdown_lines
from ecgpipe.evaluate.report.verdict import Verdict, verdict_over
from ecgpipe.evaluate.words import Words, both, word, word_or_name
from ecgpipe.language.translation import told
from ecgpipe.spreadsheet import Cell
from ecgpipe.write_report.ladder import CONTROLS, JUDGED, METRICS

CSV_COLUMNS = ("rung", "control", "metric", "value", "low", "high")

LIGHTS = (
    "● above the best of its controls, with the whole interval; ◐ above, but the intervals overlap;"
    " ○ not above."
)

_STYLES = {"red": Style(color="red", bold=True), "amber": Style(color="yellow")}

_SAID: Mapping[str, Words] = {
    "red": both(
        "○ {rung} は対照を上回りません：{metric} {value}、{baseline} {control}。",
        "○ {rung} does not beat its controls: {metric} {value} against {control} ({baseline}).",
    ),
    "amber": both(
        "◐ {rung} が対照を上回るかは不確かです：{metric} {value}、{baseline} {control}。",
        "◐ {rung} may not beat its controls: {metric} {value} against {control} ({baseline}).",
    ),
}

_NAMES: Mapping[str, Words] = {
    "template": both("所見から（template）", "template"),
    "nearest": both("最も近い心電図（nearest）", "nearest"),
    "written": both("言語モデル（written）", "written"),
    "shuffled_ecg": word("baselines", "shuffled_ecg"),
    "blank_ecg": word("baselines", "blank_ecg"),
    "commonest_report": both("最も多い判読文", "commonest report"),
    "micro_f1": both("F1（マイクロ）", "F1, micro"),
    "macro_f1": both("F1（マクロ）", "F1, macro"),
    "precision": both("適合率", "precision"),
    "recall": both("再現率", "recall"),
    "chrf": both("chrF", "chrF"),
    "char_bleu": both("文字BLEU", "BLEU of characters"),
}
_WITH_INTERVAL = ("micro_f1", "macro_f1")


def rung_verdict(rung: Mapping[str, Any], metric: str) -> Verdict:
    """How a rung compares with the best of its controls."""
    controls = {name: rung["controls"][name]["summary"].get(metric) for name in CONTROLS}
    return verdict_over(rung["summary"].get(metric), controls)


def verdict_lines(results: Mapping[str, Any], language: Language) -> Iterator[tuple[str, str]]:
    """The light and a line for each rung and metric that surely or perhaps is not better."""
    for name, rung in results["rungs"].items():
        for metric in JUDGED:
            said = rung_verdict(rung, metric)
            if said.light in _SAID:
                yield (
                    said.light,
                    _SAID[said.light][language].format(
                        rung=name,
                        metric=_name(metric, language),
                        value=_value(metric, said.metric),
                        control=_value(metric, said.baseline_metric),
                        baseline=_name(said.baseline, language),
                    ),
                )


def print_ladder(results: Mapping[str, Any], console: Console, language: Language) -> None:
    """Print all rungs, each above its controls; what is not better in red."""
    table = RichTable(title=title(results, language), title_justify="left")
    for number, label in enumerate(_header(results, language)):
        table.add_column(label, justify="right" if number else "left", no_wrap=number == 0)
    for cells in _rows(results, language, intervals=_WITH_INTERVAL):
        table.add_row(*(Text(cell, "red" if cell.endswith("○") else "") for cell in cells))
    console.print(table)
    console.print(told(LIGHTS, language))
    for light, line in verdict_lines(results, language):
        console.print(Text(line, _STYLES[light]))
    for line in remarks(results):
        console.print(told(line, language), markup=False)


def render_ladder(results: Mapping[str, Any], language: Language) -> str:
    """The same as Markdown, with all intervals."""
    rows = list(_rows(results, language, intervals=METRICS))
    right = [False, *[True] * (len(rows[0]) - 1)] if rows else []
    return document(
        [
            f"# {title(results, language)}",
            f"**{results['notice']}**" if results["notice"] else "",
            markdown_lines(_header(results, language), rows, right),
            told(LIGHTS, language),
            *(f"**{line}**" for _, line in verdict_lines(results, language)),
            *(told(line, language) for line in remarks(results)),
        ]
    )


def csv_rows(results: Mapping[str, Any]) -> Iterator[tuple[Cell, ...]]:
    """One row for each rung or control and metric, with exact numbers (CSV_COLUMNS)."""
    for name, rung in results["rungs"].items():
        for control, scores in (("", rung), *rung["controls"].items()):
            for metric, value in scores["summary"].items():
                yield (name, control, metric, value["value"], value["low"], value["high"])


def title(results: Mapping[str, Any], language: Language) -> str:
    """What was scored."""
    n = told(
        f"drafts of reports for {results['n']:,} ECGs of {results['patients']:,} patients", language
    )
    split = word_or_name("splits", results["split"])[language]
    return f"{results['run']} · {n} ({split})"


def remarks(results: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know of the figures."""
    least = results["min_positives"]
    yield (
        "F1: of the findings that a report asserts, read by the project's own list of findings;"
        f" macro over findings that at least {least} references assert."
    )
    if results["n_unread"]:
        yield (
            f"{results['n_unread']:,} ECGs are left out: in their report no finding of the list can"
            " be read, as in another language."
        )
    if not results["has_overlap"]:
        yield "chrF and BLEU need the extra packages: pip install '.[reports]'."
    for name, why in results["left_out"].items():
        yield f"Rung {name} was left out: {why}"


def _header(results: Mapping[str, Any], language: Language) -> list[str]:
    return ["", *(_name(metric, language) for metric in _metrics(results))]


def _metrics(results: Mapping[str, Any]) -> list[str]:
    known = [rung["summary"] for rung in results["rungs"].values()]
    return [metric for metric in METRICS if any(metric in summary for summary in known)]


def _rows(
    results: Mapping[str, Any], language: Language, intervals: tuple[str, ...]
) -> Iterator[list[str]]:
    """The rungs, each above its own controls; the commonest report last, since all share it."""
    metrics = _metrics(results)
    common: Mapping[str, Any] = {}
    for name, rung in results["rungs"].items():
        cells = [_value(m, rung["summary"].get(m), m in intervals) for m in metrics]
        symbols = [rung_verdict(rung, m).symbol for m in metrics]
        yield [
            _name(name, language),
            *(f"{cell} {symbol}" for cell, symbol in zip(cells, symbols, strict=True)),
        ]
        for control in CONTROLS[:-1]:
            summary = rung["controls"][control]["summary"]
            yield [
                f"· {_name(control, language)}",
                *(_value(m, summary.get(m), m in intervals) for m in metrics),
            ]
        common = rung["controls"][CONTROLS[-1]]["summary"]
    if common:
        cells = [_value(m, common.get(m), m in intervals) for m in metrics]
        yield [f"· {_name(CONTROLS[-1], language)}", *cells]


def _value(metric: str, value: Any, interval: bool = False) -> str:
    kind = "share" if metric in ("precision", "recall") else "area"
    return cell_text(kind, value, "en", interval=interval)


def _name(key: str, language: Language) -> str:
    return _NAMES[key][language]
