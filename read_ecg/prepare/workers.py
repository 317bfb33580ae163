"""Writes several shards at once, each in a worker process.

Owns the pool of processes: how it stops and what happens when a process is killed. Each shard has
one writer, so the workers share only the folder, and the bytes equal those of a single process. A
worker exits when its parent does, however that ends.
"""

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ecgpipe.errors import StoppedEarly, StoreError
from ecgpipe.pool_worker import begin_worker
from ecgpipe.read_ecg.prepare.shard_job import ShardJob, do_job
from ecgpipe.stopping import Stop

_POLL_S = 0.2

# What the parent tells its workers.
_GO_ON = 0
_STOP = 1
"""Finish the current recording, drop the shard, and report."""
_EXIT = 2
"""Exit now: a killed worker may hold a lock of the pool's queues that the others wait for."""


def available_cores() -> int:
    """The number of cores this process may use, which a scheduler may have limited."""
    return len(os.sched_getaffinity(0))


def do_jobs(
    jobs: Iterable[ShardJob], n_workers: int, stop: Stop, tick: Callable[[int], object]
) -> int:
    """Write all shards; with one worker, in this process.

    Returns:
        How many recordings were not read, because an earlier store holds them.

    Raises:
        StoreError: the disk is full or not writable, or a worker was killed.
        StoppedEarly: `stop` was requested; finished shards are kept.
    """
    do_all = _do_in_processes if n_workers > 1 else _do_here
    n_reused = do_all(jobs, n_workers, stop, tick)
    if n_reused is None:
        raise StoppedEarly(
            f"Stopped by {stop.cause} while preparing. Finished shards are kept: run the same"
            " command again to continue."
        )
    return n_reused


def _reused_in(
    job: ShardJob, stop: Callable[[], bool], tick: Callable[[int], object]
) -> int | None:
    """Do a job; how many recordings were not read, or None if it was stopped."""
    try:
        return do_job(job, stop, tick)
    except StoppedEarly:
        return None


def _do_here(
    jobs: Iterable[ShardJob], _: int, stop: Stop, tick: Callable[[int], object]
) -> int | None:
    """How many recordings were not read; None after a stop."""
    total = 0
    for job in jobs:
        if (reused := _reused_in(job, lambda: bool(stop), tick)) is None:
            return None
        total += reused
    return total


def _do_in_processes(
    jobs: Iterable[ShardJob], n_workers: int, stop: Stop, tick: Callable[[int], object]
) -> int | None:
    """How many recordings were not read; None after a stop."""
    # Spawned, not forked: the threads of numpy and torch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    command, count = context.RawValue("b", _GO_ON), context.Value("q", 0)
    pool = ProcessPoolExecutor(n_workers, context, _begin_worker, (command, count))
    try:
        return _hand_out(jobs, pool, n_workers, command, count, stop, tick)
    except (BrokenProcessPool, BrokenPipeError) as error:
        command.value = _EXIT
        if stop:
            return None
        raise StoreError(
            "A worker of prepare was killed, perhaps for lack of memory. Finished shards are kept:"
            " run the same command again, or with a smaller data.workers."
        ) from error
    finally:
        command.value = max(command.value, _STOP)
        pool.shutdown(cancel_futures=True)


def _hand_out(
    jobs: Iterable[ShardJob],
    pool: ProcessPoolExecutor,
    n_workers: int,
    command: Any,
    count: Any,
    stop: Stop,
    tick: Callable[[int], object],
) -> int | None:
    """Submit jobs, few at a time because each names a thousand recordings.

    Returns:
        How many recordings were not read; None after a stop.

    Raises:
        BrokenProcessPool, BrokenPipeError: a worker was killed.
        Others as `do_job`.
    """
    remaining = iter(jobs)
    pending: set[Future[int | None]] = set()
    all_written, n_reused, n_ticked = True, 0, 0
    while True:
        if stop:
            command.value = _STOP
        else:
            # One more than there are workers, so that none waits for its next job.
            for job in itertools.islice(remaining, n_workers + 1 - len(pending)):
                pending.add(pool.submit(_do_in_worker, job))
        if not pending:
            return n_reused if all_written and next(remaining, None) is None else None
        finished, pending = wait(pending, _POLL_S, FIRST_COMPLETED)
        for reused in (future.result() for future in finished):
            all_written &= reused is not None
            n_reused += reused or 0
        n_done = count.get_obj().value  # without its lock, which a killed worker may hold
        tick(n_done - n_ticked)
        n_ticked = n_done


class _Shared:
    """In a worker: memory shared with the parent."""

    command: Any
    count: Any
    """Records done by all workers."""


def _begin_worker(command: Any, count: Any) -> None:
    """In a worker: obey the parent's command, and exit with it."""
    _Shared.command, _Shared.count = command, count
    begin_worker(lambda: bool(command.value == _EXIT))


def _do_in_worker(job: ShardJob) -> int | None:
    def tick(n: int) -> None:
        with _Shared.count.get_lock():
            _Shared.count.value += n

    return _reused_in(job, lambda: bool(_Shared.command.value), tick)
