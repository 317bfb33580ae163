"""Building a signal store so that a kill costs at most the shard being written.

Owns the order of writing: one shard has one writer; the shard is synced and renamed, then its done
file says what became of each record, and once all are written the manifest completes the store. A
shard without a done file is not trusted and is written again. The same plan and recordings give the
same bytes, however often the work was interrupted.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ecgpipe.cache.signals import format as fmt
from ecgpipe.cache.signals.finished import FinishedShard
from ecgpipe.errors import StoreError
from ecgpipe.files import (
    fsync_folder,
    make_folder,
    open_atomic,
    read_json,
    read_json_object,
    remove_leftovers,
    storing,
    temporary_beside,
    write_json_atomic,
)


@dataclass(frozen=True)
class SignalResult:
    """What became of one planned record: its samples, or the reason there are none."""

    record_id: str
    signal: npt.NDArray[np.int16] | None = None
    """(12, samples) in µV, or None if the record was rejected."""

    notes: tuple[str, ...] = ()
    """Decisions taken while reading it, as short words that can be counted."""

    rejected: "Rejection | None" = None
    """Why there are no samples."""

    recording: tuple[str, str] = ("", "")
    """Its identity, kept in the done file: `seen` and `content` as in a `Rejection`."""

    request: str = ""
    """A digest of what was to be read: path, part and reader. Kept in the done file."""


@dataclass(frozen=True)
class Rejection:
    """A record that is not in the store, and why."""

    record_id: str
    reason: str
    message: str
    source: str = ""
    """What its source is called."""

    path: str = ""
    """Of its recording, below the source's root; '' if the path itself was refused."""

    seen: str = ""
    """Names, sizes and times of its files then, as a digest."""

    content: str = ""
    """The same of their bytes. If both differ now, somebody has repaired the recording."""


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """One shard of a planned store; small enough to send to another process."""

    folder: Path
    """Of the store."""

    shard: int
    record_ids: tuple[str, ...]
    shape: tuple[int, int]
    """Leads and samples of each record."""

    digest: str
    """Of the store's plan and settings."""

    origin: Mapping[str, str] = field(default_factory=dict)
    """Where the recordings are read, kept in the done file."""


class SignalStoreWriter:
    """Writes the shards of one planned store; the same plan continues where it stopped."""

    def __init__(
        self,
        folder: Path,
        *,
        record_ids: Sequence[str],
        leads: tuple[str, ...],
        samples: int,
        attributes: dict[str, Any],
        origin: Mapping[str, str] | None = None,
    ) -> None:
        """Plan a store.

        Args:
            folder: where the store is built.
            record_ids: the plan; a record's place in it is its slot. Not copied: there may be a
                million, in a sequence that takes less memory than a list.
            leads: the lead of each row.
            samples: samples of each lead.
            attributes: how the signals are made, with a `digest` of plan and settings.
            origin: where the recordings are read; nothing depends on it.

        Raises:
            StoreError: the folder was begun under another digest, or cannot be written.
        """
        self.folder = folder
        self._record_ids = record_ids
        self._leads = leads
        self._samples = samples
        self._origin = dict(origin or {})
        self._attributes = {"format": fmt.FORMAT, **attributes}
        self._begin()

    def shards_to_do(self) -> list[int]:
        """The shards that are not finished yet."""
        return [k for k in range(fmt.n_shards(len(self._record_ids))) if not self._is_done(k)]

    def planned(self, shard: int) -> range:
        """The slots of a shard."""
        return fmt.slots_of(shard, len(self._record_ids))

    def shard_plan(self, shard: int) -> "ShardPlan":
        """What is needed to write a shard, here or in another process."""
        return ShardPlan(
            folder=self.folder,
            shard=shard,
            record_ids=tuple(self._record_ids[slot] for slot in self.planned(shard)),
            shape=(len(self._leads), self._samples),
            digest=self._attributes["digest"],
            origin=self._origin,
        )

    def drop_shard(self, shard: int) -> None:
        """Let a finished shard be written again.

        Raises:
            StoreError: the store cannot be changed.
        """
        path = fmt.done_path(self.folder, shard)
        with storing(path):
            path.unlink(missing_ok=True)
            fsync_folder(path.parent)

    def seal(self, made_by: dict[str, Any]) -> dict[str, Any]:
        """Write the manifest, which makes the store complete; returns it.

        Args:
            made_by: provenance to keep in it.

        Raises:
            StoreError: a shard is still missing.
        """
        if missing := self.shards_to_do():
            raise StoreError(f"{self.folder} lacks {len(missing)} shards. Run `ecgpipe prepare`.")
        n_records, rejected, shards = 0, [], []
        notes: Counter[str] = Counter()
        for shard in range(fmt.n_shards(len(self._record_ids))):  # one at a time, to save memory
            done = read_json(fmt.done_path(self.folder, shard))
            n_records += len(done["records"])
            rejected += [r["rejected"] for r in done["records"] if "rejected" in r]
            notes.update(note for r in done["records"] for note in r.get("notes", ()))
            shards.append({key: done[key] for key in ("shard", "bytes", "xxh3_128")})
        manifest = fmt.with_checksum(
            {
                "format": fmt.FORMAT,
                "complete": True,
                "digest": self._attributes["digest"],
                "planned": n_records,
                "stored": n_records - len(rejected),
                "rejected": rejected,
                "notes": dict(sorted(notes.items())),
                "shards": shards,
                "zarr_sums": {
                    "zarr.json": fmt.checksum_of(self._group()),
                    "signal/zarr.json": fmt.checksum_of(self._array()),
                },
                "provenance": made_by,
            }
        )
        write_json_atomic(fmt.manifest_path(self.folder), manifest)
        return manifest

    def _begin(self) -> None:
        group = self._group()
        path, hint = fmt.group_path(self.folder), fmt.remake_hint(self.folder)
        if path.exists() and read_json_object(path, (), hint) != json.loads(json.dumps(group)):
            raise StoreError(f"{self.folder} was begun for other recordings or settings. {hint}")
        array_path = fmt.array_path(self.folder)
        remove_leftovers(array_path.parent)
        write_json_atomic(array_path, self._array())
        write_json_atomic(path, group)

    def _group(self) -> dict[str, Any]:
        return fmt.group_metadata(self._attributes)

    def _array(self) -> dict[str, Any]:
        return fmt.array_metadata(len(self._record_ids), self._leads, self._samples)

    def _is_done(self, shard: int) -> bool:
        path = fmt.done_path(self.folder, shard)
        if not path.exists():
            return False
        file = fmt.shard_path(self.folder, shard)
        planned = [self._record_ids[slot] for slot in self.planned(shard)]
        try:
            done = read_json(path)
            return bool(
                fmt.matches_checksum(done)
                and done["digest"] == self._attributes["digest"]
                and [record["record_id"] for record in done["records"]] == planned
                and file.exists()
                and file.stat().st_size == done["bytes"]
            )
        except (StoreError, KeyError, TypeError, AttributeError):
            return False  # a damaged done file: its shard is written again


def write_shard(plan: ShardPlan, results: Iterable[SignalResult]) -> None:
    """Write one shard and then its done file.

    Args:
        plan: of the shard.
        results: one for each planned slot, in order; consumed one at a time to save memory.

    Raises:
        StoreError: the disk is full or not writable. The shard then does not exist.
    """
    index, offset, hasher = fmt.empty_index(), 0, xxhash.xxh3_128()
    outcomes: list[dict[str, Any]] = []
    with open_atomic(fmt.shard_path(plan.folder, plan.shard)) as file:
        pairs = zip(plan.record_ids, results, strict=True)
        for place, (record_id, result) in enumerate(pairs):
            assert result.record_id == record_id, (place, result.record_id)
            assert (result.signal is None) == (result.rejected is not None), record_id
            if result.signal is not None:
                assert result.signal.shape == plan.shape, result.signal.shape
                assert result.signal.dtype == np.int16, result.signal.dtype
                chunk = fmt.chunk_bytes(result.signal)
                index[place] = offset, len(chunk)
                offset += len(chunk)
                hasher.update(chunk)
                file.write(chunk)
            outcomes.append(_outcome(result))
        tail = fmt.index_bytes(index)
        hasher.update(tail)
        file.write(tail)
    _write_done(plan, offset + len(tail), hasher.hexdigest(), outcomes)


def link_shard(plan: ShardPlan, finished: FinishedShard, results: Iterable[SignalResult]) -> bool:
    """Take over the whole file of another store's shard, as a hard link, and write its done file.

    Args:
        plan: of the shard.
        finished: with the same records in the same order, all of them checked.
        results: one for each planned slot, as `write_shard` would get them.

    Returns:
        False, with nothing written, where the disk has no hard links or the file is gone.

    Raises:
        StoreError: the disk is full or not writable.
    """
    target = fmt.shard_path(plan.folder, plan.shard)
    temporary = temporary_beside(target)
    with storing(target):
        make_folder(target.parent)
        try:
            temporary.hardlink_to(finished.path)  # safe: a finished shard never changes
        except OSError:
            return False
        temporary.replace(target)
        temporary.unlink(missing_ok=True)  # stays where `target` was this very file
        fsync_folder(target.parent)
    outcomes = [_outcome(result) for result in results]
    _write_done(plan, finished.n_bytes, finished.xxh3_128, outcomes)
    return True


def _write_done(
    plan: ShardPlan, n_bytes: int, xxh3_128: str, outcomes: Sequence[dict[str, Any]]
) -> None:
    done = {
        "shard": plan.shard,
        "digest": plan.digest,
        "origin": dict(plan.origin),
        "bytes": n_bytes,
        "xxh3_128": xxh3_128,
        "records": list(outcomes),
    }
    write_json_atomic(fmt.done_path(plan.folder, plan.shard), fmt.with_checksum(done))


def _outcome(result: SignalResult) -> dict[str, Any]:
    outcome: dict[str, Any] = {"record_id": result.record_id}
    if result.notes:
        outcome["notes"] = list(result.notes)
    if any(result.recording):
        outcome["recording"] = list(result.recording)
    if result.request:
        outcome["request"] = result.request
    if result.rejected is not None:
        outcome["rejected"] = asdict(result.rejected)
    return outcome
