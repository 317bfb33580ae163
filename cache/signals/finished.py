"""A finished shard of any store, read to be taken over by another one.

Owns that nothing in it is believed unchecked: the done file matches its checksum, the shard has the
size that the done file says and a sound index, and a record's samples match their CRC. A store that
is being written, damaged or removed meanwhile has fewer such shards or records; that is no error.
"""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.signals import format as fmt
from ecgpipe.errors import StoreError
from ecgpipe.files import read_json


class FinishedShard:
    """A shard and what became of each of its records."""

    def __init__(
        self, path: Path, done: dict[str, Any], shape: tuple[int, int], content: npt.NDArray[Any]
    ) -> None:
        self.path = path
        self.origin: dict[str, str] = done["origin"]
        """The roots at which its recordings were read, by their source."""

        self.n_bytes: int = done["bytes"]
        self.xxh3_128: str = done["xxh3_128"]
        self.record_ids = tuple(outcome["record_id"] for outcome in done["records"])
        self._outcomes = done["records"]
        self._places = {record_id: place for place, record_id in enumerate(self.record_ids)}
        self._shape = shape
        self._content = content
        self._index = fmt.parse_index(content, 2 * shape[0] * shape[1] + fmt.CRC_BYTES)

    @classmethod
    def open(cls, store: Path, shard: int, shape: tuple[int, int]) -> "FinishedShard | None":
        """Map a shard into memory.

        Args:
            store: its folder.
            shard: its number.
            shape: leads and samples of each record.

        Returns:
            None if it is unfinished, damaged or gone.
        """
        path, done = fmt.shard_path(store, shard), read_done(store, shard)
        if done is None:
            return None
        with contextlib.suppress(OSError, LookupError, TypeError, ValueError):
            content = np.memmap(path, np.uint8, "r")
            if len(content) == done["bytes"]:
                return cls(path, done, shape, content)
        return None

    def outcome(self, record_id: str) -> dict[str, Any] | None:
        """What its done file says of a record; None if the shard does not have it."""
        place = self._places.get(record_id)
        return None if place is None else dict(self._outcomes[place])

    def signal(self, record_id: str) -> npt.NDArray[np.int16] | None:
        """A record's samples (leads, samples), not copied; None if there are none or they are
        damaged."""
        place = self._places[record_id]
        if not fmt.present(self._index)[place]:
            return None
        start, length = (int(number) for number in self._index[place])
        chunk = self._content[start : start + length]
        samples, stored = chunk[: -fmt.CRC_BYTES], chunk[-fmt.CRC_BYTES :]
        if not fmt.matches_crc(samples.data, stored.data):
            return None
        return np.frombuffer(samples.data, "<i2").reshape(self._shape).astype(np.int16, copy=False)


def read_done(store: Path, shard: int) -> dict[str, Any] | None:
    """A shard's done file; None if it is missing or damaged."""
    with contextlib.suppress(StoreError, AttributeError):
        done = read_json(fmt.done_path(store, shard))
        if fmt.matches_checksum(done):
            return dict(done)
    return None
