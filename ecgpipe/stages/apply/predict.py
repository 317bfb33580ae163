"""A trained model's answers for recordings: read, encode, score, write; and continue after a stop.

Owns the order and the batches. What is read, how it is scored and how it is written belongs to
`apply_model`.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.applied_task import AppliedTask, FindingScore
from ecgpipe.apply_model.archive import ArchiveOrigin, write_archive
from ecgpipe.apply_model.prediction import Prediction, all_probabilities
from ecgpipe.apply_model.prediction_files import (
    Layout,
    PartialPredictions,
    Row,
    check_suffix,
    corrected_rows,
    open_partial,
    write_predictions,
)
from ecgpipe.apply_model.prevalence import MIN_ECGS, Prevalence, estimate_prevalence
from ecgpipe.apply_model.questions import Questions, ask, read_questions
from ecgpipe.apply_model.reading import Window, read_windows
from ecgpipe.apply_model.recordings import Input
from ecgpipe.config.settings import Language
from ecgpipe.errors import ConfigError, StoppedEarly
from ecgpipe.files import digest_of
from ecgpipe.progress import progress, say
from ecgpipe.provenance import provenance
from ecgpipe.read_ecg.prepare.workers import available_cores
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stopping import Stop
from ecgpipe.write_report.rung import Ecgs, Rung

_BATCH = 64
_FEW = 64
"""Up to so many ECGs are read in this process: to start others takes longer."""

_NAMED_REFUSALS = 10


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What is asked of a model."""

    command: Literal["predict", "report"] = "predict"
    """Who asks; the progress line is under its name."""

    task: str | None = None
    """None: the model's first, `findings`."""

    k: int | None = 5
    """How many findings of each ECG, the best; None: all that are above their thresholds."""

    questions: tuple[str, ...] = ()
    questions_file: Path | None = None
    """More of them, one a line."""

    language: Language | None = None
    """Of the prompt that questions are put into, and of sheets; None: each question's own, and the
    model's for sheets."""

    explain: tuple[str, ...] = ()
    """Findings, or wordings, whose scores are explained."""

    sheets: Path | None = None
    """The folder of the explanations' sheets."""

    prevalence: bool = False
    out: Path | None = None
    vectors: Path | None = None
    workers: int | None = None
    """Processes that read; None: one for each core if there are many ECGs."""

    rung: Rung | None = None
    """What writes a text beside the findings of each ECG, as `draft` of its row."""


@dataclass
class PredictResult:
    """What was answered, and what was not."""

    n_answered: int = 0
    n_refused: int = 0
    n_earlier: int = 0
    """How many of both an earlier start had finished."""

    n_refused_now: int = 0

    refused: dict[str, str] = field(default_factory=dict)
    """Record to reason; the first few."""

    n_sheets: int = 0
    files: list[Path] = field(default_factory=list)
    prevalence: list[dict[str, Any]] = field(default_factory=list)
    """Of each class that has one: id, names, known and found."""


def run_predict(
    model: AppliedModel,
    inputs: Callable[[], Iterator[Input]],
    options: PredictOptions,
    stop: Stop,
    show: Callable[[Mapping[str, Any]], None] | None,
    write: Callable[[Path, Iterable[Row]], None] | None = None,
) -> PredictResult:
    """Answer for every input.

    Args:
        model: the model.
        inputs: called twice, to count and to read.
        options: what is asked.
        stop: checked between batches.
        show: called with each prediction, as a line of JSON Lines, as soon as it is known.
        write: makes the output of all predictions; None: a table of them.

    Raises:
        SourceError: a folder or a table holds nothing.
        ConfigError: options do not fit each other or the model.
        ModelError: a question needs the language model, and it is not at hand.
        StoreError: the disk is full or not writable, or a reader was killed; what is done stays.
        StoppedEarly: `stop` was requested; what is finished stays if there is an output.
    """
    task = model.task(options.task)
    _check(options)
    more = read_questions(options.questions_file) if options.questions_file else ()
    questions = ask(model, (*options.questions, *more), options.language)
    for line in questions.warnings():
        say(f"{options.command}: {line}")
    total = sum(1 for _ in inputs())
    if options.prevalence and total < MIN_ECGS:
        raise ConfigError(
            f"--prevalence needs at least {MIN_ECGS} ECGs to estimate frequencies from; here are"
            f" {total:,}. Leave it out, or give more."
        )
    output = options.out or options.vectors
    if output is None:
        return _stream(model, task, inputs(), total, questions, options, stop, show, None)
    width = int(model.content.shape["projection_dim"])
    with open_partial(output, _key(model, task, questions, options), width) as partial:
        left = (given for given in inputs() if not partial.has(given.record_id, given.path))
        n_earlier = partial.n_answered + partial.n_refused
        result = _stream(
            model, task, left, total - n_earlier, questions, options, stop, show, partial
        )
        result.n_answered, result.n_refused = partial.n_answered, partial.n_refused
        result.n_earlier = n_earlier
        if options.out is not None:
            if write is not None:
                write(options.out, partial.rows())
            else:
                result.prevalence = _write_table(options.out, task, questions, options, partial)
            result.files.append(options.out)
        if options.vectors is not None:
            _write_archive(options.vectors, model, partial)
            result.files.append(options.vectors)
        partial.remove()
        return result


def _stream(
    model: AppliedModel,
    task: AppliedTask,
    inputs: Iterator[Input],
    total: int,
    questions: Questions,
    options: PredictOptions,
    stop: Stop,
    show: Callable[[Mapping[str, Any]], None] | None,
    partial: PartialPredictions | None,
) -> PredictResult:
    """Answer for inputs one batch at a time; each is shown and kept before the next."""
    result = PredictResult()
    explainer = None
    if options.sheets is not None:
        # Imported here because drawing takes half a second to import, and few ask for it.
        from ecgpipe.stages.apply.explain import Explainer

        explainer = Explainer(
            model, options.explain, options.sheets, options.task, options.language
        )
    n_workers = options.workers or (1 if total <= _FEW else available_cores())
    shown = progress(options.command, total, "ECGs") if partial else nullcontext()
    with shown as tick, closing(read_windows(inputs, model.contract, n_workers)) as windows:
        while part := list(itertools.islice(windows, _BATCH)):
            predictions, vectors_ND = _answers(model, task, questions, options, part)
            rows = [prediction.as_dict() for prediction in predictions]
            if options.rung is not None:
                _add_drafts(rows, options.rung, part, vectors_ND)
            if explainer is not None:
                result.n_sheets += sum(len(explainer.draw(window)) for window in part)
            if partial is not None:
                partial.append(rows, vectors_ND)
            for row in rows:
                _count(row, result)
                if show is not None:
                    show(row)
            if tick is not None:
                tick(len(part), f"{result.n_refused:,} refused" if result.n_refused else "")
            if stop:
                raise StoppedEarly(_stopped(stop, partial))
    return result


def _answers(
    model: AppliedModel,
    task: AppliedTask,
    questions: Questions,
    options: PredictOptions,
    windows: Sequence[Window],
) -> tuple[list[Prediction], npt.NDArray[np.float32]]:
    """Each window's prediction, and the vectors of those that were not refused."""
    signals = [window.signal_uv for window in windows if window.signal_uv is not None]
    empty = np.empty((0, len(LEADS), model.contract.samples), np.int16)
    vectors_ND = model.encode_ecg(np.stack(signals) if signals else empty)
    scores_NC = model.scores(vectors_ND, task.name)
    chances_NC = model.probabilities(scores_NC, task.name)
    answered = iter(zip(vectors_ND, scores_NC, chances_NC, strict=True))
    predictions = []
    for window in windows:
        if window.signal_uv is None:
            predictions.append(
                Prediction(record_id=window.record_id, path=window.path, refused=window.refusal)
            )
            continue
        vector_D, scores_C, chances_C = next(answered)
        predictions.append(
            Prediction(
                record_id=window.record_id,
                path=window.path,
                findings=_chosen(task, scores_C, chances_C, options.k),
                remarks=window.remarks,
                questions=questions.answers(vector_D) if questions.texts else (),
                probabilities=all_probabilities(chances_C) if options.prevalence else (),
            )
        )
    return predictions, vectors_ND


def _add_drafts(
    rows: Sequence[dict[str, Any]],
    rung: Rung,
    windows: Sequence[Window],
    vectors_ND: npt.NDArray[np.float32],
) -> None:
    """Put what a rung writes into the rows that were not refused."""
    read = [(window, window.signal_uv) for window in windows if window.signal_uv is not None]
    if not read:
        return
    signal_uv = np.stack([signal for _, signal in read])
    patients = [window.patient_id for window, _ in read]
    bodies = iter(rung.bodies(Ecgs(signal_uv, vectors_ND, patients)))
    for row in rows:
        if not row["refused"]:
            row["draft"] = asdict(next(bodies))


def _chosen(
    task: AppliedTask,
    scores_C: npt.NDArray[np.float32],
    chances_C: npt.NDArray[np.float64],
    k: int | None,
) -> tuple[FindingScore, ...]:
    ranked = task.ranked(scores_C, chances_C, k)
    return tuple(one for one in ranked if k is not None or one.above_threshold)


def _write_table(
    out: Path,
    task: AppliedTask,
    questions: Questions,
    options: PredictOptions,
    partial: PartialPredictions,
) -> list[dict[str, Any]]:
    """Write a table of what is finished; the frequencies that it was corrected for, if it was."""
    rows: Iterable[Mapping[str, Any]] = partial.rows()
    prevalence = _prevalence(task, partial) if options.prevalence else None
    if prevalence is not None:
        ids = [c.id for c in task.classes]
        rows = corrected_rows(partial.rows(), prevalence.corrected, ids)
    k = min(options.k or len(task.classes), len(task.classes))
    write_predictions(out, rows, Layout(k, len(questions.texts), prevalence is not None))
    return [] if prevalence is None else _prevalence_rows(task, prevalence)


def _write_archive(path: Path, model: AppliedModel, partial: PartialPredictions) -> None:
    """Write the vectors of what is finished."""
    contract = model.contract.as_dict()
    origin = ArchiveOrigin(model.content.name, model.digest, contract, provenance())
    shape = (partial.n_answered, partial.dim)
    write_archive(path, origin, shape, partial.named, partial.vector_blocks())


def _prevalence(task: AppliedTask, partial: PartialPredictions) -> Prevalence | None:
    """The frequencies among the answered ECGs; None if there is nothing to estimate them from."""
    if not partial.n_answered:
        return None
    chances_NC = np.empty((partial.n_answered, len(task.classes)), np.float32)
    answered = (row for row in partial.rows() if not row["refused"])
    for place, row in enumerate(answered):
        chances_NC[place] = np.array(row["probabilities"], np.float32)  # None becomes NaN
    return estimate_prevalence(task.kind, chances_NC, known_frequencies(task))


def known_frequencies(task: AppliedTask) -> npt.NDArray[np.float64]:
    """(C,) how frequent each class was among the validation ECGs of which it is known, for which
    its probability was calibrated; NaN where none or all of them show it."""
    counts_C = np.array([c.n_val for c in task.classes], np.float64)
    n_val = int(counts_C.sum()) if task.kind == "single_label" else task.n_val
    of_C = np.array([n_val if c.n_val_known is None else c.n_val_known for c in task.classes])
    shares_C: npt.NDArray[np.float64] = counts_C / np.maximum(of_C, 1)
    shares_C[(shares_C <= 0) | (shares_C >= 1)] = np.nan
    return shares_C


def _prevalence_rows(task: AppliedTask, prevalence: Prevalence) -> list[dict[str, Any]]:
    pairs = zip(task.classes, prevalence.known_C, prevalence.found_C, strict=True)
    return [
        {"id": c.id, "names": dict(c.names), "known": float(known), "found": float(found)}
        for c, known, found in pairs
        if not np.isnan(found)
    ]


def _check(options: PredictOptions) -> None:
    if bool(options.explain) != (options.sheets is not None):
        raise ConfigError(
            "--explain FINDING and --sheets FOLDER belong together: what to explain, and where the"
            " sheets go."
        )
    if options.out is not None:
        check_suffix(options.out)
    if options.prevalence and options.out is None:
        raise ConfigError(
            "--prevalence needs --out FILE: frequencies are known only after the last ECG."
        )


def _key(
    model: AppliedModel, task: AppliedTask, questions: Questions, options: PredictOptions
) -> str:
    """Changes with whatever changes a line of the partial file, or the sheets beside it."""
    said = {
        "model": model.digest,
        "task": repr(task),
        "k": options.k,
        "questions": questions.texts,
        "beyond": questions.beyond,
        "language": options.language,
        "prevalence": options.prevalence,
        "explain": repr((options.explain, options.sheets)),  # may be no UTF-8
        **({"rung": options.rung.digest} if options.rung else {}),
    }
    return digest_of(said)


def _count(row: Mapping[str, Any], result: PredictResult) -> None:
    if not row["refused"]:
        result.n_answered += 1
        return
    result.n_refused += 1
    result.n_refused_now += 1
    if len(result.refused) < _NAMED_REFUSALS:
        result.refused[row["record_id"]] = row["refused"]


def _stopped(stop: Stop, partial: PartialPredictions | None) -> str:
    if partial is None:
        return f"Stopped by {stop.cause}. What is finished was shown; nothing was written."
    n = partial.n_answered + partial.n_refused
    return (
        f"Stopped by {stop.cause}. {n:,} ECGs are finished and kept: run the same command again to"
        " continue."
    )
