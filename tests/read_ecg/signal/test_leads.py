"""Leads by name, and the limb leads that follow from others."""

from pathlib import Path

import clinical_files
import mfer_files
import numpy as np
import pytest
from wfdb_files import write_wfdb

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.recording import read_recording
from ecgpipe.read_ecg.signal.leads import arrange_leads, canonical_lead, is_lead_code
from ecgpipe.read_ecg.signal.record import LEADS

# The lead table that ISO/IEEE 11073-10102, SCP-ECG (EN 1064, section 3), DICOM (PS3.16 CID 3001)
# and MFER (ISO 22077) share: number and MDC name, whole up to the leads of other systems.
STANDARD = {
    0: "CONFIG", 1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 9: "V7",
    10: "V2R", 11: "V3R", 12: "V4R", 13: "V5R", 14: "V6R", 15: "V7R", 16: "X", 17: "Y", 18: "Z",
    19: "CC5", 20: "CM5", 21: "LA", 22: "RA", 23: "LL", 24: "fI", 25: "fE", 26: "fC", 27: "fA",
    28: "fM", 29: "fF", 30: "fH", 31: "dI", 32: "dII", 33: "dV1", 34: "dV2", 35: "dV3", 36: "dV4",
    37: "dV5", 38: "dV6", 39: "dV7", 40: "dV2R", 41: "dV3R", 61: "III", 62: "aVR", 63: "aVL",
    64: "aVF", 65: "aVRneg", 66: "V8", 67: "V9", 68: "V8R", 69: "V9R", 70: "D", 71: "A", 72: "J",
    91: "dIII", 92: "daVR", 93: "daVL", 94: "daVF", 95: "daVRneg",
}  # fmt: skip
OF_THE_TWELVE = {name: name if name in LEADS else None for name in STANDARD.values()}


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ("AVR", "aVR"),
        ("avf", "aVF"),
        ("Lead I", "I"),
        ("lead II", "II"),
        ("ECG Lead V3", "V3"),
        ("v6", "V6"),
        ("Ｖ１", "V1"),
        ("DIII", "III"),
        ("C4", "V4"),
        ("a V L", "aVL"),
        ("Lead 1", None),  # a channel's number, not lead I
        ("lead 2", None),
        ("ECG1", None),
        ("1", None),
        ("MLII", None),
        ("RESP", None),
        ("V7", None),
        ("LEAD_I", "I"),
        ("I ", "I"),
        ("avr", "aVR"),
        ("ECG I", "I"),
        ("EKG V1", "V1"),
        ("ECG-II", "II"),
        ("ECG - V1", "V1"),
        ("Lead I (Einthoven)", "I"),
        ("aVR, augmented voltage, right", "aVR"),
        ("Ⅰ", "I"),
        ("Ⅱ", "II"),
        ("ⅲ", "III"),
        ("ａＶＦ", "aVF"),
        ("第Ⅱ誘導", "II"),
        ("V1誘導", "V1"),
        ("DI", "I"),
        # Right-sided, derived, bipolar, modified, or of other systems: not one of the twelve.
        ("V1R", None),
        ("V3R", None),
        ("Lead V3R", None),
        ("V3 (right)", None),
        ("rV3", None),
        ("dI", None),
        ("daVR", None),
        ("I-II", None),
        ("II-I", None),
        ("I II", None),
        ("V1-V2", None),
        ("ML II", None),
        ("mod. II", None),
        ("MCL1", None),
        ("CM5", None),
        ("A", None),
        ("X", None),
        ("aVR (inverted)", None),
        ("aVRneg", None),
        ("I-cal", None),
        ("", None),
    ],
)
def test_a_lead_is_known_by_its_name(spelt: str, meant: str | None) -> None:
    assert canonical_lead(spelt) == meant


def test_leads_go_to_their_place_whatever_the_order_in_the_file() -> None:
    order = ["V6", "aVF", "aVL", "I", "II", "III", "aVR", "V1", "V2", "V3", "V4", "V5"]
    signals = [np.full(4, number, np.float32) for number in range(12)]
    arranged, notes = arrange_leads(order, signals)
    assert arranged[:, 0].tolist() == [order.index(lead) for lead in LEADS]
    assert notes == ()


def test_missing_limb_leads_follow_einthoven_and_goldberger() -> None:
    rng = np.random.default_rng(0)
    right, left, foot = rng.normal(size=(3, 100)).astype(np.float32)
    truth = {
        "I": left - right,
        "II": foot - right,
        "III": foot - left,
        "aVR": right - (left + foot) / 2,
        "aVL": left - (right + foot) / 2,
        "aVF": foot - (right + left) / 2,
    }
    for given in (("I", "II"), ("I", "III"), ("II", "III")):
        arranged, notes = arrange_leads(given, [truth[lead] for lead in given])
        assert notes == ("limb lead derived",)
        for lead, expected in truth.items():
            np.testing.assert_allclose(arranged[LEADS.index(lead)], expected, atol=1e-5)
        assert np.isnan(arranged[6:]).all()


def test_a_present_lead_is_not_derived() -> None:
    signals = [np.full(3, value, np.float32) for value in (1.0, 2.0, 99.0)]
    arranged, _ = arrange_leads(["I", "II", "III"], signals)
    assert arranged[LEADS.index("III")].tolist() == [99.0] * 3


def test_other_signals_are_left_out_and_noted() -> None:
    arranged, notes = arrange_leads(["V1", "RESP"], [np.ones(3, np.float32)] * 2)
    assert notes == ("other signals left out",)
    assert np.isfinite(arranged).any(axis=1).sum() == 1


def test_unknown_lead_names_are_refused_and_listed() -> None:
    with pytest.raises(RecordError, match=r"none of its signals \(ECG1, ECG2\) is a known lead"):
        arrange_leads(["ECG1", "ECG2"], [np.ones(3, np.float32)] * 2)


def test_one_lead_twice_is_refused() -> None:
    with pytest.raises(RecordError, match="lead II appears more than once"):
        arrange_leads(["II", "lead ii"], [np.ones(3, np.float32)] * 2)


@pytest.mark.parametrize(
    "spelt",
    [
        "-aVR",
        "−aVR",
        " - aVR",
        "-I",
        "ECG -aVR",
        "Lead -aVR",
        "ECG-aVR",
        "aVR-",
        "－aVR",
        "Lead -II",
    ],
)
def test_an_inverted_lead_is_not_taken_for_the_upright_one(spelt: str) -> None:
    assert canonical_lead(spelt) is None


def test_nothing_is_derived_from_a_lead_that_is_flat() -> None:
    moving = np.sin(np.arange(50, dtype=np.float32))
    arranged, notes = arrange_leads(["I", "II"], [np.zeros(50, np.float32), moving])
    absent = [lead for lead, row in zip(LEADS, arranged, strict=True) if np.isnan(row).all()]
    assert absent == [lead for lead in LEADS if lead not in ("I", "II")]
    assert notes == ()


@pytest.mark.parametrize(("number", "name"), STANDARD.items())
def test_a_standards_code_means_the_lead_of_its_table(number: int, name: str) -> None:
    expected = OF_THE_TWELVE[name]
    codes = [f"2:{number}", f"5.6.3-9-{number}", str(131072 + number), f"MDC_ECG_LEAD_{name}"]
    for code in codes:
        assert is_lead_code(code)
        assert canonical_lead(code) == expected, code


def written_with(number: int, name: str, folder: Path) -> dict[str, Path]:
    """A recording of two leads in each coded format: the first has this code, the second is V6."""
    adc = clinical_files.twelve_leads(2500)[:2]
    two = (name, "V6")
    files = {
        "SCP-ECG": clinical_files.scp_bytes(adc, leads=two),
        "MFER": mfer_files.mfer_bytes(adc, leads=two),
        "aECG": clinical_files.aecg_text({"RHYTHM": adc}, leads=two).encode(),
    }
    for form, content in files.items():
        (folder / form).write_bytes(content)
    group = clinical_files.dicom_group(adc, leads=two)
    for channel in group.ChannelDefinitionSequence:
        channel.ChannelSourceSequence[0].CodeMeaning = ""
    clinical_files.write_dicom(folder / "DICOM", [group])
    write_wfdb(folder, "WFDB", adc * 5, leads=(f"5.6.3-9-{number}", "V6"))
    return {form: folder / form for form in (*files, "DICOM", "WFDB")}


# V6 is the other lead of every file.
@pytest.mark.parametrize(
    ("number", "name"), [(n, name) for n, name in STANDARD.items() if n and name != "V6"]
)
def test_a_coded_lead_goes_to_its_place_or_nowhere(
    number: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(mfer_files.LEAD_CODES, name, number)
    expected_mv = clinical_files.twelve_leads(2500)[:2] * 0.005
    for form, path in written_with(number, name, tmp_path).items():
        record = read_recording(path)
        present = [lead for lead, row in zip(LEADS, record.signal_mv, strict=True)
                   if np.isfinite(row).any()]  # fmt: skip
        lead = OF_THE_TWELVE[name]
        assert set(present) == {lead, "V6"} - {None}, form
        np.testing.assert_allclose(record.signal_mv[-1], expected_mv[1], atol=2e-6)
        if lead:
            row = record.signal_mv[LEADS.index(lead)]
            np.testing.assert_allclose(row, expected_mv[0], atol=2e-6)


def test_two_electrodes_of_an_eeg_are_no_chest_leads(tmp_path: Path) -> None:
    adc = clinical_files.twelve_leads(5000)

    def read(names: list[str]) -> set[str]:
        signals = [clinical_files.edf_signal(n, row) for n, row in zip(names, adc, strict=False)]
        (tmp_path / "a").write_bytes(clinical_files.edf_bytes(signals))
        rows = read_recording(tmp_path / "a").signal_mv
        return {n for n, row in zip(LEADS, rows, strict=True) if np.isfinite(row).any()}

    assert read(["ECG II", "C3", "C4", "O1"]) == {"II"}
    assert read(["ECG II", "C1", "C2", "C3", "C4", "C5", "C6"]) == {"II", *LEADS[6:]}
