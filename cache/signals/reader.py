"""Serving records from a complete signal store, each checked against its CRC.

Owns trust in what is read: a store is opened only if its manifest says complete, its layout is
exactly ours, and every shard has the size in the manifest. A missing or damaged record is an error,
never zeros. zarr-python reads the same store and is the reference in the tests; it is not used here
because it serves scattered records 20 to 50 times slower than a memory map.

A record is checked the first time this process serves it, on the copy that is returned. Checking
every time halved the speed of random batches, and training reads each record in every epoch. This
misses a disk that returns different bytes when pages are read again in a later epoch; the next
process and `ecgpipe verify` find it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.signals import format as fmt
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
        self._views = [shard.data for shard in self._shards]  # numpy slices more slowly than these
        indices = [np.empty((0, 2), np.uint64), *(self._index(k) for k in range(len(self._shards)))]
        self._index_all = np.concatenate(indices)[: self.n_slots]
        self._is_stored = fmt.present(self._index_all)
        self._is_checked = np.zeros(self.n_slots, np.bool_)

    @classmethod
    def open(cls, folder: Path) -> "SignalStore":
        """Open a store that was written whole.

        Raises:
            StoreError: it is missing, unfinished, of a foreign layout, or damaged.
        """
        if not folder.exists():
            raise StoreError(f"{folder} does not exist. Run `ecgpipe prepare`.")
        if not fmt.manifest_path(folder).exists():
            raise StoreError(f"{folder} is unfinished: it has no manifest. Run `ecgpipe prepare`.")
        manifest = read_manifest(folder)
        array = read_json_object(fmt.array_path(folder), ("shape",), fmt.remake_hint(folder))
        check_layout(folder, manifest, array)
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
        offsets, is_checked = self._offsets(slots), self._is_checked[slots].tolist()
        signals = np.empty((len(slots), len(self.leads), self.samples), "<i2")
        rows, length = signals.reshape(-1).view(np.uint8).data, 2 * signals[:1].size
        for row, (slot, offset) in enumerate(zip(slots.tolist(), offsets, strict=True)):
            shard, end = self._views[slot // fmt.RECORDS_PER_SHARD], offset + length
            rows[row * length : (row + 1) * length] = shard[offset:end]
            if not is_checked[row]:
                self._check(slot, rows[row * length : (row + 1) * length], shard[end:])
        return signals.astype(np.int16, copy=False)

    def _offsets(self, slots: Slots) -> list[int]:
        """Where each record begins in its shard."""
        known = (slots >= 0) & (slots < self.n_slots)
        known[known] = self._is_stored[slots[known]]
        if not known.all():
            raise StoreError(f"{self.folder} holds no record in slot {slots[~known][0]}.")
        offsets: list[int] = self._index_all[slots, 0].tolist()
        return offsets

    def _check(self, slot: int, samples: memoryview, behind: memoryview) -> None:
        if not fmt.matches_crc(samples, behind[: fmt.CRC_BYTES]):
            raise StoreError(
                f"{self.folder}, slot {slot}: the record differs from what was written (bit rot, or"
                f" the file was changed). {fmt.remake_hint(self.folder)}"
            )
        # One byte per record, so that threads cannot undo each other's marks.
        self._is_checked[slot] = True

    def _map_shard(self, entry: dict[str, Any]) -> npt.NDArray[np.uint8]:
        path = fmt.shard_path(self.folder, entry["shard"])
        size = path.stat().st_size if path.exists() else -1
        if size != entry["bytes"]:
            met = "missing" if size < 0 else f"{size:,} bytes long, not {entry['bytes']:,}"
            raise StoreError(f"{path} is {met}. {fmt.remake_hint(self.folder)}")
        return np.memmap(path, np.uint8, "r")

    def _index(self, shard: int) -> fmt.Index:
        try:
            return fmt.parse_index(self._shards[shard], self._chunk_length)
        except ValueError as error:
            raise StoreError(
                f"{self.folder}, shard {shard}: {error}. {fmt.remake_hint(self.folder)}"
            ) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a complete store.

    Raises:
        StoreError: it is missing or damaged.
    """
    names = ("format", "complete", "digest", "shards", "notes", "rejected", "zarr_sums")
    path, hint = fmt.manifest_path(folder), fmt.remake_hint(folder)
    manifest = read_json_object(path, names, hint)
    if not fmt.matches_checksum(manifest):
        raise StoreError(f"{path} is damaged: it does not match its checksum. {hint}")
    return manifest


def check_layout(folder: Path, manifest: dict[str, Any], array: dict[str, Any]) -> None:
    """Check that a store is complete, of our layout, and described by the zarr.json files it had.

    Raises:
        StoreError: it is not.
    """
    hint = fmt.remake_hint(folder)
    if manifest.get("format") != fmt.FORMAT or manifest.get("complete") is not True:
        raise StoreError(
            f"{fmt.manifest_path(folder)} is not that of a complete {fmt.FORMAT} store. {hint}"
        )
    try:
        n_records, _, samples = array["shape"]
        expected = fmt.array_metadata(n_records, tuple(array["attributes"]["leads"]), samples)
    except (KeyError, TypeError, ValueError):
        expected = None
    if array != expected or len(manifest["shards"]) != fmt.n_shards(array["shape"][0]):
        raise StoreError(
            f"{fmt.array_path(folder)} describes another layout than {fmt.FORMAT}. {hint}"
        )
    for name, wanted in manifest["zarr_sums"].items():
        if fmt.checksum_of(read_json_object(folder / name, (), hint)) != wanted:
            raise StoreError(
                f"{folder / name} is damaged: it does not match the manifest's checksum. {hint}"
            )
