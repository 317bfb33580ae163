"""Find and read the ECG that a name on the command line means.

Owns the order of the search: a prepared record, a row of the tables, a file. Returns signals and
findings, never a patient's id.
"""

import bisect
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import Record
from ecgpipe.config.data import DataConfig
from ecgpipe.errors import RecordError, SourceError
from ecgpipe.evaluate.tasks.taxonomy import Finding, Taxonomy
from ecgpipe.read_ecg.datasets.adapters import planned_rows, read_source
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows
from ecgpipe.read_ecg.formats.recording import read_recording, recording_state
from ecgpipe.read_ecg.prepare.shard_job import read_planned
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord, Reason
from ecgpipe.read_ecg.signal.window import in_millivolts
from ecgpipe.stages.experiment import Experiment

_SUGGESTED_IDS = 3
_COMPARED_IDS = 20_000


@dataclass(frozen=True)
class Found:
    """An ECG to draw."""

    title: str
    record: EcgRecord
    findings: tuple[Finding, ...] | None
    """None if unknown."""

    n_not_named: int = 0
    """How many findings of the row the taxonomy lacks; their text is private."""

    origin: Mapping[str, str] = field(default_factory=dict)
    """Where the signal comes from, in ja and en; empty for a file."""

    start_s: float = 0.0
    """Where the picture begins by default."""

    notice: str = ""


@dataclass(frozen=True)
class Finder:
    """Finds ECGs in an experiment, if there is one, and in files."""

    open_experiment: Callable[[], Experiment] | None
    """Called when first needed, so that a broken pipeline.yaml does not keep files from being
    drawn."""

    def find(self, name: str) -> Found:
        """The ECG called `name`.

        A record id wins over a file of that name, unless the name includes a folder.

        Raises:
            RecordError: the recording cannot be read.
            SourceError: there is no such record or file, or a table cannot be read.
            StoreError: the prepared store is damaged.
            ConfigError: pipeline.yaml has a mistake.
        """
        path = Path(name)
        is_file = bool(recording_state(path))
        if is_file and (self.open_experiment is None or path.name != name):
            return _of_file(path)
        if self.open_experiment is not None:
            found = self._of_experiment(name)
            if found is not None:
                return found
        if is_file:
            return _of_file(path)
        raise SourceError(self._unknown(name))

    @cached_property
    def _experiment(self) -> Experiment:
        assert self.open_experiment is not None
        return self.open_experiment()

    @cached_property
    def _prepared(self) -> dict[str, Record]:
        """The prepared records by id; empty if nothing is prepared."""
        if self._experiment.find_prepared() is None:
            return {}
        return {record.record_id: record for record in self._experiment.records.records}

    @cached_property
    def _rows(self) -> dict[str, tuple[SourceRow, SourceRows]]:
        """The rows of all sources by id; the first, if an id is repeated."""
        config = self._experiment.config.data
        rows: dict[str, tuple[SourceRow, SourceRows]] = {}
        for settings in config.sources:
            source = planned_rows(read_source(settings), config)
            for row in source.rows:
                rows.setdefault(row.record_id, (row, source))
        return rows

    def _of_experiment(self, name: str) -> Found | None:
        if (record := self._prepared.get(name)) is not None:
            return self._of_store(record)
        if (row := self._rows.get(name)) is not None:
            return read_from_source(*row, self._experiment)
        return None

    def _of_store(self, record: Record) -> Found:
        experiment = self._experiment
        window_uv = experiment.signals.read(np.array([record.slot]))[0]
        return Found(
            title=record.record_id,
            record=EcgRecord(in_millivolts(window_uv), float(experiment.config.data.rate_hz)),
            findings=tuple(experiment.taxonomy[finding] for finding in record.findings),
            origin={"en": "as prepared", "ja": "prepare 後の信号"},
            notice=experiment.config.notice,
        )

    def _unknown(self, name: str) -> str:
        if name and Path(name).is_dir():
            return f"{name} is a folder. Name a recording in it, or a record id."
        if self.open_experiment is None:
            return (
                f"{name!r} is not a recording, and there is no pipeline.yaml here that could have a"
                " record of that name. Name a file, or the experiment with -c."
            )
        near = similar_ids(name, [*self._prepared, *self._rows])
        hint = f"similar: {', '.join(near)}" if near else "no id is similar"
        return (
            f"{self._experiment.config.name} has no record {name!r} ({hint}), and there is no"
            " file of that name."
        )


def read_from_source(row: SourceRow, source: SourceRows, experiment: Experiment) -> Found:
    """Read the ECG of a table's row from its recording.

    Raises:
        RecordError: the recording cannot be read.
    """
    config = experiment.config.data
    record = read_planned(row, source, config)
    findings, n_not_named = _findings(row, experiment.taxonomy)
    return Found(
        title=row.record_id,
        record=record,
        findings=findings,
        n_not_named=n_not_named,
        origin={"en": "as recorded, not prepared", "ja": "元ファイルの信号"},
        start_s=cropped_start_s(record, config),
        notice=experiment.config.notice,
    )


def cropped_start_s(record: EcgRecord, config: DataConfig) -> float:
    """Where `prepare` begins its window in a longer recording."""
    if config.crop == "first":
        return 0.0
    return max(0.0, record.duration_s - config.duration_s) / 2


def shown_part(
    record: EcgRecord, start_s: float, length_s: float
) -> tuple[EcgRecord, tuple[str, ...]]:
    """The part to draw, and the flat leads that were blanked in it.

    A flat lead means that an electrode was off. Drawn, it would be read as asystole.

    Raises:
        RecordError: the recording ends before `start_s`.
    """
    # One more sample, so that a trace reaches the end of its column.
    first = round(start_s * record.rate_hz)
    last = first + int(length_s * record.rate_hz + 1e-6) + 1
    part_mv = record.signal_mv[:, first:last].copy()
    if first < 0 or not part_mv.shape[1]:
        raise RecordError(
            Reason.TOO_SHORT,
            f"it lasts {record.duration_s:.1f} s, so it cannot be drawn from {start_s:g} s on",
        )
    flat = [number for number, lead_mv in enumerate(part_mv) if _is_flat(lead_mv)]
    part_mv[flat] = np.nan
    return EcgRecord(part_mv, record.rate_hz), tuple(LEADS[number] for number in flat)


def similar_ids(name: str, ids: Sequence[str]) -> list[str]:
    """Ids with the same number (17 for 00017), then ids of similar spelling.

    Spelling is slow to compare, so of very many ids only the neighbours in sorted order are.
    """
    known = sorted(set(ids))
    numbers = _numbers(name)
    same = [record_id for record_id in known if numbers and _numbers(record_id) == numbers]
    if len(known) > _COMPARED_IDS:
        place = bisect.bisect(known, name)
        start = max(0, min(place - _COMPARED_IDS // 2, len(known) - _COMPARED_IDS))
        known = known[start : start + _COMPARED_IDS]
    near = difflib.get_close_matches(name, known, _SUGGESTED_IDS, 0.4)
    return list(dict.fromkeys([*same, *near]))[:_SUGGESTED_IDS]


def _numbers(record_id: str) -> list[int]:
    return [int(digits) for digits in re.findall("[0-9]+", record_id)]


def _of_file(path: Path) -> Found:
    return Found(title=path.name, record=read_recording(path), findings=None)


def _is_flat(lead_mv: npt.NDArray[np.float32]) -> bool:
    readings = lead_mv[np.isfinite(lead_mv)]
    return len(readings) > 1 and float(np.ptp(readings)) == 0


def _findings(row: SourceRow, taxonomy: Taxonomy) -> tuple[tuple[Finding, ...], int]:
    """The row's known findings, in the taxonomy's order, and the number of unknown ones."""
    read = taxonomy.read(row.findings)
    n_not_named = len(read.doubtful) + len(read.unknown)
    return tuple(taxonomy[finding] for finding in read.certain), n_not_named
