"""A writer that may be killed: made-up texts, the real writers, no model.

Owns what the right row of a text is, which follows from its key alone, and the log of reported
keys: a key stands there only after its part was sealed. It must not know who kills it, when, or how
what it leaves is checked.

The ways of `BAD_WAYS` are deliberately wrong. They prove that the campaign can fail.
"""

import argparse
import functools
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

import ecgpipe
from ecgpipe.cache.vectors import writer as vector_writer
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import KEY_BYTES, VectorRows
from ecgpipe.cache.vectors.reader import Keys, VectorCache
from ecgpipe.cache.vectors.writer import BackgroundWriter, VectorWriter
from ecgpipe.embed_text.embedding import owners
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.files import fsync_file, fsync_folder
from ecgpipe.processes import Share, share_of_work

DIM = 256
FINGERPRINT = Fingerprint({"weights": "none: crash campaign", "dim": DIM})

_FINITE = 0xBFFF  # clears one exponent bit of bfloat16: neither NaN nor infinity is left
_CUT_BELOW = 32


@functools.cache
def text_keys(n_texts: int) -> Keys:
    """(n_texts, 32) keys of the made-up texts."""
    return keys_of([f"made-up text {number}" for number in range(n_texts)])


def right_rows(keys: Keys) -> VectorRows:
    """What the cache must hold for `keys` (n, 32)."""
    vectors = [_right_vector(key.tobytes()) for key in keys]
    return VectorRows(
        np.array(vectors, np.uint16).reshape(len(keys), DIM),
        np.array(keys),
        keys[:, 0].astype(np.uint32) + 1,
        keys[:, 1] < _CUT_BELOW,
    )


class ReportingWriter(VectorWriter):
    """The real writer; what it has sealed goes to a log, which is synced as well."""

    def __init__(self, root: Path, log: Path, start: int, way: str | None = None) -> None:
        """Seal below `root`, report to `log`; `start` is kept in every part."""
        super().__init__(root, FINGERPRINT, {"start": start})
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._collected: list[Keys] = []
        self._reports_early = way == "report-early"

    def add(self, rows: VectorRows) -> None:
        """Collect rows as `VectorWriter`."""
        self._collected.append(rows.keys)
        if self._reports_early:
            self._report()
        super().add(rows)

    def seal(self) -> None:
        """Seal as `VectorWriter`, then report."""
        super().seal()
        self._report()

    def _report(self) -> None:
        if self._collected:
            os.write(self._log, np.concatenate(self._collected).tobytes())
            os.fsync(self._log)
            self._collected.clear()


def reported_keys(log: Path) -> Keys:
    """(n, 32) keys in a log of reports; a key that a kill cut short was not reported."""
    content = log.read_bytes() if log.exists() else b""
    whole = content[: len(content) // KEY_BYTES * KEY_BYTES]
    return np.frombuffer(whole, np.uint8).reshape(-1, KEY_BYTES)


def work(
    root: Path, log: Path, share: Share, n_texts: int, rows_per_batch: int, start: int,
    way: str | None = None,
) -> None:  # fmt: skip
    """Give every text of the share that nobody has sealed yet its vector."""
    keys = text_keys(n_texts)
    todo = keys[VectorCache.open(root, FINGERPRINT).missing(keys)]
    mine = todo[owners(todo, share)]
    writer = ReportingWriter(root, log, start, way)
    with BackgroundWriter([writer]) as background:
        for begin in range(0, len(mine), rows_per_batch):
            background.add(writer, right_rows(mine[begin : begin + rows_per_batch]))


@functools.cache
def _right_vector(key: bytes) -> npt.NDArray[np.uint16]:
    return np.frombuffer(hashlib.shake_128(key).digest(2 * DIM), "<u2") & np.uint16(_FINITE)


def _rename_first(path: Path, content: bytes) -> None:
    """Wrong: the part has its name before it has its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.tmp").open("xb") as file:
        Path(file.name).replace(path)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fsync_folder(path.parent)


def _no_sync(path: Path, content: bytes) -> None:
    """Wrong: the name is made safe, the content is not."""
    temporary = _written(path, content)
    temporary.replace(path)
    fsync_folder(path.parent)


def _no_folder_sync(path: Path, content: bytes) -> None:
    """Wrong: the content is made safe, the name is not."""
    temporary = _written(path, content)
    fsync_file(temporary)
    temporary.replace(path)


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    return temporary


_BAD_FILES: dict[str, Callable[[Path, bytes], None]] = {
    "rename-first": _rename_first,
    "no-sync": _no_sync,
    "no-folder-sync": _no_folder_sync,
}
BAD_WAYS = (*_BAD_FILES, "report-early")


def command(
    root: Path, log: Path, *, shard: str, texts: int, rows_per_batch: int, seal_rows: int,
    start: int = 0, way: str | None = None,
) -> list[str]:  # fmt: skip
    """The command line of a worker."""
    numbers = {
        "--shard": shard,
        "--texts": texts,
        "--rows-per-batch": rows_per_batch,
        "--seal-rows": seal_rows,
        "--start": start,
        **({"--way": way} if way else {}),
    }
    options = [str(word) for pair in numbers.items() for word in pair]
    return [sys.executable, __file__, str(root), str(log), *options]


def environment(**more: str) -> dict[str, str]:
    """The environment of a worker: the tree that runs now is the one it imports."""
    tree = str(Path(ecgpipe.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": tree, "OPENBLAS_NUM_THREADS": "1", **more}


def main() -> None:
    """Work as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--shard", required=True)
    parser.add_argument("--texts", type=int, required=True)
    parser.add_argument("--rows-per-batch", type=int, required=True)
    parser.add_argument("--seal-rows", type=int, required=True)
    parser.add_argument("--start", type=int, default=0, help="kept in every part")
    parser.add_argument("--way", choices=BAD_WAYS, help="write wrongly, on purpose")
    asked = parser.parse_args()
    vector_writer.SEAL_ROWS = asked.seal_rows
    if asked.way in _BAD_FILES:
        vector_writer.write_atomic = _BAD_FILES[asked.way]
    share = share_of_work(asked.shard, {})
    work(asked.root, asked.log, share, asked.texts, asked.rows_per_batch, asked.start, asked.way)


if __name__ == "__main__":
    main()
