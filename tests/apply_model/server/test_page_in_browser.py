"""The page as a person has it: a real browser, a real server, and nothing asked for beyond it."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from browser import Browser, find_chromium

from ecgpipe.apply_model.server.turns import Refused
from ecgpipe.apply_model.server.words import word
from ecgpipe.stages.apply.serve import listening

# Before any fixture: the model that is served takes half a minute.
pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")

_FINDINGS = "document.querySelectorAll('#findings button')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    assert program is not None
    with Browser(program, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(served: Any) -> Iterator[str]:
    """The page's address."""
    with listening("127.0.0.1", 0) as listener:
        config = uvicorn.Config(
            served.app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None,
            access_log=False,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/{served.token}/"
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def opened(browser: Browser, page: str) -> Browser:
    browser.size(1280, 900)
    browser.open(page)
    until(browser, "document.querySelector('#model').textContent")
    browser.press("[data-say=ja]")
    return browser


def until(browser: Browser, expression: str) -> None:
    """Wait until an expression is true, and nothing is computed any more."""
    idle = "document.querySelector('#state').hidden"
    end = time.monotonic() + 120
    while not browser.run(f"Boolean(({expression}) && {idle})"):
        assert time.monotonic() < end, f"{expression} did not become true"
        time.sleep(0.1)


def drop(browser: Browser, files: list[tuple[str, bytes]]) -> None:
    """Drop files on the page, as a file manager does."""
    given = json.dumps([(name, base64.b64encode(data).decode()) for name, data in files])
    browser.run(
        "(() => { const dataTransfer = new DataTransfer();"
        f" for (const [name, text] of {given}) dataTransfer.items.add(new File("
        " [Uint8Array.from(atob(text), letter => letter.charCodeAt(0))], name));"
        " const options = {dataTransfer, bubbles: true, cancelable: true};"
        " const zone = document.querySelector('#drop');"
        " for (const kind of ['dragenter', 'dragover', 'drop'])"
        " zone.dispatchEvent(new DragEvent(kind, options)) })()"
    )


def contents(wfdb: Any) -> list[tuple[str, bytes]]:
    return [file for _, file in wfdb]


def text(browser: Browser, selector: str) -> str:
    return str(browser.run(f"document.querySelector({json.dumps(selector)}).innerText"))


def nothing_fetched_and_nothing_wrong(browser: Browser, page: str) -> None:
    asked = [url for url in browser.requests() if not url.startswith(("data:", "blob:"))]
    assert asked
    assert all(url.startswith(page) for url in asked), asked
    assert browser.complaints() == []


def dropped(browser: Browser, wfdb: Any) -> None:
    drop(browser, contents(wfdb))
    until(browser, "document.querySelector('#sheet').naturalWidth > 1000")


def test_japanese_is_legible_on_a_computer_without_japanese_fonts(
    opened: Browser, page: str
) -> None:
    loaded = "document.fonts.ready.then(() => [...document.fonts].map(font => font.status))"
    wide = "document.fonts.load('16px ecgpipe-ja', '所見')"  # as where nothing else has the letters
    opened.run(f"{wide}.then(() => {{ window.fonts_loaded = true }})")
    until(opened, "window.fonts_loaded")
    opened.run(f"{loaded}.then(found => {{ window.statuses = found }})")
    until(opened, "window.statuses")
    assert opened.run("window.statuses") == ["loaded"]
    nothing_fetched_and_nothing_wrong(opened, page)


def test_a_dropped_recording_shows_its_sheet_and_its_findings(
    opened: Browser, page: str, wfdb: Any
) -> None:
    dropped(opened, wfdb)
    assert text(opened, "#name") == "good"
    assert "心拍数 75/分" in text(opened, "#facts")
    assert opened.run(f"{_FINDINGS}.length") == 10
    fills = opened.run("[...document.querySelectorAll('.bar i')].map(i => i.offsetWidth)")
    assert fills == sorted(fills, reverse=True)
    assert fills[0] > 50
    assert "n = " in text(opened, "#findings button .sure")
    opened.press("#more")
    assert opened.run(f"{_FINDINGS}.length") > 10
    assert opened.run("document.querySelectorAll('#findings .bar b').length") >= 1
    nothing_fetched_and_nothing_wrong(opened, page)


def test_files_can_also_be_chosen(opened: Browser, page: str, wfdb: Any, tmp_path: Path) -> None:
    for name, data in contents(wfdb):
        (tmp_path / name).write_bytes(data)
    root = opened("DOM.getDocument")["root"]["nodeId"]
    field = opened("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
    paths = [str(tmp_path / name) for name, _ in contents(wfdb)]
    opened("DOM.setFileInputFiles", nodeId=field, files=paths)
    until(opened, "document.querySelector('#sheet').naturalWidth > 1000")
    assert text(opened, "#name") == "good"
    nothing_fetched_and_nothing_wrong(opened, page)


def test_a_press_on_a_finding_marks_what_it_hangs_on_and_another_takes_it_back(
    opened: Browser, page: str, wfdb: Any
) -> None:
    dropped(opened, wfdb)
    plain = opened.run("document.querySelector('#sheet').src")
    name = opened.run(f"{_FINDINGS}[1].firstChild.textContent")
    opened.press("#findings button", 1)
    until(opened, f"document.querySelector('#sheet').src !== {json.dumps(plain)}")
    assert text(opened, "#sheet-title") == f"根拠：{name}"
    assert "原因の証明ではない" in text(opened, "#sheet-about")
    assert opened.run("document.activeElement.id") == "sheet-title"
    marked = opened.run("document.querySelector('#sheet').src")
    opened.press("#whole")
    until(opened, f"document.querySelector('#sheet').src !== {json.dumps(marked)}")
    assert text(opened, "#sheet-title") == "12 誘導心電図"
    nothing_fetched_and_nothing_wrong(opened, page)


def fails(*_: Any) -> bytes:
    raise Refused(503, word("busy"))


def test_an_ecg_whose_sheet_cannot_be_drawn_is_not_shown_with_anothers(
    opened: Browser, served: Any, wfdb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped(opened, wfdb)
    monkeypatch.setattr(served.desk, "sheet", fails)
    renamed = [
        (n.replace("good", "other"), d.replace(b"good", b"other")) for n, d in contents(wfdb)
    ]
    drop(opened, renamed)
    until(opened, "!document.querySelector('#error').hidden")
    assert text(opened, "#name") == "other"
    assert not opened.run("document.querySelector('#sheet').hasAttribute('src')")


def test_a_finding_that_cannot_be_explained_is_not_shown_with_anothers_marks(
    opened: Browser, served: Any, wfdb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped(opened, wfdb)
    plain = opened.run("document.querySelector('#sheet').src")
    opened.press("#findings button", 0)
    until(opened, f"document.querySelector('#sheet').src !== {json.dumps(plain)}")
    marked = opened.run("document.querySelector('#sheet').src")
    monkeypatch.setattr(served.desk, "explained", fails)
    opened.press("#findings button", 1)
    until(opened, "!document.querySelector('#error').hidden")
    until(opened, "document.querySelector('#sheet').naturalWidth > 1000")
    assert text(opened, "#sheet-title") == "12 誘導心電図"
    assert opened.run("document.querySelector('#sheet').src") != marked


def test_what_is_forgotten_is_not_hidden_in_the_page_either(
    opened: Browser, served: Any, wfdb: Any
) -> None:
    dropped(opened, wfdb)
    opened.press("#forget")
    until(opened, "document.querySelector('#list').hidden")
    assert "good" not in opened.run("document.body.innerHTML")
    assert opened.run(f"{_FINDINGS}.length") == 0
    assert not served.desk._kept


def test_a_question_of_ones_own_is_answered_as_text(opened: Browser, page: str, wfdb: Any) -> None:
    dropped(opened, wfdb)
    for number, asked in enumerate(("完全左脚ブロック", "<img src=x onerror=alert(1)>"), 1):
        opened.run("document.querySelector('#question').focus()")
        opened.run("document.querySelector('#question').value = ''")
        opened("Input.insertText", text=asked)
        opened.key("Enter", 13, "\r")
        until(opened, f"document.querySelectorAll('#answers li').length === {number}")
        assert text(opened, "#answers li").startswith(asked)
    assert "コサイン" in text(opened, "#answers")
    assert opened.run("document.querySelectorAll('#answers img').length") == 0
    nothing_fetched_and_nothing_wrong(opened, page)


def test_similar_ecgs_of_the_archive_are_shown(opened: Browser, page: str, wfdb: Any) -> None:
    dropped(opened, wfdb)
    opened.press("#similar")
    until(opened, "document.querySelectorAll('#similars li').length === 10")
    assert text(opened, "#similars li").startswith("記録 record-0")
    nothing_fetched_and_nothing_wrong(opened, page)


def test_the_switch_changes_every_word(opened: Browser, page: str, wfdb: Any) -> None:
    dropped(opened, wfdb)
    opened.press("[data-say=en]")
    until(opened, "document.documentElement.lang === 'en'")
    seen = text(opened, "body").replace("日本語", "")
    assert not any("ぁ" <= letter <= "ヿ" or "一" <= letter <= "鿿" for letter in seen)
    assert "For research; not a medical device." in seen
    labels = opened.run("[...document.querySelectorAll('[aria-label]')].map(e => e.ariaLabel)")
    assert not any("一" <= letter <= "鿿" for label in labels for letter in label)
    opened.press("[data-say=ja]")
    until(opened, "document.documentElement.lang === 'ja'")
    assert "医療機器ではありません" in text(opened, "body")
    nothing_fetched_and_nothing_wrong(opened, page)


def test_broken_files_are_named_beside_the_good_one(opened: Browser, page: str, wfdb: Any) -> None:
    broken = [("報告.zip", b"PK\x03\x04" + bytes(50)), ("empty.dcm", b"")]
    drop(opened, [*broken, *contents(wfdb)])
    until(opened, "document.querySelector('#sheet').naturalWidth > 1000")
    refused = opened.run("[...document.querySelectorAll('#ecgs .refused')].map(e => e.innerText)")
    assert len(refused) == 2
    assert "empty.dcm is empty" in refused[0]
    assert "報告.zip is a ZIP archive" in refused[1]
    assert text(opened, "#name") == "good"
    nothing_fetched_and_nothing_wrong(opened, page)


def test_a_request_without_an_answer_says_why(opened: Browser, wfdb: Any) -> None:
    dropped(opened, wfdb)
    opened.press("#forget")
    until(opened, "document.querySelector('#ecg').hidden")
    drop(opened, [(f"{number}.csv", b"x") for number in range(21)])
    until(opened, "!document.querySelector('#error').hidden")
    assert "一度に 20 まで" in text(opened, "#error")
    opened.press("[data-say=en]")
    assert "20 at once" in text(opened, "#error")


def test_the_warning_is_seen_wherever_one_scrolls(opened: Browser, wfdb: Any) -> None:
    dropped(opened, wfdb)
    opened.run("window.scrollTo(0, document.documentElement.scrollHeight)")
    top, height = opened.run(
        "(() => { const b = document.querySelector('#research').getBoundingClientRect();"
        " return [b.top, b.height] })()"
    )
    assert top == 0
    assert height > 20


def test_a_phone_never_scrolls_the_page_sideways(opened: Browser, page: str, wfdb: Any) -> None:
    dropped(opened, wfdb)
    opened.size(390, 844, phone=True)
    opened.press("#more")
    for language in ("ja", "en"):
        opened.press(f"[data-say={language}]")
        until(opened, "document.querySelector('#sheet').complete")
        width, inner = opened.run("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= inner == 390
    nothing_fetched_and_nothing_wrong(opened, page)
