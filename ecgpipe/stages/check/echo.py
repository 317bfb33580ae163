"""Check the table of echocardiograms, and how many ECGs it says something about.

Owns that what is wrong with it is named by place. The join is that of `prepare`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ecgpipe.config.echo import EchoConfig
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import EcgpipeError
from ecgpipe.evaluate.tasks.echo_definitions import (
    EchoDefinitions,
    check_other_names,
    load_echo_definitions,
)
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.read_ecg.echo.echo_findings import PACED, EchoFindings, EchoJoin, echo_words
from ecgpipe.read_ecg.echo.echo_table import EchoTable, Fault, read_echo_table
from ecgpipe.read_ecg.prepare.record_rows import ecg_of
from ecgpipe.read_ecg.signal.record import Reason
from ecgpipe.stages.check.report import Example, Problem, Severity, counted, problem_at
from ecgpipe.stages.check.table_rows import CheckedRow


@dataclass(frozen=True)
class CheckedEcho:
    """What is known of the table of echocardiograms; nothing without data.echo, or if it cannot be
    used."""

    rows: list[CheckedRow]
    """All; those of which only an echocardiogram says something are usable too."""

    definitions: EchoDefinitions | None = None
    findings: tuple[EchoFindings, ...] = ()
    """Of each usable row, in order."""

    lines: dict[str, str] = field(default_factory=dict)
    """For the overview."""

    counts: dict[str, Any] = field(default_factory=dict)
    """Those of `prepare`, under echo."""

    problems: list[Problem] = field(default_factory=list)


def check_echo(rows: list[CheckedRow], taxonomy: Taxonomy, pipeline: PipelineConfig) -> CheckedEcho:
    """Join the table of data.echo with the rows that can be used, or could with an
    echocardiogram."""
    config, problems = pipeline.data, list[Problem]()
    if config.echo_definitions is None or not rows:
        return CheckedEcho(rows)
    learns_reports = pipeline.text.source == "echo_report"
    if pipeline.train.text == "sentence" and not learns_reports:
        problems.append(
            Problem(
                Severity.LOOK,
                "echo not learnt",
                "training learns nothing from echocardiograms: train.text is sentence",
                "Set train.text to all_findings or sampled_finding (preset: recommended), unless"
                " only eval is to use them.",
            )
        )
    try:
        table = None if config.echo is None else (read_echo_table(config.echo), config.echo)
        definitions = load_echo_definitions(config.echo_definitions)
        check_other_names(definitions, taxonomy)
    except EcgpipeError as error:
        problems.append(Problem(Severity.STOPS, "echo", str(error)))
        return CheckedEcho(rows, problems=problems)
    join = EchoJoin(definitions, table, taxonomy.read(PACED).certain)
    found = [
        join.findings_of(ecg_of(checked.row, taxonomy.resolve_all(checked.findings)))
        if checked.reason in (None, Reason.NO_TEXT)
        else EchoFindings()
        for checked in rows
    ]
    rows = [
        replace(checked, reason=None) if each.known or each.report else checked
        for checked, each in zip(rows, found, strict=True)
    ]
    counts = join.counts()
    problems += _fault_problems(_bringing(rows), join.faults)
    if table is not None:
        problems += _table_problems(table[0], join)
        problems += _join_problems(counts, table[1], learns_reports)
    known = {
        finding: (each["shown"], each["shown"] + each["not_shown"])
        for finding, each in counts["findings"].items()
    }
    findings = ", ".join(f"{finding} {n:,}/{of:,}" for finding, (n, of) in known.items() if of)
    lines = echo_words(counts)
    if findings:
        lines["echo findings"] = f"shown/known: {findings}"
    if n := counts.get("reports"):
        lines["echo reports"] = f"{n:,} of {counts['joined']:,} have a report"
    of_usable = [each for row, each in zip(rows, found, strict=True) if row.reason is None]
    return CheckedEcho(rows, definitions, tuple(of_usable), lines, {"echo": counts}, problems)


def _table_problems(table: EchoTable, join: EchoJoin) -> Iterator[Problem]:
    for column, n in table.mixed.items():
        yield Problem(
            Severity.WRONG,
            "two units",
            f"the column {column} of {table.name} is left out: its {n:,} values are in two units",
            "Name the column after its unit, such as ivsd_mm; then only the values that do not fit"
            " are unknown.",
        )
    yield from _fault_problems(table.name, table.faults)
    yield from problem_at(
        [Example(place) for place in join.before_birth],
        Severity.LOOK,
        "echo before birth",
        "echocardiogram",
        "made before the patient was born, so it is left out",
        "Correct echo_at, or the age or recorded_at of the ECG.",
    )


def _bringing(rows: Sequence[CheckedRow]) -> str:
    """The sources whose ECGs bring what their echocardiograms measured."""
    return ", ".join(dict.fromkeys(c.source.name for c in rows if c.row.echo is not None))


def _fault_problems(name: str, faults: Sequence[Fault]) -> Iterator[Problem]:
    for what in dict.fromkeys(fault.what for fault in faults):
        found = [fault for fault in faults if fault.what == what]
        yield Problem(
            Severity.LOOK,
            "echo rows",
            f"{len(found):,} in {name}: {what}",
            "What they would say is unknown; the rest is read. docs/echo.md says what is"
            " understood.",
            tuple(Example(fault.place, private=fault.text) for fault in found),
        )


def _join_problems(
    counts: dict[str, Any], config: EchoConfig, learns_reports: bool
) -> Iterator[Problem]:
    if n := counts["ecgs_without_time"]:
        yield Problem(
            Severity.LOOK,
            "no time",
            f"{counted(n, 'ECG')} without a recorded_at that is understood, so without an"
            " echocardiogram",
            "Write the year first, such as 2024-03-05 09:08.",
        )
    if not counts["joined"]:
        n_patients, window = counts["ecgs_of_patients_with_echo"], config.window_days
        yield Problem(
            Severity.WRONG,
            "no echo joined",
            f"no ECG gets an echocardiogram: {n_patients:,} of {counts['ecgs']:,} ECGs have one of"
            f" the same patient, and none within {counted(window, 'day')} is usable",
            "Compare how patient_id is written in both tables (007 is not 7), widen"
            " data.echo.window_days, or look at data.echo.nearest and what is excluded.",
        )
    elif not counts["reports"] and all(
        n["shown"] + n["not_shown"] == 0 for n in counts["findings"].values()
    ):
        yield Problem(
            Severity.WRONG,
            "no echo finding",
            f"{counted(counts['joined'], 'ECG')} with an echocardiogram, but every finding of"
            " all of them is unknown: they measured nothing that a definition asks for",
            "Compare the table's columns with the rules of data.echo.definitions; some also need"
            " the sex.",
        )
    if learns_reports and counts["joined"] and not counts["reports"]:
        yield Problem(
            Severity.STOPS,
            "no echo report",
            f"text.source is echo_report, but of {counted(counts['joined'], 'ECG')} with an"
            " echocardiogram none has a report of it",
            "Fill in the column report of the table, or name it in data.echo.columns.",
        )
