"""Results to report.html: one file that opens from a file share, with nothing fetched.

Owns what the page holds and that it is closed: style, script and font lie in it, and its own
security rule (a CSP of hashes) refuses everything else, so a value of the results can neither run
nor fetch. How it looks stands in report/page.html, page.css and page.js; its words in words.yaml.
Drawn from the results file, and pictures where somebody drew them.
"""

import base64
import hashlib
import secrets
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ecgpipe.drawing.plot import Plot
from ecgpipe.drawing.web_font import embedded_font
from ecgpipe.evaluate.report.charts import (
    MOST_CONFUSED,
    confusion_part,
    map_chart,
    task_charts,
    training_chart,
)
from ecgpipe.evaluate.report.failure_tables import FAILURE_BLOCKS, failure_tables
from ecgpipe.evaluate.report.svg_chart import (
    both_labels,
    svg_chart,
    svg_interval,
    svg_key,
    svg_versus,
)
from ecgpipe.evaluate.report.table import Table
from ecgpipe.evaluate.report.tables import (
    absent_classes,
    analysis_table,
    calibration_table,
    classes_table,
    group_table,
    map_texts_table,
    mistakes_table,
    summary_table,
    training_table,
    variants_table,
    weakest_classes,
)
from ecgpipe.evaluate.report.verdict import Verdict, headline_metrics, verdict
from ecgpipe.evaluate.report.words import (
    LIST,
    SENTENCES,
    Words,
    all_words,
    class_names,
    joined,
    metric_words,
    same,
    word,
    word_or_name,
)
from ecgpipe.evaluate.results import Results, area, is_area, percent

_SHADES = 8


_LEFT_TO_THE_CSV = ("n_val", "prevalence", "threshold")


def render_html(results: Results, pictures: Mapping[str, bytes] | None = None) -> str:
    """The whole report as one HTML page.

    Args:
        results: as `read_results` gives them, of any readable format.
        pictures: by record id, a PNG of each example ECG; those without have none.
    """
    config = results.get("config", {})
    language = config.get("text", {}).get("language", "ja")
    style, script = _shipped("page.css"), _shipped("page.js")
    view = _view(results, pictures or {}, language)
    slot = secrets.token_hex()  # stands for what depends on the rest of the page; in no result
    page = _template().render(
        **view, style=Markup(style), script=Markup(script), font_style=slot, policy=slot
    )
    font_style = _font_style(page)
    policy = (
        "default-src 'none'; "
        f"style-src {_hash(style)}{' ' + _hash(font_style) if font_style else ''}; "
        f"script-src {_hash(script)}; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    before, middle, after = page.split(slot)
    return str(before + policy + middle + font_style + after)


def _template() -> Any:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        t=_both, w=lambda *names, **parts: _both(word(*names, **parts)), word=word,
        labels=lambda words: Markup(both_labels(words)), heads=_heads,
        svg=lambda plot: Markup(svg_chart(plot)), key=lambda series: Markup(svg_key(series)),
        interval=lambda f: Markup(svg_interval(f["value"], f["low"], f["high"])),
        versus=_versus, shown_value=_value, shown_interval=_interval, shown_number=_bare,
        plain_number=_number, sort_value=_sort_value,
    )  # fmt: skip
    return environment.from_string(_shipped("page.html"))


def _shipped(name: str) -> str:
    file = resources.files("ecgpipe.evaluate") / "report" / name
    return file.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _font_style(page: str) -> str:
    """A face with the Japanese letters of this page, for a computer that has none."""
    font = embedded_font(page)
    if font is None:
        return ""
    source = base64.b64encode(font).decode()
    return (
        '@font-face{font-family:"ecgpipe-ja";'
        f'src:url("data:font/woff;base64,{source}") format("woff")}}'
    )


def _both(words: Words) -> Markup:
    """Words in both languages, of which the page shows one."""
    if words["ja"] == words["en"]:
        return Markup(escape(words["en"]))
    return Markup("").join(
        Markup('<span lang="{}">{}</span>').format(language, words[language])
        for language in ("ja", "en")
    )


def _heads(words: Words) -> Markup:
    return Markup('data-head-ja="{}" data-head-en="{}"').format(words["ja"], words["en"])


def _versus(said: Verdict) -> Markup:
    return Markup(svg_versus(said.metric, said.baseline_metric))


def _value(kind: str, metric: Mapping[str, Any]) -> str:
    return (area if kind == "area" else percent)(dict(metric), interval=False)


def _bare(kind: str, value: float) -> str:
    return _value(kind, {"value": value, "low": None, "high": None})


def _interval(kind: str, metric: Mapping[str, Any]) -> str:
    low, high = (_bare(kind, metric[end]).removesuffix(" %") for end in ("low", "high"))
    return f"{low}–{high}"


def _number(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("value")
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _sort_value(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("value")
    return "" if value is None else f"{value:.6g}"


@dataclass(frozen=True)
class _TaskView:
    """What the template shows of one task."""

    name: str
    block: Mapping[str, Any]
    facts: list[Words]
    summary: Table
    classes: Table
    absent: Words | None
    wordings: list[tuple[str, Any]]
    roc: Plot | None
    pr: Plot | None
    reliability: Plot | None
    confusion: dict[str, Any] | None
    mistakes: Table | None
    ece: Words | None
    bins: Table | None
    groups: list[Table]
    variants: Table | None
    variants_about: Words | None


def _view(results: Results, pictures: Mapping[str, bytes], language: str) -> dict[str, Any]:
    tasks = [_task(name, task) for name, task in results["tasks"].items()]
    analyses = list(_analyses(results))
    examples = list(_examples(results, pictures))
    map_view, training = _map(results), _training(results)
    contents: list[tuple[str, Words]] = [("glance", word("sections", "glance"))]
    contents += [(f"task-{n}", task.block["title"]) for n, task in enumerate(tasks, 1)]
    contents += [(block["name"], word("sections", block["name"])) for block in analyses]
    contents += [
        (name, word("sections", name))
        for name, there in (("map", map_view), ("examples", examples), ("training", training))
        if there
    ]
    contents += [(name, word("sections", name)) for name in ("made", "glossary")]
    return {
        "r": results,
        "language": language,
        "contents": contents,
        "glance": list(_glance(results)),
        "weakest": [
            {"title": task["title"], "least": task["min_positives"], "classes": weakest}
            for task in results["tasks"].values()
            if (weakest := weakest_classes(task))
        ],
        "left_out": [
            *results["tasks_left_out"].items(),
            *results.get("analyses_left_out", {}).items(),
        ],
        "tasks": tasks,
        "sentences": SENTENCES,
        "analyses": analyses,
        "map": map_view,
        "examples": examples,
        "training": training,
        "made": list(made_rows(results)),
        "glossary": all_words()["glossary"],
    }


def _glance(results: Results) -> Iterator[dict[str, Any]]:
    for task in results["tasks"].values():
        for number, name in enumerate(headline_metrics(task)):
            yield {
                "title": task["title"],
                "n": task["n"],
                "first": number == 0,
                "metric": metric_words(task["kind"], name),
                "kind": "area" if is_area(name) else "share",
                "verdict": verdict(task, name),
            }


def _task(name: str, task: Mapping[str, Any]) -> _TaskView:
    plots = {
        plot.name.removeprefix(f"{name}-"): plot
        for plot in task_charts(name, task)
        if isinstance(plot, Plot)
    }
    confused = bool(task.get("confusion") and task["confusion"]["n"])
    calibrated = bool(task.get("calibration"))
    variants = variants_table(name, task)
    absent = absent_classes(task)
    return _TaskView(
        name=name,
        block=task,
        facts=list(_facts(task)),
        summary=summary_table(name, task),
        classes=_occurring(classes_table(name, task)),
        absent=joined(absent, LIST) if absent else None,
        wordings=[item for item in task["classes"].items() if item[1].get("wordings")],
        roc=plots.get("roc"),
        pr=plots.get("pr"),
        reliability=plots.get("reliability"),
        confusion=_confusion(task) if confused else None,
        mistakes=mistakes_table(name, task) if confused else None,
        ece=_ece(task["calibration"]) if calibrated else None,
        bins=calibration_table(name, task) if calibrated else None,
        groups=[
            group_table(name, task, *item) for item in task.get("groups", {}).items() if item[1]
        ],
        variants=variants,
        variants_about=joined(list(_variant_names(task)), LIST) if variants else None,
    )


def _variant_names(task: Mapping[str, Any]) -> Iterator[Words]:
    for block, words in (("from_members", "members"), ("adjusted", "adjusted")):
        for how in task.get(block, {}):
            yield word_or_name(words, how)


def _occurring(table: Table) -> Table:
    """The classes that some scored ECG shows, and what one reads first of them.

    The others are listed in a line; the rest of the columns is in the CSV.
    """
    keys = [column.key for column in table.columns]
    chosen = [number for number, key in enumerate(keys) if key not in _LEFT_TO_THE_CSV]
    rows = tuple(
        tuple(row[number] for number in chosen) for row in table.rows if row[keys.index("n")]
    )
    return Table(table.name, table.title, tuple(table.columns[n] for n in chosen), rows)


def _facts(task: Mapping[str, Any]) -> Iterator[Words]:
    split = word_or_name("splits", task["split"])
    classes = len(task["classes"])
    yield word("text", "n_scored", n=f"{task['n']:,}", split=split, classes=classes)
    why = word("text", "why_single" if task["kind"] == "single_label" else "why_multi")
    if task["n_left_out"]:
        yield word("text", "n_left_out", n=f"{task['n_left_out']:,}", why=why)
    enough = sum(entry["n"] >= task["min_positives"] for entry in task["classes"].values())
    yield word("text", "macro_over", least=task["min_positives"], n=enough)
    if "language" in task:
        yield word("text", "asked_in", language=word_or_name("text", task["language"]))
    if any(len(e.get("wordings", ())) > 1 for e in task["classes"].values()):
        yield word("text", "ensemble", how=word_or_name("text", task.get("ensemble", "mean")))


def _confusion(task: Mapping[str, Any]) -> dict[str, Any]:
    ids, counts = confusion_part(task)
    whole = np.array(task["confusion"]["counts"], np.int64)
    of_row = dict(zip(task["confusion"]["classes"], whole.sum(axis=1).tolist(), strict=True))
    rows = [
        {
            "names": class_names(task, truth),
            "n": of_row[truth],
            "cells": [
                {
                    "n": int(n),
                    "right": row == place,
                    "shade": _shade(int(n), of_row[truth]),
                }
                for place, n in enumerate(counts[row])
            ],
        }
        for row, truth in enumerate(ids)
    ]
    return {
        "ids": ids,
        "names": [class_names(task, class_id) for class_id in ids],
        "rows": rows,
        "cut": len(ids) == MOST_CONFUSED < len(confusion_part(task, 10**6)[0]),
    }


def _shade(n: int, total: int) -> int:
    return 0 if not n else max(1, round(_SHADES * n / total))


def _ece(calibration: Mapping[str, Any]) -> Words:
    return word(
        "text",
        "ece",
        value=area(calibration["ece"]),
        before=area(calibration["ece_uncalibrated"]),
        n=f"{calibration['n_val']:,}",
        method=calibration["method"],
    )


def _analyses(results: Results) -> Iterator[dict[str, Any]]:
    for name in ("retrieval", "probe", "neighbours", "robustness"):
        if results.get(name):
            tables: Sequence[Table] = analysis_table(results, name)
            yield {
                "name": name, "about": _about(results, name), "tables": tables,
                "bare": name == "neighbours",
            }  # fmt: skip
    for name in FAILURE_BLOCKS:
        if tables := tuple(failure_tables(results, name)):
            yield {"name": name, "about": None, "tables": tables, "bare": True}


def _about(results: Results, name: str) -> Words:
    block = results[name]
    if name == "retrieval":
        return word(
            "text", "retrieval_about", n=f"{block['n']:,}", distinct=f"{block['distinct_texts']:,}"
        )
    if name == "probe":
        return joined([word("text", "probe_about"), same(block["protocol"])], same(" "))
    if name == "neighbours":
        return word("text", "neighbours_about", k=block["k"])
    task = results["tasks"].get(block["task"])
    return word("text", "robustness_about", task=task["title"] if task else same(block["task"]))


def _map(results: Results) -> dict[str, Any] | None:
    plot = map_chart(results)
    if plot is None:
        return None
    share = sum(results["map"]["explained"][:2])
    return {"plot": plot, "explained": f"{100 * share:.0f} %", "texts": map_texts_table(results)}


def _training(results: Results) -> dict[str, Any] | None:
    plot = training_chart(results)
    return {"plot": plot, "table": training_table(results)} if plot else None


def _examples(results: Results, pictures: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    for name, chosen in results.get("examples", {}).items():
        task = results["tasks"].get(name)
        if task and chosen:
            yield {
                "title": task["title"],
                "n_classes": len(task["classes"]),
                "chosen": [_example(task, one, pictures.get(one["record_id"])) for one in chosen],
            }


def _example(
    task: Mapping[str, Any], one: Mapping[str, Any], picture: bytes | None
) -> dict[str, Any]:
    findings = [class_names(task, finding) for finding in one["findings"]]
    truth = joined(findings, LIST)
    kind = word("examples", one["kind"])
    width, height = png_size(picture) if picture else (0, 0)
    return {
        **one,
        "findings": findings,
        "top": [
            {
                "names": class_names(task, candidate["id"]),
                "score": candidate["score"],
                "right": candidate["id"] in one["findings"],
            }
            for candidate in one["top"]
        ],
        "picture": f"data:image/png;base64,{base64.b64encode(picture).decode()}" if picture else "",
        "width": width,
        "height": height,
        "alt": word("text", "drawing_alt", id=one["record_id"], kind=kind, truth=truth),
    }


def png_size(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG in pixels. Source: PNG specification, section 11.2.2 (IHDR)."""
    width, height = struct.unpack(">II", picture[16:24])
    return int(width), int(height)


def made_rows(results: Results) -> Iterator[tuple[Words, Words]]:
    """What the metrics were made of, and how."""
    data, text = results["data"], results["text"]
    training, made = results["training"], results["provenance"]
    say = partial(word, "made")
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in data["rejected_by_reason"].items())
    splits = [
        {lang: f"{word_or_name('splits', name)[lang]} {n:,}" for lang in ("ja", "en")}
        for name, n in data["splits"].items()
    ]
    notes = ", ".join(f"{name} {n:,}" for name, n in data["notes"].items())
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    commit = f" ({made['git_commit']})" if made.get("git_commit") else ""
    yield say("planned"), same(f"{data['planned']:,}")
    yield say("prepared"), same(f"{data['prepared']:,}")
    yield say("patients"), same(f"{data['patients']:,}")
    yield say("rejected"), same(f"{data['rejected']:,}" + (f" ({reasons})" if reasons else ""))
    yield say("splits"), joined(splits, LIST)
    yield say("notes"), same(notes or "–")
    yield say("distinct"), same(f"{text['distinct']:,}")
    yield say("language_model"), same(text["model"])
    yield say("prompt"), same(text["prompt"])
    yield say("epochs"), same(f"{training['epochs']:,}")
    best = metric_words("multi_label", training["best_by"])
    yield (
        say("best_epoch"),
        {lang: f"{training['best_epoch']} ({best[lang]})" for lang in ("ja", "en")},
    )
    yield say("version"), same(f"{made['ecgpipe']}{commit}")
    yield say("created"), same(made["created"])
    yield say("packages"), same(f"Python {made['python']}, {packages}")
    yield say("vectors"), same(text["fingerprint"][:16])
    yield say("settings"), say("settings_where")
