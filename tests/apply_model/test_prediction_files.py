"""Files of predictions: three formats, one content; and nothing lost or doubled after a kill."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ecgpipe.apply_model.prediction_files import (
    Layout,
    check_suffix,
    corrected_rows,
    open_partial,
    write_predictions,
)
from ecgpipe.errors import ConfigError, StoreError


def row(n: int, **other: Any) -> dict[str, Any]:
    found = [
        {
            "id": f"F{place}",
            "names": {"ja": f"所見{place}", "en": f"finding {place}"},
            "cosine": -0.25 + place / 8,
            "probability": 0.5 if place else None,
            "above_threshold": bool(place % 2) if place else None,
        }
        for place in range(3)
    ]
    return {
        "record_id": f"r{n}",
        "path": f"ecg/r{n}",
        "refused": "",
        "quality": "good",
        "remarks": [],
        "findings": found,
        "questions": [],
        "probabilities": [],
        **other,
    }


REFUSED = row(7, refused="it lasts 1.0 s", quality="", findings=[])
LAYOUT = Layout(k=3, n_questions=0, corrected=False)


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    rows = [row(0), REFUSED, row(2)]
    for suffix in (".csv", ".parquet", ".jsonl"):
        write_predictions(tmp_path / f"p{suffix}", rows, LAYOUT)
    with (tmp_path / "p.csv").open(encoding="utf-8-sig", newline="") as file:
        from_csv = list(csv.DictReader(file))
    from_parquet = pq.read_table(tmp_path / "p.parquet").to_pylist()
    lines = (tmp_path / "p.jsonl").read_text("utf-8").splitlines()
    from_lines = [json.loads(line) for line in lines]
    assert [r["record_id"] for r in from_csv] == ["r0", "r7", "r2"]
    assert [r["refused"] for r in from_parquet] == ["", "it lasts 1.0 s", ""]
    assert from_csv[0]["name_ja_2"] == from_parquet[0]["name_ja_2"] == "所見1"
    assert from_lines[0]["findings"][1]["names"]["ja"] == "所見1"
    assert float(from_csv[0]["cosine_1"]) == from_parquet[0]["cosine_1"] == -0.25
    assert (from_csv[0]["probability_1"], from_parquet[0]["probability_1"]) == ("", None)
    assert (from_csv[0]["above_threshold_2"], from_parquet[0]["above_threshold_2"]) == ("yes", True)
    assert from_csv[1]["finding_1"] == ""
    assert from_parquet[1]["finding_1"] is None


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", " =1"])
def test_a_cell_that_a_spreadsheet_would_run_stays_a_text(tmp_path: Path, name: str) -> None:
    write_predictions(tmp_path / "p.csv", [row(0, record_id=name)], LAYOUT)
    with (tmp_path / "p.csv").open(encoding="utf-8-sig", newline="") as file:
        (read,) = csv.DictReader(file)
    assert read["record_id"] == f"'{name}"
    assert read["cosine_1"] == "-0.25"  # a negative number is none


def test_remarks_and_questions_have_columns_of_their_own(tmp_path: Path) -> None:
    remark = {"kind": "mains", "weight": "minor", "texts": {"ja": "交流雑音。", "en": "Noise."}}
    asked = {"text": "完全左脚ブロック", "cosine": 0.5, "distance": None, "beyond": True}
    layout = Layout(k=1, n_questions=1, corrected=False)
    path = tmp_path / "p.parquet"
    write_predictions(path, [row(0, remarks=[remark, remark], questions=[asked])], layout)
    (read,) = pq.read_table(path).to_pylist()
    assert read["remarks_ja"] == "交流雑音。 交流雑音。"
    assert (read["question_1"], read["question_cosine_1"]) == ("完全左脚ブロック", 0.5)
    assert (read["question_distance_1"], read["question_beyond_1"]) == (None, True)


def test_corrected_probabilities_stand_beside_the_uncorrected(tmp_path: Path) -> None:
    given = [row(0, probabilities=[None, 0.5, 0.5]), REFUSED]
    rows = list(corrected_rows(given, lambda p: p / 2, ["F0", "F1", "F2"]))
    assert [f["corrected"] for f in rows[0]["findings"]] == [None, 0.25, 0.25]
    assert [f["probability"] for f in rows[0]["findings"]] == [None, 0.5, 0.5]
    write_predictions(tmp_path / "p.csv", rows, Layout(k=3, n_questions=0, corrected=True))
    assert "corrected_2" in (tmp_path / "p.csv").read_text("utf-8-sig").splitlines()[0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_file_name_that_is_no_utf8_is_written(tmp_path: Path, suffix: str) -> None:
    name = b"\x83e\x83X".decode(errors="surrogateescape")  # テス in Shift-JIS
    path = tmp_path / f"p{suffix}"
    write_predictions(path, [row(0, record_id=name, path=name)], LAYOUT)
    assert rb"\udc83e\udc83X" in path.read_bytes()


def test_an_unknown_suffix_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must end in \.csv, \.parquet or \.jsonl"):
        check_suffix(Path("x.xlsx"))


def test_what_was_finished_is_known_after_a_stop(tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    with open_partial(out, "key", 2) as partial:
        partial.append([row(0), REFUSED], np.array([[1, 0]], np.float32))
    with open_partial(out, "key", 2) as partial:
        assert (partial.n_answered, partial.n_refused) == (1, 1)
        assert partial.has("r7", "ecg/r7")
        assert not partial.has("r1", "ecg/r1")
        assert not partial.has("r7", "elsewhere/r7")  # a second record of the same id
        partial.append([row(1)], np.array([[0, 1]], np.float32))
        assert [r["record_id"] for r in partial.rows()] == ["r0", "r7", "r1"]
        assert list(partial.named()) == [("r0", "ecg/r0"), ("r1", "ecg/r1")]
        assert np.concatenate(list(partial.vector_blocks())).tolist() == [[1, 0], [0, 1]]
        partial.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", range(1, 700, 23))
def test_a_line_or_vector_torn_anywhere_is_cut_off_and_made_again(tmp_path: Path, cut: int) -> None:
    out = tmp_path / "p.csv"
    vectors = np.eye(3, dtype=np.float32)
    with open_partial(out, "key", 3) as partial:
        for n in range(3):
            partial.append([row(n)], vectors[n : n + 1])
        lines, raw = partial.lines, partial.vectors
    torn = raw if cut % 2 else lines
    os.truncate(torn, max(0, torn.stat().st_size - (cut % 37 if cut % 2 else cut)))
    with open_partial(out, "key", 3) as partial:
        for n in range(3):
            if not partial.has(f"r{n}", f"ecg/r{n}"):
                partial.append([row(n)], vectors[n : n + 1])
        assert [r["record_id"] for r in partial.rows()] == ["r0", "r1", "r2"]
        assert np.array_equal(np.concatenate(list(partial.vector_blocks())), vectors)


def test_zeros_that_a_power_cut_leaves_are_cut_off(tmp_path: Path) -> None:
    with open_partial(tmp_path / "p.csv", "key", 1) as partial:
        partial.append([row(0)], np.ones((1, 1), np.float32))
        lines = partial.lines
    with lines.open("ab") as file:
        file.write(b"\0" * 500)
    with open_partial(tmp_path / "p.csv", "key", 1) as partial:
        assert partial.n_answered == 1
        assert len(list(partial.rows())) == 1


def test_what_other_options_began_is_neither_continued_nor_lost(tmp_path: Path) -> None:
    with open_partial(tmp_path / "p.csv", "one", 1) as partial:
        partial.append([row(0)], np.ones((1, 1), np.float32))
        content = partial.lines.read_bytes()
    with pytest.raises(StoreError, match="another model or other options"):
        with open_partial(tmp_path / "p.csv", "two", 1):
            pass
    assert partial.lines.read_bytes() == content


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with open_partial(tmp_path / "p.csv", "key", 1):
        with pytest.raises(StoreError, match="Another process is writing"):
            with open_partial(tmp_path / "p.csv", "key", 1):
                pass


_WRITES_FOR_EVER = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
from test_prediction_files import row
from ecgpipe.apply_model.prediction_files import open_partial
with open_partial(Path(sys.argv[1]), "key", 4) as partial:
    n = partial.n_answered
    print("begun", flush=True)
    while True:
        rows = [row(n + i) for i in range(5)]
        partial.append(rows, np.arange(n, n + 5, dtype=np.float32)[:, None].repeat(4, axis=1))
        n += 5
"""


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    command = [sys.executable, "-c", _WRITES_FOR_EVER, str(out), str(Path(__file__).parent)]
    before = 0
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with open_partial(out, "key", 4) as partial:
            names = [r["record_id"] for r in partial.rows()]
            vectors = np.concatenate(list(partial.vector_blocks()))
        assert names == [f"r{n}" for n in range(len(names))]
        assert vectors[:, 0].tolist() == list(range(len(names)))
        assert len(names) > before
        before = len(names)
