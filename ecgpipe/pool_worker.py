"""A process of a pool: how it begins, and that it never outlives its parent.

Owns what is the same for every pool of `concurrent.futures`. Knows no job.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection

from ecgpipe.stopping import STOP_SIGNALS

_POLL_S = 0.2


def begin_worker(must_exit: Callable[[], bool]) -> None:
    """Leave signals to the parent, and exit with it, however it ends.

    Args:
        must_exit: becomes true when another worker was killed. That one may hold a lock of the
            pool's queues for which this one waits, and the pool's own signal to end is ignored.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(must_exit,), daemon=True).start()


def _exit_with_parent(must_exit: Callable[[], bool]) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is no worker"
    while not connection.wait([parent.sentinel], _POLL_S) and not must_exit():
        pass
    os._exit(1)
