"""Signals that an earlier store already holds, so that new rows cost only themselves.

Owns which stores and shards may be used, and when a recording's stored signal is what reading it
again would give: the store has the same settings and version, the record has the same id and
request (path, part and reader), and the recording is the same by `sameness`. What is taken over is
copied or linked, so the new store depends on no other. A rejection is taken over only at the same
root, because its message may name a path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecgpipe.cache.signals import format as fmt
from ecgpipe.cache.signals.finished import FinishedShard, read_done
from ecgpipe.cache.signals.writer import Rejection, SignalResult
from ecgpipe.errors import StoreError
from ecgpipe.files import read_json
from ecgpipe.read_ecg.datasets.source import Planned
from ecgpipe.read_ecg.prepare.plan import request_digest
from ecgpipe.read_ecg.prepare.sameness import NOTHING, Identity, identity_if_same, planned_path

_SAME = ("format", "version", "settings")
"""The attributes that stores with interchangeable signals share."""


@dataclass(frozen=True)
class EarlierShard:
    """A finished shard of another store; small enough to send to another process."""

    store: Path
    shard: int
    first: str
    """The least of its record ids."""

    last: str
    """The greatest."""


def find_earlier_shards(store: Path) -> list[EarlierShard]:
    """The finished shards of all other stores beside a store that were made as it is.

    Args:
        store: its folder; its description is written.
    """
    wanted = _made_as(store)
    assert wanted is not None, store
    others = [other for other in sorted(store.parent.glob("*.zarr")) if other != store]
    found = []
    for other in others:
        if _made_as(other) == wanted:
            for path in sorted((other / "done").glob("*.json")):
                if path.stem.isdecimal() and (ids := _record_ids(other, int(path.stem))):
                    found.append(EarlierShard(other, int(path.stem), min(ids), max(ids)))
    return found


def overlapping(
    shards: Sequence[EarlierShard], record_ids: Sequence[str]
) -> tuple[EarlierShard, ...]:
    """Those that may hold one of some records; the ids are sorted."""
    return tuple(s for s in shards if s.first <= record_ids[-1] and s.last >= record_ids[0])


@dataclass(frozen=True)
class Reused:
    """A record as it would be read again, and the shard that holds it."""

    result: SignalResult
    shard: FinishedShard


def open_shards(shards: Sequence[EarlierShard], shape: tuple[int, int]) -> list[FinishedShard]:
    """Those that are still there and whole; `shape` is leads and samples of each record."""
    opened = (FinishedShard.open(each.store, each.shard, shape) for each in shards)
    return [shard for shard in opened if shard is not None]


def reuse(planned: Planned, shards: Sequence[FinishedShard]) -> Reused | None:
    """What became of a recording before, if reading it again would give the same."""
    request = request_digest(planned)
    for shard in shards:
        outcome = shard.outcome(planned.row.record_id)
        if outcome is None or outcome.get("request") != request:
            continue
        known = Identity(*outcome.get("recording", NOTHING))
        identity = identity_if_same(planned_path(planned), known)
        if identity is not None and (result := _result(planned, outcome, identity, shard)):
            return Reused(replace(result, request=request), shard)
    return None


def whole_shard(reused: Sequence[Reused | None], record_ids: Sequence[str]) -> FinishedShard | None:
    """The shard with exactly these records, if each of them was found in it."""
    shard = reused[0].shard if reused and reused[0] else None
    if shard is None or shard.record_ids != tuple(record_ids):
        return None
    return shard if all(one is not None and one.shard is shard for one in reused) else None


def _result(
    planned: Planned, outcome: Mapping[str, Any], identity: Identity, shard: FinishedShard
) -> SignalResult | None:
    record_id, notes = planned.row.record_id, tuple(outcome.get("notes", ()))
    if "rejected" not in outcome:
        signal = shard.signal(record_id)
        return None if signal is None else SignalResult(record_id, signal, notes, None, identity)
    known = Rejection(**outcome["rejected"])
    if shard.origin.get(known.source) != str(planned.source.root):
        return None
    rejected = replace(
        known, source=planned.source.label, seen=identity.seen, content=identity.content
    )
    return SignalResult(record_id, None, notes, rejected, identity)


def _made_as(store: Path) -> dict[str, Any] | None:
    """How a store's signals are made; None if it is no store, or does not say."""
    try:
        attributes = read_json(fmt.group_path(store))["attributes"]
        return {name: attributes[name] for name in _SAME}
    except (StoreError, LookupError, TypeError):
        return None


def _record_ids(store: Path, shard: int) -> list[str]:
    done = read_done(store, shard)
    return [] if done is None else [outcome["record_id"] for outcome in done["records"]]
