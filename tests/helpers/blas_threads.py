"""How many threads BLAS uses in this process; importable by name, as worker processes need it."""

import numpy as np
from threadpoolctl import threadpool_info

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.signal.record import EcgRecord


def blas_threads() -> set[int]:
    np.ones(2) @ np.ones(2)
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def refuse_with_threads() -> EcgRecord:
    """A recording that is refused for the number of threads."""
    raise RecordError("unreadable", f"BLAS threads: {sorted(blas_threads())}")
