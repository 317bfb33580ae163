"""eval-reports: every way to write reports, on the scored ECGs, with its controls.

Owns what makes scores stale, and which rungs there are for a run. What a score is belongs to
`write_report`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.cache.records_table import Record
from ecgpipe.config.settings import Language
from ecgpipe.errors import ModelError, SourceError, StoppedEarly, StoreError
from ecgpipe.evaluate.statements.report_parser import ReportParser
from ecgpipe.files import digest_of, read_json_object, write_atomic, write_json_atomic
from ecgpipe.heartbeat import heartbeat
from ecgpipe.language.choice import chosen_language
from ecgpipe.processes import share_of_work
from ecgpipe.progress import progress, say
from ecgpipe.provenance import provenance
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.spreadsheet import csv_bytes
from ecgpipe.stages.apply.content import applied_run
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.references import with_reports
from ecgpipe.stages.reports.rungs import nearest_reports
from ecgpipe.stages.reports.writers import written_reports
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.stopping import Stop
from ecgpipe.write_report.ladder import References, Written, score_rungs
from ecgpipe.write_report.ladder_report import CSV_COLUMNS, csv_rows, print_ladder, render_ladder
from ecgpipe.write_report.report_files import write_lines
from ecgpipe.write_report.rung import RUNGS, Ecgs, Rung, RungName
from ecgpipe.write_report.template import TemplateReports

FORMAT = "ecgpipe-report-scores/1"

_VERSION = 1  # raised when the same inputs would give other scores
_BATCH = 64


def run_eval_reports(
    experiment: Experiment, names: Sequence[RungName], language: Language | None, stop: Stop
) -> StageResult:
    """Score the rungs on the ECGs of eval.split, or find them scored.

    Args:
        experiment: whose run is trained and evaluated.
        names: of the rungs; none for all.
        language: of the drafts and references that are made of findings; None: text.language.
        stop: checked between batches.

    Raises:
        CheckpointError: the run is not trained and evaluated with these settings.
        SourceError: no scored ECG has a report.
        StoreError: data are missing, or results cannot be written.
        StoppedEarly: stopped by a signal or a time limit.
    """
    with heartbeat(experiment.workspace.status, "eval-reports", share_of_work(None)) as message:
        spoken = language or experiment.config.text.language
        chosen = [name for name in RUNGS if name in (names or RUNGS)]
        result = _run(experiment, chosen, spoken, stop)
        message(result.line)
    return result


def _run(
    experiment: Experiment, names: Sequence[RungName], language: Language, stop: Stop
) -> StageResult:
    model = applied_run(experiment)
    key = _key(experiment, model, names, language)
    folder = experiment.workspace.report_scores
    results = _finished(folder, key)
    did_work = results is None
    if results is None:
        results, drafts = _score(experiment, model, names, language, stop)
        results = {"format": FORMAT, "key": key, **results}
        write_lines(folder / "drafts.jsonl", drafts)
        write_atomic(folder / "scores.csv", csv_bytes(CSV_COLUMNS, csv_rows(results)))
        write_atomic(folder / "report.md", render_ladder(results, chosen_language()).encode())
        write_json_atomic(folder / "results.json", results)  # last: it stands for the others
    summary = {"scores": str(folder / "results.json"), "report": str(folder / "report.md")}
    f1 = {name: rung["summary"]["micro_f1"]["value"] for name, rung in results["rungs"].items()}
    said = ", ".join(f"{name} {value:.3f}" for name, value in f1.items())
    nothing = "" if did_work else "nothing to do: "
    line = f"{nothing}micro F1 on {results['n']:,} ECGs: {said}"
    return StageResult("eval-reports", did_work, line, {**summary, "micro_f1": f1})


def read_ladder(path: Path) -> dict[str, Any]:
    """Read what `eval-reports` wrote.

    Raises:
        StoreError: it is missing, damaged, or of another format.
    """
    hint = "Run `ecgpipe eval-reports`."
    results = read_json_object(path, ("format", "key", "rungs"), hint)
    if results["format"] != FORMAT:
        raise StoreError(f"{path} has the format {results['format']!r}, not {FORMAT}. {hint}")
    return results


def show_ladder(path: Path, console: Console, language: Language) -> None:
    """Print what `eval-reports` wrote. Raises as `read_ladder`."""
    print_ladder(read_ladder(path), console, language)


def _finished(folder: Path, key: str) -> dict[str, Any] | None:
    try:
        results = read_ladder(folder / "results.json")
    except StoreError:
        return None
    return results if results["key"] == key else None


def _key(
    experiment: Experiment, model: AppliedModel, names: Sequence[RungName], language: Language
) -> str:
    return digest_of(
        {
            "version": _VERSION,
            "model": model.digest,
            "tasks": repr(model.task()),
            "records": experiment.prepared.digest,
            "source": experiment.config.text.source,
            "eval": experiment.settings("eval", "analyses", "tasks"),
            "rungs": sorted(names),
            "language": language,
            "notice": experiment.config.notice,
        }
    )


def _score(
    experiment: Experiment,
    model: AppliedModel,
    names: Sequence[RungName],
    language: Language,
    stop: Stop,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Results, and each scored ECG's reference and drafts."""
    parser = ReportParser(experiment.taxonomy)
    records, texts, n_unread = _scored(experiment, parser, language)
    rungs, left_out = _open_rungs(experiment, model, names, language, stop)
    written: dict[str, Written] = {
        rung.name: _written(experiment, model, rung, records, language, stop) for rung in rungs
    }
    config = experiment.config.eval
    references = References(
        texts=texts,
        patients=[record.patient_id for record in records],
        findings=[finding.id for finding in experiment.taxonomy.findings],
        parser=parser,
        commonest=_commonest(experiment, language),
        min_positives=config.min_positives,
        draws=config.bootstrap_draws,
        seed=config.seed,
    )
    scores, has_overlap = score_rungs(written, references)
    results = {
        "run": experiment.config.name,
        "notice": experiment.config.notice,
        "n": len(records),
        "patients": len(set(references.patients)),
        "n_unread": n_unread,
        "split": config.split,
        "source": experiment.config.text.source,
        "language": language,
        "min_positives": config.min_positives,
        "rungs": scores,
        "has_overlap": has_overlap,
        "left_out": left_out,
        "model": model.digest,
        "records": experiment.prepared.digest,
        "provenance": provenance(),
    }
    drafts = [
        {
            "record_id": record.record_id,
            "reference": reference,
            **{name: rung.texts[place] for name, rung in written.items()},
        }
        for place, (record, reference) in enumerate(zip(records, texts, strict=True))
    ]
    return results, drafts


def _scored(
    experiment: Experiment, parser: ReportParser, language: Language
) -> tuple[list[Record], list[str], int]:
    """The scored ECGs whose report says something of a finding, these reports, and how many say
    nothing that can be read."""
    records, texts = with_reports(experiment, experiment.scored.records)
    spoken = [text[language] for text in texts]
    said = [parser.read(text) for text in spoken]
    read = [bool(each.asserted or each.denied or each.uncertain) for each in said]
    source = experiment.config.text.source
    if not any(read):
        raise SourceError(
            f"No ECG of the {experiment.config.eval.split} split has {source} in which a"
            " finding of the list can be read, so no draft can be compared. Check text.source,"
            " data.split and data.taxonomy; reports are read in Japanese and English."
        )
    kept = [place for place, known in enumerate(read) if known]
    chosen = [records[place] for place in kept], [spoken[place] for place in kept]
    return *chosen, len(read) - len(kept)


def _commonest(experiment: Experiment, language: Language) -> str:
    """The commonest report of the training ECGs; of equally common ones the first of the alphabet,
    so that it does not depend on their order."""
    _, texts = with_reports(experiment, experiment.taught.of_split("train").records)
    counts = Counter(text[language] for text in texts)
    return min(counts, key=lambda text: (-counts[text], text), default="")


def _open_rungs(
    experiment: Experiment,
    model: AppliedModel,
    names: Sequence[RungName],
    language: Language,
    stop: Stop,
) -> tuple[list[Rung], dict[str, str]]:
    """The rungs, and why any is left out."""
    make: Mapping[RungName, Callable[[], Rung]] = {
        "template": lambda: TemplateReports(model),
        "nearest": lambda: nearest_reports(experiment, model),
        "written": lambda: written_reports(experiment, model, language, stop),
    }
    rungs: list[Rung] = []
    left_out: dict[str, str] = {}
    for name in names:
        try:
            rungs.append(make[name]())
        except (ModelError, SourceError) as error:
            left_out[name] = str(error)
            say(f"eval-reports: the rung {name} is left out: {error}")
    return rungs, left_out


def _written(
    experiment: Experiment,
    model: AppliedModel,
    rung: Rung,
    records: Sequence[Record],
    language: Language,
    stop: Stop,
) -> Written:
    """What a rung writes of the ECGs, and of one without a signal."""
    texts: list[str] = []
    with progress(f"eval-reports {rung.name}", len(records), "ECGs") as tick:
        for start in range(0, len(records), _BATCH):
            if stop:
                raise StoppedEarly(
                    f"Stopped by {stop.cause} while reports were written. Run the same command"
                    " again; it writes them anew."
                )
            some = records[start : start + _BATCH]
            signal_uv = experiment.signals.read(np.array([record.slot for record in some]))
            patients = [record.patient_id for record in some]
            ecgs = Ecgs(signal_uv, model.encode_ecg(signal_uv), patients)
            texts += [body.texts[language] for body in rung.bodies(ecgs)]
            tick(len(some))
    blank_uv = np.zeros((1, len(LEADS), model.contract.samples), np.int16)
    (blank,) = rung.bodies(Ecgs(blank_uv, model.encode_ecg(blank_uv), [""]))
    return Written(texts, blank.texts[language])
