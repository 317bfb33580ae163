"""A laboratory's table of echocardiograms: units, and mistakes in rows, cells and columns."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ecgpipe.config.echo import EchoConfig
from ecgpipe.errors import SourceError
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions
from ecgpipe.read_ecg.echo.echo_table import EchoTable, read_echo_table


def read(folder: Path, *lines: str, **settings: Any) -> EchoTable:
    path = folder / "echo.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_echo_table(EchoConfig(table=path, **settings))


def column(folder: Path, name: str, *cells: str) -> EchoTable:
    """A table with a measurement in one column, beside an ejection fraction in every row."""
    rows = [f"p{n},2024-03-05,60,{cell}" for n, cell in enumerate(cells)]
    return read(folder, f"patient_id,echo_at,lvef,{name}", *rows)


def values(table: EchoTable, name: str) -> list[float | None]:
    return [each.measured[name][0] if name in each.measured else None for each in table.echos]


def faults(table: EchoTable) -> dict[str, int]:
    return dict(Counter(fault.what for fault in table.faults))


@pytest.mark.parametrize(
    ("name", "cells", "unit"),
    [
        ("ivsd", ("13", "9.5"), "mm"),
        ("ivsd", ("1.3", "0.95"), "cm"),
        ("ivsd", ("1.3 cm", "0.95"), "cm"),
        ("ivsd_cm", ("1.3", "0.95"), "cm"),
        ("ivsd_mm", ("13", "9.5 mm"), "mm"),
    ],
)
def test_a_wall_is_in_millimetres_whatever_its_unit(
    tmp_path: Path, name: str, cells: tuple[str, ...], unit: str
) -> None:
    table = column(tmp_path, name, *cells)
    assert values(table, "ivsd") == [13, 9.5]
    assert table.units["ivsd"] == unit
    assert not table.faults


def test_every_threshold_is_met_in_each_unit(tmp_path: Path) -> None:
    judge = load_echo_definitions("standard").judge
    for name, cell, finding in (
        ("lvpwd_cm", "1.3", "WALL_GE_13"),
        ("tr_vmax_cm_s", "320", "TR_VMAX_GE_3_2"),
        ("tr_vmax", "320", "TR_VMAX_GE_3_2"),
    ):
        (echo,) = column(tmp_path, name, cell).echos
        assert judge(echo.measured, None)[finding], name
    for cell, finding in (("0.40", "LVEF_LE_40"), ("0.45", "LVEF_LE_45")):
        (echo,) = read(tmp_path, "patient_id,echo_at,lvef_fraction", f"p,2024-03-05,{cell}").echos
        assert judge(echo.measured, None)[finding], cell


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("ivsd", ("13", "1.3", "9")),  # by their values
        ("ivsd", ("13 mm", "1.3 cm", "9 mm")),  # by their cells
        ("ivsd_mm", ("13", "1.3 cm", "9")),  # by its name and a cell
    ],
)
def test_a_column_in_two_units_is_left_out_and_the_others_are_read(
    tmp_path: Path, name: str, cells: tuple[str, ...]
) -> None:
    table = column(tmp_path, name, *cells)
    assert table.mixed == {name: 3}
    assert values(table, "ivsd") == [None, None, None]
    assert values(table, "lvef") == [60, 60, 60]
    assert table.left_out() == {f"echo {name} in two units": 3}


def test_a_column_whose_name_states_the_unit_loses_only_the_impossible_values(
    tmp_path: Path,
) -> None:
    table = column(tmp_path, "ivsd_mm", "13", "1.3", "130", "9", "", "厚い")
    assert values(table, "ivsd") == [13, None, None, 9, None, None]
    assert faults(table) == {"impossible echo ivsd_mm": 2, "unreadable echo ivsd_mm": 1}
    assert [fault.place for fault in table.faults] == [
        "row 7 of echo", "row 3 of echo", "row 4 of echo"
    ]  # fmt: skip


def test_a_value_that_no_heart_has_is_unknown_whatever_the_unit(tmp_path: Path) -> None:
    table = column(tmp_path, "lvmi", "110", "5", "900")
    assert values(table, "lvmi") == [110, None, None]
    assert faults(table) == {"impossible echo lvmi": 2}


def test_rows_without_patient_time_or_measurement_are_counted_and_the_rest_is_read(
    tmp_path: Path,
) -> None:
    table = read(
        tmp_path,
        "patient_id,echo_at,lvef,mr_grade",
        "p1,2024-03-05,60,mild",
        ",2024-03-05,60,mild",
        "p2,,60,mild",
        "p3,5/3/2024,60,mild",
        "p4,1900-01-00,60,mild",
        "p5,1900-01-01,60,mild",
        "p6,2024-03-05,,",
        "p7,2024-03-05,測定不能,不明",
        "p8,2024-03-05,,中等度",
    )
    assert [echo.patient_id for echo in table.echos] == ["p1", "p8"]
    assert table.left_out() == {
        "echos without patient_id": 1,
        "echos without a time": 4,
        "echos without a measurement or report": 2,
    }


def test_a_row_needs_a_measurement_or_a_report(tmp_path: Path) -> None:
    both = read(
        tmp_path,
        "patient_id,echo_at,lvef,report",
        "p1,2024-03-05,60,左室収縮は保たれている。",
        "p2,2024-03-05,,EF 35%",
        "p3,2024-03-05,60,",
        "p4,2024-03-05,, ",
    )
    assert [(each.patient_id, each.measured, each.report) for each in both.echos] == [
        ("p1", {"lvef": (60, 60)}, "左室収縮は保たれている。"),
        ("p2", {}, "EF 35%"),  # nothing is read from a report
        ("p3", {"lvef": (60, 60)}, None),
    ]
    assert both.left_out() == {"echos without a measurement or report": 1}
    only = read(tmp_path, "patient_id,echo_at,所見", "p1,2024-03-05,a", columns={"report": "所見"})
    assert [each.report for each in only.echos] == ["a"]


def test_columns_may_be_called_otherwise(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        "患者ID,検査日,EF,中隔,弁置換,MR",
        "p1,2024-03-05,60,1.1,あり,Ⅱ度",
        columns={"patient_id": "患者ID", "echo_at": "検査日", "lvef": "EF", "ivsd_cm": "中隔",
                 "prosthetic_valve": "弁置換", "mr_grade": "MR"},
    )  # fmt: skip
    (echo,) = table.echos
    assert echo.measured == {"lvef": (60, 60), "ivsd": (11, 11), "mr_grade": (2, 2)}
    assert echo.prosthetic_valve is True
    assert echo.paced is None


@pytest.mark.parametrize(
    ("header", "settings", "told"),
    [
        ("patient_id,lvef", {}, "has no column echo_at"),
        ("echo_at,lvef", {}, "has no column patient_id"),
        (
            "patient_id,echo_at,ef",
            {},
            "has no measurement of echocardiograms and no report. It needs report or one of",
        ),
        ("patient_id,echo_at,lvef", {"columns": {"lvmi": "LVMI"}}, "has no column LVMI"),
        ("patient_id,echo_at,ivsd_mm,ivsd_cm", {}, "ivsd_mm and ivsd_cm for one measurement"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_paragraph(
    tmp_path: Path, header: str, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(SourceError, match=told) as found:
        read(tmp_path, header, "1,2,3,4"[: 2 * header.count(",") + 1], **settings)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (("p1,2024-03-05,", "p2,2024-03-05,不明"), "echos without a measurement or report .2."),
        (("p1,2024-03-05,600", "p2,2024-03-05,2"), "impossible echo lvef .2., echos without"),
        (("p1,2024-03-05,good", ",2024-03-05,60"), "unreadable echo lvef .1., echos without pat"),
        (("p1,2024-03-05,60", "p2,2024-03-05,0.55"), "echo lvef in two units .2., echos"),
    ],
)
def test_a_table_in_which_all_is_unknown_is_refused_in_one_paragraph(
    tmp_path: Path, rows: tuple[str, ...], why: str
) -> None:
    with pytest.raises(SourceError, match=rf"says nothing of any echocardiogram: {why}") as found:
        read(tmp_path, "patient_id,echo_at,lvef", *rows)
    assert "\n" not in str(found.value)
    assert "The first is row 2 of echo. Correct the table (docs/echo.md" in str(found.value)


def test_a_column_that_no_echocardiogram_has_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'lvmi_g'.* Did you mean 'lvmi"):
        EchoConfig(table=tmp_path / "echo.csv", columns={"lvmi_g": "LVMI"})
