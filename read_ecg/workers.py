"""Shards by several processes at once.

Owns the processes: how they are started, stopped and watched. Each shard has one writer, so they
share nothing but the folder, and the bytes are those of one process. A worker ends with its parent,
however that ends.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ecgpipe.errors import StoppedEarly, StoreError
from ecgpipe.read_ecg.shard_job import ShardJob, do_job
from ecgpipe.stopping import STOP_SIGNALS, Stop

_LOOK_EVERY_S = 0.2
_GRACE_S = 0.3

# Set in each worker by `_begin`: told once when it starts, not with every job.
_asked_to_stop: Any = None
_done_counts: Any = None


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
    # Nothing shared has a lock: a worker that is killed would hold it for ever.
    asked, counts = context.RawValue("b", 0), context.RawArray("q", len(jobs))
    with ProcessPoolExecutor(n_workers, context, _begin, (asked, counts)) as pool:
        running: set[Future[None]] = set()
        started, told, is_whole = 0, 0, True
        try:
            while running or (started < len(jobs) and not stop):
                # One more than can be worked on, so that nobody waits; not all, for their memory.
                while started < len(jobs) and len(running) <= n_workers and not stop:
                    running.add(pool.submit(_do_in_worker, jobs[started], started))
                    started += 1
                done, running = wait(running, _LOOK_EVERY_S, FIRST_COMPLETED)
                if stop:
                    _stop_workers(asked, running)
                is_whole = all([_is_written(future, stop) for future in done]) and is_whole
                now_done = sum(counts)
                tick(now_done - told)
                told = now_done
        except BaseException:
            _stop_workers(asked, running)
            raise
    if not is_whole or started < len(jobs):
        raise _stopped(stop)


def _stop_workers(asked: Any, running: set[Future[None]]) -> None:
    asked.value = 1
    for future in running:
        future.cancel()


def _is_written(future: Future[None], stop: Stop) -> bool:
    """Whether a shard that is ended was written; not, where somebody asked for a stop."""
    try:
        future.result()
    except (StoppedEarly, CancelledError):
        return False
    except BrokenProcessPool:
        if not stop:  # a scheduler's SIGTERM may end workers before our own handler is heard
            time.sleep(_GRACE_S)
        if stop:
            return False
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


def _begin(asked: Any, counts: Any) -> None:
    """In a worker: leave signals to the parent, and end with it."""
    global _asked_to_stop, _done_counts
    _asked_to_stop, _done_counts = asked, counts
    for number in STOP_SIGNALS:
        # By SIGTERM the pool ends its workers when one of them was killed.
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do_in_worker(job: ShardJob, place: int) -> None:
    def tick(n: int) -> None:
        _done_counts[place] += n  # nobody else writes there

    do_job(job, lambda: bool(_asked_to_stop.value), tick)
