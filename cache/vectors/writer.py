"""Adding vectors to a cache: collected, then sealed into part files.

Owns when a part is sealed. Any number of processes may add parts to one folder at once without
coordination: names are unique, and a part is complete or absent.
"""

import datetime
import json
import os
import platform
import secrets
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import Attributes, VectorRows, finite_rows, part_image
from ecgpipe.cache.vectors.reader import check_fingerprint, fingerprint_path
from ecgpipe.files import write_atomic

SEAL_ROWS = 4096
SEAL_AFTER_S = 60.0
_WAITING_BATCHES = 16  # bounds memory if the disk is slower than the device


class VectorWriter:
    """Adds vectors to a cache: collects rows and seals them into parts by count or age.

    A row is safe once `sealed_rows` counts it; a kill loses at most the rows collected since. A
    vector with NaN or infinity is never stored: its key goes to `refused`.
    """

    def __init__(self, root: Path, fingerprint: Fingerprint, made_by: Attributes) -> None:
        """Write into the folder of `fingerprint` below `root`.

        Raises:
            CacheMismatchError: the folder holds vectors of another fingerprint.
            StoreError: it cannot be created or written.
        """
        self.sealed_rows = 0
        self.refused: list[bytes] = []
        self._folder = root / fingerprint.short
        self._fingerprint = fingerprint
        self._made_by = made_by
        # Sorted by start, and unique: a part must never replace another writer's.
        started = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
        host = "".join(c for c in platform.node() if c.isalnum())[:12] or "host"
        self._prefix = f"part-{started}-{host}-{os.getpid()}-{secrets.token_hex(3)}"
        self._sequence = 0
        self._pending: list[VectorRows] = []
        self._n_pending = 0
        self._last_seal = time.monotonic()
        self._write_fingerprint()

    def add(self, rows: VectorRows) -> None:
        """Collect rows; seal them if there are enough, or if the last seal was a minute ago.

        Raises:
            StoreError: the part cannot be written.
        """
        finite = finite_rows(rows.vectors)
        if not finite.all():
            self.refused += [key.tobytes() for key in rows.keys[~finite]]
            rows = rows.chosen(finite)
        self._pending.append(rows)
        self._n_pending += len(rows.keys)
        is_old = time.monotonic() - self._last_seal >= SEAL_AFTER_S
        if is_old or self._n_pending >= SEAL_ROWS:
            self.seal()

    def seal(self) -> None:
        """Write the collected rows as one part, and sync it to the disk.

        Raises:
            StoreError: the part cannot be written; the rows stay collected.
        """
        if self._n_pending:
            rows = VectorRows.joined(self._pending)
            image = part_image(rows, self._fingerprint, self._made_by)
            write_atomic(self._folder / f"{self._prefix}-{self._sequence:05d}.h5", image)
            self._sequence += 1
            self.sealed_rows += len(rows.keys)
        self._pending.clear()
        self._n_pending = 0
        self._last_seal = time.monotonic()

    def _write_fingerprint(self) -> None:
        path = fingerprint_path(self._folder)
        if path.exists():
            check_fingerprint(self._folder, self._fingerprint)
        else:
            readable = json.dumps(dict(self._fingerprint.fields), indent=2, ensure_ascii=False)
            write_atomic(path, (readable + "\n").encode())


class BackgroundWriter:
    """Feeds writers from a thread, so that the device never waits for the disk.

    A context manager: leaving it seals everything, however the block ended. An error in the thread
    is raised by the next `add`, or on leaving.
    """

    def __init__(self, writers: Sequence[VectorWriter]) -> None:
        self._writers = writers
        self._pool = ThreadPoolExecutor(1, "vector-writer")
        self._waiting: deque[Future[None]] = deque()

    def add(self, writer: VectorWriter, rows: VectorRows) -> None:
        """Hand rows over; blocks only while many batches wait.

        Raises:
            StoreError: earlier rows could not be written.
        """
        self._waiting.append(self._pool.submit(writer.add, rows))
        self._check_results(_WAITING_BATCHES)

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._pool:
            self._waiting.extend(self._pool.submit(writer.seal) for writer in self._writers)
        if error is None:
            self._check_results(0)

    def _check_results(self, most_waiting: int) -> None:
        """Wait until at most so many batches wait, and raise the error of any that is done."""
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > most_waiting):
            self._waiting.popleft().result()
