"""Rows whose vector tells which text it belongs to."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import VectorRows
from ecgpipe.cache.vectors.writer import VectorWriter

FINGERPRINT = Fingerprint({"weights": "w", "pooling": "mean", "layer": -1})


def keys_for(*numbers: int) -> npt.NDArray[np.uint8]:
    digests = [hashlib.sha256(str(number).encode()).digest() for number in numbers]
    return np.array([list(digest) for digest in digests], np.uint8).reshape(-1, 32)


def rows_for(*numbers: int, value: float = 0.0) -> VectorRows:
    """Vectors whose first element is the text's number."""
    vectors = np.array([[number, value] for number in numbers], np.float32)
    n = len(numbers)
    return VectorRows(vectors, keys_for(*numbers), np.ones(n, np.uint32), np.zeros(n, np.bool_))


def add(root: Path, *rows: VectorRows) -> None:
    for batch in rows:
        writer = VectorWriter(root, FINGERPRINT, {})
        writer.add(batch)
        writer.seal()
