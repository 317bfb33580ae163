"""Which echocardiogram belongs to an ECG, worked out by hand, and what becomes of its findings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ecgpipe.config.echo import EchoConfig
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions
from ecgpipe.read_ecg.echo.echo_findings import Ecg, EchoFindings, EchoJoin
from ecgpipe.read_ecg.echo.echo_table import Echo, EchoTable
from ecgpipe.read_ecg.echo.moment import parse_moment

STANDARD = load_echo_definitions("standard")
ECG_AT = "2024-03-15 12:00"
LOW, GOOD = (30.0, 30.0), (60.0, 60.0)


def echo(at: str, lvef: tuple[float, float] = GOOD, patient_id: str = "p", **known: Any) -> Echo:
    return Echo(
        place=at, patient_id=patient_id, made=parse_moment(at), measured={"lvef": lvef}, **known
    )


def joined(echos: Sequence[Echo], **settings: Any) -> EchoJoin:
    config = EchoConfig(table=Path("echo.csv"), **settings)
    return EchoJoin(STANDARD, (EchoTable("echo", echos, {"lvef": "%"}, {}), config), ["PACE"])


def findings(join: EchoJoin, at: str | None = ECG_AT, **known: Any) -> EchoFindings:
    about: dict[str, Any] = {"patient_id": "p", "age": 60.0, "sex": None, "findings": ()} | known
    return join.findings_of(Ecg(recorded_at=at, **about))


def low(join: EchoJoin, at: str | None = ECG_AT, **known: Any) -> bool | None:
    """Whether the ejection fraction of the chosen echocardiogram is the low one; None for none."""
    found = findings(join, at, **known)
    return None if not found.known else "LVEF_LE_40" in found.shown


def test_the_nearest_in_time_is_taken() -> None:
    far, near = echo("2024-03-01 12:00", LOW), echo("2024-03-20 12:00")
    assert low(joined([far, near])) is False
    assert low(joined([near, far])) is False
    assert low(joined([far, echo("2024-04-14 12:00")])) is True


def test_only_echocardiograms_before_or_after_may_be_asked_for() -> None:
    both = [echo("2024-03-01", LOW), echo("2024-03-16")]
    assert low(joined(both, nearest="either")) is False
    assert low(joined(both, nearest="before")) is True
    assert low(joined(both, nearest="after")) is False
    assert low(joined([both[1]], nearest="before")) is None
    hour_before = [echo("2024-03-15 11:00", LOW)]
    assert low(joined(hour_before, nearest="after")) is None
    assert low(joined(hour_before, nearest="before")) is True


@pytest.mark.parametrize("nearest", ["either", "before", "after"])
def test_of_the_same_day_without_a_clock_an_echocardiogram_is_before_and_after(
    nearest: str,
) -> None:
    assert low(joined([echo("2024-03-15", LOW)], window_days=0, nearest=nearest)) is True
    assert low(joined([echo("2024-03-15 18:00", LOW)], nearest=nearest), "2024-03-15") is True


def test_of_two_at_the_same_distance_the_one_that_measured_more_then_the_earlier_is_taken() -> None:
    before, after = echo("2024-03-14 12:00", LOW), echo("2024-03-16 12:00")
    assert low(joined([after, before])) is True
    more = Echo(patient_id="p", made=after.made, measured={"lvef": GOOD, "lvmi": (80, 80)})
    assert low(joined([before, more])) is False


def test_of_two_that_measured_the_same_the_one_with_a_report_is_taken() -> None:
    before, after = echo("2024-03-14 12:00"), echo("2024-03-16 12:00", report="EF 60%")
    assert findings(joined([before, after])).report == "EF 60%"
    measured_more = Echo(patient_id="p", made=before.made, measured={"lvef": GOOD, "lvmi": (8, 8)})
    assert findings(joined([measured_more, after])).report is None


def test_a_report_comes_with_the_measurements_of_the_same_echocardiogram_or_not_at_all() -> None:
    near, far = echo("2024-03-16", report="EF 60%"), echo("2024-03-20", LOW, report="EF 30%")
    said = findings(joined([far, near]))
    assert (said.report, "LVEF_LE_40" in said.shown) == ("EF 60%", False)
    only = Echo(patient_id="p", made=parse_moment("2024-03-15"), report="EF 60%")
    assert findings(joined([far, only])) == EchoFindings(report="EF 60%")
    assert findings(joined([only], window_days=0), "2024-03-16") == EchoFindings()
    assert findings(joined([only]), age=12.0) == EchoFindings()


def test_the_window_ends_with_its_last_day() -> None:
    assert low(joined([echo("2024-04-14 12:00")], window_days=30)) is False
    assert low(joined([echo("2024-04-14 12:01")], window_days=30)) is None
    assert low(joined([echo("2024-04-14")], window_days=30)) is False
    assert low(joined([echo("2024-04-15")], window_days=30)) is None


def test_clocks_of_two_zones_are_compared_in_one() -> None:
    # 12:00 in Tokyo is 03:00 UTC, an hour after the echocardiogram.
    of_utc = [echo("2024-03-15T02:00Z", LOW)]
    assert low(joined(of_utc, nearest="before"), "2024-03-15T12:00+09:00") is True
    assert low(joined(of_utc, nearest="after"), "2024-03-15T12:00+09:00") is None


def test_one_echocardiogram_may_belong_to_several_ecgs_but_to_no_other_patient() -> None:
    join = joined([echo("2024-03-10", LOW)])
    assert [low(join, at) for at in ("2024-03-01", "2024-03-12", "2024-03-30")] == [True] * 3
    assert low(join, patient_id="q") is None
    assert join.counts()["joined"] == 3


def test_findings_are_shown_or_not_and_the_others_unknown() -> None:
    measured = {"lvef": (43.0, 43.0), "mr_grade": (1.0, 2.0)}
    one = Echo(patient_id="p", made=parse_moment("2024-03-15"), measured=measured)
    join = joined([one])
    assert findings(join) == EchoFindings(
        shown=("LVEF_LE_45", "ANY"), known=("LVEF_LE_40", "LVEF_LE_45", "ANY")
    )
    of_findings = join.counts()["findings"]
    assert of_findings["LVEF_LE_40"] == {"shown": 0, "not_shown": 1, "unknown": 0}
    assert of_findings["MR_MODERATE"] == {"shown": 0, "not_shown": 0, "unknown": 1}


def test_how_many_ecgs_find_an_echocardiogram_is_counted_by_days() -> None:
    days = {"a": "2024-03-16 11:00", "b": "2024-03-22", "c": "2024-02-20", "d": "2024-06-01",
            "e": "2025-01-01"}  # fmt: skip
    join = joined([echo(at, patient_id=patient) for patient, at in days.items()], window_days=7)
    for patient in (*days, "without"):
        findings(join, patient_id=patient)
    findings(join, None, patient_id="a")
    findings(join, "3月", patient_id="a")
    counts = join.counts()
    assert counts["within_days"] == {"1": 1, "7": 2, "30": 3, "90": 4}
    assert counts["joined"] == 2
    assert counts["ecgs"] == 8
    assert counts["ecgs_without_time"] == 2
    assert counts["ecgs_of_patients_with_echo"] == 5


def test_the_young_the_paced_and_prosthetic_valves_get_none_unless_the_settings_say_so() -> None:
    cases: list[tuple[Echo, dict[str, Any], dict[str, Any], str]] = [
        (echo("2024-03-15"), {"age": 17.9}, {"min_age": None}, "too young"),
        (echo("2024-03-15"), {"findings": ("AFIB", "PACE")}, {"exclude_paced": False}, "paced"),
        (echo("2024-03-15", paced=True), {}, {"exclude_paced": False}, "paced"),
        (
            echo("2024-03-15", prosthetic_valve=True),
            {},
            {"exclude_prosthetic_valves": False},
            "prosthetic valve",
        ),
    ]
    for each, known, included, why in cases:
        join = joined([each])
        assert low(join, **known) is None, why
        assert join.counts()["excluded"] == {why: 1}
        assert low(joined([each], **included), **known) is False, why
    assert low(joined([echo("2024-03-15")]), age=18.0) is False
    assert low(joined([echo("2024-03-15")]), age=None) is False


@pytest.mark.parametrize(
    ("at", "age", "born"),
    [
        ("2023-03-16", 0.0, True),  # 365 days before an ECG in the first year
        ("2023-03-13", 0.0, False),
        ("1900-01-02", 60.0, False),  # a date that somebody's program made up
        ("2024-02-14", 0.0001, True),
        ("2024-02-09", 0.01, False),
        ("1900-01-02", None, True),
    ],
)
def test_an_echocardiogram_before_birth_is_left_out_and_counted_once(
    at: str, age: float | None, born: bool
) -> None:
    join = joined([echo(at)], window_days=3660, min_age=None)
    before, later = findings(join, age=age), findings(join, age=age)
    assert before == later
    assert join.left_out() == ({} if born else {"echos before birth": 1})
    if not born:
        assert before == EchoFindings()
