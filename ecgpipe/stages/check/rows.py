"""Check the rows of all tables, before any recording is opened.

Owns the mistakes of tables: unusable rows, repeated ids, patients in two splits, unknown findings,
rare findings, equal texts in a batch. Checks every row.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.data import DataConfig
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import RecordError
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.read_ecg.datasets.source import recording_path
from ecgpipe.read_ecg.datasets.splits import patients_in_two_splits
from ecgpipe.read_ecg.formats.recording import recording_state
from ecgpipe.read_ecg.signal.record import Reason
from ecgpipe.stages.check.columns import column_name
from ecgpipe.stages.check.findings import finding_problems
from ecgpipe.stages.check.report import Example, Problem, Severity, counted, problem_at
from ecgpipe.stages.check.table_rows import CheckedRow
from ecgpipe.stages.texts import report_of, with_answer, with_sentence

_LEAST_IN_TRAIN = 20
_SIMILAR_FOR = 200
_MUCH_OWN_TEXT = 0.5
_MOST_FILES_LOOKED_FOR = 50_000


def row_problems(
    rows: Sequence[CheckedRow], taxonomy: Taxonomy | None, config: DataConfig
) -> Iterator[Problem]:
    """Mistakes in the rows, regardless of their recordings."""
    yield from _ids_twice(rows, config)
    yield from _patients_in_two_splits(rows)
    if taxonomy is not None:
        yield from finding_problems(rows, taxonomy, config)
    yield from _unusable(rows, config)
    yield from _one_recording_twice(rows, config)


def record_problems(
    records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig
) -> Iterator[Problem]:
    """Problems of the records that would be trained on and scored."""
    yield from _without_text(records, config)
    yield from _empty_splits(records, taxonomy, config)
    yield from _rare_findings(records, taxonomy, config)
    share = own_text_share(records, taxonomy, config)
    if share >= _MUCH_OWN_TEXT:
        yield Problem(
            Severity.LOOK,
            "text duplicates",
            f"in a batch of {config.train.global_batch_size}, {share:.0%} of training ECGs meet"
            " another with the same text, and a right match then counts as wrong",
            "Lower train.global_batch_size, or set text.source: report if you have reports.",
        )


def own_text_share(records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig) -> float:
    """The expected share of training ECGs that meet another ECG with the same text in a batch.

    A text that a share f of all ECGs has is met among the B - 1 others of a batch with probability
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


def _ids_twice(rows: Sequence[CheckedRow], config: DataConfig) -> Iterator[Problem]:
    column = column_name(rows, "record_id", config)
    yield from problem_at(
        [
            checked.example(f"same as {first.row.place}{_whose(checked, first)}")
            for checked, first in _repeats(rows, lambda c: c.row.record_id)
        ],
        Severity.STOPS,
        "record id twice",
        "row",
        f"an earlier row has the same {column}",
        f"Give every ECG a {column} of its own.",
    )


def _repeats(
    rows: Sequence[CheckedRow], key: Callable[[CheckedRow], Hashable]
) -> Iterator[tuple[CheckedRow, CheckedRow]]:
    """Each row that has the key of an earlier row, and the first row with that key."""
    first: dict[Hashable, CheckedRow] = {}
    for checked in rows:
        other = first.setdefault(key(checked), checked)
        if other is not checked:
            yield checked, other


def _whose(checked: CheckedRow, first: CheckedRow) -> str:
    """Whether two rows that are the same in something are of one patient, and name one file."""
    patients, paths = (
        {getattr(each.row, name) for each in (checked, first)} for name in ("patient_id", "path")
    )
    what = ", of another patient" if len(patients) > 1 else ", of the same patient"
    if "" in patients:
        what = ""
    if len({each.row.record_id for each in (checked, first)}) == 1:
        what += ", another file" if len(paths) > 1 else ", the same file"
    return what


def _patients_in_two_splits(rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    yield from problem_at(
        [
            Example(row.place, f"{split}; {first.place} is in {first_split}", row.record_id)
            for first, first_split, row, split in patients_in_two_splits(
                (c.row, c.split) for c in rows if c.row.patient_id
            )
        ],
        Severity.STOPS,
        "patient in two splits",
        "row",
        "the patient is in another split too, so the model would be tested on people it was"
        " trained on",
        "Put all ECGs of a patient into one split.",
    )


def _unusable(rows: Sequence[CheckedRow], config: DataConfig) -> Iterator[Problem]:
    path, patient, findings = (
        column_name(rows, key, config) for key in ("path", "patient_id", "findings")
    )
    empty = [c for c in rows if c.reason == Reason.NO_TEXT and not c.row.findings]
    for kind, chosen, what, fix in (
        (
            str(Reason.OUTSIDE_ROOT),
            [c for c in rows if c.reason == Reason.OUTSIDE_ROOT],
            f"left out because {path} is empty, absolute or leads outside root",
            f"Write {path} relative to root.",
        ),
        (
            str(Reason.NO_PATIENT),
            [c for c in rows if c.reason == Reason.NO_PATIENT],
            f"left out because {patient} is empty",
            "Fill it in: without it, a patient's ECGs cannot be kept in one split.",
        ),
        (
            "empty findings",
            empty,
            f"left out because {findings} is empty and there is no report",
            "Fill it in, or remove the rows.",
        ),
        (
            str(Reason.NO_TEXT),
            [c for c in rows if c.reason == Reason.NO_TEXT and c.row.findings],
            "left out because there is no report, and no finding that the taxonomy knows",
            "Fill in findings or report, or remove the rows.",
        ),
    ):
        examples = [checked.example() for checked in chosen]
        yield from problem_at(examples, Severity.LOOK, kind, "row", what, fix)


def _one_recording_twice(rows: Sequence[CheckedRow], config: DataConfig) -> Iterator[Problem]:
    yield from problem_at(
        [
            checked.example(f"same as {first.row.place}{_whose(checked, first)}")
            for checked, first in _repeats(
                rows, lambda c: (c.source.root, c.row.path, c.row.start_s)
            )
            if checked.reason is None
        ],
        Severity.WRONG,
        "one recording twice",
        "row",
        f"an earlier row has the same {column_name(rows, 'path', config)}",
        "Give every ECG its own recording, or remove the second row.",
    )


def missing_files(rows: Sequence[CheckedRow]) -> list[CheckedRow]:
    """Rows whose recording is not below root. Of very many rows, only every n-th is looked for."""
    step = -(-len(rows) // _MOST_FILES_LOOKED_FOR) if rows else 1
    return [c for c in rows[::step] if c.reason != Reason.OUTSIDE_ROOT and not _exists(c)]


def _exists(checked: CheckedRow) -> bool:
    try:
        path = recording_path(checked.source.root, checked.row.path)
        file, _, _ = path.name.partition("#")  # one recording of several in a file
        return bool(recording_state(path) or recording_state(path.with_name(file or path.name)))
    except (RecordError, OSError, ValueError):
        return False


def _without_text(records: RecordsTable, config: PipelineConfig) -> Iterator[Problem]:
    text, source = config.text, config.text.source
    lacking = sum(
        not (report_of(r, text) if text.reads_reports else r.findings) and not r.echo_known
        for r in records.records
    )
    if lacking:
        yield Problem(
            Severity.LOOK,
            "no text",
            f"{counted(lacking, 'record')} without {source}: text.source is {source}, so they are"
            " neither trained on nor scored",
        )


def _empty_splits(
    records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig
) -> Iterator[Problem]:
    said, _ = with_sentence(records, taxonomy, config.text)
    kept = with_answer(records, taxonomy, config.text)
    for split in dict.fromkeys(("train", "val", config.eval.split)):
        only_said = split == "train" and config.train.text == "sentence"
        if any(r.split == split for r in (said if only_said else kept).records):
            continue
        stops = split != "val"
        yield Problem(
            Severity.STOPS if stops else Severity.LOOK,
            "empty split",
            f"the {split} split has no usable ECG with {config.text.source}"
            + ("" if stops else ", so the last epoch is kept instead of the best"),
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
            finding.name(config.text.language),
            ", ".join(f"{split} {counts[split][finding.id]}" for split in least),
        )
        for finding in taxonomy.findings
        if finding.id in occurring and any(counts[s][finding.id] < n for s, n in least.items())
    ]
    if rare:
        limits = " or ".join(f"fewer than {n} {split} ECGs" for split, n in least.items())
        yield Problem(
            Severity.LOOK,
            "rare findings",
            f"{len(rare)} of {len(occurring)} findings are rare: {limits}",
            "Their metrics will be uncertain, and those below eval.min_positives"
            f" ({config.eval.min_positives}) are left out of macro averages.",
            tuple(rare),
            tuple(rare),
        )
