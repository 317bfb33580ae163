"""One shard of the signal store, from recordings to bytes.

Owns all that a process needs for it: a job is small, can be sent to another process, and gives the
same bytes there. `preparation` decides which jobs there are, `workers` who does them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.signals.writer import (
    Rejection,
    ShardPlan,
    SignalResult,
    link_shard,
    write_shard,
)
from ecgpipe.config.data import DataConfig
from ecgpipe.errors import RecordError, StoppedEarly
from ecgpipe.read_ecg.datasets.source import Planned, SourceRow, SourceRows, recording_path
from ecgpipe.read_ecg.formats.recording import read_recording
from ecgpipe.read_ecg.prepare.plan import request_digest
from ecgpipe.read_ecg.prepare.reuse import EarlierShard, Reused, open_shards, reuse, whole_shard
from ecgpipe.read_ecg.prepare.sameness import identity_of_planned
from ecgpipe.read_ecg.quality.measures import quality_notes
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason, excerpt
from ecgpipe.read_ecg.signal.window import to_window


@dataclass(frozen=True)
class ShardJob:
    """A shard, its recordings in order, and the settings of the window."""

    plan: ShardPlan
    recordings: tuple[Planned, ...]
    config: DataConfig
    earlier: tuple[EarlierShard, ...] = ()
    """Of other stores, which may hold some of the recordings."""


def do_job(job: ShardJob, stop: Callable[[], bool], tick: Callable[[int], object]) -> int:
    """Write the shard; recordings that an earlier store holds are not read.

    Args:
        job: what to write.
        stop: called before each recording.
        tick: called with the number of recordings done since.

    Returns:
        How many recordings were not read.

    Raises:
        StoreError: the disk is full or not writable.
        StoppedEarly: `stop` returned True; the shard was not written.
    """

    def check_stop() -> None:
        if stop():
            raise StoppedEarly("Stopped while preparing.")

    found: list[Reused | None] = []
    earlier = open_shards(job.earlier, job.plan.shape)
    for recording in job.recordings if earlier else ():
        check_stop()
        found.append(reuse(recording, earlier))
    shard = whole_shard(found, job.plan.record_ids)
    if shard and link_shard(job.plan, shard, [one.result for one in found if one]):
        tick(len(found))
        return len(found)

    def results() -> Iterator[SignalResult]:
        for recording, one in zip_longest(job.recordings, found):
            check_stop()
            yield one.result if one else signal_of(recording, job.config)
            tick(1)

    write_shard(job.plan, results())
    return sum(one is not None for one in found)


def signal_of(recording: Planned, config: DataConfig) -> SignalResult:
    """The window of a recording, or the reason why there is none."""
    record_id, source, path = recording.row.record_id, recording.source, ""
    # Before it is read: a file that is changed meanwhile keeps the identity of the one before, so
    # it is read again.
    identity, request = identity_of_planned(recording), request_digest(recording)
    try:
        path = str(recording_path(source.root, recording.row.path).relative_to(source.root))
        signal_uv, notes = _window_of(recording, config)
        return SignalResult(record_id, signal_uv, notes, None, identity, request)
    except RecordError as error:
        reason, message = str(error.reason), str(error)
    except OSError as error:  # a forbidden folder, a name too long, a lost mount
        reason, message = str(Reason.UNREADABLE), f"it cannot be read: {error}"
    rejected = Rejection(record_id, reason, message, source.label, path, *identity)
    return SignalResult(record_id, None, (), rejected, identity, request)


def _window_of(
    recording: Planned, config: DataConfig
) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    record = read_planned(recording.row, recording.source, config)
    signal_uv, notes = to_window(record, config)
    return signal_uv, notes + quality_notes(record)


def read_planned(row: SourceRow, source: SourceRows, config: DataConfig) -> EcgRecord:
    """The recording, or the part of it that is wanted.

    Raises:
        RecordError: it is missing or damaged, its path leaves the root, or it lacks the part.
    """
    record = (source.read or read_recording)(recording_path(source.root, row.path))
    if row.start_s is None:
        return record
    return excerpt(record, row.start_s, row.length_s or config.duration_s)
