"""Inputs -> windows, a few in this process, many in worker processes; in order, as a stream.

Owns the pool. A worker sends back the window and the remarks, never the whole recording. Must not
know a model.
"""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.ecg import ecg_of
from ecgpipe.apply_model.prediction import Remark, remarks_on
from ecgpipe.apply_model.recordings import Input
from ecgpipe.errors import RecordError, StoreError
from ecgpipe.pool_worker import begin_worker

_AT_ONCE = 16
"""Inputs that a worker takes at a time: 2 MB of windows come back together."""

_AHEAD = 2
"""Tasks for each worker that are queued or finished and not yet taken."""


@dataclass(frozen=True)
class Window:
    """An input that was read, or the reason why it was not."""

    record_id: str
    path: str
    signal_uv: npt.NDArray[np.int16] | None
    """(12, samples) as the contract demands; None if it was refused."""

    remarks: tuple[Remark, ...] = ()
    refusal: str = ""
    patient_id: str = ""


def read_windows(inputs: Iterable[Input], contract: Contract, n_workers: int) -> Generator[Window]:
    """The windows of inputs, in their order.

    Args:
        inputs: taken only as far ahead as the workers need.
        contract: what the model demands.
        n_workers: 1 reads in this process.

    Raises:
        StoreError: a worker was killed.
        Others as the iteration of `inputs`.
    """
    if n_workers == 1:
        return (window_of(given, contract) for given in inputs)
    return _read_in_processes(inputs, contract, n_workers)


def window_of(given: Input, contract: Contract) -> Window:
    """Read one input. A bad one gives its reason and never an exception."""
    try:
        ecg = ecg_of(given.read(), contract)
    except RecordError as error:
        return Window(given.record_id, given.path, None, refusal=str(error))
    except MemoryError:
        reason = "it does not fit into the memory of this machine; cut out the part that is wanted"
        return Window(given.record_id, given.path, None, refusal=reason)
    remarks = remarks_on(ecg.quality, contract)
    return Window(given.record_id, given.path, ecg.signal_uv, remarks, patient_id=given.patient_id)


def _read_in_processes(
    inputs: Iterable[Input], contract: Contract, n_workers: int
) -> Generator[Window]:
    # Spawned, not forked: the threads of numpy and torch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    broken = context.RawValue("b", 0)
    pool = ProcessPoolExecutor(n_workers, context, _begin_worker, (broken,))
    try:
        with closing(_in_order(iter(inputs), contract, pool, n_workers)) as windows:
            yield from windows
    except (BrokenProcessPool, BrokenPipeError) as error:
        broken.value = 1
        raise StoreError(
            "A process that reads recordings was killed, perhaps for lack of memory. What is"
            " finished is kept: run the same command again to continue, or with --workers 1."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    inputs: Iterator[Input], contract: Contract, pool: ProcessPoolExecutor, n_workers: int
) -> Generator[Window]:
    pending: deque[Future[list[Window]]] = deque()
    while True:
        while len(pending) < _AHEAD * n_workers:
            part = list(itertools.islice(inputs, _AT_ONCE))
            if not part:
                break
            pending.append(pool.submit(_windows_of, part, contract))
        if not pending:
            return
        yield from pending.popleft().result()


def _windows_of(part: list[Input], contract: Contract) -> list[Window]:
    return [window_of(given, contract) for given in part]


def _begin_worker(broken: Any) -> None:
    begin_worker(lambda: bool(broken.value))
