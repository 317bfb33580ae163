"""WFDB recordings: equal to the wfdb package where it is right, refused where it would guess."""

import re
from pathlib import Path

import numpy as np
import pytest
import wfdb
from wfdb_files import LEADS, ecg_like, write_wfdb

from ecgpipe.config.data import DataConfig, TableSource
from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.recording import read_recording
from ecgpipe.read_ecg.formats.wfdb import adc_to_millivolts, read_wfdb
from ecgpipe.read_ecg.formats.wfdb_header import parse_header
from ecgpipe.read_ecg.signal.record import Reason
from ecgpipe.read_ecg.signal.window import to_window


def reason_of(path: Path) -> tuple[str, str]:
    with pytest.raises(RecordError) as caught:
        read_recording(path)
    return caught.value.reason, str(caught.value)


def test_millivolts_come_from_gain_and_baseline() -> None:
    adc = np.array([[100, -32768, 300], [0, 50, 100]], np.int16)
    millivolts = adc_to_millivolts(adc, np.array([200.0, 50.0]), np.array([100, 0]))
    np.testing.assert_array_equal(millivolts, np.float32([[0.0, np.nan, 1.0], [0.0, 1.0, 2.0]]))


@pytest.mark.parametrize("gain", ["1000(0)/mV", "200(-17)/mV", "0.5/uV", "409.6", "-1000/mV"])
def test_a_recording_equals_the_wfdb_package(tmp_path: Path, gain: str) -> None:
    adc = ecg_like()
    adc[3, 100:120] = -32768
    path = write_wfdb(tmp_path, "a", adc, gain=gain)
    record = read_recording(path)
    reference = wfdb.rdrecord(str(path))
    per_unit = 1e-3 if reference.units[0] == "uV" else 1.0
    np.testing.assert_allclose(record.signal_mv, reference.p_signal.T * per_unit, rtol=1e-6)
    assert record.rate_hz == 500


def test_real_recordings_equal_the_wfdb_package(real_data: Path) -> None:
    headers = sorted((real_data / "ptbxl" / "records500").rglob("*.hea"))[::100]
    headers += sorted((real_data / "cinc2021").glob("*.hea"))[::4]
    assert len(headers) > 20
    for header in headers:
        record = read_recording(header)
        reference = wfdb.rdrecord(str(header.with_suffix("")))
        np.testing.assert_allclose(record.signal_mv, reference.p_signal.T, rtol=1e-6, atol=1e-7)


def test_other_formats_go_through_the_wfdb_package(tmp_path: Path) -> None:
    truth_mv = np.round(np.random.default_rng(0).normal(size=(1000, 2)), 2)
    wfdb.wrsamp(
        "b", 360, ["mV", "mV"], ["II", "V1"], truth_mv, fmt=["212"] * 2,
        adc_gain=[200.0] * 2, baseline=[0] * 2, write_dir=str(tmp_path),
    )  # fmt: skip
    record = read_recording(tmp_path / "b")
    np.testing.assert_allclose(record.signal_mv[[1, 6]], truth_mv.T, atol=1e-6)
    assert np.isnan(record.signal_mv[0]).all()


def test_real_two_lead_tapes_are_read_by_lead_name(real_data: Path) -> None:
    # 104 has V5 and V2: neither may end up in lead I or II.
    record = read_recording(real_data / "mitdb" / "104")
    present = [lead for lead, row in zip(LEADS, record.signal_mv, strict=True) if row[0] == row[0]]
    assert present == ["V2", "V5"]
    reference = wfdb.rdrecord(str(real_data / "mitdb" / "104"))
    v2 = reference.p_signal[:, reference.sig_name.index("V2")]
    np.testing.assert_allclose(record.signal_mv[LEADS.index("V2")], v2, rtol=1e-6)


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_recording_may_be_named_with_or_without_suffix(tmp_path: Path, suffix: str) -> None:
    path = write_wfdb(tmp_path, "日本語.v2", ecg_like())
    assert read_recording(path.with_name(path.name + suffix)).signal_mv.shape == (12, 5000)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    reason, message = reason_of(tmp_path / "nothing")
    assert reason == Reason.MISSING_FILE
    assert "nor nothing.hea exists" in message
    path = write_wfdb(tmp_path, "a", ecg_like())
    path.with_suffix(".dat").unlink()
    reason, message = reason_of(path)
    assert reason == Reason.MISSING_FILE
    assert "a.dat does not exist" in message


def test_a_truncated_file_says_how_much_is_there(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, "a", ecg_like())
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[: 12 * 2 * 4000])
    reason, message = reason_of(path)
    assert reason == Reason.TRUNCATED
    assert "holds 4,000 of the 5,000 samples" in message


def test_damaged_samples_do_not_match_the_checksum(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, "a", ecg_like())
    data = path.with_suffix(".dat")
    content = bytearray(data.read_bytes())
    content[777] ^= 4
    data.write_bytes(content)
    assert reason_of(path)[0] == Reason.CHECKSUM


@pytest.mark.parametrize("gain", ["0/mV", "nan/mV", "x/mV", "0"])
def test_a_header_without_gain_is_refused_not_guessed(tmp_path: Path, gain: str) -> None:
    reason, message = reason_of(write_wfdb(tmp_path, "a", ecg_like(), gain=gain))
    assert reason == Reason.NO_GAIN
    assert "'I'" in message


def test_a_signal_line_without_any_gain_is_refused() -> None:
    # The wfdb package would read this as 200 units/mV.
    with pytest.raises(RecordError) as caught:
        parse_header("a 1 500 5000\na.dat 16 \n", "a.hea")
    assert caught.value.reason == Reason.NO_GAIN


def test_units_that_are_no_voltage_are_refused_for_a_lead(tmp_path: Path) -> None:
    assert reason_of(write_wfdb(tmp_path, "a", ecg_like(), gain="100/mmHg"))[0] == Reason.UNITS


def test_another_signal_may_have_any_unit(tmp_path: Path) -> None:
    path = write_wfdb(tmp_path, "a", ecg_like())
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace("1000(0)/mV 16 0 ", "1000(0)/l 16 0 ", 1))
    lines = header.read_text().splitlines()
    lines[1] = lines[1].rsplit(" ", 1)[0] + " RESP"
    header.write_text("\n".join(lines) + "\n")
    record = read_recording(path)
    # Lead I is gone with its name; it follows from II and III.
    expected = record.signal_mv[1] - record.signal_mv[2]
    np.testing.assert_allclose(record.signal_mv[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "a\n",
        "a 1\na.dat 16 200 16 0 0 0 0 I\n",
        "a 1 0\na.dat 16 200 16 0 0 0 0 I\n",
        "a 1 fast\na.dat 16 200 16 0 0 0 0 I\n",
        "a one 500\na.dat 16 200 16 0 0 0 0 I\n",
        "a 2 500\na.dat 16 200 16 0 0 0 0 I\n",
        "a/2 1 500 1000\nseg1 500\nseg2 500\n",
        "a 1 500 5000\na.dat\n",
        "a 1 500 many\na.dat 16 200 16 0 0 0 0 I\n",
    ],
)
def test_a_malformed_header_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        parse_header(text, "a.hea")


@pytest.mark.parametrize("name", ["../b.dat", "/etc/passwd", "sub/b.dat", ".."])
def test_a_header_cannot_point_outside_its_folder(name: str) -> None:
    text = f"a 1 500 5000\n{name} 16 200 16 0 0 0 0 I\n"
    with pytest.raises(RecordError) as caught:
        parse_header(text, "a.hea")
    assert caught.value.reason == Reason.OUTSIDE_ROOT


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4")
    reason, message = reason_of(tmp_path / "a.pdf")
    assert reason == Reason.UNREADABLE
    assert "has an unknown format" in message


def test_header_text_of_any_bytes_never_crashes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = write_wfdb(tmp_path, "a", ecg_like()).with_suffix(".hea").read_bytes()
    for _ in range(300):
        mutated = bytearray(good)
        for _ in range(rng.integers(1, 6)):
            mutated[rng.integers(len(mutated))] = rng.integers(256)
        (tmp_path / "a.hea").write_bytes(mutated)
        try:
            read_recording(tmp_path / "a")
        except RecordError:
            continue


def test_other_formats_are_checked_against_their_checksums_too(tmp_path: Path) -> None:
    signal_mv = ecg_like().T / 1000
    wfdb.wrsamp(
        "r", fs=500, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal_mv,
        fmt=["212"] * 12, adc_gain=[200.0] * 12, baseline=[0] * 12, write_dir=str(tmp_path),
    )  # fmt: skip
    read_wfdb(tmp_path / "r.hea")
    content = bytearray((tmp_path / "r.dat").read_bytes())
    content[300] ^= 1
    (tmp_path / "r.dat").write_bytes(content)
    with pytest.raises(RecordError, match="do not match the header's checksum"):
        read_wfdb(tmp_path / "r.hea")


def test_a_header_that_names_the_wrong_format_is_found_out(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "r", ecg_like())
    header = (tmp_path / "r.hea").read_text()
    (tmp_path / "r.hea").write_text(header.replace(" 16 ", " 212 "))
    with pytest.raises(RecordError):
        read_wfdb(tmp_path / "r.hea")


def test_a_header_with_zero_samples_leaves_the_number_to_the_file(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "r", ecg_like())
    lines = (tmp_path / "r.hea").read_text().splitlines()
    name, signals, rate, samples = lines[0].split()[:4]
    (tmp_path / "r.hea").write_text("\n".join([f"{name} {signals} {rate} 0", *lines[1:]]))
    assert read_wfdb(tmp_path / "r.hea").signal_mv.shape == (12, int(samples))


@pytest.mark.parametrize("gain", ["1e400", "1e-300"])
def test_an_impossible_gain_is_no_gain(tmp_path: Path, gain: str) -> None:
    write_wfdb(tmp_path, "r", ecg_like())
    header = re.sub(r" \S+/mV ", f" {gain}/mV ", (tmp_path / "r.hea").read_text())
    (tmp_path / "r.hea").write_text(header)
    with pytest.raises(RecordError, match="states no gain"):
        read_wfdb(tmp_path / "r.hea")


def test_every_whole_microvolt_is_stored_exactly(tmp_path: Path) -> None:
    """Five leads run through all values of 16 bits; the others keep the amplitude an ECG's."""
    config = DataConfig(sources=(TableSource(kind="table", table=Path("x.csv")),))
    for ramps in np.resize(np.arange(-32767, 32768), (3, 5, 5000)):
        adc = ecg_like()
        adc[:5] = ramps
        record = read_wfdb(write_wfdb(tmp_path, "r", adc).with_suffix(".hea"))
        stored, notes = to_window(record, config)
        np.testing.assert_array_equal(stored, adc)
        assert notes == ()
