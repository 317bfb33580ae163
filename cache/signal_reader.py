"""Serving records from a complete signal store, each checked against its CRC.

Owns trust in what is read: a store is opened only if its manifest says complete, its layout is
exactly ours, and every shard has the promised size. A missing or damaged record is an error, never
zeros. zarr-python reads the same store and is the reference in the tests; it is not used here
because it serves scattered records 20 to 50 times slower than a memory map.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache import signal_format as fmt
from ecgpipe.errors import StoreError
from ecgpipe.files import read_json_object

Slots = npt.NDArray[np.int64]


class SignalStore:
    """A complete store, memory-mapped. `read` is safe from several threads."""

    def __init__(self, folder: Path, manifest: dict[str, Any], array: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.leads: tuple[str, ...] = tuple(array["attributes"]["leads"])
        self.n_slots, _, self.samples = array["shape"]
        self._chunk_length = 2 * len(self.leads) * self.samples + fmt.CRC_BYTES
        self._shards = [self._map_shard(entry) for entry in manifest["shards"]]
        indices = [np.empty((0, 2), np.uint64), *(self._index(k) for k in range(len(self._shards)))]
        self._index_all = np.concatenate(indices)[: self.n_slots]

    @classmethod
    def open(cls, folder: Path) -> "SignalStore":
        """Open a store that was written whole.

        Raises:
            StoreError: it is missing, unfinished, of a foreign layout, or damaged.
        """
        if not folder.exists():
            raise StoreError(f"{folder} does not exist. Run `ecgpipe prepare`.")
        if not (folder / "manifest.json").exists():
            raise StoreError(f"{folder} is unfinished: it has no manifest. Run `ecgpipe prepare`.")
        mend = f"Remove {folder} and run `ecgpipe prepare`."
        names = ("format", "complete", "digest", "shards", "notes", "rejected")
        manifest = read_json_object(folder / "manifest.json", names, mend)
        array = read_json_object(folder / "signal" / "zarr.json", ("shape",), mend)
        _check_layout(folder, manifest, array)
        return cls(folder, manifest, array)

    @property
    def digest(self) -> str:
        """What recordings and settings the signals come from."""
        return str(self.manifest["digest"])

    def read(self, slots: Slots) -> npt.NDArray[np.int16]:
        """The signals of `slots` (n,), as int16 (n, 12, samples) in µV; -32768 is no reading.

        Raises:
            StoreError: a slot was rejected at prepare, is out of range, or is damaged.
        """
        signals = np.empty((len(slots), len(self.leads), self.samples), np.int16)
        for row, slot in enumerate(slots):
            chunk = self._chunk(int(slot))
            signals[row] = chunk[: -fmt.CRC_BYTES].view("<i2").reshape(signals.shape[1:])
        return signals

    def _chunk(self, slot: int) -> npt.NDArray[np.uint8]:
        stored = fmt.present(self._index_all[slot : slot + 1]) if 0 <= slot < self.n_slots else ()
        if not any(stored):
            raise StoreError(f"{self.folder} holds no record in slot {slot}.")
        offset = int(self._index_all[slot, 0])
        chunk = self._shards[slot // fmt.RECORDS_PER_SHARD][offset : offset + self._chunk_length]
        if not fmt.check_chunk(chunk):
            raise StoreError(
                f"{self.folder}, slot {slot}: the record differs from what was written (bit rot, or"
                f" the file was changed). Remove {self.folder} and run `ecgpipe prepare`."
            )
        return chunk

    def _map_shard(self, entry: dict[str, Any]) -> npt.NDArray[np.uint8]:
        path = self.folder / "signal" / "c" / str(entry["shard"]) / "0" / "0"
        size = path.stat().st_size if path.exists() else -1
        if size != entry["bytes"]:
            met = "missing" if size < 0 else f"{size:,} bytes long, not {entry['bytes']:,}"
            raise StoreError(f"{path} is {met}. Remove {self.folder} and run `ecgpipe prepare`.")
        return np.memmap(path, np.uint8, "r")

    def _index(self, shard: int) -> fmt.Index:
        try:
            return fmt.parse_index(self._shards[shard], self._chunk_length)
        except ValueError as error:
            raise StoreError(
                f"{self.folder}, shard {shard}: {error}. Remove the store and run"
                " `ecgpipe prepare`."
            ) from error


def _check_layout(folder: Path, manifest: dict[str, Any], array: dict[str, Any]) -> None:
    if manifest.get("format") != fmt.FORMAT or manifest.get("complete") is not True:
        raise StoreError(
            f"{folder}/manifest.json is not that of a complete {fmt.FORMAT} store. Remove the store"
            " and run `ecgpipe prepare`."
        )
    try:
        n_records, _, samples = array["shape"]
        expected = fmt.array_metadata(n_records, tuple(array["attributes"]["leads"]), samples)
    except (KeyError, TypeError, ValueError):
        expected = None
    if array != expected or len(manifest["shards"]) != fmt.n_shards(array["shape"][0]):
        raise StoreError(
            f"{folder}/signal/zarr.json describes another layout than {fmt.FORMAT}. Remove the"
            " store and run `ecgpipe prepare`."
        )
