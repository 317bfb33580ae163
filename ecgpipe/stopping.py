"""Stop gracefully when a scheduler, a person or a time limit requests it.

Owns the signal handlers and the time limit. A stage checks `stop` between two pieces of work, saves
its state and raises `StoppedEarly`; no other module handles signals.
"""

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

from ecgpipe.errors import StoppedEarly

# What schedulers send before they kill: Slurm and PBS TERM, Slurm's --signal and Grid Engine's
# soft limit USR1 and USR2, Fujitsu's PJM XCPU. INT is a person at the keyboard, HUP a terminal that
# was closed.
STOP_SIGNALS = (
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
    signal.SIGINT,
    signal.SIGHUP,
)


class Stop:
    """True once this process should stop; `cause` says why."""

    def __init__(self, max_minutes: float | None = None) -> None:
        """Start the clock; without `max_minutes`, only a request stops."""
        self.cause = ""
        self.is_at_once = False
        self._max_minutes = max_minutes
        self._end = None if max_minutes is None else time.monotonic() + 60 * max_minutes

    def __bool__(self) -> bool:
        if not self.cause and self._end is not None and time.monotonic() >= self._end:
            self.cause = f"--max-minutes {self._max_minutes:g}"
        return bool(self.cause)

    def request(self, cause: str) -> None:
        """Request a stop at the next safe point."""
        self.cause = cause

    @contextlib.contextmanager
    def at_once(self, doing: str) -> Iterator[None]:
        """Raise StoppedEarly as soon as a signal comes, in a block that has nothing to save.

        For what runs long without a safe point, such as loading a model. `doing` says what it is.
        It does not begin if a signal came before.
        """
        self.is_at_once = True
        try:
            if self.cause:
                raise KeyboardInterrupt
            yield
        except KeyboardInterrupt:  # what libraries do not take for an error of theirs
            raise StoppedEarly(
                f"Stopped by {self.cause} while {doing}. Run the same command again."
            ) from None
        finally:
            self.is_at_once = False


@contextlib.contextmanager
def stop_on_signals(max_minutes: float | None = None) -> Iterator[Stop]:
    """Collect stop signals, and watch the clock, for as long as the block runs.

    The first signal sets the flag; a second SIGINT interrupts at once, so that an impatient person
    is obeyed. The previous handlers are restored at the end.

    Args:
        max_minutes: time limit, for schedulers that kill without a warning.
    """
    stop = Stop(max_minutes)

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.request(signal.Signals(number).name)
        if stop.is_at_once:
            raise KeyboardInterrupt

    previous = {
        number: signal.signal(number, on_signal)
        for number in STOP_SIGNALS
        # nohup ignores SIGHUP, so that the process outlives its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
