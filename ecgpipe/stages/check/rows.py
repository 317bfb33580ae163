"""What the rows of all sources say, before any recording is opened.

Owns the faults of tables: rows that cannot be used, ids twice, patients in two splits, findings
nobody knows, rare findings, texts that meet themselves in a batch. Looks at every row.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from ecgpipe.cache.records_table import SPLITS, Record, RecordsTable
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import RecordError, TaxonomyError
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows, recording_path
from ecgpipe.read_ecg.datasets.splits import patients_in_two_splits
from ecgpipe.read_ecg.formats.recording import recording_state
from ecgpipe.read_ecg.signal.record import Reason
from ecgpipe.stages.check.report import Example, Problem, Severity
from ecgpipe.stages.texts import with_sentence

_LEAST_IN_TRAIN = 20
_NAMED_FINDINGS = 12
_NEAREST_FOR = 200
_MUCH_OWN_TEXT = 0.5
_MOST_FILES_LOOKED_FOR = 50_000


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row, where it comes from, and why it cannot be used, if so."""

    row: SourceRow
    source: SourceRows
    split: str
    findings: tuple[str, ...]
    """Ids in the taxonomy; () where one is unknown."""

    unknown: tuple[str, ...]
    reason: Reason | None

    @property
    def example(self) -> Example:
        """Where it stands."""
        return Example(self.row.place, record_id=self.row.record_id)


def checked_rows(
    sources: Sequence[tuple[SourceRows, Sequence[str]]], taxonomy: Taxonomy | None
) -> list[CheckedRow]:
    """All rows of all sources with their splits.

    Args:
        sources: each with the split of every row.
        taxonomy: None where it cannot be read: then no finding is looked up.
    """
    known: dict[str, str | None] = {}

    def resolved(name: str) -> str | None:
        if name not in known:
            known[name] = _resolve(taxonomy, name)
        return known[name]

    return [
        _checked(row, source, split, resolved)
        for source, splits in sources
        for row, split in zip(source.rows, splits, strict=True)
    ]


def usable_records(rows: Sequence[CheckedRow], taxonomy: Taxonomy) -> RecordsTable:
    """The rows that nothing speaks against so far, as the later stages see records."""
    place = {finding.id: number for number, finding in enumerate(taxonomy.findings)}
    return RecordsTable(
        tuple(
            Record(
                slot=slot,
                record_id=checked.row.record_id,
                patient_id=checked.row.patient_id,
                source=checked.source.name,
                split=checked.split,
                findings=tuple(sorted(set(checked.findings), key=place.__getitem__)),
                report=checked.row.report,
            )
            for slot, checked in enumerate(rows)
            if checked.reason is None
        )
    )


def row_problems(rows: Sequence[CheckedRow], taxonomy: Taxonomy | None) -> Iterator[Problem]:
    """What is wrong with rows, whatever their recordings hold."""
    yield from _ids_twice(rows)
    yield from _patients_in_two_splits(rows)
    if taxonomy is not None:
        yield from _unknown_findings(rows, taxonomy)
    yield from _unusable(rows)
    yield from _one_recording_twice(rows)


def record_problems(
    records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig
) -> Iterator[Problem]:
    """What is wrong with the records that would be trained on and scored."""
    yield from _without_text(records, config)
    yield from _empty_splits(records, taxonomy, config)
    yield from _rare_findings(records, taxonomy, config)
    share = own_text_share(records, taxonomy, config)
    if share >= _MUCH_OWN_TEXT:
        yield Problem(
            Severity.LOOK,
            "text duplicates",
            f"{share:.0%} of the training ECGs meet their own text again in a batch of"
            f" {config.train.global_batch_size}: each time one right answer counts as wrong",
            "A smaller train.global_batch_size, or text.source: report where reports are there.",
        )


def own_text_share(records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig) -> float:
    """The share of training ECGs that meet their own text again in a batch, to be expected.

    A text on the share f of all ECGs is met among the B - 1 others of a batch with probability
    1 - (1 - f)^(B - 1); the mean over all training ECGs.
    """
    _, sentences = with_sentence(records.of_split("train"), taxonomy, config.text)
    others = min(config.train.global_batch_size, len(sentences)) - 1
    if others < 1:
        return 0.0
    met = sum(
        n * (1 - (1 - (n - 1) / (len(sentences) - 1)) ** others)
        for n in Counter(sentences).values()
    )
    return met / len(sentences)


def split_counts(rows: Sequence[CheckedRow]) -> dict[str, int]:
    """Rows by split."""
    counts = Counter(row.split for row in rows)
    return {name: counts[name] for name in SPLITS}


def _resolve(taxonomy: Taxonomy | None, name: str) -> str | None:
    if taxonomy is None:
        return None
    try:
        return taxonomy.resolve(name).id
    except TaxonomyError:
        return None


def _checked(
    row: SourceRow, source: SourceRows, split: str, resolved: Callable[[str], str | None]
) -> CheckedRow:
    ids = [(name, resolved(name)) for name in row.findings]
    known = tuple(found for _, found in ids if found is not None)
    unknown = () if row.public_codes else tuple(name for name, found in ids if found is None)
    reason = _reason(row, source, known, unknown)
    return CheckedRow(row, source, split, known if not unknown else (), unknown, reason)


def _reason(
    row: SourceRow, source: SourceRows, known: Sequence[str], unknown: Sequence[str]
) -> Reason | None:
    try:
        recording_path(source.root, row.path)
    except RecordError:
        return Reason.OUTSIDE_ROOT
    if not row.patient_id:
        return Reason.NO_PATIENT
    if not row.report and (not row.findings or (row.public_codes and not known)):
        return Reason.NO_TEXT
    return Reason.UNKNOWN_FINDING if unknown else None


def _ids_twice(rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    again = [
        dataclasses.replace(checked.example, detail=f"as {other.row.place}")
        for checked, other in _repeats(rows, lambda c: c.row.record_id)
    ]
    if again:
        yield Problem(
            Severity.STOPS,
            "record id twice",
            f"{_rows(len(again))} a record_id that another row has",
            "Give every ECG its own.",
            tuple(again),
        )


def _repeats(
    rows: Sequence[CheckedRow], key: Callable[[CheckedRow], Hashable]
) -> Iterator[tuple[CheckedRow, CheckedRow]]:
    """Each row whose key an earlier row has, and the first that has it."""
    first: dict[Hashable, CheckedRow] = {}
    for checked in rows:
        other = first.setdefault(key(checked), checked)
        if other is not checked:
            yield checked, other


def _patients_in_two_splits(rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    leaks = patients_in_two_splits((c.row, c.split) for c in rows if c.row.patient_id)
    if leaks:
        yield Problem(
            Severity.STOPS,
            "patient in two splits",
            f"{_rows(len(leaks), 'are', 'is')} of a patient who is in another split too: the test"
            " would be on people the model was trained on",
            "Put all ECGs of a patient into one split.",
            tuple(
                Example(row.place, f"{split}; {other.place} is in {other_split}", row.record_id)
                for other, other_split, row, split in leaks
            ),
        )


def _unknown_findings(rows: Sequence[CheckedRow], taxonomy: Taxonomy) -> Iterator[Problem]:
    counts = Counter(name for checked in rows for name in checked.unknown)
    if not counts:
        return
    # Looking for what is near takes a while each, so only for the commonest.
    nearest = {name: taxonomy.nearest(name) for name, _ in counts.most_common(_NEAREST_FOR)}
    examples = [
        Example(
            checked.row.place,
            f"nearest known: {nearest.get(name) or 'none'}",
            checked.row.record_id,
            name,
        )
        for checked in rows
        for name in checked.unknown
    ]
    yield Problem(
        Severity.LOOK,
        "unknown finding",
        f"{_rows(sum(bool(c.unknown) for c in rows), 'have', 'has')} findings that are not in the"
        f" taxonomy ({len(counts):,} spelling{'s' * (len(counts) > 1)}) and would be left out",
        "Mend the cells, or add the spellings as synonyms to a taxonomy of your own; --list FILE"
        " has them.",
        tuple(examples),
    )


_UNUSABLE = {
    Reason.OUTSIDE_ROOT: (
        "path is empty, absolute or leaves the root",
        "Write it relative to root.",
    ),
    Reason.NO_PATIENT: ("patient_id is empty", "Without it, an ECG cannot be kept in one split."),
    Reason.NO_TEXT: ("there is nothing to learn: neither findings nor report", ""),
}


def _unusable(rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    for reason, (what, mend) in _UNUSABLE.items():
        if examples := tuple(c.example for c in rows if c.reason == reason):
            yield Problem(
                Severity.LOOK,
                str(reason),
                f"{_rows(len(examples), 'are', 'is')} left out: {what}",
                mend,
                examples,
            )


def _one_recording_twice(rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    again = [
        dataclasses.replace(checked.example, detail=f"the recording of {other.row.place}")
        for checked, other in _repeats(rows, lambda c: (c.source.root, c.row.path, c.row.start_s))
        if checked.reason is None
    ]
    if again:
        yield Problem(
            Severity.WRONG,
            "one recording twice",
            f"{_rows(len(again))} the path of another row",
            "Give every ECG its own recording, or leave the second row out.",
            tuple(again),
        )


def missing_files(rows: Sequence[CheckedRow]) -> list[CheckedRow]:
    """Rows whose recording is nowhere below the root; of very many rows, a part is looked for."""
    step = -(-len(rows) // _MOST_FILES_LOOKED_FOR) if rows else 1
    return [c for c in rows[::step] if c.reason != Reason.OUTSIDE_ROOT and not _is_there(c)]


def _is_there(checked: CheckedRow) -> bool:
    try:
        path = recording_path(checked.source.root, checked.row.path)
        file, _, _ = path.name.partition("#")  # one recording of several in a file
        return bool(recording_state(path) or recording_state(path.with_name(file or path.name)))
    except (RecordError, OSError, ValueError):
        return False


def _without_text(records: RecordsTable, config: PipelineConfig) -> Iterator[Problem]:
    source = config.text.source
    lacking = sum(not (r.report if source == "report" else r.findings) for r in records.records)
    if lacking:
        yield Problem(
            Severity.LOOK,
            "no text",
            f"{_rows(lacking)} no {source}, and text.source is {source}: they are neither trained"
            " on nor scored",
            "",
        )


def _empty_splits(
    records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig
) -> Iterator[Problem]:
    kept, _ = with_sentence(records, taxonomy, config.text)
    for split in dict.fromkeys(("train", "val", config.eval.split)):
        if any(r.split == split for r in kept.records):
            continue
        stops = split != "val"
        yield Problem(
            Severity.STOPS if stops else Severity.LOOK,
            "empty split",
            f"no usable ECG with {config.text.source} is in the {split} split"
            + ("" if stops else ", so the best epoch cannot be chosen and the last is kept"),
            "Check the split column, data.split and text.source.",
        )


def _rare_findings(
    records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig
) -> Iterator[Problem]:
    least = {"train": _LEAST_IN_TRAIN, config.eval.split: config.eval.min_positives}
    counts = {
        split: Counter(f for r in records.records if r.split == split for f in r.findings)
        for split in least
    }
    occurring = records.findings
    rare = [
        Example(
            _named(taxonomy, finding.id, config),
            ", ".join(f"{split} {counts[split][finding.id]}" for split in least),
        )
        for finding in taxonomy.findings
        if finding.id in occurring and any(counts[s][finding.id] < n for s, n in least.items())
    ]
    if rare:
        names = ", ".join(example.place for example in rare[:_NAMED_FINDINGS])
        more = f" and {len(rare) - _NAMED_FINDINGS} more" if len(rare) > _NAMED_FINDINGS else ""
        limits = " or ".join(f"fewer than {n} {split} ECGs" for split, n in least.items())
        yield Problem(
            Severity.LOOK,
            "rare findings",
            f"{len(rare)} of {len(occurring)} findings are on {limits}: {names}{more}",
            f"Their figures will be uncertain; those below eval.min_positives"
            f" ({config.eval.min_positives}) are left out of macro averages.",
            tuple(rare),
        )


def _named(taxonomy: Taxonomy, finding: str, config: PipelineConfig) -> str:
    return taxonomy[finding].name(config.text.language)


def _rows(n: int, many: str = "have", one: str = "has") -> str:
    return f"{n:,} rows {many}" if n != 1 else f"1 row {one}"
