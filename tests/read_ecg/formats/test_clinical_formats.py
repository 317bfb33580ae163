"""Clinical formats: one contract for all, the traps of each, real files against our own sums."""

import base64
import re
import struct
import tracemalloc
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import mfer_files
import numpy as np
import numpy.typing as npt
import pytest
from clinical_files import (
    LEADS,
    MUSE_LEADS,
    aecg_text,
    dicom_group,
    edf_annotations,
    edf_bytes,
    edf_signal,
    mend_scp,
    millivolts,
    muse_text,
    muse_waveform,
    philips_text,
    scp_bytes,
    twelve_leads,
    write_all,
    write_dicom,
)
from documents import run_example
from mfer_files import HERTZ, SECONDS, VOLT, mfer_bytes

from ecgpipe.config.data import DataConfig, PtbxlSource
from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats import recording
from ecgpipe.read_ecg.formats.philips import _xli_samples
from ecgpipe.read_ecg.formats.recording import FORMATS, Format, find_format, read_recording
from ecgpipe.read_ecg.signal.record import ABOUT, EcgRecord, Reason
from ecgpipe.read_ecg.signal.window import to_window

ARRAYS = ("HDF5", "NumPy", "MATLAB", "CSV")  # test_array_formats.py has their contract
NAMES = [form.name for form in FORMATS if form.name not in ARRAYS]
CONFIG = DataConfig(sources=(PtbxlSource(kind="ptbxl", root=Path("x")),))
ADC = twelve_leads()
PERSON = {"sex": "F", "age": "64", "recorded_at": "2024-03-05 09:08:07"}
# Another format may have no room for it.
STATE_THE_PERSON = (
    "DICOM waveform", "HL7 aECG", "GE MUSE XML", "Philips XML", "SCP-ECG", "EDF", "MFER",
)  # fmt: skip
EIGHT = [LEADS.index(lead) for lead in MUSE_LEADS]
NOT_DONE = 2e-3  # µV: what float32 leaves of 16 mV


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_all(tmp_path_factory.mktemp("clinical"), ADC)


@pytest.fixture
def formats(real_data: Path) -> Path:
    folder = real_data / "formats"
    if not folder.is_dir():
        pytest.skip("no clinical files: formats/ is missing beside ptbxl/")
    return folder


def read(folder: Path, content: bytes | str, name: str = "recording") -> EcgRecord:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_recording(path)


def refusal(folder: Path, content: bytes | str) -> tuple[str, str]:
    with pytest.raises(RecordError) as caught:
        read(folder, content)
    return caught.value.reason, str(caught.value)


def secrets_in(text: str) -> list[str]:
    """What a written file says of its patient or staff, found in a text."""
    secrets = ("yamada", "山田", "太郎", "4711", "taro", "suzuki", "serial", "1960")
    return [secret for secret in secrets if secret in text.casefold()]


def worst_uv(record: EcgRecord, truth_mv: npt.NDArray[Any]) -> float:
    """The largest difference in µV; a missing reading on one side alone is infinitely wrong."""
    assert record.signal_mv.shape == truth_mv.shape
    missing = np.isnan(record.signal_mv)
    if (missing != np.isnan(truth_mv)).any():
        return np.inf
    return float(np.abs(record.signal_mv - truth_mv)[~missing].max() * 1000)


# --- the contract ---


@pytest.mark.parametrize("name", NAMES)
def test_a_format_is_known_by_its_content_and_read_to_the_quantum(
    name: str, written: dict[str, Path]
) -> None:
    found = find_format(written[name])
    assert found is not None
    assert found.name == name
    record = read_recording(written[name])
    assert record.rate_hz == 500
    assert worst_uv(record, millivolts(ADC)) < NOT_DONE
    window, _ = to_window(record, CONFIG)
    assert window.shape == (12, 5000)
    np.testing.assert_array_equal(window, ADC * 5)


@pytest.mark.parametrize("name", NAMES)
def test_a_records_description_identifies_nobody(name: str, written: dict[str, Path]) -> None:
    about = read_recording(written[name]).about
    assert about["format"] == name
    assert set(about) <= set(ABOUT)
    for key, stated in PERSON.items():
        if key in about or name in STATE_THE_PERSON:
            assert about[key] == stated
    assert not secrets_in(" ".join(about.values()))


@pytest.mark.parametrize("name", NAMES)
def test_half_a_file_is_refused_and_its_patient_not_named(
    name: str, written: dict[str, Path], tmp_path: Path
) -> None:
    whole = written[name].read_bytes()
    reason, message = refusal(tmp_path, whole[: len(whole) // 2])
    assert reason in (Reason.TRUNCATED, Reason.UNREADABLE)
    assert "recording" in message
    assert str(tmp_path) not in message
    assert not secrets_in(message)


@pytest.mark.parametrize("name", NAMES)
def test_a_huge_file_is_refused_before_it_is_read(
    name: str, written: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "huge"
    path.write_bytes(written[name].read_bytes())
    with path.open("r+b") as file:
        file.truncate(2 << 30)
    tracemalloc.start()
    with pytest.raises(RecordError, match=r"2,048 MB; an ECG may have up to (16|32) MB") as caught:
        read_recording(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.reason == Reason.UNREADABLE
    assert peak_bytes < 32 << 20


def test_every_module_that_recognises_a_format_is_in_the_list() -> None:
    listed = {form.is_it.__module__.rpartition(".")[2] for form in FORMATS}
    for path in Path(recording.__file__).parent.glob("*.py"):
        if re.search(r"^def is_\w+\(head", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert path.stem in listed, f"{path.name} is not in FORMATS, in {recording.__file__}"


def test_the_format_of_contributing_keeps_the_contract_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = run_example("CONTRIBUTING.md", "A file format")
    form = Format("ACME", example["is_acme"], example["read_acme"])
    monkeypatch.setattr(recording, "FORMATS", (form, *FORMATS))
    names = [lead.encode().ljust(4) for lead in LEADS[::-1]]
    head = b"ACME" + struct.pack("<HIf" + "4s" * 12, 500, ADC.shape[1], 5, *names)
    written = {"ACME": tmp_path / "recording"}
    written["ACME"].write_bytes(head.ljust(64, b"\0") + ADC[::-1].T.astype("<i2").tobytes())
    test_a_format_is_known_by_its_content_and_read_to_the_quantum("ACME", written)
    test_a_records_description_identifies_nobody("ACME", written)
    (tmp_path / "other").mkdir()
    test_half_a_file_is_refused_and_its_patient_not_named("ACME", written, tmp_path / "other")
    test_a_huge_file_is_refused_before_it_is_read("ACME", written, tmp_path / "other")


def test_a_file_of_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    for content in (b"", b"%PDF-1.4", b"\0" * 5000, b"<html></html>", b"\xffBIOSEMI" + b" " * 300):
        reason, message = refusal(tmp_path, content)
        assert reason == Reason.UNREADABLE
        for name in ("has an unknown format", "WFDB", *NAMES):
            assert name in message


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        read_recording(tmp_path / "none.xml")
    assert caught.value.reason == Reason.MISSING_FILE


# --- XML ---

BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("root", ["AnnotatedECG", "RestingECG", "restingecgdata"])
@pytest.mark.parametrize(("doctype", "use"), [(BOMB, "&b;"), (EXTERNAL, "&x;")])
def test_entities_are_refused_by_name(tmp_path: Path, root: str, doctype: str, use: str) -> None:
    text = f'<?xml version="1.0"?>{doctype}<{root}><a>{use}</a></{root}>'
    reason, message = refusal(tmp_path, text)
    assert reason == Reason.UNREADABLE
    assert "declares XML entities" in message


@pytest.mark.parametrize("root", ["AnnotatedECG", "RestingECG", "restingecgdata"])
def test_xml_without_end_is_refused(tmp_path: Path, root: str) -> None:
    assert "deeper than" in refusal(tmp_path, f"<{root}>" + "<a>" * 100_000)[1]
    assert "deeper than" in refusal(tmp_path, f"<{root}>" + "<a/>" * 300_000 + f"</{root}>")[1]
    assert refusal(tmp_path, f"<{root}><a></b></{root}>")[0] == Reason.UNREADABLE
    assert refusal(tmp_path, f"<{root}><a>")[0] == Reason.TRUNCATED


def test_bytes_that_do_not_fit_the_declared_encoding_are_no_hindrance(tmp_path: Path) -> None:
    text = aecg_text({"RHYTHM": ADC}).replace("Yamada", "Müller")
    assert worst_uv(read(tmp_path, text.encode("latin-1")), millivolts(ADC)) < NOT_DONE


# --- DICOM ---


def test_the_rhythm_is_read_and_not_the_median_beat(tmp_path: Path) -> None:
    beat = ADC[:, 100:700]
    for groups in (
        [dicom_group(beat, label="MEDIAN BEAT", originality="DERIVED"), dicom_group(ADC)],
        [dicom_group(beat, label=None, originality="DERIVED"), dicom_group(ADC, label=None)],
        [dicom_group(beat, label=None, originality=None), dicom_group(ADC, label=None)],
        [dicom_group(ADC[:, :4000]), dicom_group(ADC)],
        [dicom_group(ADC, label="FILTERED", originality="DERIVED")],
        [dicom_group(ADC // 2, label="FILTERED", originality="DERIVED"), dicom_group(ADC)],
        [dicom_group(np.tile(ADC[:3], 3), leads=LEADS[:3]), dicom_group(ADC)],
    ):
        record = read_recording(write_dicom(tmp_path / "a", groups))
        assert worst_uv(record, millivolts(ADC)) < NOT_DONE


def test_a_file_with_nothing_but_a_median_beat_is_no_recording(tmp_path: Path) -> None:
    group = dicom_group(ADC[:, :600], label=None, originality="DERIVED")
    with pytest.raises(RecordError, match="only a median beat") as caught:
        read_recording(write_dicom(tmp_path / "a", [group]))
    assert caught.value.reason == Reason.TOO_SHORT


def test_padding_of_zero_leaves_true_zeros_alone(tmp_path: Path) -> None:
    assert (ADC == 0).sum() > 100
    record = read_recording(write_dicom(tmp_path / "a", [dicom_group(ADC, padding=0)]))
    assert worst_uv(record, millivolts(ADC)) < NOT_DONE
    adc = ADC.copy()
    adc[:, 4900:] = 0  # all leads together at the end: that is padding
    record = read_recording(write_dicom(tmp_path / "b", [dicom_group(adc, padding=0)]))
    assert np.isnan(record.signal_mv[:, 4900:]).all()
    assert np.isfinite(record.signal_mv[:, :4900]).all()
    assert record.notes == ("padding is no reading",)


@pytest.mark.parametrize("stated", [-32768, -30000, None])
def test_padding_far_from_the_signal_is_no_reading(tmp_path: Path, stated: int | None) -> None:
    adc = ADC.copy()
    adc[4, 100:130] = -32768 if stated is None else stated
    record = read_recording(write_dicom(tmp_path / "a", [dicom_group(adc, padding=stated)]))
    missing = np.isnan(record.signal_mv)
    assert missing[4, 100:130].all()
    assert missing.sum() == 30


def test_sensitivity_correction_baseline_and_unit_all_count(tmp_path: Path) -> None:
    group = dicom_group(ADC, sensitivity="0.004", correction="1.25", baseline="0.1", unit="mV")
    record = read_recording(write_dicom(tmp_path / "a", [group]))
    assert worst_uv(record, millivolts(ADC) + 0.1) < NOT_DONE


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"sensitivity": None}, Reason.NO_GAIN),
        ({"sensitivity": "0"}, Reason.NO_GAIN),
        ({"unit": "mm[Hg]"}, Reason.UNITS),
        ({"rate_hz": 0}, Reason.UNREADABLE),
    ],
)
def test_a_channel_without_scale_or_rate_is_refused(
    tmp_path: Path, what: dict[str, Any], reason: Reason
) -> None:
    with pytest.raises(RecordError) as caught:
        read_recording(write_dicom(tmp_path / "a", [dicom_group(ADC, **what)]))
    assert caught.value.reason == reason


def test_a_lead_is_known_by_code_or_meaning_and_both_must_agree(tmp_path: Path) -> None:
    order = ("V6", "V5", "V4", "V3", "V2", "V1", "aVF", "aVL", "aVR", "III", "II", "I")
    for coded in (True, False):
        group = dicom_group(ADC[::-1], leads=order, coded=coded)
        record = read_recording(write_dicom(tmp_path / "a", [group]))
        assert worst_uv(record, millivolts(ADC)) < NOT_DONE
    group = dicom_group(ADC)
    group.ChannelDefinitionSequence[6].ChannelSourceSequence[0].CodeMeaning = "Lead V2"
    with pytest.raises(RecordError, match="the code of V2 means V1"):
        read_recording(write_dicom(tmp_path / "a", [group]))
    group = dicom_group(ADC)
    group.ChannelDefinitionSequence[7].ChannelSourceSequence[0].CodeValue = "5.6.3-9-3"
    group.ChannelDefinitionSequence[7].ChannelSourceSequence[0].CodeMeaning = "Lead V1"
    with pytest.raises(RecordError, match="V1 appears more than once"):
        read_recording(write_dicom(tmp_path / "a", [group]))


def test_missing_dicom_samples_are_counted(tmp_path: Path) -> None:
    group = dicom_group(ADC)
    group.WaveformData = group.WaveformData[: 12 * 2 * 4000]
    with pytest.raises(RecordError, match="holds 4,000 of the 5,000 samples") as caught:
        read_recording(write_dicom(tmp_path / "a", [group]))
    assert caught.value.reason == Reason.TRUNCATED
    group = dicom_group(ADC)
    group.NumberOfWaveformSamples = 4_000_000_000
    with pytest.raises(RecordError, match="claims 12 channels of 4,000,000,000 samples"):
        read_recording(write_dicom(tmp_path / "a", [group]))


def test_deflated_dicom_is_refused_because_it_can_grow_to_any_size(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a", [dicom_group(ADC)])
    plain, deflated = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    content = path.read_bytes()
    at = content.index(plain)
    longer = content[: at - 2] + struct.pack("<H", len(deflated)) + deflated
    assert "deflated" in refusal(tmp_path, longer + content[at + len(plain) :])[1]


# --- HL7 aECG ---


def test_the_rhythm_series_is_read_and_not_the_beat(tmp_path: Path) -> None:
    beat = ADC[:, 100:700]
    for series in ({"RHYTHM": ADC, "REPRESENTATIVE_BEAT": beat}, {"RHYTHM": ADC}):
        assert worst_uv(read(tmp_path, aecg_text(series)), millivolts(ADC)) < NOT_DONE


def test_scale_origin_and_time_have_units(tmp_path: Path) -> None:
    text = aecg_text({"RHYTHM": ADC}, unit="mV", scale="0.005", origin="0.25")
    assert worst_uv(read(tmp_path, text), millivolts(ADC) + 0.25) < NOT_DONE
    record = read(tmp_path, aecg_text({"RHYTHM": ADC}, increment=("1.953125", "ms")))
    assert record.rate_hz == 512
    record = read(tmp_path, aecg_text({"RHYTHM": ADC}, increment=("0.0078125", "s")))
    assert record.rate_hz == 128
    record = read(tmp_path, aecg_text({"RHYTHM": ADC}, increment=("0.004004", "s")))
    assert record.rate_hz == pytest.approx(249.75025)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"unit": None}, Reason.NO_GAIN),
        ({"scale": ""}, Reason.NO_GAIN),
        ({"scale": "0"}, Reason.NO_GAIN),
        ({"unit": "mmHg"}, Reason.UNITS),
        ({"increment": ("0.002", "parsec")}, Reason.UNREADABLE),
        ({"increment": ("0", "s")}, Reason.UNREADABLE),
    ],
)
def test_a_series_without_scale_or_time_is_refused(
    tmp_path: Path, what: dict[str, Any], reason: Reason
) -> None:
    assert refusal(tmp_path, aecg_text({"RHYTHM": ADC}, **what))[0] == reason


def test_leads_of_unequal_length_are_refused(tmp_path: Path) -> None:
    text = aecg_text({"RHYTHM": ADC})
    at = text.rindex("</digits>")
    assert refusal(tmp_path, text[:at] + " 7" + text[at:])[0] == Reason.LEADS


# --- GE MUSE ---


def test_eight_stored_leads_become_twelve(tmp_path: Path) -> None:
    record = read(tmp_path, muse_text(muse_waveform("Rhythm", ADC[EIGHT], MUSE_LEADS)))
    one, two = record.signal_mv[0], record.signal_mv[1]
    derived = {2: two - one, 3: -(one + two) / 2, 4: one - two / 2, 5: two - one / 2}
    for row, expected in derived.items():
        np.testing.assert_allclose(record.signal_mv[row], expected, atol=1e-6)
    assert record.notes == ("limb lead derived",)


def test_a_muse_lead_that_does_not_match_its_checksum_is_refused(tmp_path: Path) -> None:
    text = muse_text(muse_waveform("Rhythm", ADC[EIGHT], MUSE_LEADS))
    payload = base64.b64encode(ADC[0].astype("<i2").tobytes()).decode()
    damaged = ADC[0].copy()
    damaged[1000] += 1
    text = text.replace(payload, base64.b64encode(damaged.astype("<i2").tobytes()).decode())
    assert refusal(tmp_path, text)[0] == Reason.CHECKSUM


def test_a_muse_lead_without_unit_is_refused(tmp_path: Path) -> None:
    for unit, reason in ((None, Reason.NO_GAIN), ("PASCALS", Reason.UNITS)):
        text = muse_text(muse_waveform("Rhythm", ADC[EIGHT], MUSE_LEADS, unit=unit))
        assert refusal(tmp_path, text)[0] == reason
    assert refusal(tmp_path, muse_text(muse_waveform("Median", ADC[EIGHT], MUSE_LEADS)))


# --- Philips ---


def test_the_calibration_pulse_at_the_end_is_no_ecg(tmp_path: Path) -> None:
    adc = twelve_leads(5500)
    adc[:, 5260:] = 0
    adc[:, 5350:5450] = 200
    record = read(tmp_path, philips_text(adc).encode("utf-16"))
    assert worst_uv(record, millivolts(adc[:, :5260])) < NOT_DONE
    assert record.notes == ("calibration pulse cut off",)


def test_philips_claims_are_checked_before_they_cost_anything(tmp_path: Path) -> None:
    text = philips_text(ADC, channels=2_000_000_000).encode("utf-16")
    assert "channels" in refusal(tmp_path, text)[1]
    reason, message = refusal(tmp_path, philips_text(ADC, version="1.05").encode("utf-16"))
    assert reason == Reason.UNREADABLE
    assert "1.05 are unsupported" in message
    assert (
        refusal(tmp_path, philips_text(ADC, resolution="0").encode("utf-16"))[0] == Reason.NO_GAIN
    )


def xli_bomb(n_codes: int) -> bytes:
    """Codes that each stand for one byte more than the one before."""
    codes = [0, *range(256, 1023), *[1022] * max(0, n_codes - 768)]
    bits = "".join(f"{code:010b}" for code in codes)
    body = int(bits + "0" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8, "big")
    return struct.pack("<iHh", len(body), 0, 0) + body


def test_an_xli_bomb_is_found_out_without_unpacking_it(tmp_path: Path) -> None:
    small = base64.b64encode(xli_bomb(800)).decode()
    from ecgdatakit.parsing.codecs import LzwDecoder

    assert _xli_samples(small) == len(LzwDecoder(xli_bomb(800)[8:], 10).read_all()) // 2
    text = philips_text(ADC[:, :0]).replace('dataencoding="Base64" ',
                                            'dataencoding="Base64" compression="XLI" ')  # fmt: skip
    at = text.index("</parsedwaveforms>")
    bomb = base64.b64encode(xli_bomb(80_000)).decode()
    tracemalloc.start()
    _, message = refusal(tmp_path, (text[:at] + bomb + text[at:]).encode("utf-16"))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "too long for an ECG" in message
    assert peak_bytes < 64 << 20


# --- SCP-ECG ---


@pytest.mark.parametrize("huffman", [False, True])
@pytest.mark.parametrize("difference", [0, 1, 2])
def test_differences_and_huffman_codes_are_undone(
    tmp_path: Path, difference: int, huffman: bool
) -> None:
    adc = ADC.copy()
    adc[3, 1000:1010] += 3000  # steps that need the 16-bit codes
    content = scp_bytes(adc, difference=difference, huffman=huffman)
    assert worst_uv(read(tmp_path, content), millivolts(adc)) < NOT_DONE


@pytest.mark.parametrize("huffman", [False, True])
def test_the_reference_beat_is_put_back(tmp_path: Path, huffman: bool) -> None:
    content = scp_bytes(ADC, beat=ADC[:, 150:350], beats_at=(150, 560, 4800), huffman=huffman)
    assert worst_uv(read(tmp_path, content), millivolts(ADC)) < NOT_DONE


def test_bimodal_compression_is_refused_not_misread(tmp_path: Path) -> None:
    reason, message = refusal(tmp_path, scp_bytes(ADC, bimodal=True, huffman=True))
    assert reason == Reason.UNREADABLE
    assert "bimodal" in message


def test_one_wrong_bit_anywhere_in_an_scp_file_is_found(tmp_path: Path) -> None:
    content = scp_bytes(ADC[:, :500], difference=2, huffman=True)
    for at in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        reason, _ = refusal(tmp_path, bytes(damaged))
        if at > 200:  # past the sizes and pointers
            assert reason == Reason.CHECKSUM


def test_leads_that_follow_one_another_keep_their_places(tmp_path: Path) -> None:
    part = ADC[:, :1250]
    starts = [1 + 1250 * (i // 3) for i in range(12)]
    record = read(tmp_path, scp_bytes(part, starts=starts))
    expected = np.full((12, 5000), np.nan)
    for row, start in enumerate(starts):
        expected[row, start - 1 : start + 1249] = millivolts(part[row])
    assert worst_uv(record, expected) < NOT_DONE
    assert record.notes == ("leads not simultaneous",)


def test_scp_claims_are_checked_before_room_is_made(tmp_path: Path) -> None:
    assert refusal(tmp_path, scp_bytes(ADC, avm_nv=0))[0] == Reason.NO_GAIN
    counts = [4_000_000_000] * 12
    assert "4,000,000,000 samples" in refusal(tmp_path, scp_bytes(ADC, counts=counts))[1]
    content = scp_bytes(ADC)
    assert refusal(tmp_path, content[:-2])[0] == Reason.TRUNCATED
    assert read(tmp_path, mend_scp(content)).signal_mv.shape == (12, 5000)


# --- MFER ---


@pytest.mark.parametrize("big_endian", [True, False])
@pytest.mark.parametrize("data_type", ["i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("block", [1, 500, 5000])
def test_byte_orders_data_types_and_block_lengths(
    tmp_path: Path, big_endian: bool, data_type: str, block: int
) -> None:
    content = mfer_bytes(ADC, leads=LEADS, big_endian=big_endian, data_type=data_type, block=block)
    assert worst_uv(read(tmp_path, content), millivolts(ADC)) < NOT_DONE


def test_mfer_leads_come_by_code_in_any_order(tmp_path: Path) -> None:
    order = ("V1", "V2", "V3", "V4", "V5", "V6", "II", "I", "respiration")
    rows = [LEADS.index(lead) if lead in LEADS else 0 for lead in order]
    record = read(tmp_path, mfer_bytes(ADC[rows], leads=order))
    assert worst_uv(record, millivolts(ADC)) < NOT_DONE
    assert record.notes == ("other signals left out", "limb lead derived")


@pytest.mark.parametrize(
    ("interval", "rate_hz"),
    [((HERTZ, 0, 250), 250), ((SECONDS, -6, 2000), 500), ((SECONDS, -3, 8), 125)],
)
def test_mfer_sampling_interval(
    tmp_path: Path, interval: tuple[int, int, int], rate_hz: float
) -> None:
    record = read(tmp_path, mfer_bytes(ADC, leads=LEADS, interval=interval))
    assert record.rate_hz == pytest.approx(rate_hz)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"interval": None}, Reason.UNREADABLE),
        ({"resolution": None}, Reason.NO_GAIN),
        ({"resolution": (1, 0, 1)}, Reason.UNITS),  # mmHg
        ({"data_type": "u2", "offset": 40000}, Reason.AMPLITUDE),
    ],
)
def test_mfer_without_rate_or_scale_is_refused(
    tmp_path: Path, what: dict[str, Any], reason: Reason
) -> None:
    assert refusal(tmp_path, mfer_bytes(np.abs(ADC), leads=LEADS, **what))[0] == reason


def test_mfer_resolution_null_and_missing_preamble(tmp_path: Path) -> None:
    adc = ADC.copy()
    adc[2, 50:60] = -32768
    content = mfer_bytes(adc, leads=LEADS, resolution=(VOLT, -9, 5000), null=-32768, preamble=False)
    expected = millivolts(ADC)
    expected[2, 50:60] = np.nan
    assert worst_uv(read(tmp_path, content), expected) < NOT_DONE


def test_mfer_cut_short_or_with_absurd_claims_is_refused(tmp_path: Path) -> None:
    content = mfer_bytes(ADC, leads=LEADS)
    wave = content.index(mfer_files.tag(mfer_files.WAVE, bytes(120_000))[:5])
    shorter = content[: wave + 1] + b"\x83" + (100_000).to_bytes(3, "big")
    shorter += content[wave + 5 : wave + 5 + 100_000]
    assert refusal(tmp_path, shorter)[0] == Reason.TRUNCATED
    many = content.replace(
        mfer_files.tag(mfer_files.CHANNELS, b"\0\x0c"),
        mfer_files.tag(mfer_files.CHANNELS, b"\x7f\xff\xff\xff"),
    )
    assert "more than 64 channels" in refusal(tmp_path, many)[1]
    notes = content[:38] + mfer_files.tag(0x16, b"") * 600_000 + content[38:]
    assert "definitions" in refusal(tmp_path, notes)[1]


# --- EDF ---


def edf_leads(**how: Any) -> list[dict[str, Any]]:
    return [edf_signal(lead, row, **how) for lead, row in zip(LEADS, ADC, strict=True)]


def test_physical_and_digital_ranges_and_units(tmp_path: Path) -> None:
    for unit, physical in (("mV", (-163.84, 163.835)), ("V", (-0.16384, 0.163835))):
        record = read(tmp_path, edf_bytes(edf_leads(unit=unit, physical=physical)))
        assert worst_uv(record, millivolts(ADC)) < 0.02  # the header's own eight characters
    upside_down = edf_bytes(edf_leads(physical=(163840, -163835)))
    assert worst_uv(read(tmp_path, upside_down), -millivolts(ADC)) < NOT_DONE
    content = edf_bytes(edf_leads(physical=(-1000, 1000), digital=(-2048, 2047)))
    expected = (ADC + 2048) * (2.0 / 4095) - 1.0
    assert worst_uv(read(tmp_path, content), expected) < NOT_DONE


def test_other_signals_of_any_rate_do_not_matter_but_leads_must_agree(tmp_path: Path) -> None:
    breath = edf_signal("Resp", ADC[0, :250], per_record=25, unit="")
    notes = edf_annotations(["cough"] * 10)
    record = read(tmp_path, edf_bytes([breath, *edf_leads(), notes]))
    assert worst_uv(record, millivolts(ADC)) < NOT_DONE
    assert record.notes == ("other signals left out",)
    slow = edf_signal("V6", ADC[11, ::2], per_record=250)
    reason, message = refusal(tmp_path, edf_bytes([*edf_leads()[:11], slow]))
    assert reason == Reason.LEADS
    assert "several rates (250, 500 Hz)" in message


def test_edf_names_of_leads(tmp_path: Path) -> None:
    for prefix in ("", "ECG ", "EKG ", "Lead "):
        signals = [edf_signal(f"{prefix}{lead}", ADC[i]) for i, lead in enumerate(LEADS)]
        assert worst_uv(read(tmp_path, edf_bytes(signals)), millivolts(ADC)) < NOT_DONE


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"unit": ""}, Reason.NO_GAIN),
        ({"unit": "mmHg"}, Reason.UNITS),
        ({"physical": (0, 0)}, Reason.NO_GAIN),
        ({"digital": (100, 100)}, Reason.NO_GAIN),
        ({"physical": (float("nan"), 1)}, Reason.NO_GAIN),
    ],
)
def test_edf_without_scale_is_refused(tmp_path: Path, what: dict[str, Any], reason: Reason) -> None:
    assert refusal(tmp_path, edf_bytes(edf_leads(**what)))[0] == reason


def test_edf_cut_short_or_with_gaps_is_refused(tmp_path: Path) -> None:
    content = edf_bytes(edf_leads())
    reason, message = refusal(tmp_path, content[:-1])
    assert reason == Reason.TRUNCATED
    assert "holds 9 data records, the header states 10" in message
    notes = edf_annotations(["cough"] * 10)
    gap = np.frombuffer(notes["values"].tobytes().replace(b"+7\x14", b"+9\x14"), "<i2")
    notes["values"] = gap.reshape(10, -1)
    assert refusal(tmp_path, edf_bytes([*edf_leads(), notes]))[0] == Reason.UNREADABLE


def test_edf_records_of_half_a_second(tmp_path: Path) -> None:
    record = read(tmp_path, edf_bytes(edf_leads(per_record=250), record_s="0.5", plus=False))
    assert record.rate_hz == 500
    assert worst_uv(record, millivolts(ADC)) < NOT_DONE


# --- real files, against millivolts worked out here ---


LIMB = LEADS[:6]
# Every file of the folder, so that a new one fails here until somebody says what is right: rate,
# samples, leads; or why it is refused. The millivolts are worked out in the tests below.
EXPECTED: dict[str, tuple[float, int, tuple[str, ...]] | Reason] = {
    "aecg_liryc.xml": (100, 1000, LEADS),
    "dicom_anonymous_ecg.dcm": (1000, 10000, LEADS),
    "ecgtoolkit_Example.dcm": (500, 5000, LEADS),
    "ecgtoolkit_Example.scp": (500, 5000, LEADS),
    "ecgtoolkit_Example_aecg.xml": (500, 5000, LEADS),
    "example-DICOM1.dcm": (500, 5000, LEADS),
    "muse_braveheart1.xml": (500, 5000, LEADS),
    "philips_1_03_129DYPRG.XML": (500, 5264, LEADS),
    "philips_1_04_01_2020-5-18_15-48-11.xml": (500, 5300, LEADS),
    "philips_fixtures_invalid-doc-type.xml": Reason.UNREADABLE,
    "philips_fixtures_invalid-doc-version.xml": Reason.UNREADABLE,
    "suzuken_sample.mwf": (125, 225000, LIMB),
}


def test_every_real_file_is_expected(formats: Path) -> None:
    assert {path.name for path in formats.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_real_file_is_read_as_expected_or_refused(formats: Path, name: str) -> None:
    expected = EXPECTED[name]
    if isinstance(expected, Reason):
        with pytest.raises(RecordError) as caught:
            read_recording(formats / name)
        assert caught.value.reason == expected
        return
    record = read_recording(formats / name)
    there = tuple(n for n, row in zip(LEADS, record.signal_mv, strict=True)
                  if np.isfinite(row).any())  # fmt: skip
    assert (record.rate_hz, record.signal_mv.shape[1], there) == expected
    # An ECG's millivolts: a unit mistaken would be a thousand times off.
    low, high = np.nanpercentile(record.signal_mv[[LEADS.index(n) for n in there]], [1, 99], axis=1)
    assert 0.2 < np.median(high - low) < 12


def code_of(element: ET.Element, space: str) -> str:
    found = element.find(f"{space}code")
    assert found is not None
    return found.get("code", "")


def aecg_by_hand(path: Path) -> tuple[dict[str, npt.NDArray[np.float64]], float]:
    """The first RHYTHM series: origin + scale x digit, in mV."""
    space = "{urn:hl7-org:v3}"
    per_unit = {"uV": 1e-3, "mV": 1.0}
    for series in ET.parse(path).getroot().iter(f"{space}series"):
        if code_of(series, space) != "RHYTHM":
            continue
        leads, step_s = {}, 0.0
        for sequence in series.iterfind(
            f"{space}component/{space}sequenceSet/{space}component/{space}sequence"
        ):
            code = code_of(sequence, space)
            value = sequence.find(f"{space}value")
            assert value is not None
            if code.startswith("TIME"):
                increment = value.find(f"{space}increment")
                assert increment is not None
                assert increment.get("unit") in ("s", "ms")
                step_s = float(increment.get("value", "")) * (
                    1e-3 if increment.get("unit") == "ms" else 1
                )
                continue
            digits = np.array([int(d) for d in (value.findtext(f"{space}digits") or "").split()])
            scale, origin = value.find(f"{space}scale"), value.find(f"{space}origin")
            assert scale is not None
            assert origin is not None
            leads[code.removeprefix("MDC_ECG_LEAD_")] = (
                digits * float(scale.get("value", "")) * per_unit[scale.get("unit", "")]
                + float(origin.get("value", "")) * per_unit[origin.get("unit", "")]
            )
        return leads, 1 / step_s
    raise AssertionError(path)


def in_order(leads: dict[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.stack([leads.get(lead, leads.get(lead.upper())) for lead in LEADS])


@pytest.mark.parametrize("name", ["aecg_liryc.xml", "ecgtoolkit_Example_aecg.xml"])
def test_real_aecg_files_equal_their_digits(formats: Path, name: str) -> None:
    record = read_recording(formats / name)
    leads, rate_hz = aecg_by_hand(formats / name)
    assert record.rate_hz == pytest.approx(rate_hz)
    assert worst_uv(record, in_order(leads)) < NOT_DONE


@pytest.mark.parametrize(
    "name", ["dicom_anonymous_ecg.dcm", "ecgtoolkit_Example.dcm", "example-DICOM1.dcm"]
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_real_dicom_files_equal_pydicom(formats: Path, name: str) -> None:
    import pydicom

    record = read_recording(formats / name)
    dataset = pydicom.dcmread(formats / name)
    truth_uv = dataset.waveform_array(0)  # the first group is the rhythm in all three
    item = dataset.WaveformSequence[0]
    names = [
        c.ChannelSourceSequence[0].CodeMeaning.split("(")[0].removeprefix("Lead ").strip()
        for c in item.ChannelDefinitionSequence
    ]
    assert item.WaveformOriginality == "ORIGINAL"
    assert record.rate_hz == float(item.SamplingFrequency)
    truth_mv = in_order(dict(zip(names, truth_uv.T / 1000, strict=True)))
    assert worst_uv(record, truth_mv) < NOT_DONE
    assert np.isfinite(record.signal_mv).all()


def test_one_recording_in_three_formats_is_one(formats: Path) -> None:
    records = [
        read_recording(formats / f"ecgtoolkit_Example{suffix}")
        for suffix in (".scp", ".dcm", "_aecg.xml")
    ]
    for record in records:
        assert record.rate_hz == 500
        assert worst_uv(record, records[0].signal_mv.astype(np.float64)) < NOT_DONE


def test_a_real_muse_file_equals_its_base64(formats: Path) -> None:
    path = formats / "muse_braveheart1.xml"
    record = read_recording(path)
    rhythms = [
        w
        for w in ET.parse(path).getroot().iter("Waveform")
        if w.findtext("WaveformType") == "Rhythm"
    ]
    assert len(rhythms) == 1
    leads = {}
    for lead in rhythms[0].iter("LeadData"):
        assert lead.findtext("LeadAmplitudeUnits") == "MICROVOLTS"
        stored = np.frombuffer(base64.b64decode(lead.findtext("WaveFormData") or ""), "<i2")
        scale = float(lead.findtext("LeadAmplitudeUnitsPerBit") or "")
        leads[lead.findtext("LeadID") or ""] = stored * scale / 1000
    assert tuple(leads) == MUSE_LEADS
    one, two = leads["I"], leads["II"]
    leads |= {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    assert worst_uv(record, in_order(leads)) < NOT_DONE


def xli_by_hand(data: bytes) -> list[npt.NDArray[np.int64]]:
    """The leads of a Philips file, limb leads still coded: LZW of 10 bits, then differences."""
    leads = []
    while data:
        size, _, last = struct.unpack_from("<iHh", data)
        bits = "".join(f"{byte:08b}" for byte in data[8 : 8 + size])
        data = data[8 + size :]
        table = [bytes([i]) for i in range(256)]
        out, before = b"", b""
        for at in range(0, len(bits) - 9, 10):
            code = int(bits[at : at + 10], 2)
            if code > 1022:
                break
            entry = table[code] if code < len(table) else before + before[:1]
            if before and len(table) < 1023:
                table.append(before + entry[:1])
            out, before = out + entry, entry
        out += b"\0" * (len(out) % 2)
        half = len(out) // 2
        words = [int.from_bytes(bytes(pair), "big", signed=True)
                 for pair in zip(out[:half], out[half:], strict=True)]  # fmt: skip
        for i in range(2, len(words)):
            # Each word is a second difference with 64 added; the header gives the first's.
            following = 2 * words[i - 1] - words[i - 2] - last
            last, words[i] = words[i] - 64, following
        leads.append(np.array(words))
    return leads


@pytest.mark.parametrize(
    "name", ["philips_1_03_129DYPRG.XML", "philips_1_04_01_2020-5-18_15-48-11.xml"]
)
def test_real_philips_files_equal_their_unpacked_leads(formats: Path, name: str) -> None:
    record = read_recording(formats / name)
    node = next(n for n in ET.parse(formats / name).getroot().iter() if "parsedwaveforms" in n.tag)
    coded = [lead[:5500] for lead in xli_by_hand(base64.b64decode(node.text or ""))]
    one, two = coded[0], coded[1]
    three = two - one - coded[2]
    limb = [one, two, three, -coded[3] - (one + two) // 2,
            (one - three) // 2 - coded[4], (two + three) // 2 - coded[5]]  # fmt: skip
    samples = record.signal_mv.shape[1]
    truth_mv = np.stack([*limb, *coded[6:12]])[:, :samples] * 5 / 1000
    assert worst_uv(record, truth_mv) < NOT_DONE
    assert 10.4 < record.duration_s < 10.7
    signal_mv = record.signal_mv
    assert np.abs(signal_mv[0] + signal_mv[2] - signal_mv[1]).max() <= 0.0101
    assert np.abs(signal_mv[3:6].sum(axis=0)).max() <= 0.0151
    assert record.notes == ("calibration pulse cut off",)


@pytest.mark.parametrize(
    ("name", "said"), [("doc-type", "MortaraECG 1.03"), ("doc-version", "SierraECG 1.05")]
)
def test_real_invalid_philips_files_are_refused_for_what_they_are(
    formats: Path, name: str, said: str
) -> None:
    with pytest.raises(RecordError, match=said) as caught:
        read_recording(formats / f"philips_fixtures_invalid-{name}.xml")
    assert caught.value.reason == Reason.UNREADABLE


def test_a_real_mfer_file_equals_its_blocks(formats: Path) -> None:
    path = formats / "suzuken_sample.mwf"
    record = read_recording(path)
    content = path.read_bytes()
    # As its header says: little-endian int16, 225,000 times one value of 2 channels, 8 ms, 20 µV.
    at = content.index(b"\x1e\x84\x00\x0d\xbb\xa0") + 6
    one, two = np.frombuffer(content, "<i2", 0x0DBBA0 // 2, at).reshape(-1, 2).T * 0.02
    assert record.rate_hz == 125
    assert np.abs(record.signal_mv[:2] - [one, two]).max() * 1000 < NOT_DONE
    assert np.isnan(record.signal_mv[6:]).all()
    assert record.about["device"] == "Suzuken Co. Ltd CVS-01"
