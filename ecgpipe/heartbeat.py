"""The heartbeat of a stage: each process's last status, in a small file of its own.

Owns those files: one for each stage and share of a run, written when the stage begins and ends, and
every 30 s in between by a thread, so that loading a large model does not look like a hang. They are
all that `ecgpipe status` needs to know about a process on another node. Knows no stage. A file that
cannot be written stops no work. A file belongs to the process that works: a second one that is
started meanwhile, and refused, leaves no trace in it.

A file holds what `ProcessStatus` says, and no report text or record id: progress is counts, errors
are the ones the command line shows, and of an unexpected error only its type is kept.
"""

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecgpipe.errors import BusyError, EcgpipeError, StoppedEarly, StoreError
from ecgpipe.files import write_json_atomic
from ecgpipe.processes import Share

BEAT_S = 30.0
SILENT_AFTER_S = 4 * BEAT_S
"""A living process is this late only if its machine or its disk hangs."""

State = Literal["running", "silent", "gone", "stopped", "failed", "ended"]

_LONGEST_MESSAGE = 2000


@dataclass
class Progress:
    """How far the current work is; its rate is done / seconds."""

    label: str
    done: int
    total: int
    unit: str
    seconds: float
    moved: float
    """Unix time at which `done` last grew."""


@dataclass
class ProcessStatus:
    """What one process last wrote about its stage."""

    stage: str
    index: int
    count: int
    written_state: Literal["running", "stopped", "failed", "ended"]
    began: float
    """Unix time."""

    updated: float
    """Unix time."""

    host: str
    machine: str | None
    """This boot of the machine and its space of process ids; None where unknown."""

    pid: int
    job: str | None
    """The scheduler's job id, with the task of an array."""

    message: str = ""
    """Why it stopped or failed, or what it did."""

    progress: Progress | None = None
    state: State = field(default="running", compare=False)
    """The reader's verdict: a process whose file says `running` may be gone."""

    @property
    def share(self) -> str:
        """The share of the work, counted from 0, as --shard is; '' for all of it."""
        return f"{self.index}/{self.count}" if self.count > 1 else ""

    @property
    def rate(self) -> float | None:
        """Units per second since the work began."""
        p = self.progress
        return p.done / p.seconds if p and p.done and p.seconds > 0 else None

    @property
    def left_s(self) -> float | None:
        """Seconds that the current work will still take at this rate."""
        if self.progress is None or self.rate is None:
            return None
        return max(0, self.progress.total - self.progress.done) / self.rate


_current: ProcessStatus | None = None
"""Of the stage at work in this process."""


@contextlib.contextmanager
def heartbeat(folder: Path, stage: str, share: Share) -> Iterator[Callable[[str], None]]:
    """Write this process's status into `folder` while the block runs, and how it ended.

    Args:
        folder: of the run's heartbeat files, `Workspace.status`.
        stage: its name.
        share: of the stage's work; each has a file of its own.

    Yields:
        A function that sets the closing message: what was done.
    """
    global _current
    path = folder / f"{stage}-{share.index}-of-{share.count}.json"
    now = time.time()
    status = ProcessStatus(
        stage=stage,
        index=share.index,
        count=share.count,
        written_state="running",
        began=now,
        updated=now,
        host=platform.node(),
        machine=_machine(),
        pid=os.getpid(),
        job=job_of(os.environ),
    )
    message, over, refused = "", threading.Event(), False

    def set_message(text: str) -> None:
        nonlocal message
        message = text

    def write(last: bool = False) -> None:
        with contextlib.suppress(StoreError, OSError):
            status.updated = time.time()
            if _is_of_another(path, status, last):
                return
            values = asdict(status)
            del values["state"]
            write_json_atomic(path, values)

    def beat() -> None:
        while not over.wait(BEAT_S):
            write()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    outer, _current = _current, status
    ended: Literal["stopped", "failed", "ended"] = "ended"
    write()
    thread.start()
    try:
        yield set_message
    except BaseException as error:
        early = isinstance(error, StoppedEarly | KeyboardInterrupt)
        ended, message = "stopped" if early else "failed", _describe(error)
        refused = isinstance(error, BusyError)
        raise
    finally:
        over.set()
        thread.join()
        status.written_state, status.message = ended, message[:_LONGEST_MESSAGE]
        write(last=not refused)
        _current = outer


def track_progress(label: str, total: int, unit: str) -> Callable[[int], None]:
    """Record the current work in this process's status; the returned function adds to it."""
    began = time.monotonic()
    progress = Progress(label, 0, total, unit, 0.0, time.time())
    if _current is not None:
        _current.progress = progress

    def add(n: int) -> None:
        if n:
            progress.done += n
            progress.seconds = round(time.monotonic() - began, 3)
            progress.moved = time.time()

    return add


def read_heartbeats(folder: Path, now: float | None = None) -> list[ProcessStatus]:
    """The statuses of a run that still matter, by stage and share; damaged files are skipped.

    Of each stage, only the latest division of its work is returned, and whatever still runs:
    `--shard 3/4` that failed is history once somebody has begun 8 shares.
    """
    now = time.time() if now is None else now
    paths = sorted(folder.glob("*-of-*.json"))
    found = [status for path in paths if (status := _read(path, now)) is not None]
    latest: dict[str, ProcessStatus] = {}
    for status in found:
        if status.stage not in latest or status.began > latest[status.stage].began:
            latest[status.stage] = status
    kept = [s for s in found if s.count == latest[s.stage].count or s.state == "running"]
    return sorted(kept, key=lambda s: (s.stage, s.count, s.index))


def job_of(environment: Mapping[str, str]) -> str | None:
    """The scheduler's job id, with the task of an array after an underscore; None outside a job."""
    if array := environment.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{environment.get('SLURM_ARRAY_TASK_ID', '')}"
    for variable in ("SLURM_JOB_ID", "PBS_JOBID", "PJM_JOBID", "JOB_ID"):
        if job := environment.get(variable):
            task = environment.get("SGE_TASK_ID", "undefined") if variable == "JOB_ID" else ""
            return f"{job}_{task}" if task not in ("", "undefined") else job
    return None


def _describe(error: BaseException) -> str:
    """An error without any content of a file: our own messages name places and reasons; of other
    errors only the type is known to be harmless."""
    if isinstance(error, EcgpipeError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted at the keyboard."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}. See the job's log."
    return f"Unexpected error: {type(error).__name__}. See the job's log."


def _read(path: Path, now: float) -> ProcessStatus | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        progress = values.pop("progress")
        status = ProcessStatus(
            **values, progress=None if progress is None else Progress(**progress)
        )
        status.state = _state(status, now)
        return status
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _state(status: ProcessStatus, now: float) -> State:
    if status.written_state != "running":
        return status.written_state
    # Containers can share a host name, and a reboot gives pids out again.
    if status.machine and status.machine == _machine() and not _lives(status.pid):
        return "gone"
    return "silent" if now - status.updated > SILENT_AFTER_S else "running"


def _is_of_another(path: Path, own: ProcessStatus, last: bool) -> bool:
    """Whether another process that still works writes this file.

    A process of another machine may be dead and look alive for two minutes; how one ended that took
    its place (`last`) must not be lost.
    """
    found = _read(path, own.updated)
    if found is None or found.state != "running":
        return False
    here = found.machine is not None and found.machine == own.machine
    if here and found.pid == own.pid:
        return False
    return here or not last


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def _machine() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None
