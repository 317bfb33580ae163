"""Signs of life: what each stage's process last said of itself, in a small file of its own.

Owns those files: one for each stage and share of a run, written when the stage begins and ends and
every 30 s between, by a thread, so that loading a large model is no silence. Any node reads them;
nothing else is asked. Knows no stage. A sign that cannot be written stops no work.

A file holds what `Sign` says, and no report text and no id: `progress` counts, errors are those
that the command line shows, and of an error we did not foresee only its kind is kept.
"""

import contextlib
import json
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecgpipe.errors import EcgpipeError, StoppedEarly, StoreError
from ecgpipe.files import write_json_atomic
from ecgpipe.processes import Share

FORMAT = "ecgpipe-sign/1"
BEAT_S = 30.0
SILENT_AFTER_S = 4 * BEAT_S
"""A living process is this late only where its machine or its disk hangs."""

State = Literal["running", "silent", "gone", "stopped", "failed", "ended"]

_LONGEST_MESSAGE = 2000
_NAME = re.compile(r"^(?P<stage>[a-z]+)-(?P<index>\d+)-of-(?P<count>\d+)\.json$")


@dataclass
class Progress:
    """How far the work in hand is; its rate is done / seconds."""

    label: str
    done: int
    total: int
    unit: str
    seconds: float
    moved: float
    """Unix time at which `done` last grew."""


@dataclass
class Sign:
    """What one process said of its stage, last."""

    stage: str
    index: int
    count: int
    written_state: Literal["running", "stopped", "failed", "ended"]
    began: float
    """Unix time."""

    updated: float
    host: str
    pid: int
    machine: str | None
    """Tells whether `pid` can be looked up here."""

    job: str | None
    """The scheduler's, with the task of an array."""

    message: str = ""
    """Why it stopped or failed; what it did."""

    progress: Progress | None = None
    state: State = field(default="running", compare=False)
    """As the reader found it: a process that says `running` may be gone."""

    @property
    def share(self) -> str:
        """The share of the work, counted from 0, as --shard is; '' where it is all of it."""
        return f"{self.index}/{self.count}" if self.count > 1 else ""

    @property
    def rate(self) -> float | None:
        """Units a second since the work began."""
        p = self.progress
        return p.done / p.seconds if p and p.done and p.seconds > 0 else None

    @property
    def left_s(self) -> float | None:
        """Seconds that the work in hand will still take at this rate."""
        if self.progress is None or self.rate is None:
            return None
        return max(0, self.progress.total - self.progress.done) / self.rate


class _Writer:
    """Writes one process's sign, now and again every 30 s."""

    def __init__(self, path: Path, sign: Sign) -> None:
        self.sign = sign
        self._path = path
        self._over = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="life sign", daemon=True)

    def begin(self) -> None:
        """Write, and go on doing so."""
        self._write()
        self._thread.start()

    def end(self, state: Literal["stopped", "failed", "ended"], message: str) -> None:
        """The last word."""
        self._over.set()
        self._thread.join()
        self.sign.written_state, self.sign.message = state, message[:_LONGEST_MESSAGE]
        self._write()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            self._write()

    def _write(self) -> None:
        with self._writing, contextlib.suppress(StoreError, OSError):
            self.sign.updated = time.time()
            values = asdict(self.sign)
            del values["state"]
            write_json_atomic(self._path, {"format": FORMAT, **values})


_current: _Writer | None = None


@contextlib.contextmanager
def sign_of_life(
    folder: Path,
    stage: str,
    share: Share,
    describe: Callable[[BaseException], str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Callable[[str], None]]:
    """Leave a sign of this stage in `folder` for as long as the block runs, and of how it ended.

    Args:
        folder: of the run's signs.
        stage: its name.
        share: of the stage's work; each has a file of its own.
        describe: an error in words; by default those for the command line.
        environment: what the scheduler says.

    Yields:
        A function that is told, at the end, what was done.
    """
    global _current
    now = time.time()
    sign = Sign(
        stage=stage,
        index=share.index,
        count=share.count,
        written_state="running",
        began=now,
        updated=now,
        host=platform.node(),
        pid=os.getpid(),
        machine=_machine(),
        job=job_of(environment),
    )
    writer = _Writer(folder / f"{stage}-{share.index}-of-{share.count}.json", sign)
    outer, _current = _current, writer
    done = ""

    def tell(what: str) -> None:
        nonlocal done
        done = what

    writer.begin()
    try:
        yield tell
    except BaseException as error:
        early = isinstance(error, StoppedEarly | KeyboardInterrupt)
        writer.end("stopped" if early else "failed", (describe or in_words)(error))
        raise
    else:
        writer.end("ended", done)
    finally:
        _current = outer


def in_words(error: BaseException) -> str:
    """An error without what a file held: ours say places and reasons, of others only the kind is
    known to be harmless."""
    if isinstance(error, EcgpipeError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted at the keyboard."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}. The job's log says where."
    return f"Not foreseen: {type(error).__name__}. The job's log says more."


def begin_progress(label: str, total: int, unit: str) -> Callable[[int], None]:
    """Count the work in hand into this process's sign; the returned function adds to it."""
    writer, began = _current, time.monotonic()
    if writer is None:
        return lambda n: None
    counted = Progress(label, 0, total, unit, 0.0, time.time())
    writer.sign.progress = counted

    def add(n: int) -> None:
        if n:
            counted.done += n
            counted.seconds = round(time.monotonic() - began, 3)
            counted.moved = time.time()

    return add


def read_signs(folder: Path, now: float | None = None) -> list[Sign]:
    """The signs of a run that still matter, by stage and share; damaged files are no signs.

    Of each stage those are left out that belong to another division of its work than the latest,
    unless they live: `--shard 3/4` that failed is history once somebody began 8 shares.
    """
    now = time.time() if now is None else now
    names: list[Path] = []
    with contextlib.suppress(OSError):
        names = [path for path in folder.iterdir() if _NAME.match(path.name)]
    signs = [sign for path in sorted(names) if (sign := _read_sign(path, now)) is not None]
    latest: dict[str, Sign] = {}
    for sign in signs:
        if sign.stage not in latest or sign.began > latest[sign.stage].began:
            latest[sign.stage] = sign
    kept = [s for s in signs if s.count == latest[s.stage].count or s.state == "running"]
    return sorted(kept, key=lambda s: (s.stage, s.count, s.index))


def job_of(environment: Mapping[str, str]) -> str | None:
    """The scheduler's job, with the task of an array behind an underscore; None outside of any."""
    if array := environment.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{environment.get('SLURM_ARRAY_TASK_ID', '')}"
    for variable in ("SLURM_JOB_ID", "PBS_JOBID", "PJM_JOBID", "JOB_ID"):
        if job := environment.get(variable):
            task = environment.get("SGE_TASK_ID", "undefined") if variable == "JOB_ID" else ""
            return f"{job}_{task}" if task not in ("", "undefined") else job
    return None


def _read_sign(path: Path, now: float) -> Sign | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            return None
        progress = values.pop("progress")
        sign = Sign(**values, progress=None if progress is None else Progress(**progress))
        sign.state = _state(sign, now)
        return sign
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _state(sign: Sign, now: float) -> State:
    if sign.written_state != "running":
        return sign.written_state
    if sign.machine is not None and sign.machine == _machine() and not _lives(sign.pid):
        return "gone"
    return "silent" if now - sign.updated > SILENT_AFTER_S else "running"


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def _machine() -> str | None:
    """This boot of this machine and the space its process numbers are of; None where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None
