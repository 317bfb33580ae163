"""Results -> what the page shows, section by section.

Owns which sections the page has and what is in each. How they look is page.html's.
"""

import base64
import struct
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ecgpipe.drawing.plot import Plot
from ecgpipe.evaluate.analyses.registry import ANALYSES
from ecgpipe.evaluate.report.charts import (
    MOST_CONFUSED,
    analysis_charts,
    confusion_part,
    task_charts,
    training_chart,
)
from ecgpipe.evaluate.report.tables import (
    absent_classes,
    analysis_tables,
    calibration_table,
    classes_table,
    mistakes_table,
    summary_table,
    training_table,
    variants,
    variants_table,
    weakest_classes,
)
from ecgpipe.evaluate.report.verdict import verdict
from ecgpipe.evaluate.results import (
    NO_SCORES,
    Calibration,
    Confusion,
    Results,
    TaskResults,
    has_enough,
    headline_metrics,
)
from ecgpipe.evaluate.table import Table, area, is_area
from ecgpipe.evaluate.words import (
    LANGUAGES,
    LIST,
    SENTENCES,
    Words,
    all_words,
    both,
    class_names,
    in_both,
    joined,
    metric_words,
    same,
    word,
    word_or_name,
)

_SHADES = 8
_ONLY_IN_CSV = ("n_val", "prevalence", "threshold")


def page_view(results: Results, pictures: Mapping[str, bytes], language: str) -> dict[str, Any]:
    """The variables of page.html."""
    tasks = [_task(name, task) for name, task in results["tasks"].items()]
    analyses = [_analysis(results, name, pictures) for name in results["analyses"]]
    if plot := training_chart(results):
        tables = [training_table(results)]
        analyses.append(_section("training", word("sections", "training"), [plot], tables))
    return {
        "r": results,
        "language": language,
        "contents": [
            ("glance", word("sections", "glance")),
            *((f"task-{n}", task["block"]["title"]) for n, task in enumerate(tasks, 1)),
            *((each["name"], each["title"]) for each in analyses),
            *((name, word("sections", name)) for name in ("made", "glossary")),
        ],
        "glance": list(_glance(results)),
        "weakest": [
            {"title": task["title"], "least": task["min_positives"], "classes": weakest}
            for task in results["tasks"].values()
            if (weakest := weakest_classes(task))
        ],
        "left_out": [
            (name, in_both(why))
            for left_out in (results["tasks_left_out"], results["analyses_left_out"])
            for name, why in left_out.items()
        ],
        "tasks": tasks,
        "sentences": SENTENCES,
        "analyses": analyses,
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


def _task(name: str, task: TaskResults) -> dict[str, Any]:
    charts = {
        chart.name.removeprefix(f"{name}-"): chart
        for chart in task_charts(name, task)
        if isinstance(chart, Plot)
    }
    confusion, calibration = task["confusion"], task["calibration"]
    absent = absent_classes(task)
    return {
        "name": name,
        "block": task,
        "facts": list(_facts(task)),
        "summary": summary_table(name, task),
        "classes": _occurring(classes_table(name, task)),
        "absent": joined(absent, LIST) if absent else None,
        "charts": charts,
        "confusion": _confusion(confusion, task) if confusion else None,
        "mistakes": mistakes_table(name, confusion, task) if confusion else None,
        "ece": _ece(calibration) if calibration else None,
        "bins": calibration_table(name, calibration) if calibration else None,
        "variants": variants_table(name, task),
        "variants_about": joined([words for words, _ in variants(task)], LIST),
    }


def _occurring(table: Table) -> Table:
    """The classes that some scored ECG shows, with the columns that one reads first."""
    keys = [column.key for column in table.columns]
    chosen = [number for number, key in enumerate(keys) if key not in _ONLY_IN_CSV]
    rows = tuple(
        tuple(row[number] for number in chosen) for row in table.rows if row[keys.index("n")]
    )
    return Table(table.name, table.title, tuple(table.columns[n] for n in chosen), rows)


def _facts(task: TaskResults) -> Iterator[Words]:
    split = word_or_name("splits", task["split"])
    classes = len(task["classes"])
    yield word("text", "n_scored", n=f"{task['n']:,}", split=split, classes=classes)
    why = word("why_left_out", task["kind"])
    if task["n_left_out"]:
        yield word("text", "n_left_out", n=f"{task['n_left_out']:,}", why=why)
    least = task["min_positives"]
    enough = sum(has_enough(entry, least) for entry in task["classes"].values())
    over = "macro_over_known" if task["kind"] == "partly_known" else "macro_over"
    yield word("text", over, least=least, n=enough)
    answer = task["baselines"].get("blank_ecg", NO_SCORES).get("answer")
    if answer is not None:
        yield word("text", "blank_answer", answer=class_names(task, answer))
    yield word("text", "asked_in", language=word_or_name("text", task["language"]))
    if any(len(entry["wordings"]) > 1 for entry in task["classes"].values()):
        yield word("text", "ensemble", how=word_or_name("text", task["ensemble"]))


def _confusion(confusion: Confusion, task: TaskResults) -> dict[str, Any]:
    ids, counts = confusion_part(confusion)
    whole = np.array(confusion["counts"], np.int64)
    of_row = dict(zip(confusion["classes"], whole.sum(axis=1).tolist(), strict=True))
    rows = [
        {
            "names": class_names(task, truth),
            "n": of_row[truth],
            "cells": [
                {"n": int(n), "right": row == place, "shade": _shade(int(n), of_row[truth])}
                for place, n in enumerate(counts[row])
            ],
        }
        for row, truth in enumerate(ids)
    ]
    occurring = len(confusion_part(confusion, len(confusion["classes"]))[0])
    names = [class_names(task, class_id) for class_id in ids]
    return {"names": names, "rows": rows, "cut": len(ids) == MOST_CONFUSED < occurring}


def _shade(n: int, total: int) -> int:
    return 0 if not n else max(1, round(_SHADES * n / total))


def _ece(calibration: Calibration) -> Words:
    return word(
        "text",
        "ece",
        value=area(calibration["ece"]),
        before=area(calibration["ece_uncalibrated"]),
        n=f"{calibration['n_val']:,}",
        method=word("calibration", calibration["method"]),
    )


def _analysis(results: Results, name: str, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    block, tasks = results["analyses"][name], results["tasks"]
    is_examples = name == "examples"  # shown with their pictures instead of in tables
    tables = [] if is_examples else analysis_tables(results, name)
    section = _section(name, ANALYSES[name].title, analysis_charts(results, name), tables)
    section["about"] = ANALYSES[name].about(block, tasks)
    section["examples"] = [
        {
            "title": tasks[task]["title"],
            "n_classes": len(tasks[task]["classes"]),
            "chosen": [_example(tasks[task], e, pictures.get(e["record_id"])) for e in chosen],
        }
        for task, chosen in (block.items() if is_examples else ())
        if chosen
    ]
    return section


def _section(name: str, title: Words, charts: list[Plot], tables: list[Table]) -> dict[str, Any]:
    """One analysis, or the training: charts, tables shown at once, tables shown on a click."""
    return {
        "name": name,
        "title": title,
        "about": None,
        "charts": charts,
        "open": [table for table in tables if table.place == "open"],
        "folded": [table for table in tables if table.place == "folded"],
        "examples": [],
    }


def _example(task: TaskResults, one: Mapping[str, Any], picture: bytes | None) -> dict[str, Any]:
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


def _counted(counts: Mapping[str, int]) -> Words:
    """Reasons or notes, each with how many records have it."""
    parts = [in_both(name) for name in counts]
    return joined(
        [
            {lang: f"{part[lang]} {n:,}" for lang in LANGUAGES}
            for part, n in zip(parts, counts.values(), strict=True)
        ],
        LIST,
    )


def made_rows(results: Results) -> Iterator[tuple[Words, Words]]:
    """The data, texts, training and versions behind the metrics."""
    data, text = results["data"], results["text"]
    training, made = results["training"], results["provenance"]
    say = partial(word, "made")
    reasons = _counted(data["rejected_by_reason"])
    splits = [
        {lang: f"{word_or_name('splits', name)[lang]} {n:,}" for lang in ("ja", "en")}
        for name, n in data["splits"].items()
    ]
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    commit = f" ({made['git_commit']})" if made.get("git_commit") else ""
    yield say("planned"), same(f"{data['planned']:,}")
    yield say("prepared"), same(f"{data['prepared']:,}")
    yield say("patients"), same(f"{data['patients']:,}")
    n = f"{data['rejected']:,}"
    brackets = both("{}（{}）", "{} ({})")
    yield (
        say("rejected"),
        {
            lang: brackets[lang].format(n, reasons[lang]) if reasons[lang] else n
            for lang in LANGUAGES
        },
    )
    yield say("splits"), joined(splits, LIST)
    yield say("notes"), _counted(data["notes"]) if data["notes"] else same("–")
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
