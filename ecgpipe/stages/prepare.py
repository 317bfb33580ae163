"""prepare: recordings to signals and records, unless they are up to date."""

from dataclasses import asdict
from typing import Any

from ecgpipe.heartbeat import heartbeat
from ecgpipe.processes import Share
from ecgpipe.read_ecg.echo.echo_findings import echo_words
from ecgpipe.read_ecg.prepare.preparation import Prepared, ShareDone, Work, prepare_share
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.stopping import Stop


def run_prepare(experiment: Experiment, stop: Stop) -> StageResult:
    """Prepare what is missing or stale. Raises as `preparation.prepare` does."""
    return run_prepare_share(experiment, stop, Share())


def run_prepare_share(experiment: Experiment, stop: Stop, share: Share) -> StageResult:
    """Prepare what is missing of one share; the process that finishes last completes the data.

    Raises as `ecgpipe.read_ecg.prepare.preparation.prepare`.
    """
    with heartbeat(experiment.workspace.status, "prepare", share) as set_message:
        result = _prepare_share(experiment, stop, share)
        set_message(result.line)
    return result


def _prepare_share(experiment: Experiment, stop: Stop, share: Share) -> StageResult:
    prepared = experiment.find_prepared()
    did_work = prepared is None
    if prepared is None:
        found = prepare_share(
            experiment.config.data,
            experiment.taxonomy,
            experiment.workspace,
            stop,
            share,
            experiment.echo_definitions,
        )
        if isinstance(found, ShareDone):
            return _left_to_others(found, share)
        prepared = found
    summary = prepared.counts | {
        **asdict(prepared.work),
        "signals": str(experiment.workspace.signals(prepared.signals_digest)),
        "records": str(experiment.workspace.records(prepared.digest)),
        "rejected_list": str(experiment.workspace.rejected(prepared.digest)),
    }
    return StageResult("prepare", did_work, _line(prepared, summary, did_work), summary)


def _left_to_others(done: ShareDone, share: Share) -> StageResult:
    line = (
        f"share {share} is done{_work(done.work)}; {done.left_to_others:,} shards of other shares"
        " are unfinished, and the process that finishes last completes the data"
    )
    summary = {"left_to_others": done.left_to_others, **asdict(done.work)}
    return StageResult("prepare", True, line, summary)


def _work(work: Work) -> str:
    """How many recordings were read, if any was needed."""
    reused = f", {work.reused:,} reused from earlier signals" if work.reused else ""
    recordings = "recording" if work.read == 1 else "recordings"
    return f"; {work.read:,} {recordings} read{reused}" if work.read or work.reused else ""


def _line(prepared: Prepared, summary: dict[str, Any], did_work: bool) -> str:
    counts = prepared.counts
    splits = ", ".join(f"{name} {n:,}" for name, n in counts["splits"].items())
    line = (
        f"{'' if did_work else 'nothing to do: '}{counts['prepared']:,} records of"
        f" {counts['patients']:,} patients prepared ({splits}){_work(prepared.work)}"
    )
    if counts["rejected"]:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in counts["rejected_by_reason"].items())
        line += (
            f"; {counts['rejected']:,} rejected ({reasons}), listed in {summary['rejected_list']}"
        )
    if "echo" in counts:
        line += "".join(f"; {words}" for words in echo_words(counts["echo"]).values())
    if left_out := list(counts["left_out"].items()):
        most = ", ".join(f"{what} ({n:,})" for what, n in left_out[:3])
        line += f"; left out: {most}{', ...' if len(left_out) > 3 else ''}"
    return line
