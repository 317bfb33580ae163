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
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ecgpipe.errors import StoppedEarly, StoreError
from ecgpipe.read_ecg.shard_job import ShardJob, do_job
from ecgpipe.stopping import STOP_SIGNALS, Stop

_LOOK_EVERY_S = 0.2

# Set in each worker by `_begin`: told once when it starts, not with every job.
_asked_to_stop: Any = None
_done_count: Any = None


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


def _do_in_processes(
    jobs: Sequence[ShardJob], n_workers: int, stop: Stop, tick: Callable[[int], object]
) -> None:
    # Not forked: threads of numpy and torch do not survive it.
    context = multiprocessing.get_context("spawn")
    asked, count = context.Event(), context.Value("q", 0)
    with ProcessPoolExecutor(n_workers, context, _begin, (asked, count)) as pool:
        running = {pool.submit(_do_in_worker, job) for job in jobs}
        told, is_whole = 0, True
        try:
            while running:
                done, running = wait(running, _LOOK_EVERY_S, FIRST_COMPLETED)
                if stop:
                    _stop_workers(asked, running)
                is_whole = all([_is_written(future) for future in done]) and is_whole
                told, new = count.value, count.value - told
                tick(new)
        except BaseException:
            _stop_workers(asked, running)
            raise
    if not is_whole:
        raise _stopped(stop)


def _stop_workers(asked: Any, running: set[Future[None]]) -> None:
    asked.set()
    for future in running:
        future.cancel()


def _is_written(future: Future[None]) -> bool:
    """Whether a shard that is ended was written; not, where somebody asked for a stop."""
    try:
        future.result()
    except (StoppedEarly, CancelledError):
        return False
    except BrokenProcessPool:
        raise StoreError(
            "A worker of prepare was killed, perhaps for lack of memory. Finished shards are kept:"
            " run the same command again, or with a smaller data.workers."
        ) from None
    return True


def _stopped(stop: Stop) -> StoppedEarly:
    return StoppedEarly(
        f"Stopped by {stop.cause} while preparing. Finished shards are kept: run the same command"
        " again to go on."
    )


def _begin(asked: Any, count: Any) -> None:
    """In a worker: leave signals to the parent, and end with it."""
    global _asked_to_stop, _done_count
    _asked_to_stop, _done_count = asked, count
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do_in_worker(job: ShardJob) -> None:
    do_job(job, _asked_to_stop.is_set, _count_one)


def _count_one(n: int) -> None:
    with _done_count.get_lock():
        _done_count.value += n
