"""Every record of the real data sets, as prepared, against what the wfdb package reads.

A stored sample may be off by the rounding to whole microvolts, and where rates differ by what two
resamplers leave; nothing else. Leads go by name, and 'no reading' stands where there is none.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
import wfdb

from ecgpipe.cache.records_table import read_records
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.config.data import DataConfig, MitbihSource, PtbxlSource, TableSource
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.read_ecg.datasets.adapters import read_source
from ecgpipe.read_ecg.datasets.mitbih import AAMI
from ecgpipe.read_ecg.prepare.preparation import prepare
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace

NO_READING = -32768
ROUNDING_UV = 0.501  # half a microvolt, and what float32 leaves of 30 mV
SMALL = 40  # records in the normal run
EDGE = 250  # samples: at the ends a resampler must guess what was before
# What lies between 164 and 180 Hz the two filters keep differently: of MIT-BIH that is the noise of
# its 5 µV steps. Below 150 Hz nothing is left but the rounding.
RESAMPLING_UV = 5.0
PASS_BAND_HZ = 150
PASS_BAND_UV = 1.0

Window = npt.NDArray[np.float64]


@dataclass
class Tally:
    """What became of a data set."""

    prepared: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    errors_uv: list[float] = field(default_factory=list)
    masked_leads: int = 0

    def __str__(self) -> str:
        return (
            f"{self.prepared} prepared, rejected {self.rejected or 'none'}, error mean"
            f" {np.mean(self.errors_uv):.4f} µV, most {np.max(self.errors_uv):.4f} µV,"
            f" {self.masked_leads} leads masked"
        )


def stored(tmp_path: Path, source: Any, **settings: Any) -> tuple[Tally, dict[str, Any]]:
    """The prepared windows by record id."""
    config = DataConfig(
        sources=(source,), crop="start", max_rejected_fraction=1.0, workers=1, **settings
    )
    workspace = Workspace(tmp_path / "work", "x")
    taxonomy = load_taxonomy("ptbxl" if source.kind == "ptbxl" else "findings98")
    done = prepare(config, taxonomy, workspace, Stop())
    records = read_records(workspace.records(done.digest))
    store = SignalStore.open(workspace.signals(done.signals_digest))
    windows = store.read(records.slots)
    tally = Tally(len(windows), done.counts["rejected_by_reason"])
    return tally, {r.record_id: w for r, w in zip(records.records, windows, strict=True)}


def as_table(tmp_path: Path, root: Path, paths: dict[str, str]) -> TableSource:
    """The hospital's way: any record, with a report that says nothing."""
    with (tmp_path / "records.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["record_id", "patient_id", "path", "report"])
        rows.writerows([name, name, path, "none"] for name, path in paths.items())
    return TableSource(kind="table", table=tmp_path / "records.csv", root=root)


def physical_mv(path: Path) -> tuple[dict[str, npt.NDArray[np.float64]], float]:
    """Each lead of a recording as wfdb reads it, by our names; NaN is no reading."""
    reference = wfdb.rdrecord(str(path))
    by_name = {lead.casefold(): lead for lead in LEADS} | {"mlii": "II"}
    leads = {}
    for name, unit, signal in zip(
        reference.sig_name, reference.units, reference.p_signal.T, strict=True
    ):
        assert unit == "mV"
        leads[by_name[name.casefold()]] = signal
    return leads, float(reference.fs)


def expected_uv(leads: dict[str, npt.NDArray[np.float64]], samples: int = 5000) -> Window:
    """(12, samples): NaN for absent and flat leads and behind a short recording."""
    window = np.full((12, samples), np.nan)
    for lead, signal in leads.items():
        known = signal[:samples]
        if np.nanmax(known) > np.nanmin(known):
            window[LEADS.index(lead), : len(known)] = known * 1000
    return window


def compare(tally: Tally, window: npt.NDArray[np.int16], expected: Window, most_uv: float) -> None:
    missing = np.isnan(expected)
    assert ((window == NO_READING) == missing).all()
    tally.masked_leads += int(missing.all(axis=1).sum())
    errors = np.abs(window - expected)[~missing]
    tally.errors_uv.append(float(errors.max()))
    assert errors.max() <= most_uv


def ptbxl(root: Path, tmp_path: Path, limit: int | None) -> Tally:
    source = PtbxlSource(kind="ptbxl", root=root / "ptbxl", split_column="subset_split")
    tally, windows = stored(tmp_path, source, limit=limit)
    paths = {row.record_id: row.path for row in read_source(source).rows[:limit]}
    assert windows.keys() <= paths.keys()
    for name, window in windows.items():
        leads, rate_hz = physical_mv(root / "ptbxl" / paths[name])
        assert (rate_hz, set(leads)) == (500, set(LEADS))
        compare(tally, window, expected_uv(leads), ROUNDING_UV)
    return tally


def from_table(
    root: Path, tmp_path: Path, paths: dict[str, str], most_uv: float = ROUNDING_UV
) -> Tally:
    tally, windows = stored(tmp_path, as_table(tmp_path, root, paths))
    for name, window in windows.items():
        leads, rate_hz = physical_mv(root / paths[name])
        assert (rate_hz, set(leads)) == (500, set(LEADS))
        compare(tally, window, expected_uv(leads), most_uv)
    return tally


def ludb(root: Path, tmp_path: Path, limit: int | None) -> Tally:
    names = sorted(p.stem for p in (root / "ludb" / "data").glob("*.hea"))[:limit]
    return from_table(root / "ludb", tmp_path, {f"ludb-{name}": f"data/{name}" for name in names})


def cinc2021(root: Path, tmp_path: Path, limit: int | None) -> Tally:
    names = sorted(p.stem for p in (root / "cinc2021").glob("*.hea"))[:limit]
    return from_table(root / "cinc2021", tmp_path, {name: name for name in names})


def mitbih(root: Path, tmp_path: Path, limit: int | None) -> Tally:
    """Windows around the beats of all records, the paced ones too, at 360 Hz."""
    source = MitbihSource(
        kind="mitbih", root=root / "mitdb", exclude=(), classes=tuple(AAMI), split="drawn"
    )
    rows = {row.record_id: row for row in read_source(source).rows[:limit]}
    tally, windows = stored(tmp_path, source, limit=limit, min_leads=2)
    recordings = {row.path: physical_mv(root / "mitdb" / row.path) for row in rows.values()}
    if limit is None:
        assert len(recordings) == 11
    for name, window in windows.items():
        leads, rate_hz = recordings[rows[name].path]
        assert rate_hz == 360
        start = round(float(rows[name].start_s or 0) * 360)
        expected = expected_uv({lead: at_500_hz(mv, start) for lead, mv in leads.items()})
        inner = slice(EDGE, -EDGE)
        compare(tally, window[:, inner], expected[:, inner], RESAMPLING_UV)
        assert ((window == NO_READING) == np.isnan(expected)).all()
        assert pass_band_error_uv(window[:, inner] - expected[:, inner]) <= PASS_BAND_UV
    assert tally.prepared == len(rows)
    return tally


def pass_band_error_uv(errors_uv: Window) -> float:
    taps = scipy.signal.firwin(501, PASS_BAND_HZ, fs=500)
    there = errors_uv[~np.isnan(errors_uv).any(axis=1)]
    return max(float(np.abs(np.convolve(row, taps, "valid")).max()) for row in there)


def at_500_hz(signal_mv: npt.NDArray[np.float64], start: int) -> npt.NDArray[np.float64]:
    """Ten seconds from a sample at 360 Hz on, by scipy, with a filter of 1,001 samples a phase.

    The signal before and behind is there, where it exists: 1.8 s are 648 and 900 samples.
    """
    before, behind = 648, 3600 + 648
    padded = np.pad(signal_mv, (before, behind), "edge")[start : start + before + behind]
    taps = scipy.signal.firwin(25 * 1000 + 1, 0.97 / 25, window=("kaiser", 14.0))
    moved = padded - np.median(padded)
    resampled = scipy.signal.resample_poly(moved, 25, 18, window=taps)
    return np.asarray(resampled[900 : 900 + 5000] + np.median(padded))


SETS = {"ptbxl": (ptbxl, 1324), "ludb": (ludb, 200), "cinc2021": (cinc2021, 40)}


@pytest.mark.parametrize("name", SETS)
def test_some_records_are_stored_as_wfdb_reads_them(
    name: str, real_data: Path, tmp_path: Path
) -> None:
    tally = SETS[name][0](real_data, tmp_path, SMALL)
    assert (tally.prepared, tally.rejected) == (SMALL, {})


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_every_record_is_stored_as_wfdb_reads_it(
    name: str, real_data: Path, tmp_path: Path
) -> None:
    read, n_records = SETS[name]
    tally = read(real_data, tmp_path, None)
    print(f"{name}: {tally}")
    assert (tally.prepared, tally.rejected) == (n_records, {})


def test_some_windows_of_mitbih_are_resampled_as_scipy_does(
    real_data: Path, tmp_path: Path
) -> None:
    assert mitbih(real_data, tmp_path, SMALL).prepared == SMALL


@pytest.mark.slow
def test_every_mitbih_record_is_resampled_as_scipy_does(real_data: Path, tmp_path: Path) -> None:
    tally = mitbih(real_data, tmp_path, None)
    print(f"mitbih: {tally}")
    assert tally.prepared > 250
    assert tally.rejected == {}
