"""Checking a whole signal store: every byte of it, and that its parts agree.

Owns what can be wrong with a store, and names shard, slot and record. Reads one shard at a time, so
that memory does not grow with the store. Repairs nothing: `ecgpipe prepare` makes damaged parts
again from the recordings.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ecgpipe.cache.signals import format as fmt
from ecgpipe.cache.signals.reader import check_layout, read_manifest
from ecgpipe.errors import StoreError
from ecgpipe.files import read_json_object

Tick = Callable[[int], object]


@dataclass
class VerifiedSignals:
    """What a check of every record found."""

    shards: int = 0
    records: int = 0
    """Records whose samples are intact."""

    unfinished: bool = False
    """The store has no manifest: only finished shards were checked."""

    problems: list[str] = field(default_factory=list)
    """One sentence each, with shard, slot and record id where they are known."""


def count_shards(folder: Path) -> int:
    """How many shards a store has, for a progress bar; 0 if its description is damaged."""
    try:
        return fmt.n_shards(int(_array(folder)["shape"][0]))
    except (StoreError, LookupError, TypeError, ValueError):
        return 0


def verify_signals(folder: Path, tick: Tick) -> VerifiedSignals:
    """Check a store, complete or under construction; changes nothing.

    Args:
        folder: the store.
        tick: called for each shard that was checked.
    """
    found = VerifiedSignals(unfinished=not fmt.manifest_path(folder).exists())
    try:
        array = _array(folder)
        n_slots, n_leads, samples = array["shape"]
        wanted = fmt.array_metadata(n_slots, tuple(array["attributes"]["leads"]), samples)
        if array != wanted:
            raise StoreError(f"{fmt.array_path(folder)} describes another layout.")
        digest = read_json_object(fmt.group_path(folder), ("attributes",), "")["attributes"][
            "digest"
        ]
    except (StoreError, LookupError, TypeError, ValueError) as error:
        found.problems.append(f"the store's own description is damaged: {error}")
        return found
    entries: list[dict[str, Any]] | None = None
    if not found.unfinished:
        try:
            manifest = read_manifest(folder)
            check_layout(folder, manifest, array)
            entries = manifest["shards"]
        except StoreError as error:
            found.problems.append(f"the manifest is damaged: {error}")
            return found
        if manifest["digest"] != digest:
            found.problems.append("manifest.json and zarr.json are of different stores")
    rejected: list[dict[str, Any]] = []
    for shard in range(fmt.n_shards(n_slots)):
        n_planned = len(fmt.slots_of(shard, n_slots))
        entry = None if entries is None else entries[shard]
        if entry is not None or fmt.done_path(folder, shard).exists():
            chunk_length = 2 * n_leads * samples + fmt.CRC_BYTES
            checked = _Shard(folder, shard, n_planned, chunk_length, digest)
            found.problems += checked.problems(entry)
            found.records += checked.n_good
            found.shards += 1
            rejected += checked.rejected
        tick(1)
    if entries is not None and not found.problems and rejected != manifest["rejected"]:
        found.problems.append("manifest.json and the done files name different rejected records")
    return found


def _array(folder: Path) -> dict[str, Any]:
    return read_json_object(fmt.array_path(folder), ("shape", "attributes"), "")


class _Shard:
    """One shard, compared with its done file and the manifest."""

    def __init__(
        self, folder: Path, shard: int, n_planned: int, chunk_length: int, digest: str
    ) -> None:
        self.n_good = 0
        self.rejected: list[dict[str, Any]] = []
        self._folder = folder
        self._shard = shard
        self._n_planned = n_planned
        self._chunk_length = chunk_length
        self._digest = digest
        self._outcomes: list[dict[str, Any]] = []

    def problems(self, entry: dict[str, Any] | None) -> list[str]:
        """What is wrong with the shard; `entry` is its entry in the manifest."""
        found, done = [], None
        try:
            done = self._read_done()
            if entry is not None and entry != {key: done[key] for key in entry}:
                found.append("its done file and the manifest disagree")
            self._outcomes = done["records"]
            self.rejected = [r["rejected"] for r in self._outcomes if "rejected" in r]
        except (StoreError, LookupError, TypeError, AttributeError) as error:
            found.append(f"its done file is damaged ({error})")
        # The manifest takes precedence: it exists even if the done file is gone.
        found += self._check_samples(entry or done)
        return [f"shard {self._shard}: {problem}" for problem in found]

    def _read_done(self) -> dict[str, Any]:
        path = fmt.done_path(self._folder, self._shard)
        done = read_json_object(path, ("digest", "bytes", "xxh3_128", "records"), "")
        if not fmt.matches_checksum(done):
            raise StoreError(f"{path} does not match its checksum")
        if done["digest"] != self._digest or len(done["records"]) != self._n_planned:
            raise StoreError(f"{path} belongs to another store")
        return done

    def _check_samples(self, expected: dict[str, Any] | None) -> Iterator[str]:
        path = fmt.shard_path(self._folder, self._shard)
        if not path.exists():
            yield f"{path} is missing"
            return
        n_bytes = path.stat().st_size
        if expected is not None and n_bytes != expected["bytes"]:
            yield f"{path} is {n_bytes:,} bytes long, not {expected['bytes']:,}"
            return
        content = np.memmap(path, np.uint8, "r") if n_bytes else np.empty(0, np.uint8)
        try:
            index = fmt.parse_index(content, self._chunk_length)
        except ValueError as error:
            yield f"{error}, so none of its {self._n_planned:,} records can be served"
            return
        bad = list(self._bad_records(content, index))
        yield from bad
        if expected is not None and not bad:
            if xxhash.xxh3_128(content.data).hexdigest() != expected["xxh3_128"]:
                yield "its content is not what was written"

    def _bad_records(self, content: np.ndarray[Any, Any], index: fmt.Index) -> Iterator[str]:
        is_stored = fmt.present(index)
        for place in range(fmt.RECORDS_PER_SHARD):
            slot = self._shard * fmt.RECORDS_PER_SHARD + place
            outcome = self._outcomes[place] if place < len(self._outcomes) else None
            named = f"slot {slot}" + (f", record {outcome['record_id']}" if outcome else "")
            if self._outcomes and is_stored[place] != (
                outcome is not None and "rejected" not in outcome
            ):
                yield f"{named}: index and done file disagree on whether it is stored"
            elif is_stored[place]:
                start = int(index[place, 0])
                chunk = content[start : start + self._chunk_length].data
                if fmt.matches_crc(chunk[: -fmt.CRC_BYTES], chunk[-fmt.CRC_BYTES :]):
                    self.n_good += 1
                else:
                    yield f"{named}: its samples differ from what was written"
