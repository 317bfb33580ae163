"""Show the progress of long work: a bar on a terminal, a line every 30 s in a batch log.

Owns how rate and remaining time are computed and shown, always on stderr. It receives only counts
and short notes, so no report text or patient id can reach a log through it.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TextIO, cast

from ecgpipe.heartbeat import track_progress
from ecgpipe.language.translation import shown
from ecgpipe.processes import is_first

LINE_EVERY_S = 30.0


class Tick(Protocol):
    """Reports that `n` more units are done; `note` replaces the note shown after the rate."""

    def __call__(self, n: int = 1, note: str = "") -> None:
        """Add `n` to what is done."""


def say(line: str, stream: TextIO | None = None) -> None:
    """Write one line to stderr, in one write, in the language of the person who reads it."""
    lasting = _Lasting(sys.stderr if stream is None else stream)
    lasting.write(f"{shown(line)}\n")
    lasting.flush()


class _Lasting:
    """A stream whose closing, such as that of a terminal, does not end the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def progress(
    label: str,
    total: int,
    unit: str,
    *,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
    everyone: bool = False,
) -> Iterator[Tick]:
    """Show the progress of `total` units of work; the block receives the `Tick` to call.

    A rich bar on a terminal; elsewhere one line every 30 s and one at the end. Of several processes
    only the first shows anything, unless `everyone` is set because each has its own work. All
    count into their heartbeats.
    """
    stream = sys.stderr if stream is None else stream
    count = track_progress(label, total, unit)
    is_shown = everyone or is_first()
    start = last = clock()
    done, shown_note = 0, ""

    def line() -> str:
        return progress_line(label, done, total, unit, clock() - start, shown_note)

    with (
        _bar(total, stream, line)
        if is_shown and stream.isatty()
        else contextlib.nullcontext() as update
    ):

        def tick(n: int = 1, note: str = "") -> None:
            nonlocal done, last, shown_note
            count(n)
            done += n
            shown_note = note or shown_note
            if update is not None:
                update(done)
            elif is_shown and clock() - last >= LINE_EVERY_S:
                last = clock()
                say(line(), stream)

        yield tick
    if is_shown and update is None:
        say(line(), stream)


def progress_line(
    label: str, done: int, total: int, unit: str, elapsed_s: float, note: str = ""
) -> str:
    """One line: how much is done, how fast, and the time left."""
    share = f" ({100 * done / total:.0f} %)" if total else ""
    parts = [f"{label}: {done:,} of {total:,} {unit}{share}"]
    if done and elapsed_s > 0:
        rate = done / elapsed_s
        parts.append(f"{rate:,.1f} {unit}/s" if rate >= 1 else f"{1 / rate:,.1f} s each")
        parts.append(
            f"{duration_text((total - done) / rate)} left"
            if done < total
            else f"{duration_text(elapsed_s)} in all"
        )
    if note:
        parts.append(note)
    return " · ".join(parts)


def duration_text(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    minutes, second = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{second:02}" if hours else f"{minutes}:{second:02}"


@contextlib.contextmanager
def _bar(total: int, stream: TextIO, line: Callable[[], str]) -> Iterator[Callable[[int], None]]:
    """A bar with a line behind it; the block receives the function that moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.text import Text

    class Line(ProgressColumn):
        """Makes the line when the bar is drawn, which is far less often than it moves."""

        def render(self, task: Task) -> Text:
            return Text(shown(line()))

    columns = BarColumn(bar_width=20), Line()
    with Progress(*columns, console=Console(file=cast(TextIO, _Lasting(stream)))) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)
