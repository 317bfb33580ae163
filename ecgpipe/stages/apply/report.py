"""Drafts of reports for recordings: `predict`, and a text made of each answer.

Owns nothing of reading, scoring and continuing after a stop, which are `predict`'s; nor the words,
which are `write_report`'s.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.recordings import Input
from ecgpipe.evaluate.statements.report_parser import ReportParser
from ecgpipe.evaluate.tasks.taxonomy import parse_taxonomy
from ecgpipe.stages.apply.predict import PredictOptions, PredictResult, run_predict
from ecgpipe.stopping import Stop
from ecgpipe.write_report.report_files import check_report_suffix, write_reports
from ecgpipe.write_report.rung import Rung
from ecgpipe.write_report.template import with_draft, with_report


def run_report(
    model: AppliedModel,
    inputs: Callable[[], Iterator[Input]],
    out: Path | None,
    workers: int | None,
    stop: Stop,
    show: Callable[[Mapping[str, Any]], None] | None,
    rung: Rung | None = None,
) -> PredictResult:
    """Draft a report for every input.

    Args:
        model: the model.
        inputs: called twice, to count and to read.
        out: a .csv or .jsonl file; None: reports are only shown.
        workers: processes that read; None: one for each core if there are many ECGs.
        stop: checked between batches.
        show: called with each report, as a line of JSON Lines, as soon as it is written.
        rung: what writes them; None: the template, of the findings of the model's first task.

    Raises:
        ConfigError: another kind of file, or a model without tasks.
        SourceError, StoreError, StoppedEarly: as `run_predict`.
    """
    if out is not None:
        check_report_suffix(out)
    as_report = _from_template(model) if rung is None else _from_rung(model, rung)

    def show_report(prediction: Mapping[str, Any]) -> None:
        assert show is not None
        show(as_report(prediction))

    def write(path: Path, predictions: Iterable[Mapping[str, Any]]) -> None:
        write_reports(path, map(as_report, predictions))

    options = PredictOptions(command="report", k=None, out=out, workers=workers, rung=rung)
    return run_predict(model, inputs, options, stop, show and show_report, write)


_AsReport = Callable[[Mapping[str, Any]], dict[str, Any]]


def _from_template(model: AppliedModel) -> _AsReport:
    task = model.task()
    return lambda prediction: with_report(prediction, task)


def _from_rung(model: AppliedModel, rung: Rung) -> _AsReport:
    """Its text, and the findings that the text asserts; the model's own may be others."""
    taxonomy = parse_taxonomy(model.content.taxonomy.decode(), model.content.name)
    parser = ReportParser(taxonomy)

    def as_report(prediction: Mapping[str, Any]) -> dict[str, Any]:
        if prediction["refused"]:
            return with_draft(prediction, rung.name, ())
        found = parser.read(prediction["draft"]["texts"]["en"]).asserted
        names = [{each: taxonomy[id].name(each) for each in ("ja", "en")} for id in found]
        said = [{"id": id, "names": both} for id, both in zip(found, names, strict=True)]
        return with_draft(prediction, rung.name, said)

    return as_report
