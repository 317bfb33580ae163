"""What is said of one ECG: the order of findings, and what a remark means."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from synthetic_ecg import Signal, ecg
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.apply_model.applied_task import AppliedClass, AppliedTask
from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.prediction import Prediction, Remark, remarks_on
from ecgpipe.apply_model.reading import read_windows
from ecgpipe.apply_model.recordings import Input
from ecgpipe.errors import StoreError
from ecgpipe.read_ecg.formats.recording import read_recording
from ecgpipe.read_ecg.quality.inspection import inspect
from ecgpipe.read_ecg.signal.record import EcgRecord


def remarks(signal_mv: Signal, rate_hz: float = 500) -> dict[str, Remark]:
    found = remarks_on(inspect(EcgRecord(signal_mv, rate_hz)), Contract())
    return {remark.kind: remark for remark in found}


def test_a_clean_ecg_gets_no_remark() -> None:
    assert remarks(ecg()) == {}


def test_missing_leads_are_named_and_serious() -> None:
    signal_mv = ecg()
    signal_mv[6:8] = np.nan
    remark = remarks(signal_mv)["absent lead"]
    assert remark.weight == "serious"
    assert "V1, V2" in remark.texts["en"]
    assert "V1, V2" in remark.texts["ja"]


def test_a_swap_of_electrodes_is_suspected() -> None:
    signal_mv = ecg()
    signal_mv[[0, 2]] = signal_mv[[2, 0]]
    remark = remarks(signal_mv)["limb leads"]
    assert remark.weight == "serious"
    assert "axis" in remark.texts["en"]


def test_power_line_noise_is_minor_and_comes_after_what_is_serious() -> None:
    signal_mv = ecg()
    signal_mv += np.float32(0.5) * np.sin(2 * np.pi * 50 * np.arange(5000) / 500).astype("f4")
    signal_mv[11] = np.nan
    found = list(remarks(signal_mv).values())
    assert [remark.weight for remark in found] == sorted(
        (remark.weight for remark in found), reverse=True
    )
    assert {"absent lead", "mains"} <= {remark.kind for remark in found}


def task(thresholds: list[float | None]) -> AppliedTask:
    classes = tuple(
        AppliedClass(
            id=f"C{n}",
            names={"ja": f"所見{n}", "en": f"finding {n}"},
            wordings={},
            member_names=(),
            n_val=20,
            threshold=threshold,
            slope=None,
            offset=None,
        )
        for n, threshold in enumerate(thresholds)
    )
    return AppliedTask(
        name="findings", title={}, source="", kind="multi_label", ensemble="mean", language="ja",
        classes=classes, min_positives=10, n_val=100, scale=None, evaluation={},
    )  # fmt: skip


def test_findings_are_ordered_by_cosine_and_ties_by_the_task() -> None:
    scores = np.array([0.1, 0.5, 0.3, 0.5], np.float32)
    chances = np.array([0.2, np.nan, 0.4, 0.5])
    found = task([0.0, 0.6, None, 0.5]).ranked(scores, chances)[:3]
    assert [one.id for one in found] == ["C1", "C3", "C2"]
    assert [one.above_threshold for one in found] == [False, True, None]
    assert [one.probability for one in found] == [None, 0.5, 0.4]


def test_the_gravest_remark_decides_the_quality() -> None:
    minor = Remark(kind="mains", weight="minor", texts={})
    serious = Remark(kind="units", weight="serious", texts={})
    qualities = [
        Prediction(record_id="a", path="a", remarks=found).quality
        for found in ((), (minor,), (minor, serious))
    ]
    assert qualities == ["good", "minor", "serious"]
    assert Prediction(record_id="a", path="a", refused="too short").quality == ""


def test_windows_of_several_processes_come_in_order_and_not_far_ahead(tmp_path: Path) -> None:
    for number in range(3):
        write_wfdb(tmp_path, f"r{number}", ecg_like(seed=number, samples=5000 - 1000 * number))
    taken = 0

    def inputs() -> Iterator[Input]:
        nonlocal taken
        for number in range(300):
            taken += 1
            path = tmp_path / f"r{number % 3}"
            yield Input(f"r{number}", str(path), partial(read_recording, path))

    windows = read_windows(inputs(), Contract(), 2)
    first = next(windows)
    assert first.record_id == "r0"
    assert taken < 100
    assert [window.record_id for window in windows] == [f"r{n}" for n in range(1, 300)]


def test_a_killed_reader_is_told_and_not_waited_for(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "r", ecg_like())
    good = partial(read_recording, tmp_path / "r")
    inputs = [Input(f"r{n}", "", os.abort if n == 40 else good) for n in range(200)]
    with pytest.raises(StoreError, match="run the same command again"):
        list(read_windows(inputs, Contract(), 2))


def test_a_reader_without_memory_refuses_one_ecg_only() -> None:
    def too_large() -> EcgRecord:
        raise MemoryError

    large, fine = read_windows(
        [Input("a", "", too_large), Input("b", "", lambda: EcgRecord(ecg(), 500))], Contract(), 1
    )
    assert "does not fit into the memory" in large.refusal
    assert fine.signal_uv is not None


def test_a_path_that_is_no_text_is_kept(tmp_path: Path) -> None:
    given = Input("\udcff", str(tmp_path / "\udcff"), None, "no")
    (window,) = read_windows([given], Contract(), 1)
    assert window.refusal == "no"
