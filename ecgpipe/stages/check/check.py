"""check: everything that can be looked at before a GPU is booked, in one report.

Owns the order of looking, and that no problem hides another: what cannot be read is told, and the
rest is looked at without it. Writes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.data import Source, TableSource
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import EcgpipeError, SourceError, TaxonomyError
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy, load_taxonomy
from ecgpipe.files import text_encoding
from ecgpipe.read_ecg.datasets.adapters import planned_rows, read_source
from ecgpipe.read_ecg.datasets.hospital_table import read_hospital_table
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows
from ecgpipe.read_ecg.datasets.splits import assign_splits, draw_split
from ecgpipe.stages.check.needs import needs
from ecgpipe.stages.check.recordings import (
    chosen_rows,
    look_at_recordings,
    recording_figures,
    recording_problems,
    too_many_rejected,
)
from ecgpipe.stages.check.report import Example, Problem, Report, Severity
from ecgpipe.stages.check.rows import (
    CheckedRow,
    checked_rows,
    missing_files,
    own_text_share,
    record_problems,
    row_problems,
    split_counts,
    usable_records,
)
from ecgpipe.stages.check.tasks import CheckedTasks, checked_tasks, task_figures
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.texts import all_sentences

DEFAULT_SAMPLE = 300

_DELIMITED = (".csv", ".tsv", ".txt")


def run_check(config: PipelineConfig, sample: int | None = DEFAULT_SAMPLE) -> Report:
    """Look at everything.

    Args:
        config: the experiment; a mistake in it is `load_config`'s to tell.
        sample: how many recordings are opened; None for all.
    """
    problems: list[Problem] = []
    figures: list[tuple[str, str]] = []
    rows, taxonomy = all_rows(config, problems)
    problems += row_problems(rows, taxonomy)
    figures += _row_figures(rows)
    problems += _recordings(rows, config, sample, figures)
    records, sentences = RecordsTable(()), []
    if taxonomy is not None and rows:
        records = usable_records(rows, taxonomy)
        problems += record_problems(records, taxonomy, config)
        tasks = checked_tasks(records, taxonomy, config)
        problems += tasks.problems
        found = all_sentences(records, taxonomy, tasks.tasks, config.text, config.train.text)
        sentences = list(dict.fromkeys(found))
        figures += _text_figures(records, taxonomy, tasks, sentences, config)
    n_train = len(records.of_split("train"))
    needed = needs(config, len(rows), n_train, sentences, _is_prepared(config))
    numbers: dict[str, Any] = {"rows": len(rows), "splits": split_counts(rows), **needed.numbers}
    return Report(
        f"ecgpipe check · {config.name}",
        (*figures, *needed.figures),
        (*problems, *needed.problems),
        numbers,
    )


def all_rows(
    config: PipelineConfig, problems: list[Problem]
) -> tuple[list[CheckedRow], Taxonomy | None]:
    """Every row that can be read, and the taxonomy; what cannot be read joins the problems."""
    taxonomy = _taxonomy(config, problems)
    return checked_rows(list(_sources(config, problems)), taxonomy), taxonomy


def _taxonomy(config: PipelineConfig, problems: list[Problem]) -> Taxonomy | None:
    try:
        return load_taxonomy(config.data.taxonomy)
    except TaxonomyError as error:
        problems.append(Problem(Severity.STOPS, "taxonomy", str(error), ""))
        return None


def _sources(
    config: PipelineConfig, problems: list[Problem]
) -> Iterator[tuple[SourceRows, Sequence[str]]]:
    """Each source that can be read, with the split of every row."""
    for number, settings in enumerate(config.data.sources):
        try:
            source = planned_rows(_read(settings, problems), config.data)
        except (EcgpipeError, OSError) as error:
            problems.append(Problem(Severity.STOPS, "source", f"{error}", ""))
            continue
        problems += _encoding(settings)
        if not source.root.is_dir():
            problems.append(
                Problem(
                    Severity.STOPS,
                    "root",
                    f"data.sources.{number}.root, {source.root}, is not a folder",
                    "Set it to the folder that the paths of the table are relative to.",
                )
            )
        yield source, _splits(source.rows, config, problems)


def _read(settings: Source, problems: list[Problem]) -> SourceRows:
    """All rows of a source; of a hospital's table also those that stand behind a bad one."""
    if not isinstance(settings, TableSource):
        return read_source(settings)
    bad_rows: list[tuple[str, SourceError]] = []
    source = read_hospital_table(settings, bad_rows)
    if bad_rows:
        rows = "1 row" if len(bad_rows) == 1 else f"{len(bad_rows):,} rows"
        problems.append(
            Problem(
                Severity.STOPS,
                "bad rows",
                f"{rows} of {source.name} cannot be read",
                "Each needs a record_id, and a split that is train, val, test or empty.",
                tuple(Example(place, private=str(error)) for place, error in bad_rows),
            )
        )
    return source


def _splits(
    rows: Sequence[SourceRow], config: PipelineConfig, problems: list[Problem]
) -> Sequence[str]:
    try:
        return assign_splits(rows, config.data.split)
    except SourceError as error:
        problems.append(Problem(Severity.STOPS, "splits", str(error), ""))
        return [row.split or draw_split(row.patient_id, config.data.split) for row in rows]


def _encoding(settings: Source) -> Iterator[Problem]:
    if not isinstance(settings, TableSource):
        return
    if settings.table.suffix.casefold() not in _DELIMITED:
        return
    if text_encoding(settings.table) == "cp932":
        yield Problem(
            Severity.LOOK,
            "encoding",
            f"{settings.table.name} is in Shift-JIS (cp932) and is read as such",
            "Nothing; saving it as UTF-8 would leave no doubt.",
        )


def _recordings(
    rows: Sequence[CheckedRow],
    config: PipelineConfig,
    sample: int | None,
    figures: list[tuple[str, str]],
) -> Iterator[Problem]:
    """Problems of the recordings; the rows whose file is nowhere are told once, of all rows."""
    gone = missing_files(rows)
    without = {id(row) for row in gone}
    chosen = chosen_rows(rows, sample)
    looked_at = look_at_recordings(chosen, config.data)
    figures += recording_figures(looked_at, len(rows))
    yield from too_many_rejected(looked_at, rows, config.data)
    opened = [look for look in looked_at if id(look.row) not in without]
    yield from recording_problems(opened, config.data)
    if gone:
        yield Problem(
            Severity.LOOK,
            "missing file",
            f"{len(gone):,} recording{'s are' if len(gone) > 1 else ' is'} not below the root",
            "Bring the files, or mend `path` or `root`.",
            tuple(Example(row.row.place, record_id=row.row.record_id) for row in gone),
        )


def _row_figures(rows: Sequence[CheckedRow]) -> Iterator[tuple[str, str]]:
    patients = len({checked.row.patient_id for checked in rows if checked.row.patient_id})
    splits = ", ".join(f"{name} {n:,}" for name, n in split_counts(rows).items())
    yield "rows", f"{len(rows):,} ECGs of {patients:,} patients ({splits})"


def _text_figures(
    records: RecordsTable,
    taxonomy: Taxonomy,
    tasks: CheckedTasks,
    sentences: Sequence[str],
    config: PipelineConfig,
) -> Iterator[tuple[str, str]]:
    occur, known = len(records.findings), len(taxonomy.findings)
    yield "findings", f"{occur:,} of {known:,} in {taxonomy.name} occur"
    share = own_text_share(records, taxonomy, config)
    yield (
        "texts",
        f"{len(sentences):,} distinct; {share:.0%} of the training ECGs meet their own text again"
        f" in a batch of {config.train.global_batch_size}",
    )
    if tasks.tasks:
        yield "tasks", "; ".join(task_figures(task, records, config) for task in tasks.tasks)


def _is_prepared(config: PipelineConfig) -> bool:
    """Whether the signals are already stored, so that they need no more disk."""
    try:
        return Experiment(config).find_prepared() is not None
    except (EcgpipeError, OSError):
        return False
