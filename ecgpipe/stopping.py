"""Stopping in good order when a scheduler, or a person, asks.

Owns the signal handlers. A stage asks `stop` between two pieces of work, saves what it has and
raises `StoppedEarly`; nobody else knows about signals.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

# What schedulers send before they kill: Slurm and PBS TERM, Slurm's --signal and Grid Engine's
# soft limit USR1 and USR2, Fujitsu's PJM XCPU. INT is a person at the keyboard.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGINT)


class Stop:
    """True once somebody has asked this process to stop; `cause` says who."""

    def __init__(self) -> None:
        self.cause = ""

    def __bool__(self) -> bool:
        return bool(self.cause)

    def request(self, cause: str) -> None:
        """Ask for a stop at the next safe place."""
        self.cause = cause


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Collect stop signals for as long as the block runs.

    The first signal sets the flag; a second SIGINT interrupts at once, so that an impatient person
    is obeyed. The previous handlers come back at the end.
    """
    stop = Stop()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.request(signal.Signals(number).name)

    previous = {number: signal.signal(number, on_signal) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
