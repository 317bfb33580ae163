"""The rows of all tables, each with what can be told before its recording is opened.

Owns why a row cannot be used.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ecgpipe.cache.records_table import SPLITS, Record, RecordsTable
from ecgpipe.config.data import DataConfig
from ecgpipe.errors import RecordError
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows, recording_path
from ecgpipe.read_ecg.echo.echo_findings import EchoFindings
from ecgpipe.read_ecg.prepare.record_rows import ChosenFindings, finding_chooser
from ecgpipe.read_ecg.signal.record import Reason
from ecgpipe.stages.check.report import Example


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row, its source, and the reason why it cannot be used, if any."""

    row: SourceRow
    source: SourceRows
    split: str
    findings: tuple[str, ...]
    """Ids in the taxonomy; () where the row is rejected for an unknown one."""

    unknown: tuple[str, ...]
    n_uncertain: int
    """Findings that are only suspected and were left out."""

    reason: Reason | None

    def example(self, detail: str = "") -> Example:
        """This row as a place of a problem."""
        return Example(self.row.place, detail, self.row.record_id)


def checked_rows(
    sources: Sequence[tuple[SourceRows, Sequence[str]]],
    taxonomy: Taxonomy | None,
    config: DataConfig,
) -> list[CheckedRow]:
    """All rows of all sources.

    Args:
        sources: each with the split of every row.
        taxonomy: None if it cannot be read: then every finding counts as known.
        config: what to do with unknown and uncertain findings.
    """

    def known(names: tuple[str, ...]) -> ChosenFindings:
        return ChosenFindings(names, (), 0)

    chosen = known if taxonomy is None else finding_chooser(taxonomy, config)
    rejects = config.unknown_findings == "reject"
    return [
        _checked(row, source, split, chosen(row.findings), rejects)
        for source, splits in sources
        for row, split in zip(source.rows, splits, strict=True)
    ]


def usable_records(
    rows: Sequence[CheckedRow], taxonomy: Taxonomy, echo: Sequence[EchoFindings] = ()
) -> RecordsTable:
    """The rows without a problem so far, as the later stages will see them.

    Args:
        rows: all.
        taxonomy: the list of findings.
        echo: what the echocardiogram of each usable row says; () if there are none.
    """
    usable = [(slot, checked) for slot, checked in enumerate(rows) if checked.reason is None]
    said = echo or [EchoFindings()] * len(usable)
    return RecordsTable(
        tuple(
            Record(
                slot=slot,
                record_id=checked.row.record_id,
                patient_id=checked.row.patient_id,
                source=checked.source.name,
                split=checked.split,
                findings=taxonomy.resolve_all(checked.findings),
                report=checked.row.report,
                echo_shown=found.shown,
                echo_known=found.known,
                echo_report=found.report,
            )
            for (slot, checked), found in zip(usable, said, strict=True)
        )
    )


def split_counts(rows: Sequence[CheckedRow]) -> dict[str, int]:
    """Rows by split."""
    counts = Counter(row.split for row in rows)
    return {name: counts[name] for name in SPLITS}


def _checked(
    row: SourceRow, source: SourceRows, split: str, chosen: ChosenFindings, rejects: bool
) -> CheckedRow:
    unknown = () if row.public_codes else chosen.unknown
    is_unknown = bool(unknown) and rejects
    known = () if is_unknown else chosen.ids
    reason = _reason(row, source, known, is_unknown)
    return CheckedRow(row, source, split, known, unknown, chosen.n_uncertain, reason)


def _reason(
    row: SourceRow, source: SourceRows, known: Sequence[str], is_unknown: bool
) -> Reason | None:
    try:
        recording_path(source.root, row.path)
    except RecordError:
        return Reason.OUTSIDE_ROOT
    if not row.patient_id:
        return Reason.NO_PATIENT
    if is_unknown:
        return Reason.UNKNOWN_FINDING
    return None if known or row.report else Reason.NO_TEXT
