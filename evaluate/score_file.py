"""The scores behind the metrics, `ecgpipe-scores/1`: what `compare` reads.

Owns the layout. One HDF5 file, built in memory and written completely or not at all. Its user block
(512 bytes that every HDF5 reader skips) is a line with the format and the xxh3-128 of the rest; it
is checked before HDF5 sees a byte, because HDF5 may loop forever on a damaged file.
N = records of the split, C = classes.

    record_ids          (N,)    fixed-length UTF-8
    patients            (N,)    <i8  numbered in order of appearance, not the patients' ids
    tasks/NAME/class_ids (C,)   fixed-length UTF-8
    tasks/NAME/scores   (N, C)  <f4  cosine of each record and each class
    tasks/NAME/truth    (N, C)  u1   1: the record shows the class
    tasks/NAME/chosen   (N,)    u1   1: the task scores the record
    tasks/NAME/known    (N, C)  u1   1: `truth` is known; only where some of it is not
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.errors import StoreError
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.files import USER_BLOCK_BYTES, checked_user_block, write_atomic

FORMAT = "ecgpipe-scores/1"

_MEND = "Run `ecgpipe eval` again."


@dataclass(frozen=True)
class TaskScores:
    """One task's scores, as `ScoredTask` had them."""

    class_ids: tuple[str, ...]
    chosen_N: npt.NDArray[np.bool_]
    scores_NC: npt.NDArray[np.float32]
    truth_NC: npt.NDArray[np.bool_]
    known_NC: npt.NDArray[np.bool_] | None


@dataclass(frozen=True)
class ScoreFile:
    """A score file that was read and verified."""

    key: str
    """That of its results.json."""

    record_ids: tuple[str, ...]
    patients_N: npt.NDArray[np.int64]
    tasks: Mapping[str, TaskScores]


def write_scores(
    path: Path, scored: Mapping[str, ScoredTask], records: RecordsTable, key: str
) -> None:
    """Write scores.h5, completely or not at all.

    Args:
        path: of the file.
        scored: by task.
        records: (N,) the records of the split, in the order of the scores.
        key: of the results they belong to.

    Raises:
        StoreError: the folder is not writable or the disk is full.
    """
    number_of: dict[str, int] = {}
    patients = [number_of.setdefault(patient, len(number_of)) for patient in records.patients]
    columns: dict[str, npt.NDArray[Any]] = {
        "record_ids": _texts([record.record_id for record in records.records]),
        "patients": np.array(patients, "<i8"),
    }
    for name, task in scored.items():
        columns |= {
            f"tasks/{name}/class_ids": _texts([c.id for c in task.task.classes]),
            f"tasks/{name}/scores": task.scores_NC.astype("<f4"),
            f"tasks/{name}/truth": task.truth_NC.astype("u1"),
            f"tasks/{name}/chosen": task.chosen_N.astype("u1"),
        }
        if task.known_NC is not None:
            columns[f"tasks/{name}/known"] = task.known_NC.astype("u1")
    write_atomic(path, _image(columns, list(scored), key))


def read_scores(path: Path) -> ScoreFile:
    """Read scores.h5.

    Raises:
        StoreError: it is missing, damaged, or of a different format.
    """
    import h5py

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{path} is missing. {_MEND}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}. {_MEND}") from error
    named = content[: len(FORMAT)]
    if named != FORMAT.encode():
        raise StoreError(f"{path} is damaged, or its format is not {FORMAT}. {_MEND}")
    if content[:USER_BLOCK_BYTES] != checked_user_block(FORMAT, content[USER_BLOCK_BYTES:]):
        raise StoreError(f"{path} is damaged: its checksum does not match. {_MEND}")
    # From memory: the bytes that were checked.
    with h5py.File(io.BytesIO(content), "r") as file:
        return _read(file)


def _image(columns: Mapping[str, npt.NDArray[Any]], names: Sequence[str], key: str) -> bytes:
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w", userblock_size=USER_BLOCK_BYTES, libver=("v110", "v110")) as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values, track_times=False)
        file.attrs["key"] = key
        file.attrs["tasks"] = "\n".join(names)
    body = memory.getvalue()[USER_BLOCK_BYTES:]
    return checked_user_block(FORMAT, body) + body


def _read(file: Any) -> ScoreFile:
    tasks = {
        name: TaskScores(
            class_ids=_words(file[f"tasks/{name}/class_ids"][()]),
            chosen_N=file[f"tasks/{name}/chosen"][()].astype(np.bool_),
            scores_NC=file[f"tasks/{name}/scores"][()],
            truth_NC=file[f"tasks/{name}/truth"][()].astype(np.bool_),
            known_NC=file[f"tasks/{name}/known"][()].astype(np.bool_)
            if f"tasks/{name}/known" in file
            else None,
        )
        for name in filter(None, str(file.attrs["tasks"]).split("\n"))
    }
    patients = file["patients"][()].astype(np.int64)
    return ScoreFile(str(file.attrs["key"]), _words(file["record_ids"][()]), patients, tasks)


def _texts(words: Sequence[str]) -> npt.NDArray[Any]:
    """Fixed-length UTF-8, so that the bytes are in the dataset itself."""
    encoded = [word.encode() for word in words]
    width = max([1, *map(len, encoded)])
    return np.array(encoded, f"S{width}")


def _words(column: npt.NDArray[Any]) -> tuple[str, ...]:
    return tuple(word.decode() for word in column.tolist())
