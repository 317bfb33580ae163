"""One computation at a time: a queue that may become full, and a limit on how long one waits.

Owns the thread that computes. A thread cannot be ended from outside, so a computation looks at its
`Deadline` where it can; one that does not still keeps the next from starting.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ecgpipe.apply_model.server.words import Both, word

QUEUE = 8
"""Computations that run or wait; more would wait for longer than anybody does."""

Result = TypeVar("Result")


class Refused(Exception):
    """A request without an answer."""

    def __init__(self, status: int, reason: Both) -> None:
        super().__init__(reason["en"])
        self.status = status
        self.reason = reason


class Deadline:
    """When a computation must have ended."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._given_up = False

    def give_up(self) -> None:
        """Nobody waits for the result any more."""
        self._given_up = True

    @property
    def left_s(self) -> float:
        """How long there still is; 0 if it has passed."""
        return 0.0 if self._given_up else max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Go on, or end.

        Raises:
            Refused: it has passed.
        """
        if not self.left_s:
            raise Refused(503, word("too_long", seconds=f"{self.seconds:g}"))


class Turns:
    """The queue before the one thread that computes."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "computation")
        self._running: set[Deadline] = set()

    async def take(self, compute: Callable[[Deadline], Result], seconds: float) -> Result:
        """Wait for a turn, and compute.

        Args:
            compute: looks at its deadline, which the wait counts towards.
            seconds: until then.

        Raises:
            Refused: too many wait, or it took too long.
        """
        if len(self._running) >= QUEUE:
            raise Refused(503, word("busy"))
        deadline = Deadline(seconds)
        self._running.add(deadline)

        def turn() -> Result:
            deadline.check()
            return compute(deadline)

        waiting = self._thread.submit(turn)
        waiting.add_done_callback(lambda _: self._running.discard(deadline))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(waiting), seconds)
        except TimeoutError:
            raise Refused(503, word("too_long", seconds=f"{seconds:g}")) from None
        finally:
            deadline.give_up()

    def close(self) -> None:
        """End what runs as soon as it looks at its deadline; start nothing more."""
        for deadline in list(self._running):
            deadline.give_up()
        self._thread.shutdown(wait=False, cancel_futures=True)
