"""Adding vectors to a cache: collected, sealed into parts, safe on disk before they count.

Owns when a part is sealed. Any number of processes may add parts to one folder at once without
talking to each other: names are unique, and a part is whole or absent.
"""

import datetime
import functools
import json
import os
import platform
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import Attributes, VectorRows, finite_rows, part_image
from ecgpipe.cache.vectors.reader import check_fingerprint
from ecgpipe.files import write_atomic

SEAL_ROWS = 4096
SEAL_AFTER_S = 60.0
_WAITING_BATCHES = 16


class VectorWriter:
    """Adds vectors to a cache: collects rows and seals them into parts by count or age.

    A row is safe once `sealed_rows` counts it; a kill loses at most the rows collected since. A
    vector that holds NaN or infinity is never kept: its key goes to `refused`.
    """

    def __init__(self, root: Path, fingerprint: Fingerprint, made_by: Attributes) -> None:
        """Write into the folder of `fingerprint` below `root`.

        Raises:
            CacheMismatchError: the folder holds vectors of another fingerprint.
            StoreError: it cannot be made or written.
        """
        self.sealed_rows = 0
        self.refused: list[bytes] = []
        self._folder = root / fingerprint.short
        self._fingerprint = fingerprint
        self._made_by = made_by
        # In order of starting, and unique: a part must never replace another writer's.
        started = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S%f")
        host = "".join(c for c in platform.node() if c.isalnum())[:12] or "host"
        self._prefix = f"part-{started}-{host}-{os.getpid()}-{secrets.token_hex(3)}"
        self._sequence = 0
        self._pending: list[VectorRows] = []
        self._n_pending = 0
        self._last_seal = time.monotonic()
        self._write_fingerprint()

    def add(self, rows: VectorRows) -> None:
        """Collect rows; seals when there are enough, or the last seal is a minute ago.

        Raises:
            StoreError: the part cannot be written.
        """
        finite = finite_rows(rows.vectors)
        if not finite.all():
            self.refused += [key.tobytes() for key in rows.keys[~finite]]
            rows = rows.chosen(finite)
        self._pending.append(rows)
        self._n_pending += len(rows.keys)
        if self._n_pending >= SEAL_ROWS:
            self.seal()
        else:
            self.seal_if_old()

    def seal_if_old(self) -> None:
        """Seal if the last time is a minute ago. Raises as `add`."""
        if time.monotonic() - self._last_seal >= SEAL_AFTER_S:
            self.seal()

    def seal(self) -> None:
        """Write what was collected as one part. Returns once it is on the disk for good.

        Raises:
            StoreError: the part cannot be written; what was collected stays collected.
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
        if (self._folder / "fingerprint.json").exists():
            check_fingerprint(self._folder, self._fingerprint)
        else:
            readable = json.dumps(dict(self._fingerprint.fields), indent=2, ensure_ascii=False)
            write_atomic(self._folder / "fingerprint.json", (readable + "\n").encode())


class BackgroundWriter:
    """Feeds writers from a thread of its own, so that sealing never waits on the device's path.

    Use it as a context: leaving it seals everything, whatever ended the block. What goes wrong in
    the thread is raised by the next `add`, or on leaving.
    """

    def __init__(self, writers: Sequence[VectorWriter]) -> None:
        self._writers = writers
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(
            _WAITING_BATCHES  # bounds memory where the disk is slower than the device
        )
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="vector-writer", daemon=True)

    def add(self, writer: VectorWriter, rows: VectorRows) -> None:
        """Hand rows over; waits only where many are waiting already.

        Raises:
            StoreError: earlier rows could not be written.
        """
        self._raise_error()
        self._waiting.put(functools.partial(writer.add, rows))

    def __enter__(self) -> "BackgroundWriter":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        if error is None:
            self._raise_error()

    def _work(self) -> None:
        """Write until told to end; after a failure only empty the queue, so that nobody blocks."""
        while True:
            try:
                job = self._waiting.get(timeout=SEAL_AFTER_S)
            except queue.Empty:  # nothing came for a while: what is old is sealed all the same
                job = self._seal_old
            if self._error is None:
                try:
                    (job or self._seal_all)()
                except Exception as error:
                    self._error = error
            if job is None:
                return

    def _seal_old(self) -> None:
        for writer in self._writers:
            writer.seal_if_old()

    def _seal_all(self) -> None:
        for writer in self._writers:
            writer.seal()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
