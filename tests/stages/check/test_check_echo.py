"""ecgpipe check over a table of echocardiograms: every fault a paragraph, and the delays."""

from pathlib import Path

import pytest
from hospital import Hospital

from ecgpipe.config.file import parse_config
from ecgpipe.stages.check.check import run_check
from ecgpipe.stages.check.report import Problem, Report, Severity

TIMES = ("2024-03-01 09:00", "2024-03-02", "R6.3.3", "", "5/3/2024", "2024-03-06 09:00")


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    """Six ECGs of three patients; two state no time that is understood."""
    hospital = Hospital(tmp_path, 6)
    for row, at in zip(hospital.rows, TIMES, strict=True):
        row |= {"recorded_at": at, "age": "60"}
    hospital.write_table()
    return hospital


def check(
    hospital: Hospital,
    *lines: str,
    preset: str = "paper",
    scored: dict[str, object] | None = None,
    text: str = "findings",
    **echo: object,
) -> Report:
    folder = hospital.folder
    (folder / "echo.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = {"kind": "table", "table": "records.csv"}
    settings = {
        "name": "x",
        "data": {
            "sources": [source],
            "taxonomy": "findings98",
            "echo": {"table": "echo.csv"} | echo,
        },
        "text": {"model": "./nothing", "source": text},
        "train": {"preset": preset},
        "eval": scored or {},
    }
    return run_check(parse_config(settings, folder, "x"), 0)


def problem(report: Report, kind: str) -> Problem:
    (found,) = [each for each in report.problems if each.kind == kind]
    return found


def test_delays_and_findings_are_shown(hospital: Hospital) -> None:
    report = check(
        hospital, "patient_id,echo_at,lvef", "p0,2024-03-01 15:00,38", "p1,2024-03-09,60"
    )
    assert report.overview["echo"] == (
        "3 of 6 ECGs get an echo (nearest: 2 within 1 d, 3 within 7 d, 3 within 30 d, 3 within"
        " 90 d)"
    )
    assert report.overview["echo findings"].startswith("shown/known: LVEF_LE_40 2/3, LVEF_LE_45")
    assert report.numbers["echo"]["joined"] == 3
    without = problem(report, "no time")
    assert without.summary.startswith("2 ECGs without a recorded_at")
    assert not [each for each in report.problems if each.kind == "echo rows"]


def test_every_fault_of_the_table_is_a_paragraph_and_the_rest_is_joined(
    hospital: Hospital,
) -> None:
    report = check(
        hospital,
        "patient_id,echo_at,lvef,ivsd",
        "p0,2024-03-01,38,13",
        ",2024-03-01,60,9",
        "p1,,60,9",
        "p1,2024-03-03,,",
        "p1,2024-03-03,600,1.1",
        "p1,1903-03-03,60,",
        "山田,2024-03-01,良好,9",
    )
    units = problem(report, "two units")
    assert units.severity == Severity.WRONG
    assert units.summary == "the column ivsd of echo is left out: its 3 values are in two units"
    rows = {each.summary: each for each in report.problems if each.kind == "echo rows"}
    assert {summary: [e.place for e in each.examples] for summary, each in rows.items()} == {
        "1 in echo: echos without patient_id": ["row 3 of echo"],
        "1 in echo: echos without a time": ["row 4 of echo"],
        "3 in echo: echos without a measurement or report": [
            "row 5 of echo", "row 6 of echo", "row 8 of echo",
        ],
        "1 in echo: impossible echo lvef": ["row 6 of echo"],
        "1 in echo: unreadable echo lvef": ["row 8 of echo"],
    }  # fmt: skip
    birth = problem(report, "echo before birth")
    assert [each.place for each in birth.examples] == ["row 7 of echo"]
    assert report.numbers["echo"]["joined"] == 2
    assert "山田" not in str([(each.summary, each.fix) for each in report.problems])


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("00,2024-03-01,60",), "0 of 6 ECGs have one of the same patient"),
        (("p0,2024-06-01,60",), "2 of 6 ECGs have one of the same patient, and none within 30 d"),
    ],
)
def test_a_window_that_joins_nothing_makes_results_wrong_and_says_why(
    hospital: Hospital, lines: tuple[str, ...], told: str
) -> None:
    found = problem(check(hospital, "patient_id,echo_at,lvef", *lines), "no echo joined")
    assert found.severity == Severity.WRONG
    assert told in found.summary


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("patient_id,echo_at,ef", "p0,2024-03-01,60"), "has no measurement of echocardiograms"),
        (("patient_id,echo_at,lvef",), "has no rows"),
    ],
)
def test_a_table_that_cannot_be_used_stops_the_run_and_hides_nothing_else(
    hospital: Hospital, lines: tuple[str, ...], told: str
) -> None:
    report = check(hospital, *lines)
    found = problem(report, "echo")
    assert found.severity == Severity.STOPS
    assert told in found.summary
    assert "findings" in report.overview


def test_a_definition_of_no_measurement_stops_the_run(hospital: Hospital) -> None:
    (hospital.folder / "own.yaml").write_text(
        "definitions:\n  - {id: EF, ja: 低下, en: Low, source: ours, rule: {ef: '< 50'}}\n"
    )
    found = problem(
        check(hospital, "patient_id,echo_at,lvef", "p0,2024-03-01,60", definitions="own.yaml"),
        "echo",
    )
    assert "EF names 'ef', which no echocardiogram measures" in found.summary


def test_training_on_whole_sentences_is_said_to_learn_nothing_from_it(hospital: Hospital) -> None:
    lines = ("patient_id,echo_at,lvef", "p0,2024-03-01,60")
    said = problem(check(hospital, *lines), "echo not learnt")
    assert said.severity == Severity.LOOK
    kinds = {each.kind for each in check(hospital, *lines, preset="recommended").problems}
    assert "echo not learnt" not in kinds


def test_tasks_count_the_ecgs_of_which_something_is_known(hospital: Hospital) -> None:
    for row in hospital.rows:
        row["split"] = "train"
    hospital.write_table()
    lines = ("patient_id,echo_at,lvef", "p0,2024-03-01 15:00,38", "p1,2024-03-09,60")
    told = problem(check(hospital, *lines), "echo not scored")
    assert "Add echo and echo-any to eval.tasks" in told.fix
    train = {"tasks": ["echo", "echo-any"], "split": "train"}
    report = check(hospital, *lines, scored=train)
    assert not [each for each in report.problems if each.kind == "echo not scored"]
    # Two ECGs of p0 show both limits of the ejection fraction; whether that of p1 shows any of the
    # findings is unknown.
    assert report.overview["tasks"] == (
        "echo: 2 of 13 classes on 3 train ECGs; echo-any: 1 of 1 classes on 2 train ECGs"
    )
    nobody = problem(
        check(hospital, lines[0], "p9,2024-03-01,60", scored=train | {"tasks": ["echo"]}),
        "task without positives",
    )
    assert "of no train ECG does an echocardiogram say anything about its 13" in nobody.summary


def test_ecgs_without_a_report_of_their_echocardiogram_are_counted(hospital: Hospital) -> None:
    lines = "patient_id,echo_at,report", "p0,2024-03-01 15:00,山田。EF 38%", "p1,2024-03-09,EF 60%"
    report = check(hospital, *lines, text="echo_report")
    assert report.overview["echo reports"] == "3 of 3 have a report"
    assert "echo findings" not in report.overview
    assert problem(report, "no text").summary.startswith("3 records without echo_report")
    kinds = {each.kind for each in report.problems}
    assert kinds.isdisjoint({"echo not learnt", "echo not scored", "no echo report"})
    assert "山田" not in str(report)
    assert problem(check(hospital, *lines), "echo not learnt").severity == Severity.LOOK


def test_no_report_of_an_echocardiogram_stops_a_run_that_learns_from_them(
    hospital: Hospital,
) -> None:
    lines = "patient_id,echo_at,lvef", "p0,2024-03-01 15:00,38"
    found = problem(check(hospital, *lines, text="echo_report"), "no echo report")
    assert found.severity == Severity.STOPS
    assert "of 2 ECGs with an echocardiogram none has a report" in found.summary
    assert "data.echo.columns" in found.fix


def test_an_ecg_of_which_only_an_echocardiogram_says_something_is_no_problem(
    hospital: Hospital,
) -> None:
    for row in hospital.rows:
        row["findings"] = ""
    hospital.write_table()
    lines = ("patient_id,echo_at,lvef", "p0,2024-03-01 15:00,38", "p1,2024-03-09,60")
    report = check(hospital, *lines, preset="recommended", scored={"tasks": ["echo"]})
    empty = problem(report, "empty findings")
    assert empty.summary.startswith("3 rows"), "those without an echocardiogram"
    assert report.numbers["echo"]["joined"] == 3
    assert "no text" not in {each.kind for each in report.problems}


@pytest.mark.parametrize("cell", ["", "不明", "600", "good"])
def test_a_table_in_which_all_is_unknown_stops_the_run_and_blames_no_patient_id(
    hospital: Hospital, cell: str
) -> None:
    report = check(
        hospital, "patient_id,echo_at,lvef", f"p0,2024-03-01,{cell}", preset="recommended"
    )
    found = problem(report, "echo")
    assert found.severity == Severity.STOPS
    assert "says nothing of any echocardiogram: " in found.summary
    assert {each.kind for each in report.problems}.isdisjoint({"no echo joined", "echo rows"})
    assert "findings" in report.overview


def test_measurements_that_no_definition_asks_for_are_said_to_tell_nothing(
    hospital: Hospital,
) -> None:
    report = check(hospital, "patient_id,echo_at,e_e_prime", "p0,2024-03-01 15:00,9")
    found = problem(report, "no echo finding")
    assert found.severity == Severity.WRONG
    assert found.summary.startswith("2 ECGs with an echocardiogram, but every finding of all of")
