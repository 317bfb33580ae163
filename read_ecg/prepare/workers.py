"""Shards by several processes at once.

Owns the processes: how they are started, stopped and watched. Each shard has one writer, so they
share nothing but the folder, and the bytes are those of one process. A worker ends with its parent,
however that ends.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from typing import Any

from ecgpipe.errors import StoppedEarly, StoreError
from ecgpipe.read_ecg.prepare.shard_job import ShardJob, do_job
from ecgpipe.stopping import STOP_SIGNALS, Stop

_LOOK_EVERY_S = 0.2
_GRACE_S = 2.0


def available_cores() -> int:
    """The cores that this process may use, which a scheduler may have limited."""
    return len(os.sched_getaffinity(0))


def do_jobs(
    jobs: Sequence[ShardJob], n_workers: int, stop: Stop, tick: Callable[[int], object]
) -> None:
    """Write all shards; with one worker or one job in this very process.

    Raises:
        StoreError: the disk is full or not writable, or a worker was killed.
        StoppedEarly: a signal came; finished shards are kept.
    """
    if min(n_workers, len(jobs)) <= 1:
        _do_here(jobs, stop, tick)
    else:
        _do_in_processes(jobs, min(n_workers, len(jobs)), stop, tick)


def _do_here(jobs: Sequence[ShardJob], stop: Stop, tick: Callable[[int], object]) -> None:
    for job in jobs:
        try:
            do_job(job, lambda: bool(stop), tick)
        except StoppedEarly:
            raise _stopped(stop) from None


class _Worker:
    """A process, and a pipe to it that nobody else has: if it is killed, nobody else notices.

    (A pool's queues have locks that all workers share; one killed within such a lock, or while
    another is being started, leaves the pool waiting for ever.)
    """

    def __init__(self, context: SpawnContext, asked: Any, counts: Any) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, asked, counts), daemon=True)
        self.process.start()
        theirs.close()  # so that its end is heard
        self.is_busy = False

    def give(self, job: ShardJob, place: int) -> None:
        self.is_busy = True
        self.pipe.send((job, place))

    def answer(self) -> BaseException | None:
        """What became of its job; None if the shard was written.

        Raises:
            EOFError, OSError: it is dead.
        """
        outcome: BaseException | None = self.pipe.recv()
        self.is_busy = False
        return outcome

    def end(self) -> None:
        """Let it end if it waits for a job, and make it if it does not."""
        self.pipe.close()
        self.process.join(0 if self.is_busy else _GRACE_S)
        self.process.kill()
        self.process.join()


def _do_in_processes(
    jobs: Sequence[ShardJob], n_workers: int, stop: Stop, tick: Callable[[int], object]
) -> None:
    # Not forked: threads of numpy and torch do not survive it.
    context = multiprocessing.get_context("spawn")
    asked, counts = context.RawValue("b", 0), context.RawArray("q", len(jobs))
    workers: list[_Worker] = []
    try:
        workers += [_Worker(context, asked, counts) for _ in range(n_workers)]
        is_whole = _hand_out(jobs, workers, asked, counts, stop, tick)
    except (EOFError, OSError) as error:
        if not stop:
            raise StoreError(
                "A worker of prepare was killed, perhaps for lack of memory. Finished shards are"
                " kept: run the same command again, or with a smaller data.workers."
            ) from error
        is_whole = False
    finally:
        for worker in workers:
            worker.end()
    if not is_whole:
        raise _stopped(stop)


def _hand_out(
    jobs: Sequence[ShardJob],
    workers: Sequence[_Worker],
    asked: Any,
    counts: Any,
    stop: Stop,
    tick: Callable[[int], object],
) -> bool:
    """Give jobs to whoever has none until all are done, or somebody asks for a stop.

    Returns:
        Whether all shards were written.

    Raises:
        EOFError, OSError: a worker is dead.
        Others as `do_job`.
    """
    started, written, told = 0, 0, 0
    while True:
        for worker in workers:
            if not worker.is_busy and started < len(jobs) and not stop:
                worker.give(jobs[started], started)
                started += 1
        busy = [worker for worker in workers if worker.is_busy]
        if not busy:
            return written == len(jobs)
        asked.value = bool(stop)
        # A pipe is ready when there is an answer in it, and when its other end is gone.
        ready = wait([worker.pipe for worker in busy], _LOOK_EVERY_S)
        for worker in busy:
            if worker.pipe in ready:
                outcome = worker.answer()
                if outcome is None:
                    written += 1
                elif not isinstance(outcome, StoppedEarly):
                    raise outcome
        now_done = sum(counts)
        tick(now_done - told)
        told = now_done


def _stopped(stop: Stop) -> StoppedEarly:
    return StoppedEarly(
        f"Stopped by {stop.cause} while preparing. Finished shards are kept: run the same command"
        " again to go on."
    )


def _work(pipe: Connection, asked: Any, counts: Any) -> None:
    """In a worker: leave signals to the parent, do what comes through the pipe, end with it."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job, place = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(job, place, asked, counts))


def _outcome(job: ShardJob, place: int, asked: Any, counts: Any) -> BaseException | None:
    def tick(n: int) -> None:
        counts[place] += n  # nobody else writes there

    try:
        do_job(job, lambda: bool(asked.value), tick)
    except Exception as error:
        return error
    return None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
