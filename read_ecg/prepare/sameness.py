"""Whether recordings are still those that a signal store was made from, wherever they lie now.

Owns a recording's identity. A folder that was moved, or is mounted elsewhere, has other paths and
perhaps other modification times (`cp -r`), but the same recordings. So each recording's identity is
kept with its signal: size and time of its files, which cost one look, and a checksum of their
bytes, which is compared only where size or time differ. A store remembers the roots for which all
recordings were compared. For those, only rejected recordings are looked at again, because somebody
may have repaired them; that others change in place is not expected.
"""

import contextlib
import functools
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from ecgpipe.cache.signals import format as fmt
from ecgpipe.cache.signals.finished import read_done
from ecgpipe.cache.signals.reader import read_manifest
from ecgpipe.cache.signals.writer import Rejection
from ecgpipe.errors import RecordError, StoreError
from ecgpipe.files import read_json, write_json_atomic
from ecgpipe.progress import progress
from ecgpipe.read_ecg.datasets.source import Planned, recording_path
from ecgpipe.read_ecg.formats.recording import recording_files
from ecgpipe.read_ecg.prepare.plan import Plan

Roots = Mapping[str, Path]
"""`source_roots` of the settings."""

_LARGEST_BYTES = 64 << 20
"""Of a file that is read for its checksum: a larger one holds many recordings."""


class Identity(NamedTuple):
    """What tells a recording from a changed one."""

    seen: str
    """A digest of its files' names, sizes and modification times; '' without any."""

    content: str
    """A checksum of its files' names and bytes; '' without any, and for a file too large to be
    read, which counts as changed where `seen` differs."""


NOTHING = Identity("", "")


def identity_of(path: Path) -> Identity:
    """The identity of the recording at a path."""
    try:
        files = _with_states(path)
        return Identity(_seen(files), _content(files))
    except OSError:
        return NOTHING


def is_same(path: Path, known: Identity) -> bool:
    """Whether the recording at a path is the known one; reads it only if it must."""
    return identity_if_same(path, known) is not None


def identity_if_same(path: Path | None, known: Identity) -> Identity | None:
    """The identity of the recording at a path as it is now, if it is the known one.

    Reads the recording only if its size or time differs. None as path is one that may not be
    followed, where nothing is and was.
    """
    try:
        files = [] if path is None else _with_states(path)
        if (seen := _seen(files)) == known.seen:
            return known
        if known.content and _content(files) == known.content:
            return Identity(seen, known.content)
    except OSError:
        if known == NOTHING:
            return NOTHING
    return None


def changed_recordings(store: Path, roots: Roots, plan: Plan) -> list[tuple[str, Identity]]:
    """The recordings that are others than when a complete store was made, as they are now.

    Args:
        store: its folder.
        roots: where the recordings lie now.
        plan: that of the store. Read only if the store was not compared with these roots yet; then
            it remembers them if nothing has changed.

    Raises:
        StoreError: the manifest is damaged.
    """
    if is_compared(store, roots):
        return changed_rejections(store, roots)
    changed: list[tuple[str, Identity]] = []
    with progress("prepare: compare moved recordings", len(plan), "records") as tick:
        for shard in range(fmt.n_shards(len(plan))):
            changed += _changed_in_shard(store, shard, plan)
            tick(len(fmt.slots_of(shard, len(plan))))
    if not changed:
        remember(store, roots)
    return changed


def changed_rejections(store: Path, roots: Roots) -> list[tuple[str, Identity]]:
    """The rejected recordings of a complete store that are not the same any more.

    Raises:
        StoreError: the manifest is damaged.
    """
    changed = []
    for entry in read_manifest(store)["rejected"]:
        known = Rejection(**entry)
        if known.path and known.source in roots:
            path = recording_path(roots[known.source], known.path)
            if not is_same(path, Identity(known.seen, known.content)):
                changed.append((known.record_id, identity_of(path)))
    return changed


def is_compared(store: Path, roots: Roots) -> bool:
    """Whether the store is known to hold the recordings at these roots."""
    return _plain(roots) in _remembered(store)


def remember(store: Path, roots: Roots) -> None:
    """Note that the store holds the recordings at these roots, if the store can be written."""
    known = _remembered(store)
    if _plain(roots) in known:
        return
    with contextlib.suppress(StoreError):
        entry = fmt.with_checksum({"roots": [*known, _plain(roots)]})
        write_json_atomic(_roots_path(store), entry)


def foreign_shards(store: Path, roots: Roots, plan: Plan) -> list[int]:
    """The finished shards that were read at other roots, from recordings that differ from those at
    these roots. None of them may stay in a store that is completed at these roots."""
    found = []
    for shard in range(fmt.n_shards(len(plan))):
        done = read_done(store, shard)
        if done is not None and done.get("origin") != _plain(roots):
            if _changed_in_shard(store, shard, plan):
                found.append(shard)
    return found


def _changed_in_shard(store: Path, shard: int, plan: Plan) -> list[tuple[str, Identity]]:
    """Without its done file, all of a shard count as changed."""
    planned = plan.of_slots(fmt.slots_of(shard, len(plan)))
    outcomes: Sequence[Any] = (read_done(store, shard) or {}).get("records", ())
    if [o["record_id"] for o in outcomes] != [p.row.record_id for p in planned]:
        return [(p.row.record_id, identity_of_planned(p)) for p in planned]
    changed = []
    for one, outcome in zip(planned, outcomes, strict=True):
        known = Identity(*outcome.get("recording", NOTHING))
        if identity_if_same(planned_path(one), known) is None:
            changed.append((one.row.record_id, identity_of_planned(one)))
    return changed


def planned_path(planned: Planned) -> Path | None:
    """Where a recording lies; None if its path may not be followed."""
    try:
        return recording_path(planned.source.root, planned.row.path)
    except RecordError:
        return None


def identity_of_planned(planned: Planned) -> Identity:
    """The identity of a planned recording as it is now."""
    path = planned_path(planned)
    return NOTHING if path is None else identity_of(path)


def _remembered(store: Path) -> list[Any]:
    with contextlib.suppress(StoreError, AttributeError):
        entry = read_json(_roots_path(store))
        if fmt.matches_checksum(entry):
            return list(entry["roots"])
    return []


def _roots_path(store: Path) -> Path:
    return store / "roots.json"  # in the store, so that whoever removes the store removes it too


def _plain(roots: Roots) -> dict[str, str]:
    return {label: str(root) for label, root in roots.items()}


def _with_states(path: Path) -> list[tuple[Path, int, int]]:
    """The existing files of a recording, with size in bytes and modification time in ns."""
    found = []
    for file in recording_files(path):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            state = os.stat(file)
            if stat.S_ISREG(state.st_mode):
                found.append((file, state.st_size, state.st_mtime_ns))
    return found


def _seen(files: Sequence[tuple[Path, int, int]]) -> str:
    if not files:
        return ""
    text = "\0".join(f"{file.name} {size} {time_ns}" for file, size, time_ns in files)
    return xxhash.xxh3_128(text.encode("utf-8", "surrogateescape")).hexdigest()


def _content(files: Sequence[tuple[Path, int, int]]) -> str:
    if not files or any(size > _LARGEST_BYTES for _, size, _ in files):
        return ""
    text = "\0".join(
        f"{file.name} {size} {_checksum(file, size, time_ns)}" for file, size, time_ns in files
    )
    return xxhash.xxh3_128(text.encode("utf-8", "surrogateescape")).hexdigest()


@functools.lru_cache(maxsize=64)  # windows of one recording, and recordings of one file, follow
def _checksum(file: Path, size: int, time_ns: int) -> str:
    """Of a file in this state."""
    with file.open("rb", buffering=0) as stream:
        return xxhash.xxh3_128(stream.readall()).hexdigest()
