"""A command in a process of its own: its time, and the most memory that it and its children held.

Owns how both are counted, every 50 ms over all processes of the tree together. Time is that of the
processors, which hardly depends on what else a machine does. Memory is what the processes hold for
themselves (anonymous and shared pages): the kernel cannot take it back. Pages of mapped files, such
as those of a signal store, it can drop at any time; they are counted apart, in `resident_mb`.
Reads Linux's /proc.
"""

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_EVERY_S = 0.05
_MB = 1.024e-3  # of the kB that the kernel means: 1,024 bytes
_LAST_LINES = 20
_PROGRESS = re.compile(r"(?P<label>\S.*?): [\d,]+ of [\d,]+ \w+ \(\d+ %\) · ")
"""A line of `ecgpipe.progress`."""


@dataclass(frozen=True)
class Use:
    """What a command, or a part of it, took."""

    wall_s: float
    cpu_s: float = 0.0
    memory_mb: float = 0.0
    """Anonymous and shared pages, of all processes together, at most."""

    resident_mb: float = 0.0
    """The same with the pages of mapped files."""


@dataclass(frozen=True)
class Sample:
    """All processes of a tree at one moment."""

    when: float
    cpu_s: float = 0.0
    """Since the tree began."""

    memory_mb: float = 0.0
    resident_mb: float = 0.0


@dataclass(frozen=True)
class Measured:
    """A command that has ended."""

    use: Use
    parts: Mapping[str, Use] = field(default_factory=dict)
    """By what it reported as its progress, in this order: from the part before to its last line."""


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; the message ends with the last lines it wrote.
    """
    marks: list[tuple[float, str]] = []
    started = time.monotonic()
    samples = [Sample(started)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(environment)
    ) as child:
        assert child.stdout is not None
        reader = threading.Thread(target=_read, args=(child.stdout, marks))
        reader.start()
        while child.poll() is None:
            samples.append(_sample(child.pid))
            time.sleep(_EVERY_S)
        ended = time.monotonic()
        reader.join()
    if child.returncode:
        last = "\n".join(line for _, line in marks[-_LAST_LINES:])
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}:\n{last}")
    return Measured(_use(samples, started, ended), _parts(samples, started, marks))


def _read(stream: IO[str], marks: list[tuple[float, str]]) -> None:
    marks += ((time.monotonic(), line.rstrip()) for line in stream)


def _parts(
    samples: Sequence[Sample], started: float, marks: Sequence[tuple[float, str]]
) -> dict[str, Use]:
    ends: dict[str, float] = {}
    for when, line in marks:
        if found := _PROGRESS.match(line):
            ends[found["label"]] = when
    parts = {}
    for label, end in ends.items():
        parts[label] = _use(samples, started, end)
        started = end
    return parts


def _use(samples: Sequence[Sample], start: float, end: float) -> Use:
    within = [each for each in samples if start <= each.when <= end]
    before = [each.cpu_s for each in samples if each.when < start]
    # A process that has just ended is in no sum until its parent has waited for it.
    cpu_s = max((each.cpu_s for each in within), default=0.0) - max(before, default=0.0)
    return Use(
        wall_s=end - start,
        cpu_s=max(0.0, cpu_s),
        memory_mb=max((each.memory_mb for each in within), default=0.0),
        resident_mb=max((each.resident_mb for each in within), default=0.0),
    )


def _sample(pid: int) -> Sample:
    """A process and all below it."""
    when, ticks, own_kb, resident_kb = time.monotonic(), 0, 0, 0
    waiting = [pid]
    while waiting:
        process = Path("/proc", str(waiting.pop()))
        with contextlib.suppress(OSError, ValueError):  # it has just ended
            after_name = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += sum(map(int, after_name[11:15]))  # its own, and of children it waited for
            status = (process / "status").read_text(encoding="utf-8")
            sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE))
            own_kb += int(sizes.get("RssAnon", 0)) + int(sizes.get("RssShmem", 0))
            resident_kb += int(sizes.get("VmRSS", 0))
            for thread in (process / "task").iterdir():
                children = (thread / "children").read_text(encoding="ascii").split()
                waiting += map(int, children)
    return Sample(when, ticks / os.sysconf("SC_CLK_TCK"), own_kb * _MB, resident_kb * _MB)
