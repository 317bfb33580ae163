"""Serving records from a complete signal store, each checked against its CRC.

Owns trust in what is read: a store is opened only if its manifest says complete, its layout is
exactly ours, and every shard has the promised size. A missing or damaged record is an error, never
zeros. zarr-python reads the same store and is the reference in the tests; it is not used here
because it serves scattered records 20 to 50 times slower than a memory map.

A record is checked the first time this process hands it out, and what is checked is the copy that
is handed out. Checked every time, random batches came at half the speed of a memory map, while the
training reads each record once an epoch. What that leaves unseen is a disk that gives other bytes
to a later epoch than to the first, where memory was short and the pages had to be read again; the
next process sees it, and `ecgpipe verify`.
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
        if not (folder / "manifest.json").exists():
            raise StoreError(f"{folder} is unfinished: it has no manifest. Run `ecgpipe prepare`.")
        manifest = read_manifest(folder)
        array = read_json_object(folder / "signal" / "zarr.json", ("shape",), _mend(folder))
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
                f" the file was changed). Remove {self.folder} and run `ecgpipe prepare`."
            )
        # A byte each, so that threads that set neighbours do not undo one another.
        self._is_checked[slot] = True

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


def read_manifest(folder: Path) -> dict[str, Any]:
    """What seals a store.

    Raises:
        StoreError: it is missing or damaged.
    """
    names = ("format", "complete", "digest", "shards", "notes", "rejected")
    manifest = read_json_object(folder / "manifest.json", names, _mend(folder))
    if not fmt.matches_sum(manifest):
        raise StoreError(
            f"{folder}/manifest.json is damaged: it differs from its sum. {_mend(folder)}"
        )
    return manifest


def _mend(folder: Path) -> str:
    return f"Remove {folder} and run `ecgpipe prepare`."


def check_layout(folder: Path, manifest: dict[str, Any], array: dict[str, Any]) -> None:
    """Whether a store is complete and of our layout, as its sums say.

    Raises:
        StoreError: it is not.
    """
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
    for name, wanted in manifest.get("zarr_sums", {}).items():  # older stores have none
        if fmt.sum_of(read_json_object(folder / name, (), _mend(folder))) != wanted:
            raise StoreError(
                f"{folder / name} is damaged: it differs from its sum in the manifest."
                f" {_mend(folder)}"
            )
