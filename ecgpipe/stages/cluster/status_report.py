"""What `status` found, as text for people and as values for programs.

Owns the words. Of processes those come first that need somebody.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ecgpipe.heartbeat import ProcessStatus
from ecgpipe.stages.cluster.status import ExperimentStatus, StageStatus

_WORDS = {"none": "-", "partly": "partly", "done": "done", "stale": "stale", "unknown": "?"}
_ORDER = ("failed", "gone", "silent", "stopped", "running")
_MOST_SIGNS = 12
_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86400.0


def render(status: ExperimentStatus, now: float | None = None) -> str:
    """A few lines: each stage, and below it who works at it or failed."""
    now = time.time() if now is None else now
    lines = [f"{status.name} in {status.work_dir}"]
    for stage in (status.prepare, status.embed):
        lines += _stage_lines(stage, stage.stage, "", now)
    for run in status.runs:
        indent = ""
        if run.name != status.name or len(status.runs) > 1:
            lines.append(run.name)
            indent = "  "
        for stage in (run.train, run.eval):
            lines += _stage_lines(stage, stage.stage, indent, now)
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


def ago(seconds: float) -> str:
    """A span as people say it: 40 s, 12 min, 3 h, 2 days."""
    seconds = max(0.0, seconds)
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.0f} h" if seconds < 2 * _DAY_S else f"{seconds / _DAY_S:.0f} days"


def _stage_lines(stage: StageStatus, name: str, indent: str, now: float) -> Iterator[str]:
    # Kept on one paragraph's line: a message of several lines would be taken for stages.
    yield f"{indent}{name:<8} {_WORDS[stage.state]:<6}  {' '.join(stage.line.split())}"
    shown = _shown_signs(stage)
    for sign in shown[:_MOST_SIGNS]:
        yield f"{indent}{'':<17}{_sign_line(sign, now)}"
    if len(shown) > _MOST_SIGNS:
        yield f"{indent}{'':<17}and {len(shown) - _MOST_SIGNS:,} more"
    if len(stage.living) > 1:
        yield f"{indent}{'':<17}{_together(stage)}"


def _shown_signs(stage: StageStatus) -> list[ProcessStatus]:
    """Those that need somebody first. What stopped or failed before the work was done is past."""
    past = ("stopped", "failed", "gone", "silent") if stage.state == "done" else ()
    shown = [s for s in stage.signs if s.state != "ended" and s.state not in past]
    return sorted(shown, key=lambda s: (_ORDER.index(s.state), s.index))


def _sign_line(sign: ProcessStatus, now: float) -> str:
    share = f"shard {sign.share}: " if sign.share else ""
    where = f"on {sign.host}" + (f", job {sign.job}" if sign.job else f", pid {sign.pid}")
    past = ago(now - sign.updated)
    match sign.state:
        case "running":
            said = f"running for {ago(now - sign.began)} {where}{_work(sign, now)}"
        case "silent":
            said = (
                f"no sign of life since {past} {where}{_work(sign, now)}; killed? The same command"
                " goes on where it stopped"
            )
        case "gone":
            said = (
                f"gone: its process ended without a word {where}, last heard of {past} ago"
                f"{_work(sign, now)}; the same command goes on where it stopped"
            )
        case state:
            said = f"{state} {past} ago {where}: {' '.join(sign.message.split())}"
    return share + said


def _work(sign: ProcessStatus, now: float) -> str:
    p = sign.progress
    if p is None:
        return ""
    said = f": {p.done:,} of {p.total:,} {p.unit}"
    if sign.rate is not None:
        rate = sign.rate
        said += f", {rate:,.1f} {p.unit}/s" if rate >= 1 else f", {1 / rate:,.1f} s each"
    if sign.state == "running":
        if sign.left_s is not None and p.done < p.total:
            said += f", {ago(sign.left_s)} left"
        still_s = now - p.moved
        if p.done < p.total and still_s > 10 * _MINUTE_S:
            said += f"; nothing done for {ago(still_s)}"
    return said


def _together(stage: StageStatus) -> str:
    living = stage.living
    said = f"{len(living)} at work"
    units = {sign.progress.unit for sign in living if sign.progress}
    rates = [sign.rate for sign in living if sign.rate is not None]
    if len(units) == 1 and rates and stage.stage != "train":  # its processes do the same steps
        said += f": {sum(rates):,.1f} {units.pop()}/s"
    if stage.left_s is not None:
        said += f", {ago(stage.left_s)} left"
    return said


def _stage_json(stage: StageStatus) -> dict[str, Any]:
    return {
        "state": stage.state,
        "line": stage.line,
        **stage.figures,
        "left_s": stage.left_s,
        "processes": [{**asdict(s), "rate": s.rate, "left_s": s.left_s} for s in stage.signs],
    }
