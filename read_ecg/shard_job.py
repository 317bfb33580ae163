"""One shard of the signal store, from recordings to bytes.

Owns what a process needs for it, and nothing else: a job is small, is sent to other processes, and
gives the same bytes in each. Which jobs there are is `preparation`'s; who does them, `workers`'.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ecgpipe.cache.signal_writer import Rejection, ShardPlan, SignalResult, write_shard
from ecgpipe.config import DataConfig
from ecgpipe.errors import RecordError, StoppedEarly
from ecgpipe.read_ecg.excerpt import excerpt
from ecgpipe.read_ecg.record import EcgRecord, Reason
from ecgpipe.read_ecg.recording import read_recording, recording_state
from ecgpipe.read_ecg.source import SourceRow, SourceRows, recording_path
from ecgpipe.read_ecg.window import to_window


@dataclass(frozen=True, slots=True)
class PlannedRecording:
    """A recording to be read: where it lies, and which part of it is wanted."""

    record_id: str
    root: Path
    path: str
    start_s: float | None
    length_s: float | None
    read: Callable[[Path], EcgRecord] | None
    """The data set's own reader; None: by the file's content."""

    @classmethod
    def of(cls, row: SourceRow, source: SourceRows) -> "PlannedRecording":
        """The recording of a row."""
        return cls(row.record_id, source.root, row.path, row.start_s, row.length_s, source.read)


@dataclass(frozen=True)
class ShardJob:
    """A shard, its recordings in order, and the settings of the window."""

    plan: ShardPlan
    recordings: tuple[PlannedRecording, ...]
    config: DataConfig


def do_job(job: ShardJob, stop: Callable[[], bool], tick: Callable[[int], object]) -> None:
    """Write the shard.

    Args:
        job: what to write.
        stop: asked before each recording.
        tick: told of each recording that is done.

    Raises:
        StoreError: the disk is full or not writable.
        StoppedEarly: `stop` said so; the shard does not exist.
    """

    def results() -> Iterator[SignalResult]:
        for recording in job.recordings:
            if stop():
                raise StoppedEarly("Stopped while preparing.")
            yield signal_of(recording, job.config)
            tick(1)

    write_shard(job.plan, results())


def signal_of(recording: PlannedRecording, config: DataConfig) -> SignalResult:
    """The window of a recording, or the reason why there is none."""
    record_id, path, state = recording.record_id, "", ""
    try:
        found = recording_path(recording.root, recording.path)
        path, state = str(found), recording_state(found)
        signal_uv, notes = to_window(read_planned(recording, config), config)
    except RecordError as error:
        reason, message = str(error.reason), str(error)
    except OSError as error:  # a folder that may not be entered, a name too long, a lost mount
        reason, message = str(Reason.UNREADABLE), f"it cannot be read: {error}"
    else:
        return SignalResult(record_id, signal_uv, notes)
    return SignalResult(record_id, rejected=Rejection(record_id, reason, message, path, state))


def read_planned(recording: PlannedRecording, config: DataConfig) -> EcgRecord:
    """The recording, or the part of it that is wanted.

    Raises:
        RecordError: it is missing or damaged, its path leaves the root, or the part is not in it.
    """
    path = recording_path(recording.root, recording.path)
    record = (recording.read or read_recording)(path)
    if recording.start_s is None:
        return record
    return excerpt(record, recording.start_s, recording.length_s or config.duration_s)
