"""A reader of the cache with a time limit, and what it found.

Owns the verdict on one folder: are all reported rows there, is every vector right, can it be opened
at all, and in time. Reading is done by another process, which is replaced when it does not answer;
nothing here knows how the folder came to be what it is.
"""

import hashlib
import multiprocessing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

import numpy as np

from crash.worker import FINGERPRINT, right_rows
from ecgpipe.cache.vectors import reader as vector_cache
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import Part, read_part
from ecgpipe.cache.vectors.reader import Keys, VectorCache

LIMIT_S = 30.0


@dataclass(frozen=True)
class Verdict:
    """What one look at a cache found."""

    rows: int = 0
    lost: int = 0
    """Wanted texts that have no row."""

    wrong: int = 0
    """Rows whose vector, token count or mark of a cut text is not that of their key."""

    twice: int = 0
    """Rows of texts that an earlier row holds already."""

    unreadable: str = ""
    """Why the cache could not be opened; empty where it could."""

    hangs: bool = False


class Reader:
    """Opens caches in a process of its own, a fresh `VectorCache` for each look."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._start()

    def look(self, root: Path, wanted: Keys, *, remember: bool = False) -> Verdict:
        """Open the cache below `root` and check all its rows.

        Args:
            root: the folder of all caches.
            wanted: (n, 32) keys that must be there.
            remember: a part whose bytes were read before is not parsed again. `read_part` depends
                on nothing but the bytes of its file and the fingerprint, so this changes no
                verdict; it saves nine tenths of the time where hundreds of states share parts.
        """
        self._here.send((root, wanted, remember))
        if not self._here.poll(self._limit_s):
            self._stop()
            self._start()
            return Verdict(hangs=True)
        try:
            verdict: Verdict = self._here.recv()
        except EOFError:
            self._stop()
            self._start()
            return Verdict(unreadable="the reader died")
        return verdict

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self) -> None:
        # Spawned, not forked: no thread, lock or open file of the caller comes along.
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_answer, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def _stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._here.close()


def look(root: Path, wanted: Keys) -> Verdict:
    """Open the cache below `root` in this process and check all its rows."""
    try:
        cache = VectorCache.open(root, FINGERPRINT)
        n_lost = len(cache.missing(wanted))
        n_wrong = _wrong_rows(cache)
    except Exception as error:  # whatever it is, a reader cannot go on
        return Verdict(unreadable=f"{type(error).__name__}: {error}")
    n_twice = int((cache.rows(cache.keys) != np.arange(len(cache))).sum())
    return Verdict(len(cache), n_lost, n_wrong, n_twice)


def _wrong_rows(cache: VectorCache) -> int:
    if len(cache) == 0:
        return 0
    rows, right = np.arange(len(cache)), right_rows(cache.keys)
    # A text that is there twice is marked as cut by its first row, which must be right as well.
    good = (
        (cache.gather(rows) == right.vectors).all(axis=1)
        & (cache.n_tokens(rows) == right.n_tokens)
        & (cache.was_cut(cache.keys) == right.was_cut)
    )
    return int((~good).sum())


def _answer(connection: Connection) -> None:
    memory = _Memory()
    while True:
        try:
            root, wanted, remember = connection.recv()
        except EOFError:  # nobody asks any more
            return
        vector_cache.read_part = memory.read_part if remember else read_part
        connection.send(look(root, wanted))


class _Memory:
    """Parts that were read before, by the digest of their bytes."""

    def __init__(self) -> None:
        self._parts: dict[bytes, Part] = {}

    def read_part(self, path: Path, fingerprint: Fingerprint) -> Part:
        digest = hashlib.sha256(path.read_bytes()).digest()
        if digest not in self._parts:
            part = read_part(path, fingerprint)
            # Copied: the file may change under its memory map before these bytes come back.
            copied = part.rows.chosen(np.arange(len(part.sums)))
            self._parts[digest] = Part(path, copied, part.sums)
        return self._parts[digest]
