"""report.html as a reader has it: opened from a disk, in a real browser, with nothing to fetch."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, find_chromium
from results_example import FINDINGS, PIXEL, check_schema, example_results
from toy_experiment import Experiment

from ecgpipe.evaluate.report.html import render_html

_ROWS = "[...document.querySelectorAll('#task-1 table.sortable tbody tr')]"
_IDS = f"{_ROWS}.map(row => row.cells[0].textContent)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Browser(program, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("報告 share") / "report.html"
    pictures = {
        one["record_id"]: PIXEL for one in example_results()["analyses"]["examples"]["findings"]
    }
    path.write_text(render_html(example_results(), pictures), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.size(1280, 900)
    browser.open(page.as_uri())
    return browser


def nothing_fetched_and_nothing_wrong(browser: Browser, path: Path) -> None:
    asked = [url for url in browser.requests() if not url.startswith("data:")]
    assert asked == [path.as_uri()]
    assert browser.complaints() == []


def test_it_opens_without_a_request_or_a_complaint(opened: Browser, page: Path) -> None:
    nothing_fetched_and_nothing_wrong(opened, page)
    assert opened.run("document.querySelectorAll('.drawing img').length") == 3
    charts = 2 * 3 + 2  # ROC, PR, reliability twice; map, training
    assert opened.run("document.querySelectorAll('img.plot').length") == 2 * charts
    assert opened.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_a_click_on_a_column_sorts_by_it_and_a_second_turns_it_round(opened: Browser) -> None:
    by_n = [row[0] for row in sorted(FINDINGS, key=lambda row: row[3]) if row[3]]
    by_area = [row[0] for row in sorted(FINDINGS, key=lambda row: -row[4]) if row[3]]
    head = "#task-1 table.sortable th button"
    texts = opened.run(f"[...document.querySelectorAll('{head}')].map(b => b.innerText)")
    n, area = texts.index("件数"), texts.index("AUROC")
    sorts = "[...document.querySelectorAll('#task-1 .sortable thead th')].map(h => h.ariaSort)"
    opened.press(head, area)
    assert opened.run(_IDS) == by_area
    assert opened.run(sorts)[area] == "descending"
    opened.press(head, n)
    opened.press(head, n)
    assert opened.run(_IDS) == by_n
    assert [place for place, how in enumerate(opened.run(sorts)) if how != "none"] == [n]
    opened.press(head, 0)
    assert opened.run(_IDS) == sorted(by_n, key=int)  # 4 before 37


def test_the_keyboard_sorts_too(opened: Browser) -> None:
    before = opened.run(_IDS)
    opened.run("document.querySelectorAll('#task-1 table.sortable th button')[0].focus()")
    opened.key("Enter", 13, "\r")
    assert opened.run(_IDS) == sorted(before, key=int)


def test_rows_without_a_metric_stay_at_the_end(browser: Browser, tmp_path: Path) -> None:
    results = example_results()
    results["tasks"]["findings"]["classes"]["37"]["auroc"] = None
    path = tmp_path / "report.html"
    path.write_text(render_html(results), encoding="utf-8")
    browser.open(path.as_uri())
    head = "#task-1 table.sortable th button"
    texts = browser.run(f"[...document.querySelectorAll('{head}')].map(b => b.innerText)")
    for _ in range(2):
        browser.press(head, texts.index("AUROC"))
        assert browser.run(_IDS)[-1] == "37"


def test_the_switch_changes_every_word_and_no_other(opened: Browser, page: Path) -> None:
    def seen() -> tuple[str, str]:
        heads = opened.run("[...document.querySelectorAll('h2,h3')].map(h => h.innerText).join()")
        return heads, opened.run(f"{_ROWS}.map(row => row.cells[1].innerText).join()")

    heads, names = seen()
    assert "要約" in heads
    assert "完全右脚ブロック" in names
    opened.press("[data-say=en]")
    heads, names = seen()
    assert "At a glance" in heads
    assert "Complete right bundle branch block" in names
    whole = opened.run("document.querySelector('#task-1').innerText")
    assert not any("ぁ" <= letter <= "ヿ" or "一" <= letter <= "鿿" for letter in heads + whole)
    assert opened.run("document.documentElement.lang") == "en"
    assert opened.run("document.title") == "example-hospital: evaluation"
    drawing = "document.querySelector('.drawing img').alt"
    assert opened.run(drawing).startswith("Twelve-lead drawing of record 00017")
    chart = "[...document.querySelectorAll('#task-1 img.plot')].find(i => i.checkVisibility()).alt"
    assert opened.run(chart).startswith("Findings: ROC curves")
    opened.press("[data-say=ja]")
    assert seen()[0].startswith("要約")
    assert opened.run(chart).startswith("所見：ROC曲線")
    nothing_fetched_and_nothing_wrong(opened, page)


def test_japanese_is_drawn_where_no_font_of_the_system_has_it(opened: Browser) -> None:
    loaded = "[...document.fonts].map(f => f.family + ' ' + f.status)"
    opened.run("document.fonts.load('16px ecgpipe-ja', '心').then(() => true)")
    assert opened.run(loaded) == ["ecgpipe-ja loaded"]


def test_a_phone_never_scrolls_the_page_sideways(opened: Browser) -> None:
    opened.size(390, 844, phone=True)
    for language in ("ja", "en"):
        opened.press(f"[data-say={language}]")
        opened.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
        width, inner = opened.run("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= inner == 390


def test_what_is_folded_away_is_printed(opened: Browser) -> None:
    assert opened.run("document.querySelectorAll('details:not([open])').length") > 0
    opened("Emulation.setEmulatedMedia", media="print")
    opened.run("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.run("document.querySelectorAll('details:not([open])').length") == 0
    hidden = "getComputedStyle(document.querySelector('.tools')).display"
    assert opened.run(hidden) == "none"
    opened.run("window.dispatchEvent(new Event('afterprint'))")
    assert opened.run("document.querySelectorAll('details[open]').length") == 0
    assert opened.printed().startswith(b"%PDF")
    opened("Emulation.setEmulatedMedia", media="")


def test_every_picture_and_table_can_be_heard(opened: Browser) -> None:
    nodes = opened("Accessibility.getFullAXTree")["nodes"]

    def named(role: str) -> list[str]:
        return [
            node.get("name", {}).get("value", "")
            for node in nodes
            if node.get("role", {}).get("value") == role and not node.get("ignored")
        ]

    pictures = named("image") + named("img")
    assert len(pictures) >= 3 + 2 * 3 + 2  # examples; ROC, PR, reliability twice; map, training
    assert all(pictures)
    assert all(named("button"))
    assert all(named("region"))


def test_a_value_that_is_markup_stays_text(browser: Browser, tmp_path: Path) -> None:
    results: dict[str, Any] = example_results()
    results["run"] = "<img src=x onerror='document.title=1'><script>document.title=2</script>"
    path = tmp_path / "report.html"
    path.write_text(render_html(results), encoding="utf-8")
    browser.open(path.as_uri())
    assert browser.run("document.querySelector('h1').innerText") == results["run"]
    nothing_fetched_and_nothing_wrong(browser, path)


def test_a_real_evaluation_leaves_a_page_that_opens(
    browser: Browser, evaluated: Experiment
) -> None:
    folder = evaluated.folder / "work" / "runs" / "toy" / "eval"
    check_schema(evaluated.results())
    browser.size(1280, 900)
    browser.open((folder / "report.html").as_uri())
    nothing_fetched_and_nothing_wrong(browser, folder / "report.html")
    assert browser.run("document.querySelector('.notice').innerText") == "SIMULATED"
    wide = "[...document.querySelectorAll('.drawing img')].map(i => i.naturalWidth)"
    widths = browser.run(wide)
    assert 3 <= len(widths) <= 9
    assert all(1000 < width < 1500 for width in widths)
    picture = browser.run("document.querySelector('.drawing img').src").split(",")[1]
    assert len(base64.b64decode(picture)) < 400_000
    assert len((folder / "report.html").read_bytes()) < 5_000_000
    assert (folder / "figures" / "training.png").exists()
    assert (folder / "tables" / "findings-classes.csv").exists()
