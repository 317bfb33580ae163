"""Planned rows to the rows of the records table, one at a time, and the list of the rejected.

Owns which record says something, by its findings, its report or its echocardiogram, and what is
counted. Must not know findings except through the
`FindingList` it is given.
"""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ecgpipe.cache.records_table import SPLITS, Record
from ecgpipe.cache.signals.writer import Rejection
from ecgpipe.config.data import DataConfig
from ecgpipe.errors import RecordError, TaxonomyError
from ecgpipe.read_ecg.datasets.source import Planned, SourceRow
from ecgpipe.read_ecg.echo.echo_findings import Ecg, EchoFindings, EchoJoin
from ecgpipe.read_ecg.prepare.plan import Plan
from ecgpipe.read_ecg.signal.record import Reason


class CellFindings(Protocol):
    """What the names in a cell mean."""

    @property
    def certain(self) -> tuple[str, ...]:
        """Ids."""

    @property
    def doubtful(self) -> Mapping[str, str]:
        """Id to name of those that are only suspected."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names that mean no finding."""


class FindingList(Protocol):
    """What the preparation needs of a taxonomy."""

    @property
    def digest(self) -> str:
        """Changes when the list does."""

    def resolve_all(self, names: Sequence[str]) -> tuple[str, ...]:
        """Ids of findings, in the list's order.

        Raises:
            TaxonomyError: a name is unknown; the message holds the nearest known one.
        """

    def read(self, names: Sequence[str]) -> CellFindings:
        """What names mean, ids in the list's order."""


@dataclass(frozen=True)
class ChosenFindings:
    """The findings of a row, by data.unknown_findings and data.uncertain_findings."""

    ids: tuple[str, ...]
    unknown: tuple[str, ...]
    """Names that mean no finding, or one that is only suspected where that counts as unknown."""

    n_uncertain: int
    """Suspected findings that were left out."""


def finding_chooser(
    findings: FindingList, config: DataConfig
) -> Callable[[tuple[str, ...]], ChosenFindings]:
    """Says what a row's names mean under the settings; never raises for a name."""

    @functools.lru_cache(4096)  # many rows have the same findings
    def choose(names: tuple[str, ...]) -> ChosenFindings:
        return _choose(names, findings, config)

    return choose


def _choose(names: Sequence[str], findings: FindingList, config: DataConfig) -> ChosenFindings:
    read = findings.read(names)
    if not read.doubtful:
        return ChosenFindings(read.certain, read.unknown, 0)
    match config.uncertain_findings:
        case "unknown":
            return ChosenFindings(read.certain, (*read.unknown, *read.doubtful.values()), 0)
        case "as_shown":
            ids = findings.resolve_all((*read.certain, *read.doubtful))
            return ChosenFindings(ids, read.unknown, 0)
        case "leave_out":
            return ChosenFindings(read.certain, read.unknown, len(read.doubtful))


def ecg_of(row: SourceRow, findings: tuple[str, ...]) -> Ecg:
    """What of a row decides which echocardiogram belongs to it."""
    return Ecg(
        patient_id=row.patient_id,
        recorded_at=row.recorded_at,
        age=row.age,
        sex=row.sex,
        findings=findings,
        echo=row.echo,
        place=row.place,
    )


def _why_nothing(row: SourceRow, names: Sequence[str]) -> str:
    """Why a row without a report and an echocardiogram says nothing; `names` are those known."""
    if not row.findings:
        return "findings and report are both empty"
    if not names:
        return "none of its codes is a finding of data.taxonomy"
    return "all of its findings were left out"


@dataclass(frozen=True)
class Refused:
    """A record that is not in the table, the reason, and the place of its row."""

    rejection: Rejection
    place: str


class RecordRows:
    """Iterates over the rows that have a signal and say something, and collects the others."""

    def __init__(
        self,
        plan: Plan,
        without_signal: Sequence[Rejection],
        findings: FindingList,
        config: DataConfig,
        echo: EchoJoin | None = None,
    ) -> None:
        self.refused: list[Refused] = []
        """In the order of the plan."""

        self._plan = plan
        self._without_signal = {rejection.record_id: rejection for rejection in without_signal}
        self._findings = findings
        self._echo = echo
        self._choose = finding_chooser(findings, config)
        self._rejects_unknown = config.unknown_findings == "reject"
        self._n_left_out: Counter[str] = Counter()
        self._codes = plan.public_codes()
        self._known = {code for code in self._codes if self._is_known(code)}
        self._splits: Counter[str] = Counter()
        self._is_in = np.zeros(len(plan), np.bool_)

    def __iter__(self) -> Iterator[Record]:
        """Each record, in the order of the plan."""
        for slot, planned in enumerate(self._plan):
            record_id = planned.row.record_id
            try:
                if record_id in self._without_signal:
                    self._refuse(self._without_signal[record_id], planned)
                    continue
                record = self._record(slot, planned)
            except RecordError as error:
                self._refuse(Rejection(record_id, str(error.reason), str(error)), planned)
                continue
            self._splits[record.split] += 1
            self._is_in[slot] = True
            yield record

    def counts(self, notes: Mapping[str, int]) -> dict[str, Any]:
        """What became of the plan, after the iteration; `notes` are those of the store."""
        reasons = Counter(refused.rejection.reason for refused in self.refused)
        return {
            "planned": len(self._plan),
            "prepared": sum(self._splits.values()),
            "rejected": len(self.refused),
            "rejected_by_reason": dict(reasons.most_common()),
            "notes": notes,
            "patients": self._plan.count_patients(self._is_in),
            "splits": {name: self._splits[name] for name in SPLITS},
            "left_out": self._left_out(),
            **({} if self._echo is None else {"echo": self._echo.counts()}),
        }

    def _refuse(self, rejection: Rejection, planned: Planned) -> None:
        self.refused.append(Refused(rejection, planned.row.place))

    def _record(self, slot: int, planned: Planned) -> Record:
        row = planned.row
        names = row.findings
        if row.public_codes:
            names = tuple(name for name in names if name in self._known)
        if not row.patient_id:
            raise RecordError(
                Reason.NO_PATIENT, "patient_id is empty, so it cannot be kept in one split"
            )
        ids = self._chosen(names)
        echo = self._echo_of(row, ids)
        if not (ids or row.report or echo.known or echo.report):
            raise RecordError(Reason.NO_TEXT, _why_nothing(row, names))
        return Record(
            slot=slot,
            record_id=row.record_id,
            patient_id=row.patient_id,
            source=planned.source.name,
            split=planned.split,
            findings=ids,
            report=row.report,
            age=row.age,
            sex=row.sex,
            site=row.site,
            recorded_at=row.recorded_at,
            echo_shown=echo.shown,
            echo_known=echo.known,
            echo_report=echo.report,
        )

    def _echo_of(self, row: SourceRow, findings: tuple[str, ...]) -> EchoFindings:
        if self._echo is None:
            return EchoFindings()
        return self._echo.findings_of(ecg_of(row, findings))

    def _chosen(self, names: tuple[str, ...]) -> tuple[str, ...]:
        chosen = self._choose(names)
        if chosen.unknown and self._rejects_unknown:
            try:
                self._findings.resolve_all(chosen.unknown)
            except TaxonomyError as error:
                raise RecordError(Reason.UNKNOWN_FINDING, str(error)) from error
        self._n_left_out["unknown findings"] += len(chosen.unknown)
        self._n_left_out["uncertain findings"] += chosen.n_uncertain
        return chosen.ids

    def _is_known(self, code: str) -> bool:
        with contextlib.suppress(TaxonomyError):
            self._findings.resolve_all((code,))
            return True
        return False

    def _left_out(self) -> dict[str, int]:
        """What was left out of the records on purpose, and how often."""
        counts = {what: n for s in self._plan.sources for what, n in s.left_out.items()}
        counts |= {what: n for what, n in self._n_left_out.items() if n}
        counts |= {} if self._echo is None else self._echo.left_out()
        codes: Counter[str] = Counter()
        for code, n in self._codes.items():
            if code not in self._known:  # text is not shown: a cell may hold anything
                codes[f"code {code}" if code.isdigit() else "other codes"] += n
        return counts | dict(codes.most_common())
