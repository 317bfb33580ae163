"""Measurements and grades as echo laboratories write them: understood, unknown, or refused."""

import math

import pytest

from ecgpipe.echo_measurements import MEASUREMENTS, Interval
from ecgpipe.read_ecg.echo.cells import parse_reading, parse_yes

ABOVE, BELOW = math.nextafter(60, math.inf), math.nextafter(45, -math.inf)


@pytest.mark.parametrize(
    ("name", "cell", "value", "unit"),
    [
        ("lvef", "55", (55, 55), None),
        ("lvef", "５５．５％", (55.5, 55.5), "%"),
        ("lvef", "55-60 %", (55, 60), "%"),
        ("lvef", "55〜60", (55, 60), None),
        ("lvef", "> 60%", (ABOVE, math.inf), "%"),
        ("lvef", "60%以上", (60, math.inf), "%"),
        ("lvef", "<45", (-math.inf, BELOW), None),
        ("lvef", "45未満", (-math.inf, BELOW), None),
        ("lvef", "≤45", (-math.inf, 45), None),
        ("ivsd", "1.3 cm", (1.3, 1.3), "cm"),
        ("ivsd", "13mm", (13, 13), "mm"),
        ("lvmi", "110 g/m²", (110, 110), "g/m2"),
        ("lvmi", "110 g/m^2", (110, 110), "g/m2"),
        ("lavi", "40 mL/m2", (40, 40), "ml/m2"),
        ("pasp", "48 mmHg", (48, 48), "mmhg"),
        ("tr_vmax", "3.2 m/sec", (3.2, 3.2), "m/s"),
        ("e_e_prime", "14.2", (14.2, 14.2), None),
    ],
)
def test_a_measurement_is_understood(
    name: str, cell: str, value: Interval, unit: str | None
) -> None:
    reading = parse_reading(cell, MEASUREMENTS[name])
    assert reading is not None
    assert reading.value == value
    assert (reading.unit.written if reading.unit else None) == unit


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("lvef", "良好"), ("lvef", "-55"), ("lvef", "60-55"), ("lvef", "> 55-60"),
        ("lvef", "55 mm"), ("lvef", "5,5"), ("lvef", ">60以下"), ("ivsd", "13 inch"),
        ("pasp", "30+RAP"),
    ],
)  # fmt: skip
def test_a_measurement_that_is_not_understood_is_refused(name: str, cell: str) -> None:
    with pytest.raises(ValueError, match=r"number|unit|interval"):
        parse_reading(cell, MEASUREMENTS[name])


@pytest.mark.parametrize("cell", ["", " ", "-", "不明", "測定不能", "N/A", "nan", "Not measured"])
def test_what_was_not_measured_is_unknown(cell: str) -> None:
    for measurement in MEASUREMENTS.values():
        assert parse_reading(cell, measurement) is None


@pytest.mark.parametrize(
    ("cell", "grade"),
    [
        ("0", (0, 0)), ("2", (2, 2)), ("3.0", (3, 3)), ("1+", (1, 1)), ("2+", (2, 2)),
        ("2/4", (2, 2)), ("none", (0, 0)), ("No MR", (0, 0)),
        ("なし", (0, 0)), ("正常", (0, 0)), ("(-)", (0, 0)),
        ("trace", (0.5, 0.5)), ("Trivial", (0.5, 0.5)), ("微量", (0.5, 0.5)), ("±", (0.5, 0.5)),
        ("mild", (1, 1)), ("Mild MR", (1, 1)), ("軽度", (1, 1)), ("少量", (1, 1)), ("Ⅰ度", (1, 1)),
        ("I/IV", (1, 1)), ("軽度低下", (1, 1)), ("mildly reduced", (1, 1)), ("軽度逆流", (1, 1)),
        ("moderate", (2, 2)), ("中等度", (2, 2)), ("Ⅱ度", (2, 2)), ("Grade II", (2, 2)),
        ("中等量", (2, 2)), ("moderate stenosis", (2, 2)), ("中等度低下", (2, 2)),
        ("severe", (3, 3)), ("高度", (3, 3)), ("重症", (3, 3)), ("III", (3, 3)), ("IV", (4, 4)),
        ("mild to moderate", (1, 2)), ("mild-moderate", (1, 2)), ("軽度〜中等度", (1, 2)),
        ("軽度から中等度", (1, 2)), ("1-2", (1, 2)), ("moderate to severe", (2, 3)),
        ("reduced", (1, 4)), ("低下", (1, 4)), ("あり", (0.5, 4)),
    ],
)  # fmt: skip
def test_a_grade_is_understood_in_words_of_both_languages_and_numbers(
    cell: str, grade: Interval
) -> None:
    reading = parse_reading(cell, MEASUREMENTS["mr_grade"])
    assert reading is not None
    assert reading.value == grade


@pytest.mark.parametrize("cell", ["5", "12", "mild to mild to mild", "severe to mild", "弁", "x"])
def test_a_grade_that_is_not_understood_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="no grade"):
        parse_reading(cell, MEASUREMENTS["mr_grade"])


def test_yes_and_no_are_understood_and_nothing_else() -> None:
    assert [parse_yes(cell) for cell in ("1", "Yes", "あり", "有")] == [True] * 4
    assert [parse_yes(cell) for cell in ("0", "No", "なし", "無", "none")] == [False] * 5
    assert [parse_yes(cell) for cell in ("", "不明", "N/A")] == [None] * 3
    with pytest.raises(ValueError, match="neither yes nor no"):
        parse_yes("AVR後")
