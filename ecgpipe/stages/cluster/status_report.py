"""What `status` found, as text for people and as values for programs.

Owns the words, and the order of processes: those that need somebody come first.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ecgpipe.heartbeat import ProcessStatus
from ecgpipe.language.layout import padded
from ecgpipe.language.translation import shown, shown_word
from ecgpipe.stages.cluster.status import ExperimentStatus, StageStatus

_WORDS = {"none": "-", "partly": "partly", "done": "done", "stale": "stale", "unknown": "?"}
_ORDER = ("failed", "gone", "silent", "stopped", "running")
_MOST_PROCESSES = 12
_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86400.0
_CONTINUES = "the same command continues where it stopped"


def render(status: ExperimentStatus, now: float | None = None) -> str:
    """Render a few lines: each stage, and below it who works on it or failed."""
    now = time.time() if now is None else now
    lines = [shown(f"{status.name} in {status.work_dir}")]
    for stage in (status.prepare, status.embed):
        lines += _stage_lines(stage, "", now)
    for run in status.runs:
        indent = ""
        if run.name != status.name or len(status.runs) > 1:
            lines.append(run.name)
            indent = "  "
        for stage in (run.train, run.eval):
            lines += _stage_lines(stage, indent, now)
    return "\n".join(lines)


def as_json(status: ExperimentStatus) -> dict[str, Any]:
    """The same for programs."""
    return {
        "experiment": status.name,
        "work_dir": str(status.work_dir),
        "done": status.is_done,
        "prepare": _stage_json(status.prepare),
        "embed": _stage_json(status.embed),
        "runs": [
            {"name": run.name, "train": _stage_json(run.train), "eval": _stage_json(run.eval)}
            for run in status.runs
        ],
    }


def span_text(seconds: float) -> str:
    """Write a time span as people say it: 40 s, 12 min, 3 h, 2 days."""
    seconds = max(0.0, seconds)
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.0f} h" if seconds < 2 * _DAY_S else f"{seconds / _DAY_S:.0f} days"


def _stage_lines(stage: StageStatus, indent: str, now: float) -> Iterator[str]:
    # On one line: the lines of a longer message would look like stages.
    line = " ".join(stage.line.split())
    state = padded(shown_word(_WORDS[stage.state]), 6)
    yield f"{indent}{stage.stage:<8} {state}  {shown(line)}"
    processes = _shown_processes(stage)
    lines = [_process_line(process, now) for process in processes[:_MOST_PROCESSES]]
    if len(processes) > _MOST_PROCESSES:
        lines.append(f"and {len(processes) - _MOST_PROCESSES:,} more")
    if len(stage.running) > 1:
        lines.append(_total_line(stage))
    for line in lines:
        yield f"{indent}{'':<17}{shown(line)}"


def _shown_processes(stage: StageStatus) -> list[ProcessStatus]:
    """Those that need somebody first. Failures before a stage was completed are history."""
    history = ("stopped", "failed", "gone", "silent") if stage.state == "done" else ()
    shown = [p for p in stage.processes if p.state != "ended" and p.state not in history]
    return sorted(shown, key=lambda p: (_ORDER.index(p.state), p.index))


def _process_line(process: ProcessStatus, now: float) -> str:
    shard = f"shard {process.share}: " if process.share else ""
    job = f"job {process.job}" if process.job else f"pid {process.pid}"
    where = f"{process.host}, {job}"
    past = span_text(now - process.updated)
    work = _work(process, now)
    at_work = where + work
    match process.state:
        case "running":
            line = f"running for {span_text(now - process.began)} on {at_work}"
        case "silent":
            line = f"no heartbeat for {past} on {at_work}; if it was killed, {_CONTINUES}"
        case "gone":
            line = f"killed on {where}, last heartbeat {past} ago{work}; {_CONTINUES}"
        case state:
            line = f"{state} {past} ago on {where}: {' '.join(process.message.split())}"
    return shard + line


def _work(process: ProcessStatus, now: float) -> str:
    p = process.progress
    if p is None:
        return ""
    text = f": {p.done:,} of {p.total:,} {p.unit}"
    if (rate := process.rate) is not None:
        text += f", {rate:,.1f} {p.unit}/s" if rate >= 1 else f", {1 / rate:,.1f} s each"
    if process.state == "running" and p.done < p.total:
        if process.left_s is not None:
            text += f", {span_text(process.left_s)} left"
        if now - p.moved > 10 * _MINUTE_S:
            text += f"; no progress for {span_text(now - p.moved)}"
    return text


def _total_line(stage: StageStatus) -> str:
    text = f"{len(stage.running)} running"
    units = {process.progress.unit for process in stage.running if process.progress}
    rates = [process.rate for process in stage.running if process.rate is not None]
    if len(units) == 1 and rates and stage.stage != "train":  # ranks do the same steps
        text += f": {sum(rates):,.1f} {units.pop()}/s"
    if stage.left_s is not None:
        text += f", {span_text(stage.left_s)} left"
    return text


def _stage_json(stage: StageStatus) -> dict[str, Any]:
    return {
        "state": stage.state,
        "line": stage.line,
        **stage.counts,
        "left_s": stage.left_s,
        "processes": [{**asdict(p), "rate": p.rate, "left_s": p.left_s} for p in stage.processes],
    }
