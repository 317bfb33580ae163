"""The page of findings: what the repository holds is what the command prints, and it is true."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ecgpipe.commands.main import main
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy

FINDINGS98 = load_taxonomy("findings98")
PAGES = {"en": "docs/findings.md", "ja": "docs/findings.ja.md"}
by_language = pytest.mark.parametrize(("language", "page"), PAGES.items(), ids=PAGES)


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["findings", *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def cells(page: str) -> list[list[str]]:
    """The cells of all rows of all tables, as a renderer of Markdown splits them."""
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    return [[c.replace("\\|", "|").strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]]
            for row in rows if "---" not in row]  # fmt: skip


@by_language
def test_the_documents_hold_the_page_that_the_command_prints(language: str, page: str) -> None:
    title, *committed = Path(page).read_text(encoding="utf-8").splitlines()
    del committed[:2]  # the link to the other language
    wanted = printed("--taxonomy", "findings98", "--markdown", language).splitlines()
    assert [title, *committed] == wanted, "write it anew: make findings-pages"


@by_language
def test_every_name_on_the_page_means_the_finding_of_its_row(language: str, page: str) -> None:
    rows = [row for row in cells(Path(page).read_text(encoding="utf-8")) if len(row) == 5][1:]
    assert [row[0] for row in rows] == [str(n) for n in range(1, 99)]
    for number, japanese, english, synonyms, codes in rows:
        names = [number, japanese, english, *synonyms.split("; "), *codes.split("; ")]
        assert {FINDINGS98.resolve(name).id for name in names if name} == {number}


@by_language
def test_an_ambiguous_name_stands_beside_the_findings_that_a_message_offers(
    language: str, page: str
) -> None:
    rows = [row for row in cells(Path(page).read_text(encoding="utf-8")) if len(row) == 2][1:]
    assert rows
    for names, meant in rows:
        ids = [FINDINGS98.resolve(name).id for name in meant.split("; ")]
        for name in names.split("; "):
            assert FINDINGS98.read([name]).unknown == (name,)
            *most, last = [FINDINGS98[id_].japanese for id_ in ids]
            assert (
                FINDINGS98.advice(name) == f"it may mean {', '.join(most)} or {last}: write which"
            )


def test_an_own_list_is_a_page_too_whatever_its_names_hold(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text(
        "id,japanese,english,scp\n1,左|右,left | right,A\n2,低,low,A;B\n", encoding="utf-8"
    )
    page = printed("--taxonomy", str(own), "--markdown", "en")
    assert cells(page)[1:] == [["1", "左|右", "left | right", "", ""], ["2", "低", "low", "", "B"]]
    assert "\n## " not in page  # no ambiguous name, no section about such


def test_a_page_of_a_part_of_the_list_is_refused() -> None:
    result = CliRunner().invoke(main, ["findings", "梗塞", "--markdown", "ja"])
    assert result.exit_code == 2
    assert "leave out WORD" in result.stderr


def test_the_list_becomes_a_hospitals_own_with_more_synonyms(tmp_path: Path) -> None:
    printed = CliRunner().invoke(main, ["findings", "--taxonomy", "findings98", "--csv"])
    assert printed.exit_code == 0
    own = tmp_path / "own.csv"
    own.write_bytes(printed.stdout_bytes)
    assert load_taxonomy(str(own)).findings == load_taxonomy("findings98").findings
    own.write_bytes(printed.stdout_bytes.replace(b"AF;AFib", "AF;AFib;アフ".encode()))
    assert load_taxonomy(str(own)).resolve_all(["アフ"]) == ("6",)
    for more in (["梗塞"], ["--json"], ["--markdown", "en"]):
        refused = CliRunner().invoke(main, ["findings", "--csv", *more])
        assert refused.exit_code == 2
        assert "whole list" in refused.stderr
