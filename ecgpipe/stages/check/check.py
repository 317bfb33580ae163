"""Check everything that can be checked before a GPU is booked, and report it at once.

Owns the order of the checks, and that no problem hides another: what cannot be read becomes a
problem, and the rest is checked without it. Writes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.data import Source, TableSource
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import EcgpipeError, SourceError, TaxonomyError
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy, load_taxonomy
from ecgpipe.evaluate.tasks.wordings import load_bank
from ecgpipe.files import text_encoding
from ecgpipe.read_ecg.datasets.adapters import planned_rows, read_source
from ecgpipe.read_ecg.datasets.hospital_table import TableFaults, read_hospital_table
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows
from ecgpipe.read_ecg.datasets.splits import assign_splits, draw_split
from ecgpipe.stages.check.begin import begin_problems
from ecgpipe.stages.check.columns import Column, column_name, own_name
from ecgpipe.stages.check.echo import CheckedEcho, check_echo
from ecgpipe.stages.check.needs import estimate_needs
from ecgpipe.stages.check.people import people_overview, people_problems
from ecgpipe.stages.check.recordings import (
    LookedAt,
    chosen_rows,
    look_at_recordings,
    recording_overview,
    recording_problems,
    too_many_rejected,
)
from ecgpipe.stages.check.report import Example, Problem, Report, Severity, problem_at
from ecgpipe.stages.check.rows import (
    missing_files,
    own_text_share,
    record_problems,
    row_problems,
)
from ecgpipe.stages.check.table_rows import CheckedRow, checked_rows, split_counts, usable_records
from ecgpipe.stages.check.tasks import check_tasks
from ecgpipe.stages.check.writing import training_reports
from ecgpipe.stages.experiment import Experiment, measurable, ranking_task
from ecgpipe.stages.texts import (
    all_sentences,
    names_echos,
    needs_bank,
    parent_sentences,
    tries_bank,
)

DEFAULT_SAMPLE = 300

_UNDERSTOOD: dict[Column, str] = {
    "age": "Write years from 0 to 130, such as 63, 63歳 or 063Y; no decades, no words.",
    "sex": "Write male or female, M or F, 男 or 女; or 1 male, 2 female, 0 or 9 unknown. Codes 0"
    " and 1 without any 2 could mean either, so they are not read.",
}

_DELIMITED = (".csv", ".tsv", ".txt")
_OTHER_ENCODINGS = {"cp932": "Shift-JIS (cp932)", "iso2022_jp_ext": "ISO-2022-JP"}


def run_check(config: PipelineConfig, sample: int | None = DEFAULT_SAMPLE) -> Report:
    """Check an experiment whose settings are valid.

    Args:
        config: the experiment.
        sample: how many recordings to open; None for all.
    """
    problems: list[Problem] = []
    rows, taxonomy = read_all_rows(config, problems)
    echo = CheckedEcho(rows) if taxonomy is None else check_echo(rows, taxonomy, config)
    rows = echo.rows
    problems += row_problems(rows, taxonomy, config.data)
    problems += people_problems(rows, config.data)
    problems += begin_problems(rows, config)
    found = _below_a_root(rows)
    looked_at = look_at_recordings(chosen_rows(found, sample), config.data)
    problems += _recording_problems(looked_at, found, config)
    overview = {"rows": _count_rows(rows)}
    overview |= (people_overview(rows) if rows else {}) | recording_overview(
        looked_at, rows, sample
    )
    records, sentences, reports = RecordsTable(()), [], []
    if taxonomy is not None and rows:
        problems += echo.problems
        overview |= echo.lines
        records = usable_records(rows, taxonomy, echo.findings)
        problems += record_problems(records, taxonomy, config)
        tasks, lines = check_tasks(records, taxonomy, echo.definitions, config, problems)
        style, tried = config.train.text, tries_bank(config)
        asked, named = tasks, echo.definitions if names_echos(config) else None
        if measurable(config.train, records).best_by != "retrieval_mrr":
            asked = [*tasks, ranking_task(taxonomy, records, echo.definitions)]
        texts = all_sentences(records, taxonomy, asked, config.text, style, tried, named)
        sentences = list(dict.fromkeys(texts))
        reports = training_reports(records, taxonomy, config)
        overview["findings"] = (
            f"{len(records.findings):,} of {len(taxonomy.findings):,} in {taxonomy.name} occur"
        )
        share = own_text_share(records, taxonomy, config)
        overview["texts"] = (
            f"{len(sentences):,} distinct; in a batch of {config.train.global_batch_size},"
            f" {share:.0%} of training ECGs meet another with the same text"
        )
        if lines:
            overview["tasks"] = "; ".join(lines)
    n_train = len(records.of_split("train"))
    n_stored = 0 if _is_prepared(config) else len(rows)
    lines_of_needs, numbers = estimate_needs(
        config, n_stored, n_train, sentences, problems, reports
    )
    return Report(
        f"ecgpipe check · {config.name}",
        overview | lines_of_needs,
        tuple(problems),
        {"rows": len(rows), "splits": split_counts(rows), **numbers, **echo.counts},
    )


def read_all_rows(
    config: PipelineConfig, problems: list[Problem]
) -> tuple[list[CheckedRow], Taxonomy | None]:
    """All readable rows, and the taxonomy; what cannot be read is added to `problems`."""
    taxonomy = None
    try:
        found = load_taxonomy(config.data.taxonomy)
        if needs_bank(config):
            load_bank(found)
        parent_sentences(found, config.text)
        taxonomy = found
    except TaxonomyError as error:
        problems.append(Problem(Severity.STOPS, "taxonomy", str(error)))
    return checked_rows(list(_sources(config, problems)), taxonomy, config.data), taxonomy


def _sources(
    config: PipelineConfig, problems: list[Problem]
) -> Iterator[tuple[SourceRows, Sequence[str]]]:
    """Each readable source, with the split of every row."""
    for number, settings in enumerate(config.data.sources):
        try:
            source = planned_rows(_read(settings, problems), config.data)
        except (EcgpipeError, OSError) as error:
            problems.append(Problem(Severity.STOPS, "source", str(error)))
            continue
        problems += _encoding(settings)
        if not source.root.is_dir():
            problems.append(
                Problem(
                    Severity.STOPS,
                    "root",
                    f"data.sources.{number}.root is {source.root}, which is not a folder",
                    "Set it to the folder that the table's `path` column is relative to.",
                )
            )
        yield source, _splits(source.rows, config, problems)


def _below_a_root(rows: Sequence[CheckedRow]) -> list[CheckedRow]:
    """The rows of sources whose folder exists: where it does not, that is the one problem."""
    there = {root for root in {row.source.root for row in rows} if root.is_dir()}
    return [row for row in rows if row.source.root in there]


def _read(settings: Source, problems: list[Problem]) -> SourceRows:
    """The rows of a source. In a hospital's table, bad rows do not hide the others."""
    if not isinstance(settings, TableSource):
        return read_source(settings)
    faults = TableFaults()
    source = read_hospital_table(settings, faults)
    problems += problem_at(
        [Example(place, private=str(error)) for place, error in faults.bad_rows],
        Severity.STOPS,
        "bad rows",
        "row",
        f"cannot be read from {source.name}",
        "Every row needs a record_id, and a split of train, val, test or empty.",
    )
    for key, understood in _UNDERSTOOD.items():
        column = own_name(settings.columns, key)
        problems += problem_at(
            [
                Example(cell.place, record_id=cell.record_id, private=cell.text)
                for cell in faults.unclear
                if cell.column == key
            ],
            Severity.LOOK,
            f"{key} not understood",
            "cell",
            f"{column} is not understood, so it counts as unknown",
            f"{understood} --list FILE lists the cells.",
        )
    return source


def _splits(
    rows: Sequence[SourceRow], config: PipelineConfig, problems: list[Problem]
) -> Sequence[str]:
    try:
        return assign_splits(rows, config.data.split)
    except SourceError as error:
        problems.append(Problem(Severity.STOPS, "splits", str(error)))
        return [row.split or draw_split(row.patient_id, config.data.split) for row in rows]


def _encoding(settings: Source) -> Iterator[Problem]:
    if not isinstance(settings, TableSource):
        return
    if settings.table.suffix.casefold() not in _DELIMITED:
        return
    if other := _OTHER_ENCODINGS.get(text_encoding(settings.table)):
        yield Problem(
            Severity.LOOK,
            "encoding",
            f"{settings.table.name} is not UTF-8, so it is read as {other}",
            "Nothing to do if the findings are recognised; saving it as UTF-8 removes any doubt.",
        )


def _recording_problems(
    looked_at: Sequence[LookedAt], rows: Sequence[CheckedRow], config: PipelineConfig
) -> Iterator[Problem]:
    """Problems of the recordings. Missing files are looked for in all rows, not in the sample."""
    gone = missing_files(rows)
    missing = {id(row) for row in gone}
    yield from too_many_rejected(looked_at, rows, config.data)
    opened = [look for look in looked_at if id(look.row) not in missing]
    yield from recording_problems(opened, config.data)
    yield from problem_at(
        [replace(row.example(), private=row.row.path) for row in gone],
        Severity.LOOK,
        "missing file",
        "recording",
        "no such file below root",
        f"Add the files, or correct {column_name(gone, 'path', config.data)} in the table or"
        " `root` in the settings. --list FILE lists the paths.",
    )


def _count_rows(rows: Sequence[CheckedRow]) -> str:
    patients = len({checked.row.patient_id for checked in rows if checked.row.patient_id})
    splits = ", ".join(f"{name} {n:,}" for name, n in split_counts(rows).items())
    return f"{len(rows):,} ECGs of {patients:,} patients ({splits})"


def _is_prepared(config: PipelineConfig) -> bool:
    """Whether the signals are already stored, so that they need no more disk."""
    try:
        return Experiment(config).find_prepared() is not None
    except (EcgpipeError, OSError):
        return False
