"""The report in all its forms: page, Markdown, CSV, charts, terminal; and the results' schema."""

import base64
import copy
import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from markdown_it import MarkdownIt
from matplotlib.ft2font import FT2Font
from matplotlib.image import imread
from results_example import NOTHING, PIXEL, SCHEMA, check_schema, check_words, example_results
from rich.cells import cell_len
from rich.console import Console
from sklearn.decomposition import PCA

from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.plot import CountGrid
from ecgpipe.drawing.plot_rendering import render_plot
from ecgpipe.drawing.web_font import embedded_font
from ecgpipe.errors import StoreError
from ecgpipe.evaluate.analyses.examples import choose_examples
from ecgpipe.evaluate.analyses.joint_map import embedding_map, mapped_records
from ecgpipe.evaluate.report.charts import all_charts, confusion_part
from ecgpipe.evaluate.report.csv_files import table_csv
from ecgpipe.evaluate.report.html import render_html
from ecgpipe.evaluate.report.markdown import markdown, render_report
from ecgpipe.evaluate.report.page import png_size
from ecgpipe.evaluate.report.tables import all_tables
from ecgpipe.evaluate.report.terminal import print_results
from ecgpipe.evaluate.report.verdict import verdict
from ecgpipe.evaluate.results import read_results, write_results
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.table import Table, area, column, number
from ecgpipe.evaluate.tasks.task import Task, TaskClass
from ecgpipe.evaluate.words import all_words, same


def metric(value: float | None, low: float | None = None, high: float | None = None) -> dict:
    return {"value": value, "low": low, "high": high}


def task_with(model: dict | None, **baselines: dict) -> dict:
    return {
        "summary": {"macro_auroc": model},
        "baselines": {name: {"summary": {"macro_auroc": f}} for name, f in baselines.items()},
    }


@pytest.mark.parametrize(
    ("model", "baseline", "light"),
    [
        (metric(0.8, 0.71, 0.9), metric(0.6, 0.5, 0.7), "green"),
        (metric(0.8, 0.7, 0.9), metric(0.6, 0.5, 0.7), "amber"),  # they touch
        (metric(0.8, None, None), metric(0.6, 0.5, 0.7), "amber"),  # no interval is no proof
        (metric(0.8, 0.7, 0.9), metric(0.6, None, None), "green"),
        (metric(0.6, 0.5, 0.7), metric(0.6, 0.5, 0.7), "red"),
        (metric(0.5, 0.4, 0.55), metric(0.6, 0.5, 0.7), "red"),
        (NOTHING, metric(0.6, 0.5, 0.7), "none"),
        (None, metric(0.6, 0.5, 0.7), "none"),
        (metric(0.6, 0.5, 0.7), NOTHING, "none"),
    ],
)
def test_the_light_says_whether_the_best_baseline_is_beaten(
    model: dict | None, baseline: dict, light: str
) -> None:
    weaker = metric(0.1, 0.0, 0.99)  # a wide interval does not make it the best
    said = verdict(task_with(model, random_encoder=weaker, class_prior=baseline), "macro_auroc")
    if baseline["value"] is not None:
        assert (said.light, said.baseline) == (light, "class_prior")
    assert verdict(task_with(model, class_prior=baseline), "macro_auroc").light == light


def test_the_example_fits_the_schema_and_mistakes_do_not() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    results = example_results()
    check_schema(results)
    for path, value in (
        (("format",), "ecgpipe-results/2"),
        (("tasks", "findings", "n"), -1),
        (("tasks", "findings", "summary", "macro_auroc"), {"value": 1}),
        (("tasks", "findings", "classes", "1", "names"), {"ja": "正常"}),
        (("tasks", "findings", "curves", "1", "roc", "fpr"), [0.0] * 102),
        (("tasks", "findings", "calibration", "sigmoids", "1"), {"slope": 1}),
        (("tasks", "superclass", "calibration", "scale"), 0),
        (("analyses", "examples", "findings", 0, "kind"), "odd"),
        (("analyses", "map", "ecgs", 0, "patient"), "p1"),
    ):
        wrong = copy.deepcopy(results)
        place: Any = wrong
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        with pytest.raises(jsonschema.ValidationError):
            check_schema(wrong)


def test_a_results_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, example_results())
    assert read_results(path) == example_results()
    path.write_text(json.dumps(example_results() | {"format": "ecgpipe-results/9"}))
    with pytest.raises(StoreError, match="'ecgpipe-results/9'; this version reads"):
        read_results(path)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_closed_and_its_rule_names_its_own_style_and_script() -> None:
    page = render_html(example_results(), {"00017": PIXEL})
    parsed = _Page()
    parsed.feed(page)
    (policy,) = (a["content"] or "" for _, a in parsed.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        for content in re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    for tag, attributes in parsed.tags:
        assert "style" not in attributes  # the rule would refuse it
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")
        if tag == "img" and attributes.get("class") != "plot":
            assert "00017" in (attributes["alt"] or "")
        assert tag != "img" or attributes["alt"]
    assert len(page) < 5_000_000


def test_what_stands_in_the_results_cannot_run_in_the_page() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u0000"
    results = example_results()
    results["run"] = results["notice"] = evil
    results["tasks"]["findings"]["classes"]["1"]["names"] = same(evil)
    results["tasks"]["findings"]["classes"]["1"]["wordings"] = [evil]
    results["tasks"]["findings"]["title"] = same(evil)
    results["analyses"]["measurements"]["findings"][0]["criterion"] = evil
    results["analyses"]["examples"]["findings"][0]["record_id"] = evil
    page = render_html(results, {evil: PIXEL})
    parsed = _Page()
    parsed.feed(page)
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)


def test_what_stands_in_the_results_cannot_run_where_markdown_is_rendered_with_html() -> None:
    evil = "<script>alert(1)</script> [x](javascript:alert(1)) <img src=x onerror=alert(1)> a & b"
    results = example_results()
    results["run"] = results["notice"] = evil
    task = results["tasks"]["findings"]
    task["source"] = evil
    task["title"] = task["classes"]["1"]["names"] = same(evil)
    results["tasks_left_out"] = {evil: evil}
    rendered = (
        MarkdownIt("commonmark", {"html": True}).enable("table").render(render_report(results))
    )
    parsed = _Page()
    parsed.feed(rendered)
    assert {tag for tag, _ in parsed.tags} <= {
        "h1", "h2", "h3", "p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td"
    }  # fmt: skip
    assert rendered.count("a &amp; b") == render_report(results).count("a &amp; b") >= 5


def test_the_same_results_give_the_same_page() -> None:
    assert render_html(example_results()) == render_html(example_results())


def test_every_word_of_the_report_is_there_in_both_languages() -> None:
    def leaves(entry: Any) -> Any:
        if isinstance(entry, dict) and set(entry) != {"ja", "en"}:
            for inner in entry.values():
                yield from leaves(inner)
        elif isinstance(entry, list):
            for inner in entry:
                yield from leaves(inner)
        else:
            yield entry

    for words in leaves(all_words()):
        assert words["ja"].strip()
        assert words["en"].strip()
        holes = [set(re.findall(r"\{(\w+)\}", words[language])) for language in ("ja", "en")]
        assert holes[0] == holes[1], words
        assert not re.search("[ぁ-ヿ一-鿿]", words["en"]), words


def test_every_word_of_a_table_or_chart_is_there_in_both_languages() -> None:
    check_words(example_results())


def test_the_embedded_font_has_the_letters_of_the_page_and_hardly_more(tmp_path: Path) -> None:
    font = embedded_font("心室期外収縮 abc 正常")
    assert font is not None
    assert len(font) < 20_000
    from fontTools.ttLib import TTFont

    face = TTFont(io.BytesIO(font))
    face.flavor = None
    face.save(tmp_path / "font.ttf")
    drawn = FT2Font(str(tmp_path / "font.ttf"))
    assert all(drawn.get_char_index(ord(letter)) for letter in "心室期外収縮正常")
    assert not drawn.get_char_index(ord("梗"))
    assert embedded_font("only Latin") is None


def test_a_csv_table_reads_back_and_holds_no_formula() -> None:
    table = Table(
        "t",
        same("t"),
        (column("id", "text"), column("class", "words"), column("n", "count"),
         column("auroc", "area"), column("x", "number")),
        (("=1+1", {"ja": "@SUM(A1)", "en": " -2"}, 3, metric(0.1234567890123, None, 1.0), -0.5),),
    )  # fmt: skip
    content = table_csv(table)
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert rows[0] == ["id", "class_ja", "class_en", "n", "auroc", "auroc_low", "auroc_high", "x"]
    assert rows[1] == ["'=1+1", "'@SUM(A1)", "' -2", "3", "0.1234567890123", "", "1.0", "-0.5"]


def test_every_table_of_the_example_has_the_cells_of_its_columns() -> None:
    tables = list(all_tables(example_results()))
    names = [table.name for table in tables]
    assert len(set(names)) == len(names)
    assert {"findings-confusion", "superclass-by-age", "robustness", "map-ecgs", "training",
            "findings-roc", "probe", "retrieval", "findings-examples"} <= set(names)  # fmt: skip
    for table in tables:
        rows = list(csv.reader(io.StringIO(table_csv(table).decode("utf-8-sig"))))
        assert len(rows) == 1 + len(table.rows)
        assert {len(row) for row in rows} == {len(rows[0])}, table.name
    (classes,) = (t for t in tables if t.name == "findings-classes")
    assert [row[0] for row in classes.rows][-1] == "44"  # no ECG shows it, and it is still there


def test_why_a_model_fails_stands_in_tables_with_names() -> None:
    tables = {table.name: table for table in all_tables(example_results())}
    (finding,) = tables["measurements-findings"].rows
    assert finding[0]["ja"] == "QT延長"
    assert finding[1]["en"] == "QTc (ms)"
    (pair, *_) = tables["text_space-opposites"].rows
    assert (pair[0]["en"], pair[1]["en"]) == ("Sinus bradycardia", "Prolonged QT interval")
    confused = tables["failures-findings-taken_for"].rows[0]
    assert confused[0]["ja"] == "左室肥大"
    assert confused[3]["low"] < confused[3]["value"]
    assert tables["failures-findings-by_coarse_class"].rows[0][-1] == {
        "ja": "HYP 3、分類なし 2",
        "en": "HYP 3, none 2",
    }
    fewer = example_results()
    for name in ("measurements", "text_space", "failures"):
        del fewer["analyses"][name]
    assert not [t for t in all_tables(fewer) if t.name.startswith(("measure", "text_", "fail"))]


def test_the_markdown_has_every_block_and_rows_like_their_header() -> None:
    report = render_report(example_results())
    for words in ("## Retrieval", "## Linear probe", "## Nearest neighbours", "## Robustness",
                  "## Text space", "Confused findings", "| ● above baseline |",
                  "| shuffled text |", "○ not above",
                  "Expected calibration error .060 (.040–.080), before calibration .190",
                  "Task form was left out", "Analysis probe was left out",
                  "Confidently wrong"):  # fmt: skip
        assert words in report
    for block in re.findall(r"(?:^\|.*\n)+", report, re.MULTILINE):
        assert len({line.count("|") - line.count("\\|") for line in block.splitlines()}) == 1, block


def test_the_markdown_and_the_tables_of_the_terminal_are_japanese_if_asked_for() -> None:
    results = example_results()
    results["tasks_left_out"]["form"] = "no task has an ECG to score"
    report = render_report(results, "ja")
    for words in (
        "## 基準との比較",
        "test データの心電図 192 件、候補 10 クラス。除外 13 件（該当クラスなし）。",
        "| 指標 | モデル | 未学習エンコーダ |",
        "課題 form は除外しました：採点する心電図のある課題がありません。",
        "| 除外した記録 |",
        "研究用です。",
    ):
        assert words in report
    file = io.StringIO()
    print_results(results, Console(file=file, width=100), "ja")
    shown = file.getvalue()
    assert "test データの心電図 192 件" in shown
    assert max(map(cell_len, shown.splitlines())) <= 100
    assert not re.search(r"[a-z]{3,} [a-z]{3,} [a-z]{3,}", shown.replace(results["notice"], ""))


def test_reasons_notes_and_what_was_left_out_are_japanese_on_the_page() -> None:
    results = example_results()
    results["data"]["rejected_by_reason"] = {"too short": 3, "units": 1}
    results["data"]["notes"] = {"limb lead derived": 12, "clipping": 2}
    results["analyses_left_out"] = {"subgroups": "no record has sex, age or site"}
    page = render_html(results, {})
    for words in (
        "（短すぎる 3、単位 1）",
        "(too short 3, units 1)",
        "四肢誘導を計算 12、振り切れ 2",
        "limb lead derived 12, clipping 2",
        "性別、年齢、施設の書かれた記録がありません",
        "no record has sex, age or site",
    ):
        assert words in page


def test_the_terminal_tables_fit_into_100_columns() -> None:
    file = io.StringIO()
    print_results(example_results(), Console(file=file, width=100))
    text = file.getvalue()
    for words in ("any-hit@1", "shuffled text", "AUPRC", "F1", "class prior", "完全右脚ブロック"):
        assert words in text
    assert "…" not in text  # nothing is cut


def test_a_number_of_any_size_is_shown_with_its_interval() -> None:
    table = Table(
        "t",
        same("t"),
        (column("id", "text"), column("x", "number")),
        (("a", metric(-1.23456, -2, 0.5)), ("b", 12345.678), ("c", -0.0), ("d", NOTHING)),
    )
    assert markdown(table).splitlines()[2:] == [
        "| a | -1.235 (-2 to 0.5) |", "| b | 12,346 |", "| c | 0 |", "| d | – |",
    ]  # fmt: skip
    rows = list(csv.reader(io.StringIO(table_csv(table).decode("utf-8-sig"))))
    assert rows[:2] == [["id", "x", "x_low", "x_high"], ["a", "-1.23456", "-2", "0.5"]]
    assert rows[2] == ["b", "12345.678", "", ""]
    assert " 0.08 (0.03–0.13) " in render_report(example_results())
    page = re.sub(r"<[^>]+>", "", render_html(example_results()))
    assert re.search(r"0\.08\s+0\.03–0\.13", page)


def test_an_interval_with_a_negative_end_can_be_read() -> None:
    assert number({"value": -0.65, "low": -0.9, "high": -0.4}) == "-0.65 (-0.9 to -0.4)"
    assert number({"value": 0.5, "low": 0.4, "high": 0.6}) == "0.5 (0.4–0.6)"
    assert area({"value": -0.0123, "low": -0.0004, "high": 0.5}) == "-.012 (.000 to .500)"


@pytest.mark.parametrize("format", ["png", "svg"])
def test_charts_are_drawn_alike_each_time(format: Any) -> None:
    metrics = list(all_charts(example_results()))
    names = {metric.name for metric in metrics}
    assert len(names) == len(metrics)  # the page and the files share charts by name
    each = ("roc", "pr", "confusion", "reliability")
    assert names == {"map", "training"} | {
        f"{task}-{what}" for task in ("findings", "superclass") for what in each
    }
    fonts = find_fonts()
    chosen = [f for f in metrics if f.name in ("findings-roc", "findings-confusion", "map")]
    for place, each_metric in enumerate(chosen):
        content = render_plot(each_metric, fonts, "ja", format)
        assert place or content == render_plot(each_metric, fonts, "ja", format)
        if format == "png":
            width, height = png_size(content)
            assert width == 896
            assert 500 < height < 2000
        else:
            assert b"<text" not in content  # letters are outlines


def test_a_dollar_in_a_name_is_no_formula() -> None:
    results = example_results()
    results["tasks"]["findings"]["classes"]["1"]["names"] = same("costs $5 or $6")
    roc = next(f for f in all_charts(results) if f.name == "findings-roc")
    assert render_plot(roc, find_fonts(), "en", "svg")


def test_only_the_commonest_classes_of_a_large_confusion_matrix_are_drawn() -> None:
    n = 20
    counts = np.zeros((n, n), int)
    counts[np.arange(n), np.arange(n)] = np.arange(n)  # class 0 occurs nowhere
    confusion: Any = {"classes": [str(i) for i in range(n)], "counts": counts.tolist()}
    ids, shown = confusion_part(confusion, 3)
    assert ids == ["19", "18", "17"]
    assert shown.tolist() == [[19, 0, 0], [0, 18, 0], [0, 0, 17]]
    assert "0" not in confusion_part(confusion, 100)[0]


def scored(scores: Any, truth: Any, chosen: Any = None) -> ScoredTask:
    scores_NC = np.array(scores, np.float32)
    classes = tuple(
        TaskClass(id_, same(id_), frozenset({id_})) for id_ in "ABCDEFGH"[: scores_NC.shape[1]]
    )
    chosen_N = np.ones(len(scores_NC), bool) if chosen is None else np.array(chosen, bool)
    task = Task("t", same("t"), "s", "multi_label", classes)
    return ScoredTask(task, chosen_N, scores_NC, np.array(truth, bool))


def test_the_chosen_examples_are_those_worked_by_hand() -> None:
    given = scored(
        [
            [0.9, 0.1, 0.2],  # right, lead 0.7
            [0.9, 0.8, 0.1],  # right, lead 0.1
            [0.5, 0.4, 0.1],  # wrong, truth third, sure by 0.1
            [0.9, 0.2, 0.1],  # wrong, truth second, sure by 0.7
            [0.0, 0.0, 1.0],  # not scored
            [0.9, 0.8, 0.7],  # all three are true: nothing to be told apart
        ],
        [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1]],
        [1, 1, 1, 1, 0, 1],
    )
    found = choose_examples(given, list("abcdef"))
    assert [(e["kind"], e["record_id"], e["rank_of_truth"]) for e in found] == [
        ("best", "a", 1),
        ("worst", "c", 3),
        ("confidently_wrong", "d", 2),
    ]
    assert found[0]["findings"] == ["A"]
    assert [candidate["id"] for candidate in found[1]["top"]] == ["A", "B", "C"]
    assert len(choose_examples(given, list("abcdef"), 5)) == 4  # each ECG once, and no others
    assert choose_examples(scored(np.zeros((0, 3)), np.zeros((0, 3))), []) == []


def test_the_map_is_the_principal_components_of_another_library() -> None:
    rng = np.random.default_rng(0)
    ecgs = rng.normal(size=(40, 6)).astype(np.float32) * np.array([5, 3, 1, 1, 1, 1], np.float32)
    texts = rng.normal(size=(4, 6)).astype(np.float32)
    truth = np.eye(4, dtype=bool)[rng.integers(0, 4, 40)]
    truth[0] = [True, True, False, False]
    given = scored(ecgs @ texts.T, truth)
    made = embedding_map(ecgs, texts, given, list(range(40)))
    centred = [side - side.mean(axis=0) for side in (ecgs, texts)]
    both = np.concatenate([side / np.sqrt(len(side)) for side in centred])
    oracle = PCA(6).fit(both)
    np.testing.assert_allclose(made["explained"], oracle.explained_variance_ratio_[:2], rtol=1e-5)
    points = np.array([(e["x"], e["y"]) for e in made["ecgs"]])
    expected = centred[0] @ oracle.components_[:2].T
    for side in (0, 1):  # a component has no sign
        same_way = np.sign(points[0, side]) == np.sign(expected[0, side])
        signed = expected[:, side] if same_way else -expected[:, side]
        np.testing.assert_allclose(points[:, side], signed, atol=2e-5)
    assert made["ecgs"][0]["class"] is None  # it shows two
    nearest = (ecgs @ texts.T).argmax(axis=1)
    assert [e["right"] for e in made["ecgs"]] == truth[np.arange(40), nearest].tolist()
    assert [t["id"] for t in made["texts"]] == list("ABCD")


def test_a_large_split_is_mapped_in_part_and_in_the_same_part() -> None:
    given = scored(np.zeros((300, 3)), np.ones((300, 3)), np.arange(300) % 3 > 0)
    first = mapped_records(given, seed=1, most=50)
    assert len(set(first.tolist())) == 50
    assert given.chosen_N[first].all()
    assert (first == mapped_records(given, seed=1, most=50)).all()
    assert len(mapped_records(given, seed=1)) == 200


def test_the_axis_titles_of_the_confusion_matrix_stand_where_rows_and_columns_are() -> None:
    """That of the rows is turned and at the left of the matrix, that of the columns above it."""
    names = tuple(same(name) for name in "abc")
    title = {"ja": "表", "en": "m"}
    grid = CountGrid("g", title, same(""), same(""), same(""), names, np.eye(3, dtype=np.int64))

    def ink(rows: str, columns: str) -> tuple[int, int]:
        """Dark pixels in the strip at the left, and in the lines above the columns' names."""
        drawn = replace(grid, rows=same(rows), columns=same(columns))
        png = render_plot(drawn, find_fonts(), "en", "png")
        dark = imread(io.BytesIO(png), format="png")[..., :3].mean(axis=2) < 0.5
        high, wide = dark.shape
        return int(dark[:, : wide // 20].sum()), int(dark[high // 25 : high // 10].sum())

    left, above = ink("", "")
    assert ink("ROWS", "")[0] > left == 0
    assert ink("ROWS", "")[1] == above
    assert ink("", "COLUMNS")[1] > above
    assert ink("", "COLUMNS")[0] == 0
