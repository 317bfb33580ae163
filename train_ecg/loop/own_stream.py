"""What several runs that train at the same time in one process keep from one another.

Owns a CUDA stream for each: PyTorch hands out 32 streams in turn, so that two runs could get the
same one, and work that one run queues in a stream that another captures would end in its graph. And
owns whose turn it is with what only one may do at a time.
"""

import contextvars
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ecgpipe.errors import EcgpipeError

_STREAMS_IN_TURN = 32

one_run_at_a_time = threading.Lock()
"""Held while a run is set up, and up to the end of its capture. Fresh weights come from the random
state that all threads share; and a capture may break off when another thread makes a library's
handle, as first steps do, or begins one, which waits for the whole device."""

_taking = threading.Lock()
_taken: set[int] = set()
_left: list[Any] = []
"""Streams of runs that have ended. They are taken first: libraries keep memory for each stream."""
_mine: contextvars.ContextVar[Any] = contextvars.ContextVar("stream of this run", default=None)


@contextmanager
def own_stream() -> Iterator[None]:
    """Let this thread's GPU work of the block run in a stream that no other run has.

    Without a GPU nothing is changed. At the end the work is waited for, so that memory which other
    streams get next is no longer in use.

    Raises:
        EcgpipeError: all streams are taken.
    """
    if not torch.cuda.is_available():
        yield
        return
    stream = _take()
    before = _mine.set(stream)
    try:
        with torch.cuda.stream(stream):
            yield
        stream.synchronize()
    finally:
        _mine.reset(before)
        with _taking:
            _taken.remove(stream.cuda_stream)
            _left.append(stream)


def remark_on_cores(runs: int) -> str | None:
    """What to know about so many runs at once where there is no GPU and too few cores for them."""
    threads, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    if torch.cuda.is_available() or runs * threads <= cores:
        return None
    fewer = max(1, cores // runs)
    way_out = (
        f"Set OMP_NUM_THREADS to {fewer} and OMP_WAIT_POLICY to PASSIVE, or leave out --at-once."
        if threads > fewer
        else f"--at-once {cores} would be enough."
    )
    return (
        f"train: no GPU is here, and {runs} runs of {threads} threads share {cores} cores, which"
        f" may take many times longer than one after another. {way_out}"
    )


def stream_of_this_run() -> Any:
    """The stream that `own_stream` gave this thread; None where it gave none."""
    return _mine.get()


def _take() -> Any:
    with _taking:
        stream = _left.pop() if _left else _fresh()
        _taken.add(stream.cuda_stream)
        return stream


def _fresh() -> Any:
    for _ in range(_STREAMS_IN_TURN):
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no types here
        if stream.cuda_stream not in _taken:
            return stream
    raise EcgpipeError(f"{len(_taken)} runs train on this GPU already. Lower --at-once.")
