"""Predictions of many ECGs as CSV, Parquet or JSON Lines; and continuing after a kill.

Owns both. While a command works, each batch is appended to a partial file beside the output
(`.NAME.partial`): JSON Lines under a header that names the model and the options, and the vectors
as bare float32. A kill leaves whole lines and at most one torn one, so the next start of the same
command goes on behind them; nothing is lost, and nothing is there twice. At the end the output is
written from it, completely or not at all. Memory does not grow with the number of ECGs, but for 100
bytes each by which a finished one is known.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import xxhash

from ecgpipe.apply_model.prediction import remark_text
from ecgpipe.errors import ConfigError, StoreError
from ecgpipe.files import fsync_folder, make_folder, open_atomic, storing
from ecgpipe.spreadsheet import write_csv

SUFFIXES = (".csv", ".parquet", ".jsonl")

_FORMAT = "ecgpipe-predictions/1"
_SYNC_EVERY_S = 5.0
_ROWS_AT_ONCE = 1024

Row = Mapping[str, Any]
"""A prediction as `Prediction.as_dict` gives it."""


@dataclass(frozen=True)
class Layout:
    """The columns of a table of predictions."""

    k: int
    n_questions: int
    corrected: bool
    """Whether there are probabilities for another hospital's frequencies."""

    def columns(self) -> dict[str, type]:
        """Names and types, in order."""
        found: dict[str, type] = dict.fromkeys(
            ("record_id", "path", "refused", "quality", "remarks_ja", "remarks_en"), str
        )
        for n in range(1, self.k + 1):
            found |= {f"finding_{n}": str, f"name_ja_{n}": str, f"name_en_{n}": str}
            found |= {f"cosine_{n}": float, f"probability_{n}": float}
            found |= {f"corrected_{n}": float} if self.corrected else {}
            found |= {f"above_threshold_{n}": bool}
        for n in range(1, self.n_questions + 1):
            found |= {f"question_{n}": str, f"question_cosine_{n}": float}
            found |= {f"question_distance_{n}": float, f"question_beyond_{n}": bool}
        return found

    def cells(self, row: Row) -> dict[str, Any]:
        """A prediction's cells; columns without a value are left out."""
        found = {name: row[name] for name in ("record_id", "path", "refused", "quality")}
        found |= {f"remarks_{each}": remark_text(row["remarks"], each) for each in ("ja", "en")}
        for n, one in enumerate(row["findings"], 1):
            found[f"finding_{n}"] = one["id"]
            found |= {f"name_{language}_{n}": one["names"][language] for language in ("ja", "en")}
            found |= {f"{name}_{n}": one[name] for name in ("cosine", "probability")}
            found |= {f"corrected_{n}": one.get("corrected")} if self.corrected else {}
            found[f"above_threshold_{n}"] = one["above_threshold"]
        for n, one in enumerate(row["questions"], 1):
            found |= {f"question_{n}": one["text"], f"question_cosine_{n}": one["cosine"]}
            found[f"question_distance_{n}"] = one["distance"]
            found[f"question_beyond_{n}"] = one["beyond"]
        return found


def check_suffix(path: Path) -> None:
    """Raise ConfigError unless the name says which format is wanted."""
    if path.suffix.casefold() not in SUFFIXES:
        raise ConfigError(f"--out {path} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")


def write_predictions(path: Path, rows: Iterable[Row], layout: Layout) -> None:
    """Write all predictions in the format of the name, completely or not at all.

    Raises:
        StoreError: the disk is full or not writable.
    """
    writer = {".csv": _write_csv, ".parquet": _write_parquet, ".jsonl": _write_lines}
    with open_atomic(path) as file:
        writer[path.suffix.casefold()](file, rows, layout)


@dataclass
class PartialPredictions:
    """What a command has finished so far, on disk. Made by `open_partial`."""

    lines: Path
    vectors: Path
    dim: int
    _lines: BinaryIO
    _vectors: BinaryIO
    n_answered: int = 0
    n_refused: int = 0
    _done: set[bytes] = field(default_factory=set)
    _synced_at: float = field(default_factory=time.monotonic)

    def has(self, record_id: str, path: str) -> bool:
        """Whether a record is finished, be it refused."""
        return _digest(record_id, path) in self._done

    def append(self, rows: Sequence[Row], vectors_ND: npt.NDArray[np.float32]) -> None:
        """Add finished records.

        Args:
            rows: answered or refused, in their order.
            vectors_ND: of the answered ones.

        Raises:
            StoreError: the disk is full or not writable; what was added before stays.
        """
        assert len(vectors_ND) == sum(not row["refused"] for row in rows)
        with storing(self.lines):
            # Vectors first: `open_partial` drops those without a line.
            self._vectors.write(vectors_ND.astype("<f4").tobytes())
            self._vectors.flush()
            self._lines.write(b"".join(_line(row) for row in rows))
            self._lines.flush()
            if time.monotonic() - self._synced_at > _SYNC_EVERY_S:
                self.sync()
        for row in rows:
            self._count(row)

    def sync(self) -> None:
        """Bring what was added to the disk, where a power cut does not take it."""
        for file in (self._vectors, self._lines):
            os.fsync(file.fileno())
        self._synced_at = time.monotonic()

    def rows(self) -> Iterator[dict[str, Any]]:
        """All finished records in their order."""
        with self.lines.open("rb") as file:
            next(file)
            for line in file:
                yield json.loads(line)

    def named(self) -> Iterator[tuple[str, str]]:
        """The id and path of each answered record, in the order of the vectors."""
        return ((row["record_id"], row["path"]) for row in self.rows() if not row["refused"])

    def vector_blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """The vectors, (any, D) at a time."""
        with self.vectors.open("rb") as file:
            while content := file.read(_ROWS_AT_ONCE * 4 * self.dim):
                yield np.frombuffer(content, "<f4").reshape(-1, self.dim)

    def remove(self) -> None:
        """Remove it, once the output is written."""
        self.vectors.unlink(missing_ok=True)
        self.lines.unlink(missing_ok=True)

    def _count(self, row: Row) -> None:
        self._done.add(_digest(row["record_id"], row["path"]))
        self.n_refused += bool(row["refused"])
        self.n_answered += not row["refused"]

    def _take_up(self, key: str) -> None:
        """Read what an earlier start left, and cut off what it did not finish."""
        size = 4 * self.dim
        whole = os.fstat(self._vectors.fileno()).st_size // size
        end = 0
        with self.lines.open("rb") as file:
            for number, line in enumerate(file):
                row = _parsed(line)
                if row is None or (number and not row["refused"] and self.n_answered == whole):
                    break
                if number:
                    self._count(row)
                elif row != {"format": _FORMAT, "key": key}:
                    raise StoreError(
                        f"{self.lines} was begun with another model or other options. Finish it"
                        " with those, or delete it, or choose another name for the output."
                    )
                end += len(line)
        self._lines.truncate(end)
        self._vectors.truncate(self.n_answered * size)
        if not end:
            self._lines.write(_line({"format": _FORMAT, "key": key}))
            self._lines.flush()


@contextlib.contextmanager
def open_partial(output: Path, key: str, dim: int) -> Iterator[PartialPredictions]:
    """Begin, or continue what an earlier start of the same command left.

    Args:
        output: the file that will be written at the end.
        key: changes with whatever changes an answer: the model and the options.
        dim: width of a vector.

    Raises:
        StoreError: another process is writing it, it was begun with another key, or the folder is
            not writable.
    """
    lines = output.with_name(f".{output.name}.partial")
    vectors = output.with_name(f".{output.name}.partial-vectors")
    with contextlib.ExitStack() as stack:
        with storing(lines):
            make_folder(output.parent)
            line_file = stack.enter_context(lines.open("ab"))
            _lock(line_file, output)
            vector_file = stack.enter_context(vectors.open("ab"))
            fsync_folder(output.parent)
            partial = PartialPredictions(lines, vectors, dim, line_file, vector_file)
            partial._take_up(key)
        try:
            yield partial
        finally:
            partial.sync()


def _lock(file: BinaryIO, output: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(
            f"Another process is writing {output}. Wait for it, or choose another name."
        ) from None
    except OSError:
        pass  # a file system without locks


def _digest(record_id: str, path: str) -> bytes:
    return xxhash.xxh3_128_digest(f"{record_id}\0{path}".encode(errors="surrogatepass"))


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line's object; None for a torn line."""
    if not line.endswith(b"\n"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _write_lines(file: BinaryIO, rows: Iterable[Row], layout: Layout) -> None:
    for row in rows:
        file.write(_line({name: value for name, value in row.items() if name != "probabilities"}))


def _write_csv(file: BinaryIO, rows: Iterable[Row], layout: Layout) -> None:
    columns = tuple(layout.columns())
    cells = map(layout.cells, rows)
    write_csv(file, columns, ([row.get(name) for name in columns] for row in cells))


def _write_parquet(file: BinaryIO, rows: Iterable[Row], layout: Layout) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in layout.columns().items()])
    with pq.ParquetWriter(file, schema) as writer:
        for part in _parts(rows):
            cells = [{k: _utf8(v) for k, v in layout.cells(row).items()} for row in part]
            writer.write_table(pa.Table.from_pylist(cells, schema))


def _utf8(value: Any) -> Any:
    """A text as the other formats write it, if a file's name was no UTF-8."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    part: list[Row] = []
    for row in rows:
        part.append(row)
        if len(part) == _ROWS_AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def corrected_rows(
    rows: Iterable[Row],
    correct: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    class_ids: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """The rows with a corrected probability beside each uncorrected one.

    Args:
        rows: with the probabilities of all classes.
        correct: (1, C) probabilities to corrected ones.
        class_ids: (C,) the ids of the classes.
    """
    place_of = {class_id: place for place, class_id in enumerate(class_ids)}
    for row in rows:
        found = dict(row)
        if not row["refused"]:
            chances = np.array([row["probabilities"]], np.float64)
            new = correct(chances)[0]
            found["findings"] = [
                {**one, "corrected": None if np.isnan(p) else float(p)}
                for one in row["findings"]
                for p in (new[place_of[one["id"]]],)
            ]
        yield found
