"""The prepare stage with a table of echocardiograms: kept in the records, and never stale."""

from pathlib import Path

import pytest
from hospital import Hospital

from ecgpipe.config.echo import EchoConfig
from ecgpipe.errors import SourceError


def with_echos(folder: Path, *lines: str) -> Hospital:
    """Four ECGs of two patients, a day apart."""
    hospital = Hospital(folder, 4)
    for number, row in enumerate(hospital.rows):
        row["recorded_at"] = f"2024-03-0{number + 1} 09:00"
    (folder / "echo.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return hospital


ECHOS = ("patient_id,echo_at,lvef", "p0,2024-03-01 15:00,38", "p1,2024-05-01,60")


def test_records_keep_what_is_shown_and_what_is_known(tmp_path: Path) -> None:
    hospital = with_echos(tmp_path, *ECHOS)
    prepared = hospital.prepare(echo=EchoConfig(table=tmp_path / "echo.csv"))
    table = hospital.records(prepared)
    found = {record.record_id: (record.echo_shown, record.echo_known) for record in table.records}
    low = (("LVEF_LE_40", "LVEF_LE_45", "ANY"), ("LVEF_LE_40", "LVEF_LE_45", "ANY"))
    assert found == {"r00": low, "r01": low, "r02": ((), ()), "r03": ((), ())}
    counts = table.about["counts"]["echo"]
    assert counts["within_days"] == {"1": 2, "7": 2, "30": 2, "90": 4}
    assert counts["joined"] == 2
    assert counts["findings"]["LVEF_LE_40"] == {"shown": 2, "not_shown": 0, "unknown": 0}


def test_without_the_table_of_echocardiograms_records_have_none(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path, 2)
    prepared = hospital.prepare()
    assert {record.echo_known for record in hospital.records(prepared).records} == {()}
    assert "echo" not in prepared.counts


def test_a_change_of_table_window_or_definitions_prepares_anew_without_reading_ecgs(
    tmp_path: Path,
) -> None:
    hospital = with_echos(tmp_path, *ECHOS)
    echo = EchoConfig(table=tmp_path / "echo.csv")
    hospital.prepare(echo=echo)
    assert hospital.find() is not None
    (tmp_path / "echo.csv").write_text("\n".join(ECHOS).replace("38", "42") + "\n")
    assert hospital.find() is None
    first = hospital.prepare()
    assert first.work.read == 0
    assert first.counts["echo"]["findings"]["LVEF_LE_40"]["shown"] == 0
    wide = hospital.prepare(echo=EchoConfig(table=tmp_path / "echo.csv", window_days=90))
    assert wide.digest != first.digest
    assert wide.counts["echo"]["joined"] == 4
    own = tmp_path / "own.yaml"
    own.write_text(
        "definitions:\n  - {id: EF, ja: 低下, en: Low, source: ours, rule: {lvef: '< 50'}}\n"
    )
    ours = hospital.prepare(echo=EchoConfig(table=tmp_path / "echo.csv", definitions=str(own)))
    assert hospital.records(ours).records[0].echo_shown == ("EF",)


def test_a_table_that_cannot_be_used_is_told_before_a_recording_is_read(tmp_path: Path) -> None:
    hospital = with_echos(tmp_path, "patient_id,echo_at,ef", "p0,2024-03-01,38")
    (tmp_path / "ecg" / "r00.dat").unlink()
    with pytest.raises(SourceError, match="no measurement of echocardiograms"):
        hospital.prepare(echo=EchoConfig(table=tmp_path / "echo.csv"))
    assert not (tmp_path / "work").exists()


def test_paced_ecgs_get_none_by_the_names_of_the_list(tmp_path: Path) -> None:
    hospital = with_echos(tmp_path, *ECHOS)
    hospital.rows[0]["findings"] = "心室ペーシング調律"
    prepared = hospital.prepare(echo=EchoConfig(table=tmp_path / "echo.csv"))
    assert hospital.records(prepared).records[0].echo_known == ()
    assert prepared.counts["echo"]["excluded"] == {"paced": 1}


def test_bad_echos_are_counted_beside_what_else_is_left_out(tmp_path: Path) -> None:
    hospital = with_echos(tmp_path, *ECHOS, ",2024-03-01,38", "p0,,38", "p0,2024-03-01,380")
    prepared = hospital.prepare(echo=EchoConfig(table=tmp_path / "echo.csv"))
    assert prepared.counts["left_out"] == {
        "echos without patient_id": 1,
        "echos without a time": 1,
        "impossible echo lvef": 1,
        "echos without a measurement or report": 1,
    }


def test_records_keep_the_report_of_their_echocardiogram(tmp_path: Path) -> None:
    reports = "patient_id,echo_at,report", "p0,2024-03-01,壁運動良好。", "p1,2024-05-01,EF 35%"
    hospital = with_echos(tmp_path, *reports)
    echo = EchoConfig(table=tmp_path / "echo.csv")
    prepared = hospital.prepare(echo=echo)
    records = hospital.records(prepared).records
    assert [each.echo_report for each in records] == ["壁運動良好。"] * 2 + [None] * 2
    assert {each.echo_known for each in records} == {()}
    assert prepared.counts["echo"]["reports"] == prepared.counts["echo"]["joined"] == 2
    assert "壁運動" not in str(prepared.counts)
    (tmp_path / "echo.csv").write_text("\n".join(reports).replace("良好", "低下") + "\n")
    assert hospital.find() is None
    again = hospital.prepare()
    assert again.work.read == 0
    assert hospital.records(again).records[0].echo_report == "壁運動低下。"


def test_an_ecg_of_which_only_an_echocardiogram_says_something_is_kept(tmp_path: Path) -> None:
    hospital = with_echos(tmp_path, *ECHOS)
    for row in hospital.rows:
        row["findings"] = ""
    prepared = hospital.prepare(echo=EchoConfig(table=tmp_path / "echo.csv"))
    kept = {r.record_id: r.findings for r in hospital.records(prepared).records}
    assert kept == {"r00": (), "r01": ()}
    why = ("no findings or report", "findings and report are both empty")
    assert hospital.rejected(prepared) == {"r02": why, "r03": why}
    assert prepared.counts["echo"]["joined"] == 2


def test_a_finding_that_the_list_lacks_rejects_an_ecg_whatever_its_echocardiogram_says(
    tmp_path: Path,
) -> None:
    hospital = with_echos(tmp_path, *ECHOS)
    hospital.rows[0]["findings"] = "左室のなにか"
    prepared = hospital.prepare(echo=EchoConfig(table=tmp_path / "echo.csv"))
    assert [reason for reason, _ in hospital.rejected(prepared).values()] == ["unknown finding"]
    prepared = hospital.prepare(unknown_findings="leave_out")
    assert hospital.rejected(prepared) == {}
    assert hospital.records(prepared).records[0].findings == ()
