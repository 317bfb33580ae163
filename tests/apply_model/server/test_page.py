"""The page's own files: nothing foreign, every text in both languages, and its arithmetic."""

import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from sources import ROOT

from ecgpipe.apply_model.server.words import WORDS

FOLDER = resources.files("ecgpipe.apply_model") / "server"
HTML, STYLE, SCRIPT = (
    (FOLDER / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
)
JAPANESE = re.compile(r"[ぁ-ヿ一-鿿]")


def asked_for() -> set[str]:
    """The name of every text that the page or the server shows."""
    names = set(re.findall(r'data-(?:word|label)="(\w+)"', HTML))
    names |= set(re.findall(r'\bword\("(\w+)"', SCRIPT)) | set(re.findall(r"words\.(\w+)", SCRIPT))
    names |= set(re.findall(r'during\("(\w+)"', SCRIPT))
    for either in re.findall(r'word\([\w.]+ \? "(\w+)" : "(\w+)"', SCRIPT):
        names |= set(either)
    for path in (ROOT / "apply_model" / "server").glob("*.py"):
        names |= set(re.findall(r'\bword\(\s*"(\w+)"', path.read_text(encoding="utf-8")))
    # uploads.py chooses between two.
    return names | {"too_many", "no_files"}


def test_every_text_that_is_shown_exists_and_no_other() -> None:
    assert asked_for() == set(WORDS)


@pytest.mark.parametrize("name", WORDS)
def test_every_text_is_in_both_languages_with_the_same_parts(name: str) -> None:
    ja, en = WORDS[name]["ja"], WORDS[name]["en"]
    assert set(WORDS[name]) == {"ja", "en"}
    assert ja.strip()
    assert en.strip()
    assert not JAPANESE.search(en)
    parts = [set(re.findall(r"\{(\w+)\}", text)) for text in (ja, en)]
    assert parts[0] == parts[1]


def test_the_page_always_says_that_it_is_no_medical_device() -> None:
    assert '<p id="research" data-word="research"></p>' in HTML
    assert "医療機器ではありません" in WORDS["research"]["ja"]
    assert "not a medical device" in WORDS["research"]["en"]
    assert "research" not in SCRIPT  # nothing hides it
    assert re.search(r"#research \{[^}]*position: sticky", STYLE)


@pytest.mark.parametrize("text", [HTML, STYLE, SCRIPT], ids=["html", "css", "js"])
def test_no_file_of_the_page_names_an_address_beyond_the_page(text: str) -> None:
    assert not re.search(r"\w+://|[\"'(]//|@import|url\((?!\"japanese\.ttf\")", text)
    assert not re.search(r"(?:src|href|action)=[\"']/", text)


def test_nothing_in_the_page_needs_a_weaker_policy() -> None:
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=)", HTML)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", SCRIPT)
    assert not re.search(r"new Function|localStorage|sessionStorage|document\.cookie", SCRIPT)
    assert "console." not in SCRIPT


def in_node(tmp_path: Path, expression: str) -> object:
    program = shutil.which("node")
    if program is None:
        pytest.skip("no Node.js on this machine")
    (tmp_path / "page.mjs").write_text(SCRIPT, encoding="utf-8")
    call = f"import * as page from './page.mjs'; console.log(JSON.stringify({expression}))"
    done = subprocess.run(
        [program, "--input-type=module", "-e", call],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_bar_has_room_for_every_score_and_threshold(tmp_path: Path) -> None:
    rows = "[{cosine: -0.1, threshold: null}, {cosine: 0.3, threshold: 0.7}]"
    assert in_node(tmp_path, f"page.rangeOf({rows})") == [-0.1, 0.7]
    assert in_node(tmp_path, f"page.share(0.3, page.rangeOf({rows}))") == pytest.approx(50)
    assert in_node(tmp_path, "page.rangeOf([])") == [0, 1]
    assert in_node(tmp_path, "[page.share(-5, [0, 1]), page.share(5, [0, 1])]") == [0, 100]


def test_a_probability_is_never_shown_as_certain(tmp_path: Path) -> None:
    shown = in_node(tmp_path, "[0, 0.0001, 0.01, 0.125, 0.99, 0.9999, 1].map(page.percent)")
    assert shown == ["0 %", "<1 %", "1 %", "13 %", "99 %", ">99 %", "100 %"]


def test_a_text_is_filled_in_once_and_an_unknown_part_stays(tmp_path: Path) -> None:
    call = "page.filled('{a} of {b}: {c}', {a: '{b}', b: 0})"
    assert in_node(tmp_path, call) == "{b} of 0: {c}"
