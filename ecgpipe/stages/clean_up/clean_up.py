"""gc: list what no given pipeline.yaml needs any more, and remove it on request.

Owns the order, and what must never go: trained runs without being named, what a process works on,
text vectors. A piece is renamed before it is removed, so that a kill leaves no half of one.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import BusyError, ConfigError, EcgpipeError, StoreError
from ecgpipe.files import LEFTOVER_AFTER_S, fsync_folder, only_one, temporary_beside
from ecgpipe.heartbeat import ProcessStatus, read_heartbeats
from ecgpipe.stages.clean_up.contents import Contents, Piece
from ecgpipe.stages.clean_up.needs import (
    base_of,
    experiments_of,
    needed_data,
    needed_evaluation,
    needed_runs,
)
from ecgpipe.stages.clean_up.sizes import Measured, measured
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.workspace import Workspace


@dataclass(frozen=True)
class Unneeded:
    """What no given settings need, largest first, and remarks on what is left out of it."""

    root: Path
    """work_dir, without links."""

    pieces: list[Measured]
    remarks: list[str]


def find_unneeded(configs: Sequence[PipelineConfig]) -> Unneeded:
    """Look for what none of some settings needs.

    Raises:
        ConfigError: they have different work_dirs.
        SourceError: a table is missing.
    """
    work_dirs = sorted({config.work_dir.resolve() for config in configs})
    if len(work_dirs) > 1:
        raise ConfigError(
            f"The given files have different work_dirs, {work_dirs[0]} and {work_dirs[1]}. Clean"
            " them up one after the other, each with all files that share it."
        )
    contents = Contents(Workspace(work_dirs[0], configs[0].name))
    runs = contents.runs()
    experiments = experiments_of(configs, runs, contents.remarks)
    kept = needed_runs(configs, runs)
    pieces = [*_data(contents, experiments)]
    for run in runs:
        if run.paths[0].name in kept:
            pieces += _evaluations(contents, run, experiments or [])
        elif contents.is_pure(run):
            pieces.append(run)
    pieces += contents.leftovers()
    found = measured(pieces, contents.remarks)
    found.sort(key=lambda one: -one.n_bytes)
    return Unneeded(contents.root, found, contents.remarks)


def run_clean_up(
    configs: Sequence[PipelineConfig], remove: bool = False, runs: Sequence[str] = ()
) -> tuple[Unneeded, StageResult]:
    """List what none of some settings needs, and remove it if asked to.

    Args:
        configs: all settings that share a work_dir.
        remove: whether to remove what can be made again: all but runs.
        runs: names of runs to remove as well.

    Raises:
        ConfigError: a run that is named is needed or unknown.
        EcgpipeError: something could not be removed; the rest was.
        Others as `find_unneeded`.
    """
    found = find_unneeded(configs)
    _check_runs(found, runs)
    going = [
        one
        for one in found.pieces
        if remove and (one.piece.kind != "run" or one.piece.paths[0].name in runs)
    ]
    freed, failed = 0, []
    for one in going:
        try:
            freed += one.n_bytes * _is_removed(one.piece, found)
        except BusyError as error:
            found.remarks.append(str(error))
        except (OSError, StoreError) as error:
            failed.append(f"{one.piece.name} could not be removed: {error}")
    if failed:
        raise EcgpipeError("\n".join([f"{size_text(freed)} freed, but:", *failed]))
    total = sum(one.n_bytes for one in found.pieces)
    if not found.pieces:
        line = "nothing to remove"
    elif remove:
        line = f"{size_text(freed)} of {size_text(total)} freed"
    else:
        line = f"{size_text(total)} in all; nothing was removed (--remove does that)"
    summary = {
        "work_dir": str(found.root),
        "bytes": total,
        "freed_bytes": freed,
        "unneeded": [
            {
                "kind": one.piece.kind,
                "name": one.piece.name,
                "paths": [str(path) for path in one.piece.paths],
                "bytes": one.n_bytes,
                "used": one.used,
            }
            for one in found.pieces
        ],
        "remarks": found.remarks,
    }
    return found, StageResult("gc", freed > 0, line, summary)


def as_text(found: Unneeded) -> str:
    """The list for people."""
    lines = [f"In {found.root}, no given file needs:"] if found.pieces else []
    for one in found.pieces:
        day = time.strftime("%Y-%m-%d", time.localtime(one.used))
        by_name = f"   only with --run {one.piece.paths[0].name}"
        more = by_name if one.piece.kind == "run" else ""
        lines.append(f"{size_text(one.n_bytes):>10}  last used {day}  {one.piece.name}{more}")
    return "\n".join([*lines, *found.remarks])


def size_text(n_bytes: int) -> str:
    """A size as people say it."""
    size, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def _data(contents: Contents, experiments: Sequence[Experiment] | None) -> list[Piece]:
    """Signal stores and records tables that nobody needs or may be using."""
    needed = None if experiments is None else needed_data(experiments, contents.remarks)
    if needed is None:
        return []
    if at_work := _at_work(contents.root):
        contents.remarks.append(f"Signals and records are left alone: {at_work}.")
        return []
    pieces = [*contents.signals(), *contents.records()]
    return [piece for piece in pieces if Path(piece.name).stem not in needed]


def _evaluations(contents: Contents, run: Piece, experiments: Sequence[Experiment]) -> list[Piece]:
    """Evaluations of a needed run that nobody needs."""
    found = contents.evaluations(run)
    name = run.paths[0].name
    own = [experiment for experiment in experiments if experiment.config.name == name]
    if not found or not own:
        return []
    try:
        needed = {needed_evaluation(experiment) for experiment in own}
    except EcgpipeError as error:
        contents.remarks.append(f"The evaluations of {run.name} are left alone: {error}")
        return []
    names = {folder.name for folder in needed if folder is not None}
    return [piece for piece in found if piece.paths[0].name not in names]


def _check_runs(found: Unneeded, names: Sequence[str]) -> None:
    runs = [one.piece.paths[0].name for one in found.pieces if one.piece.kind == "run"]
    for name in names:
        if name not in runs:
            listed = f"Those listed are: {', '.join(runs)}." if runs else "No run is listed."
            raise ConfigError(
                f"--run {name} is not on the list of what no given file needs, so nothing was"
                f" removed. {listed}"
            )


def _is_removed(piece: Piece, found: Unneeded) -> bool:
    """Remove a piece, unless a process works on it; False if it was removed meanwhile.

    Raises:
        BusyError: one does.
        OSError: it cannot be removed.
    """
    is_removed = False
    with _claimed(piece, found):
        for path in piece.paths:
            with contextlib.suppress(FileNotFoundError):
                if path.is_dir() and not path.is_symlink():
                    aside = temporary_beside(path)
                    path.rename(aside)
                    fsync_folder(aside.parent)
                    shutil.rmtree(aside)
                else:
                    path.unlink()
                is_removed = True
    return is_removed


@contextlib.contextmanager
def _claimed(piece: Piece, found: Unneeded) -> Iterator[None]:
    """Make sure that nobody works on a piece.

    Raises:
        BusyError: somebody does.
    """
    if piece.kind in ("signals", "records") and (at_work := _at_work(found.root)):
        raise BusyError(f"{piece.name} is left alone: {at_work}.")
    if piece.kind not in ("run", "evaluation"):
        yield
        return
    folder = piece.paths[0] if piece.kind == "run" else piece.paths[0].parent.parent
    base = base_of(folder.name, found.root)
    if at_work := _at_work(found.root, base.name):
        raise BusyError(f"{piece.name} is left alone: {at_work}.")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(only_one(base.run_lock, "trains this run"))
        except BusyError:
            raise BusyError(f"{piece.name} is left alone: a process trains it.") from None
        yield


def _at_work(root: Path, name: str | None = None) -> str:
    """Who works in this work_dir, or for one run of it; '' if nobody does."""
    status = Workspace(root, name or "x").status
    folders = [status] if name else sorted(status.parent.glob("*"))
    for folder in folders:
        for process in read_heartbeats(folder):
            if _is_alive(process):
                return f"{process.stage} of {folder.name} runs on {process.host}"
    return ""


def _is_alive(process: ProcessStatus) -> bool:
    """Whether a process may still be at work; one on another machine can be silent for a while."""
    if process.state == "silent":
        return time.time() - process.updated < LEFTOVER_AFTER_S
    return process.state == "running"
