"""CSV, NumPy, HDF5 and MATLAB: believed only where somebody says rate, units and leads."""

import json
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats import bare_array as array_record
from ecgpipe.read_ecg.formats.csv_file import is_csv, read_csv
from ecgpipe.read_ecg.formats.hdf5 import is_hdf5, read_hdf5
from ecgpipe.read_ecg.formats.matlab import is_matlab, read_matlab
from ecgpipe.read_ecg.formats.numpy_file import is_numpy, read_numpy
from ecgpipe.read_ecg.formats.recording import read_recording, recording_state
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord

FACTS = {"rate_hz": 500, "units": "uV", "leads": list(LEADS)}
# A sample of lead n at time t is 100 n + t microvolts.
UV = np.arange(12)[:, None] * 100.0 + np.arange(50)[None, :]


def say(path: Path, **facts: object) -> Path:
    path.with_suffix(".json").write_text(json.dumps(FACTS | facts))
    return path


def write_npy(path: Path, values: Any = UV) -> Path:
    np.save(path.with_suffix(".npy"), values)
    return path.with_suffix(".npy")


def write_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def write_mat(path: Path, **matrices: Any) -> Path:
    scipy.io.savemat(path.with_suffix(".mat"), matrices, do_compression=True)
    return path.with_suffix(".mat")


def write_csv(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.with_suffix(".csv").write_bytes(text.encode(encoding))
    return path.with_suffix(".csv")


def write_code15(path: Path, n: int = 3) -> Path:
    """As CODE-15's parts: 2,800 of 4,096 samples, zeros before and behind."""
    tracings = np.zeros((n, 4096, 12), np.float32)
    for row in range(n):
        tracings[row, 648:3448] = np.arange(12) * 0.1 + np.arange(2800)[:, None] * 0.001 + row + 1
    with h5py.File(path.with_suffix(".hdf5"), "w") as file:
        file["tracings"] = tracings
        file["exam_id"] = np.arange(n) + 1169160
    return path.with_suffix(".hdf5")


def refusal(read: Callable[..., EcgRecord], path: Path, *more: str) -> tuple[str, str]:
    with pytest.raises(RecordError) as caught:
        read(path, *more)
    return str(caught.value.reason), str(caught.value)


def is_the_ramp(record: EcgRecord) -> bool:
    return record.rate_hz == 500 and np.allclose(record.signal_mv, UV / 1000, atol=1e-6)


# --- what all of them share


@pytest.mark.parametrize("way", ["leads x samples", "samples x leads"])
def test_the_number_of_leads_tells_which_way_an_array_lies(tmp_path: Path, way: str) -> None:
    values = UV if way == "leads x samples" else UV.T
    assert is_the_ramp(read_numpy(say(write_npy(tmp_path / "a", values))))


def test_leads_are_ordered_by_name_and_scaled_by_their_units(tmp_path: Path) -> None:
    names = list(reversed(LEADS))
    path = say(write_npy(tmp_path / "a", UV[::-1] / 1000), units="mV", leads=names)
    assert is_the_ramp(read_numpy(path))


def test_adc_values_are_scaled(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "a", (UV / 5).astype(np.int16))
    facts = {"rate_hz": 500, "mv_per_unit": 0.005, "leads": list(LEADS)}
    path.with_suffix(".json").write_text(json.dumps(facts))
    record = read_numpy(path)
    assert record.signal_mv[1, 5] == pytest.approx(0.105)  # 105 µV, 21 units of 5 µV
    assert record.about == {"format": "NumPy"}


def test_facts_of_a_folder_yield_to_those_of_a_recording(tmp_path: Path) -> None:
    (tmp_path / "arrays.json").write_text(json.dumps(FACTS))
    one, other = write_npy(tmp_path / "one"), say(write_npy(tmp_path / "other"), rate_hz=250)
    assert read_numpy(one).rate_hz == 500
    assert read_numpy(other).rate_hz == 250


@pytest.mark.parametrize(
    ("absent", "reason"), [("units", "units"), ("leads", "leads"), ("rate_hz", "unreadable")]
)
def test_a_missing_fact_is_never_guessed(tmp_path: Path, absent: str, reason: str) -> None:
    path = write_npy(tmp_path / "a")
    facts = {name: value for name, value in FACTS.items() if name != absent}
    path.with_suffix(".json").write_text(json.dumps(facts))
    found, message = refusal(read_numpy, path)
    assert found == reason
    assert f"nothing states the {absent} of a.npy. Write a.json next to it" in message


def test_all_missing_facts_are_named(tmp_path: Path) -> None:
    assert (
        "nothing states the units, leads, rate_hz"
        in refusal(read_numpy, write_npy(tmp_path / "a"))[1]
    )


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("[1]", "should be an object"),
        ("{", "Invalid JSON"),
        ('{"rate": 500}', "rate: unknown; known: units, rate_hz"),
        ('{"rate_hz": 0}', "rate_hz: Input should be greater than or equal to 1"),
        ('{"rate_hz": true}', "rate_hz: Input should be a valid number"),
        ('{"rate_hz": NaN}', "rate_hz: Input should be"),
        ('{"units": "mmHg"}', "V, mV and uV are known"),
        ('{"units": "mV", "mv_per_unit": 1}', "not both"),
        ('{"leads": "I"}', "leads: Input should be a valid"),
        ('{"variable": 3}', "variable: Input should be a valid string"),
    ],
)
def test_wrong_facts_say_what_is_wrong(tmp_path: Path, facts: str, message: str) -> None:
    path = write_npy(tmp_path / "a")
    path.with_suffix(".json").write_text(facts)
    assert message in refusal(read_numpy, path)[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(50), "not samples x leads"),
        (np.zeros((0, 12)), "not samples x leads"),
        (np.zeros((50, 11)), "12 leads are named"),
        (np.zeros((12, 12)), "either way"),
        (np.zeros((50, 12), complex), "not an array of real numbers"),
        (np.full((50, 12), "x"), "not an array of real numbers"),
    ],
)
def test_an_array_that_cannot_be_a_recording_is_refused(
    tmp_path: Path, values: Any, message: str
) -> None:
    assert message in refusal(read_numpy, say(write_npy(tmp_path / "a", values)))[1]


def test_an_absurdly_large_array_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_record, "MAX_VALUES", 500)
    assert "at most 500 are read" in refusal(read_numpy, say(write_npy(tmp_path / "a")))[1]


# --- NumPy


def test_an_npz_may_state_all_facts(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a", signal=UV, leads=np.array(LEADS), rate_hz=500, units="uV")
    assert is_the_ramp(read_numpy(path))


def test_an_npz_with_one_array_and_a_json_file_is_read(tmp_path: Path) -> None:
    assert is_the_ramp(read_numpy(say(write_npz(tmp_path / "a", ecg=UV))))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": UV, "b": UV}, "none is named 'signal'"),
        ({"signal": UV, "units": "mmHg"}, "units is 'mmHg'"),
        ({"signal": UV, "rate_hz": np.array([500, 250])}, "rate_hz must be one value"),
        ({"signal": UV, "rate_hz": np.nan}, "rate_hz: Input should be"),
    ],
)
def test_an_npz_that_is_unclear_says_how(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    assert message in refusal(read_numpy, say(write_npz(tmp_path / "a", **arrays)))[1]


class Bomb:
    """What a pickle may do: run anything."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('unpickled')",))


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    objects = np.array([Bomb()], dtype=object)
    assert refusal(read_numpy, say(write_npy(tmp_path / "a", objects)))[0] == "unreadable"
    assert refusal(read_numpy, say(write_npz(tmp_path / "b", signal=objects)))[0] == "unreadable"
    path = tmp_path / "c.npy"
    path.write_bytes(pickle.dumps(Bomb()))
    assert refusal(read_numpy, say(path))[0] == "unreadable"
    assert not is_numpy(path.read_bytes()[:512], path)


def test_a_zip_bomb_is_not_decompressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ecgpipe.read_ecg.formats import numpy_file as numpy_record

    monkeypatch.setattr(numpy_record, "MAX_VALUES", 500)
    path = say(write_npz(tmp_path / "a", signal=UV))
    assert "decompresses to more than 500 values" in refusal(read_numpy, path)[1]


# --- CSV


def test_a_csv_with_units_and_times_needs_no_other_file(tmp_path: Path) -> None:
    heads = "time [s]," + ",".join(f"{lead} [uV]" for lead in LEADS)
    rows = [f"{t / 500}," + ",".join(str(v) for v in UV[:, t]) for t in range(50)]
    record = read_csv(write_csv(tmp_path / "a", "\n".join([heads, *rows])))
    assert is_the_ramp(record)
    assert record.about == {"format": "CSV"}


def test_each_column_has_its_own_unit_and_an_empty_cell_is_no_reading(tmp_path: Path) -> None:
    text = "time (ms),II (mV),I (µV),note\n0,1.5,250,Yamada\n2,,251,x\n4,1.6,nan,y\n"
    record = read_csv(write_csv(tmp_path / "a", text))
    assert record.rate_hz == 500
    assert record.signal_mv[0, :2] == pytest.approx([0.25, 0.251])
    assert record.signal_mv[1, 0] == 1.5
    assert np.isnan(record.signal_mv[1, 1])
    assert np.isnan(record.signal_mv[0, 2])


def test_headers_without_units_are_completed_by_the_json_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a", "aVR\tI\n1000\t500\n2000\t700\n3000\t0\n")
    assert refusal(read_csv, path)[0] == "units"
    path.with_suffix(".json").write_text('{"rate_hz": 250, "units": "uV"}')
    record = read_csv(path)
    assert record.rate_hz == 250
    assert record.signal_mv[LEADS.index("aVR")] == pytest.approx([1, 2, 3])


def test_a_csv_without_headers_is_read_if_the_json_file_names_the_leads(tmp_path: Path) -> None:
    text = "\n".join(",".join(str(v) for v in UV[:, t]) for t in range(50))
    path = write_csv(tmp_path / "a", text)
    assert refusal(read_csv, path)[0] == "units"
    assert is_the_ramp(read_csv(say(path)))


def test_a_decimal_comma_behind_semicolons_and_shift_jis_are_read(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a", "時間 [ms];I [mV]\n0;1,5\n2;1,25\n4;1,0\n", "cp932")
    record = read_csv(path)
    assert (record.rate_hz, list(record.signal_mv[0])) == (500, [1.5, 1.25, 1.0])


def test_times_rounded_to_a_millisecond_give_the_true_rate(tmp_path: Path) -> None:
    rows = [f"{round(t * 1000 / 360)},{t}" for t in range(3600)]
    path = write_csv(tmp_path / "a", "\n".join(["time [ms],II [uV]", *rows]))
    assert read_csv(path).rate_hz == 360


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("time [s],I [mV]\n0,1\n0.1,2\n0.5,3\n", "unreadable", "times are not evenly spaced"),
        ("time [s],I [mV]\n0,1\n0,2\n0,3\n", "unreadable", "times are not evenly spaced"),
        ("I [mV],II [mV]\n1,2\n3\n5,6\n", "unreadable", "row 3, has 1 cells for 2"),
        ("I [mV],II [mV]\n1,2\n3,4\n5", "truncated", "row 4, has 1 cells for 2"),
        ("I [mV],II [mV]\n1,2\n3,Taro\n", "unreadable", "row 3, column 2: not a number"),
        ("I [mmHg],II [mV]\n1,2\n3,4\n", "units", "is not V, mV or uV"),
        ("foo,bar\n1,2\n", "leads", "no column is named after a lead"),
        ("time,I [mV]\n0,1\n1,2\n", "unreadable", "nothing states the rate_hz"),
        ("", "unreadable", "is empty"),
        ('I [mV]\n"1\n', "unreadable", "not readable as CSV"),
    ],
)
def test_a_csv_with_mistakes_says_which(
    tmp_path: Path, text: str, reason: str, message: str
) -> None:
    found, said = refusal(read_csv, write_csv(tmp_path / "a", text))
    assert found == reason
    assert message in said
    assert "Taro" not in said


# --- HDF5


def test_a_code15_exam_is_found_by_its_id_without_its_padding(tmp_path: Path) -> None:
    path = write_code15(tmp_path / "exams_part0")
    (tmp_path / "arrays.json").write_text('{"units": "mV"}')
    record = read_hdf5(path, "1169161")
    assert (record.rate_hz, record.signal_mv.shape) == (400, (12, 2800))
    assert record.signal_mv[0, 0] == pytest.approx(2.0)
    assert record.signal_mv[LEADS.index("V6"), 1000] == pytest.approx(2 + 1.1 + 1.0)


def test_the_unit_of_code15_must_be_stated(tmp_path: Path) -> None:
    reason, message = refusal(read_hdf5, write_code15(tmp_path / "exams_part0"), "1169161")
    assert reason == "units"
    assert "nothing states the units of exams_part0.hdf5" in message


def test_a_missing_or_unnamed_exam_is_refused(tmp_path: Path) -> None:
    path = write_code15(tmp_path / "exams_part0")
    assert refusal(read_hdf5, path, "999")[0] == "missing file"
    assert "holds 3 recordings; name one" in refusal(read_hdf5, path)[1]
    with h5py.File(path, "a") as file:
        file["exam_id"][:] = 1
    assert "holds 3 recordings of this id" in refusal(read_hdf5, path, "1")[1]


def test_an_exam_of_zeros_is_flat(tmp_path: Path) -> None:
    path = write_code15(tmp_path / "exams_part0")
    with h5py.File(path, "a") as file:
        file["tracings"][0] = 0
    assert refusal(read_hdf5, path, "1169160")[0] == "flat"


def test_any_hdf5_is_read_with_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["ecg"] = UV + 1
        file["names"] = ["x"]
    assert "holds 2 arrays" in refusal(read_hdf5, say(path))[1]
    record = read_hdf5(say(path, variable="ecg"))
    assert np.allclose(record.signal_mv, (UV + 1) / 1000, atol=1e-6)
    with h5py.File(path, "w") as file:
        file["ecg"] = np.stack([UV + 1, UV + 2])
        file["names"] = ["one", "two"]
    record = read_hdf5(say(path, variable="ecg", ids="names"), "two")
    assert record.signal_mv[0, 0] == pytest.approx(0.002)


def test_an_hdf5_file_cannot_lead_to_another_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["ecg"] = UV
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ecg"] = h5py.ExternalLink("secret.h5", "/ecg")
    assert "no array 'ecg' of its own" in refusal(read_hdf5, say(tmp_path / "a.h5"))[1]


# --- MATLAB


def test_a_matrix_of_a_mat_file_is_read(tmp_path: Path) -> None:
    path = say(write_mat(tmp_path / "a", ecg=UV, fs=500.0, name="Taro"))
    record = read_matlab(path)
    assert is_the_ramp(record)
    assert record.about == {"format": "MATLAB"}


def test_of_several_matrices_one_must_be_named(tmp_path: Path) -> None:
    path = write_mat(tmp_path / "a", ecg=UV, beats=np.zeros((3, 2)))
    assert (
        "holds 2 matrices of numbers; name one as `variable`" in refusal(read_matlab, say(path))[1]
    )
    assert is_the_ramp(read_matlab(say(path, variable="ecg")))
    assert "0 matrices of numbers named 'x'" in refusal(read_matlab, say(path, variable="x"))[1]


def test_version_7_3_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n")
    assert is_matlab(path.read_bytes()[:512], path)
    assert "save it with `save(name, '-v7')`" in refusal(read_matlab, path)[1]


# --- by content, and damage


READERS: dict[str, tuple[Callable[[bytes, Path], bool], Callable[[Path], EcgRecord]]] = {
    "csv": (is_csv, read_csv),
    "npy": (is_numpy, read_numpy),
    "npz": (is_numpy, read_numpy),
    "h5": (is_hdf5, read_hdf5),
    "mat": (is_matlab, read_matlab),
}


def write_one(folder: Path, form: str) -> Path:
    (folder / "arrays.json").write_text(json.dumps(FACTS | {"rate_hz": 500}))
    if form == "csv":
        heads = ",".join(f"{lead} [uV]" for lead in LEADS)
        rows = [",".join(f"{v:.0f}" for v in UV[:, t]) for t in range(50)]
        return write_csv(folder / "a", "\n".join([heads, *rows]) + "\n")
    if form == "npy":
        return write_npy(folder / "a")
    if form == "npz":
        return write_npz(folder / "a", signal=UV)
    if form == "mat":
        return write_mat(folder / "a", ecg=UV)
    with h5py.File(folder / "a.h5", "w") as file:
        file["ecg"] = UV
    return folder / "a.h5"


@pytest.mark.parametrize("form", READERS)
def test_a_format_is_known_by_its_content_whatever_its_name(tmp_path: Path, form: str) -> None:
    path = write_one(tmp_path, form)
    renamed = path.rename(tmp_path / "recording.bin")
    head = renamed.read_bytes()[:512]
    assert [name for name, (known, _) in READERS.items() if known(head, renamed)] == (
        ["npy", "npz"] if form in ("npy", "npz") else [form]
    )
    assert READERS[form][1](renamed).rate_hz == 500


def test_other_files_are_none_of_these(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("letter.txt", "hello")
    for head in ((tmp_path / "a.zip").read_bytes()[:512], b"", b"\x00" * 512, b"<xml/>", b"I am"):
        assert not any(known(head, tmp_path / "x") for known, _ in READERS.values())


@pytest.mark.parametrize("form", READERS)
def test_a_damaged_file_is_refused_or_read_but_nothing_else(tmp_path: Path, form: str) -> None:
    path = write_one(tmp_path, form)
    whole, rng = path.read_bytes(), random.Random(form)
    for number in range(150):
        damaged = bytearray(whole)
        if number % 3 == 0:
            del damaged[rng.randrange(len(whole)) :]
        else:
            for _ in range(rng.randint(1, 8)):
                damaged[rng.randrange(min(len(whole), 700))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            record = READERS[form][1](path)
        except RecordError:
            continue
        assert record.signal_mv.shape[0] == 12


@pytest.mark.parametrize("form", READERS)
def test_an_array_is_read_as_any_recording_is(tmp_path: Path, form: str) -> None:
    assert is_the_ramp(read_recording(write_one(tmp_path, form)))


def test_an_exam_is_named_after_its_file_and_its_repair_is_noticed(tmp_path: Path) -> None:
    path = write_code15(tmp_path / "exams_part0")
    exam = path.with_name(f"{path.name}#1169161")
    before = recording_state(exam)
    with pytest.raises(RecordError, match="nothing states the units"):
        read_recording(exam)
    (tmp_path / "arrays.json").write_text('{"units": "mV"}')
    assert recording_state(exam) != before
    assert read_recording(exam).duration_s == 7
    with pytest.raises(RecordError, match="neither"):
        read_recording(path.with_name("exams_part9.hdf5#1"))
