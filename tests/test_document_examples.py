"""What the documents tell a reader to write works as written, in both languages."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wfdb
import yaml
from documents import ROOT, read_document
from echonext_files import row as ecg_row
from echonext_files import write_echonext
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.config import data
from ecgpipe.config.echo import EchoConfig
from ecgpipe.config.file import parse_config
from ecgpipe.echo_measurements import ABOUT, MEASUREMENTS
from ecgpipe.errors import SourceError
from ecgpipe.evaluate.statements.report_parser import ReportParser
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions
from ecgpipe.evaluate.tasks.task import load_task
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.evaluate.tasks.wordings import load_bank
from ecgpipe.read_ecg.datasets import adapters
from ecgpipe.read_ecg.datasets.person import parse_age, understand_sexes
from ecgpipe.read_ecg.echo.cells import parse_reading
from ecgpipe.read_ecg.echo.moment import parse_moment
from ecgpipe.read_ecg.formats.bare_array import Facts, check_facts
from ecgpipe.read_ecg.formats.recording import FORMATS, read_recording
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stages.check.check import run_check
from ecgpipe.stages.check.report import Report

LANGUAGES = ("", ".ja")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language of programs."""
    return [text for name, text in read_document(ROOT / page).blocks if name == language]


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_pages_task_fits_the_pages_list_of_findings(language: str, tmp_path: Path) -> None:
    page = f"docs/tasks{language}.md"
    findings, wordings = blocks(page, "csv")
    _, task = blocks(page, "yaml")
    (tmp_path / "own.csv").write_text(findings, encoding="utf-8")
    (tmp_path / "own.yaml").write_text(task, encoding="utf-8")
    read = load_task(str(tmp_path / "own.yaml"), load_taxonomy(str(tmp_path / "own.csv")), None)
    members = {each.id: list(each.members) for each in read.classes}
    assert members == {"A": ["73"], "I": ["78"], "O": ["82"]}
    assert read.wordings("ja")[1] == ["下壁梗塞", "下壁心筋梗塞"]
    (tmp_path / "own.wordings.csv").write_text(wordings, encoding="utf-8")
    bank = load_bank(load_taxonomy(str(tmp_path / "own.csv")))
    assert [len(bank.trained[each] + bank.held_out[each]) for each in ("73", "78", "82")] == [
        2, 1, 1,
    ]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_pages_adapter_reads_what_the_pages_test_expects(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, adapter, line, _, test = blocks(f"docs/adapters{language}.md", "python")
    names: dict[str, Any] = {**vars(data), "__name__": data.__name__}
    exec(settings, names)  # as if it stood in ecgpipe/config/data.py
    monkeypatch.setattr(data, "LudbSource", names["LudbSource"], raising=False)
    exec(adapter, names)
    registered = eval(f"{{{line}}}", {**names, "_Adapter": adapters._Adapter})
    for kind, how in registered.items():
        monkeypatch.setitem(adapters._ADAPTERS, kind, how)
    kit = {"TAXONOMY": load_taxonomy("findings98"), "read_source": adapters.read_source,
           "SourceError": SourceError, "Path": Path, "pytest": pytest}  # fmt: skip
    exec(test, names | kit, tests := dict[str, Any]())
    for name, run in tests.items():
        (tmp_path / name).mkdir()
        run(tmp_path / name)


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_pages_program_puts_right_the_gains_of_ludb(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ludb-true" / "data"
    write_wfdb(folder, "1", ecg_like(), gain="437(-12)/mV")
    stored = wfdb.rdrecord(str(folder / "1"), physical=False).d_signal
    monkeypatch.chdir(tmp_path)
    exec(blocks(f"docs/adapters{language}.md", "python")[3], {})
    record = wfdb.rdrecord(str(folder / "1"))
    assert record.adc_gain == [1000.0] * record.n_sig
    assert (record.p_signal * 1000).round().tolist() == stored.tolist()


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_pages_echocardiograms_are_joined_as_the_page_says(
    language: str, tmp_path: Path
) -> None:
    page = f"docs/echo{language}.md"
    settings, *_, scored = blocks(page, "yaml")
    ecgs, echos, _ = blocks(page, "csv")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "records.csv").write_text(ecgs, encoding="utf-8")
    (tmp_path / "data" / "echo.csv").write_text(echos, encoding="utf-8")
    data_settings = {**yaml.safe_load(settings)["data"], "taxonomy": "findings98"}
    whole = {"name": "x", "data": data_settings, "text": {"model": "./none"}}
    report = run_check(parse_config(whole | yaml.safe_load(scored), tmp_path, page), 0)
    assert "echo not scored" not in {each.kind for each in report.problems}
    said, _ = blocks(page, "text")
    assert shown(report, "echo", "echo findings") == said.splitlines()
    (row,) = [each for each in report.problems if each.kind == "echo rows"]
    assert [example.place for example in row.examples] == ["row 6 of echo"]


def shown(report: Report, *names: str) -> list[str]:
    """Lines of the overview."""
    return [f"{name:<13}  {report.overview[name]}" for name in names]


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_pages_reports_of_echocardiograms_are_the_texts_that_the_page_says(
    language: str, tmp_path: Path
) -> None:
    page = f"docs/echo{language}.md"
    first, changes, *_ = map(yaml.safe_load, blocks(page, "yaml"))
    ecgs, _, echos = blocks(page, "csv")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "records.csv").write_text(ecgs, encoding="utf-8")
    (tmp_path / "data" / "echo.csv").write_text(echos, encoding="utf-8")
    data_settings = {**first["data"], **changes["data"], "taxonomy": "findings98"}
    text = {"model": "./none", **changes["text"]}
    report = run_check(
        parse_config({"name": "x", "data": data_settings, "text": text}, tmp_path, page), 0
    )
    _, said = blocks(page, "text")
    assert shown(report, "echo", "echo reports") == said.splitlines()
    (without,) = [each for each in report.problems if each.kind == "no text"]
    assert without.summary.startswith("3 records without echo_report")


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_pages_settings_read_echonext(language: str, tmp_path: Path) -> None:
    page = f"docs/echo{language}.md"
    settings = yaml.safe_load(blocks(page, "yaml")[-2])
    splits = ("train", "val", "test")
    write_echonext(
        tmp_path / "data" / "echonext", [ecg_row(n, split=s) for n, s in enumerate(splits)]
    )
    whole = {"name": "x", "text": {"model": "./none"}} | settings
    report = run_check(parse_config(whole, tmp_path, page), 0)
    assert report.overview["echo in the data"] == "3 ECGs come with what an echo measured"
    assert {each.kind for each in report.problems}.isdisjoint({"echo not learnt", "echo rows"})


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_pages_cells_of_echocardiograms_are_understood_as_it_says(language: str) -> None:
    page = f"docs/echo{language}.md"
    times, numbers, grades = [row for row in rows(page) if len(row) == 3 and "`5" in row[2]]
    readers: tuple[Callable[[str], object], ...] = (
        parse_moment,
        lambda cell: parse_reading(cell, MEASUREMENTS["lvef"]),
        lambda cell: parse_reading(cell, MEASUREMENTS["mr_grade"]),
    )
    for row, read in zip((times, numbers, grades), readers, strict=True):
        for cell in re.findall("`([^`]+)`", row[1]):
            assert read(cell) is not None, cell
        for cell in re.findall("`([^`]+)`", row[2]):
            with pytest.raises(ValueError, match="no"):
                read(cell)


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_page_of_echocardiograms_has_every_column_setting_and_finding(language: str) -> None:
    first = [row[0] for row in rows(f"docs/echo{language}.md")]
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert named >= {*ABOUT, *MEASUREMENTS, *load_echo_definitions("standard").ids}
    assert named >= {each.name for each in dataclasses.fields(EchoConfig)}


# The guide to one's own ECGs --------------------------------------------------------------------

both_guides = pytest.mark.parametrize("page", ["docs/own-ecgs.md", "docs/own-ecgs.ja.md"])


def rows(page: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


@both_guides
def test_the_guide_has_every_column_format_and_fact(page: str) -> None:
    first = [row[0] for row in rows(page)]
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert named >= {each.name for each in dataclasses.fields(data.TableColumns)}
    assert named >= {*Facts.model_fields, "units"} - {"mv_per_unit"}
    assert set(first) >= {"WFDB", *(each.name for each in FORMATS)}


@both_guides
def test_the_guides_ages_and_sexes_are_understood_as_it_says(page: str) -> None:
    ages, *sexes = [row for row in rows(page) if re.match("(age|sex|年齢|性別)(:|：|$)", row[0])]
    for age in re.findall("`([^`]+)`", ages[1]):
        assert parse_age(age) is not None, age
    for age in re.split("[,、] *", ages[2])[:-1]:  # the last is a birth date, in words
        with pytest.raises(ValueError, match="no"):
            parse_age(age)
    for row, meaning in zip(sexes, ("male", "female", "other", None), strict=True):
        for word in re.split("[,、] *", row[1].replace("`", "")):
            assert understand_sexes([word, "2"])[word] == meaning, word


@both_guides
def test_the_guides_program_writes_a_recording_that_is_read(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (program,), (facts,) = blocks(page, "python"), blocks(page, "json")
    exec(program, {})
    record = read_recording(tmp_path / "data" / "ecg" / "0001.npy")
    assert (record.rate_hz, record.signal_mv.shape) == (500, (12, 5000))
    assert check_facts(facts, "arrays.json").leads == LEADS


# Reports ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_pages_reports_are_read_as_it_says(language: str) -> None:
    taxonomy = load_taxonomy("findings98")
    parser, code = ReportParser(taxonomy), language.removeprefix(".") or "en"
    page = (ROOT / f"docs/reports{language}.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+) \| *(.*?) *\| *(.*?) *\| *(.*?) *\|$", page, re.MULTILINE)
    assert len(rows) == 9
    for report, *wanted in rows[1:]:
        said = parser.read(report)
        found = (said.asserted, said.denied, said.uncertain)
        assert [[taxonomy[i].name(code) for i in ids] for ids in found] == [
            [name for name in cell.split("; ") if name] for cell in wanted
        ]


@pytest.mark.parametrize("language", LANGUAGES, ids=["en", "ja"])
def test_the_pages_programs_print_what_their_comments_say(
    language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    for program in blocks(f"docs/reports{language}.md", "python"):
        exec(program, names)
        (expected,) = re.findall(r"# (?:ids|prints): (.*)", program)
        assert capsys.readouterr().out.strip() == expected
