"""Drafts of reports for recordings: `predict`, and a text made of each answer.

Owns nothing of reading, scoring and continuing after a stop, which are `predict`'s; nor the words,
which are `write_report`'s.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.recordings import Input
from ecgpipe.stages.apply.predict import PredictOptions, PredictResult, run_predict
from ecgpipe.stopping import Stop
from ecgpipe.write_report.report_files import check_report_suffix, write_reports
from ecgpipe.write_report.template import with_report


def run_report(
    model: AppliedModel,
    inputs: Callable[[], Iterator[Input]],
    out: Path | None,
    workers: int | None,
    stop: Stop,
    show: Callable[[Mapping[str, Any]], None] | None,
) -> PredictResult:
    """Draft a report for every input, of the findings of the model's first task.

    Args:
        model: the model.
        inputs: called twice, to count and to read.
        out: a .csv or .jsonl file; None: reports are only shown.
        workers: processes that read; None: one for each core if there are many ECGs.
        stop: checked between batches.
        show: called with each report, as a line of JSON Lines, as soon as it is written.

    Raises:
        ConfigError: another kind of file, or a model without tasks.
        SourceError, StoreError, StoppedEarly: as `run_predict`.
    """
    task = model.task()
    if out is not None:
        check_report_suffix(out)

    def show_report(prediction: Mapping[str, Any]) -> None:
        assert show is not None
        show(with_report(prediction, task))

    def write(path: Path, predictions: Iterable[Mapping[str, Any]]) -> None:
        write_reports(path, (with_report(prediction, task) for prediction in predictions))

    options = PredictOptions(command="report", k=None, out=out, workers=workers)
    return run_predict(model, inputs, options, stop, show and show_report, write)
