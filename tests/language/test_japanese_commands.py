"""The command line as a person with a Japanese locale meets it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ecgpipe.commands.main import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ECGPIPE_LANG")
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, lang: str = "ja_JP.UTF-8") -> Result:
        return CliRunner().invoke(main, words, env={"LANG": lang}, prog_name="ecgpipe")

    return run


def commands() -> list[tuple[str, ...]]:
    return [
        (),
        *((name,) for name in main.commands),
        *(("vectors", name) for name in ("compact", "import")),
    ]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_all_help_is_japanese_within_80_columns(words: tuple[str, ...], run: Run) -> None:
    from ecgpipe.language.layout import width_of

    text = run(*words, "--help").stdout
    assert text.startswith("使い方: ")
    assert max(map(width_of, text.splitlines())) <= 80
    # What is left of English are names, options, values and examples.
    words = text.partition("\n")[2]
    assert not re.findall(r"(?<![-./:\w`'\"$])[a-z]{3,} [a-z]{2,} [a-z]{2,}", words)


def test_help_is_english_without_a_japanese_locale(run: Run) -> None:
    assert run("--help", lang="C").stdout.startswith("Usage: ")
    assert "Find what to fix before you book a GPU." in run("--help", lang="C").stdout


def test_a_usage_error_is_japanese_and_exits_as_before(run: Run) -> None:
    result = run("check", "--sampel", "3")
    assert result.exit_code == 2
    assert "エラー：'--sampel' というオプションはありません" in result.stderr
    assert "説明を見るには 'ecgpipe check --help' を実行してください。" in result.stderr


def test_an_error_is_a_japanese_paragraph_with_the_same_exit_code(run: Run) -> None:
    result = run("prepare", "-c", "none.yaml")
    assert result.exit_code == 2
    assert result.stderr == (
        "ecgpipe: none.yaml がありません。-c で設定ファイルを指定するか、"
        "`ecgpipe init` で書いてください。\n"
    )


def test_an_unknown_ecgpipe_lang_is_a_plain_error(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECGPIPE_LANG", "fr")
    result = run("--help")
    assert result.exit_code == 2
    assert result.stderr == (
        "ecgpipe: ECGPIPE_LANG is 'fr'. Set it to ja or en, or leave it out.\n"
    )


def test_check_speaks_japanese_and_its_json_english(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "record_id,patient_id,path,findings\n1,p,a.dcm,洞調律\n1,q,b.dcm,ほげ\n", encoding="utf-8"
    )
    (tmp_path / "pipeline.yaml").write_text(
        "name: x\ndata:\n  sources: [{kind: table, table: t.csv, root: .}]\n"
        "  taxonomy: findings98\ntext: {model: ./no-model}\n"
    )
    result = run("check", "--json", "--list", "list.csv")
    assert result.exit_code == 1
    text, _, summary = result.stdout.strip().rpartition("\n")
    for line in (
        "患者 2 人の心電図 2 件",
        "実行できない問題",
        "1 行：前の行に同じ record_id があります",
        "→ 心電図ごとに別の record_id を付けてください。",
        "t の 3 行目  t の 2 行目と同じ",
        "記録 2 件：root の下にそのファイルがありません",
    ):
        assert line in text
    assert "準備未了：" in text
    assert "1 row: an earlier row has the same record_id" in summary
    assert json.loads(summary)["check"]["ready"] is False
    head, *rows = (tmp_path / "list.csv").read_text("utf-8-sig").splitlines()
    assert head == "severity,kind,summary,place,detail,record_id,text"
    assert any(
        row.startswith("実行できない問題,") and "前の行に同じ record_id があります" in row
        for row in rows
    )


def test_the_list_of_findings_has_japanese_heads_and_its_csv_the_names_of_columns(run: Run) -> None:
    assert run("findings", "脚ブロック").stdout.split()[:4] == ["id", "日本語", "英語", "同義語"]
    assert run("findings", "--csv").stdout.startswith("id,japanese,english,")


def test_the_log_of_a_failed_run_stays_english(run: Run, tmp_path: Path) -> None:
    run("init")
    (tmp_path / "t.csv").write_text("record_id,patient_id,path,findings\n", encoding="utf-8")
    run("prepare", "--set", "data.sources=[{kind: table, table: t.csv, root: .}]")
    logged = [path.read_text("utf-8") for path in tmp_path.glob("work/**/*.json")]
    assert any("The table" in text for text in logged)
    assert not any(re.search("[ぁ-ん]", text) for text in logged)
