"""The prepare stage: sources to a signal store and a table of records.

Owns the order of the work, the digests that show whether prepared data still match the settings,
and the list of rejected records. Works shard by shard and row by row, so that memory stays small.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ecgpipe.cache.records_table import read_about, write_records
from ecgpipe.cache.signals.format import manifest_path
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.cache.signals.writer import Rejection, SignalStoreWriter
from ecgpipe.config.data import DataConfig
from ecgpipe.config.places import without_places
from ecgpipe.errors import SourceError, StoreError
from ecgpipe.files import canonical_json, digest_of, write_atomic
from ecgpipe.processes import Share
from ecgpipe.progress import progress
from ecgpipe.provenance import provenance
from ecgpipe.read_ecg.datasets.adapters import source_digest, source_roots
from ecgpipe.read_ecg.datasets.splits import check_patients
from ecgpipe.read_ecg.echo.echo_findings import (
    PACED,
    EchoJoin,
    EchoJudge,
    echo_digest,
)
from ecgpipe.read_ecg.echo.echo_table import read_echo_table
from ecgpipe.read_ecg.prepare.plan import Plan, read_plan
from ecgpipe.read_ecg.prepare.record_rows import FindingList, RecordRows, Refused
from ecgpipe.read_ecg.prepare.reuse import EarlierShard, find_earlier_shards, overlapping
from ecgpipe.read_ecg.prepare.sameness import (
    changed_recordings,
    changed_rejections,
    foreign_shards,
    is_compared,
    remember,
)
from ecgpipe.read_ecg.prepare.shard_job import ShardJob
from ecgpipe.read_ecg.prepare.workers import available_cores, do_jobs
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.spreadsheet import csv_bytes
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace

# Increased when the same recordings and settings give different samples, notes or rejections, or
# the same table different records.
_SIGNAL_VERSION = 2
_RECORDS_VERSION = 5

# The settings a stored signal depends on. The others only decide which records are in the table.
_SIGNAL_SETTINGS = (
    "rate_hz",
    "duration_s",
    "crop",
    "min_leads",
    "min_duration_s",
    "max_missing_fraction",
)


@dataclass(frozen=True)
class Work:
    """What one process did for the signals."""

    read: int = 0
    """Recordings, whether they could be used or not."""

    reused: int = 0
    """Recordings that were not read, because an earlier store holds them."""


@dataclass(frozen=True)
class Prepared:
    """Complete prepared data: where they are and what was counted."""

    digest: str
    """Of all inputs; names the records table."""

    signals_digest: str
    counts: dict[str, Any]
    """planned, prepared, rejected by reason, left out, notes, and records by split."""

    work: Work = field(default=Work(), compare=False)
    """By this process."""


def inputs_digest(
    config: DataConfig,
    findings: FindingList,
    workspace: Workspace,
    echo: EchoJudge | None = None,
) -> str:
    """A digest of what the prepared data depend on: settings, tables by content, taxonomy.

    Neither the places of tables and roots nor the content of recordings are in it: see `sameness`.

    Raises:
        SourceError: a table is missing.
    """
    ignored = ("taxonomy", "workers")  # the taxonomy counts by its content
    settings = {key: value for key, value in asdict(config).items() if key not in ignored}
    memo = workspace.table_digests
    return digest_of(
        {
            "settings": without_places(settings),
            "tables": [source_digest(source, memo) for source in config.sources],
            "taxonomy": findings.digest,
            "echo": echo_digest(config, echo),
            "versions": [_SIGNAL_VERSION, _RECORDS_VERSION],
        }
    )


def find_prepared(config: DataConfig, digest: str, workspace: Workspace) -> Prepared | None:
    """Data prepared earlier from the same inputs; None without any, if a rejected recording has
    been repaired since, or if the recordings at roots that were moved are others.

    Raises:
        SourceError: roots were moved, and a table or one of them is unusable.
        StoreError: the data are damaged.
    """
    about = read_about(workspace.records(digest))
    signals = None if about is None else workspace.signals(about["signals"])
    if about is None or signals is None or not _is_sealed(signals):
        return None
    if _changed(signals, config):
        return None
    return Prepared(digest, about["signals"], about["counts"])


def find_signals(config: DataConfig, digest: str, workspace: Workspace) -> Path:
    """The path of an experiment's signal store, which may be unfinished, damaged or missing.

    Raises:
        SourceError: no records table names the store, and no source is usable.
    """
    with contextlib.suppress(StoreError):  # a damaged table cannot name its store
        about = read_about(workspace.records(digest))
        if about is not None:
            return workspace.signals(about["signals"])
    return planned_signals(config, workspace)


def planned_signals(config: DataConfig, workspace: Workspace) -> Path:
    """The path of the store that is named after the plan. If recordings have changed since it was
    made, another one holds them, which is named after it: without it, that would be made anew.

    Raises:
        SourceError: a source is unusable.
    """
    return workspace.signals(_signals_digest(config, read_plan(config)))


def prepare(
    config: DataConfig,
    findings: FindingList,
    workspace: Workspace,
    stop: Stop,
    echo: EchoJudge | None = None,
) -> Prepared:
    """Read every source's recordings into the signal store and write the records table.

    Continues an interrupted preparation at the first unfinished shard. A record that cannot be used
    is listed with its reason and does not stop the others.

    Raises:
        SourceError: a table is unusable, a record id appears twice, a patient is in two splits, or
            more than data.max_rejected_fraction of the records were rejected (the list is written).
        StoreError: work_dir cannot be written.
        StoppedEarly: `stop` was requested; finished shards are kept.
    """
    prepared = prepare_share(config, findings, workspace, stop, Share(), echo)
    assert isinstance(prepared, Prepared), "one process leaves nothing to others"
    return prepared


@dataclass(frozen=True)
class ShareDone:
    """A worker has finished its shards; the data are complete when the others have too."""

    left_to_others: int
    """Shards that were unfinished at that time."""

    work: Work = field(default=Work(), compare=False)
    """By this process."""


def prepare_share(
    config: DataConfig,
    findings: FindingList,
    workspace: Workspace,
    stop: Stop,
    share: Share,
    echo: EchoJudge | None = None,
) -> Prepared | ShareDone:
    """Prepare this worker's shards; a worker that finds all shards finished completes the data.

    Workers share work_dir and the plan, which depends only on tables and settings. If two of them
    find everything finished, both atomically write the same files.

    Raises:
        As `prepare`. Only a worker that completes the data checks them as a whole.
    """
    digest = inputs_digest(config, findings, workspace, echo)
    echos = _echo_join(config, findings, echo)
    plan = read_plan(config)
    stored = _store_signals(config, plan, workspace, stop, share)
    if isinstance(stored, ShareDone):
        return stored
    manifest, work = stored
    check_patients((leaking.row, leaking.split) for leaking in plan.in_several_splits())
    without_signal = [Rejection(**entry) for entry in manifest["rejected"]]
    records = RecordRows(plan, without_signal, findings, config, echos)
    counts: dict[str, Any] = {}

    def about() -> dict[str, Any]:
        """Once all records are written."""
        counts.update(records.counts(manifest["notes"]))
        _write_rejected(workspace.rejected(digest), records.refused)
        _check_rejected_share(config, counts, records.refused, workspace.rejected(digest))
        return {
            "inputs": digest,
            "signals": manifest["digest"],
            "counts": counts,
            "settings": json.loads(canonical_json(asdict(config))),
            "provenance": provenance(),
        }

    write_records(workspace.records(digest), records, about)
    return Prepared(digest, manifest["digest"], counts, work)


def _echo_join(
    config: DataConfig, findings: FindingList, echo: EchoJudge | None
) -> EchoJoin | None:
    """Read the echocardiograms before the recordings, so that a mistake is told at once."""
    if config.echo_definitions is None:
        return None
    assert echo is not None, "echocardiograms need something that judges measurements"
    table = None if config.echo is None else (read_echo_table(config.echo), config.echo)
    return EchoJoin(echo, table, findings.read(PACED).certain)


def _store_signals(
    config: DataConfig, plan: Plan, workspace: Workspace, stop: Stop, share: Share
) -> tuple[dict[str, Any], Work] | ShareDone:
    """The manifest of this plan's sealed store, or of a new one if recordings have changed;
    ShareDone while other workers have shards to do."""
    roots, digest = source_roots(config), _signals_digest(config, plan)
    first, work = workspace.signals(digest), Work()
    if _is_sealed(first) and (changed := changed_recordings(first, roots, plan)):
        now = [(record_id, found.content or found.seen) for record_id, found in changed]
        digest = digest_of([digest, now])
    folder = workspace.signals(digest)
    if not _is_sealed(folder):
        writer = SignalStoreWriter(
            folder,
            record_ids=plan.record_ids,
            leads=LEADS,
            samples=config.samples,
            attributes={
                "digest": digest,
                "version": _SIGNAL_VERSION,
                "settings": _signal_settings(config),
            },
            origin={label: str(root) for label, root in roots.items()},
        )
        for shard in foreign_shards(folder, roots, plan):
            writer.drop_shard(shard)
        work = _write_shards(writer, config, plan, stop, share)
        # The last of several workers to rename its done file sees those of all others, even over
        # NFS, where changing a folder refreshes the client's view.
        if share.count > 1 and (left := writer.shards_to_do()):
            return ShareDone(len(left), work)
        if not _is_sealed(folder):
            _refuse_foreign(folder, config, plan)
            remember(folder, roots)
            writer.seal(provenance())
    remember(folder, roots)
    return SignalStore.open(folder).manifest, work


def _refuse_foreign(folder: Path, config: DataConfig, plan: Plan) -> None:
    """Refuse shards that another process has written meanwhile from other recordings."""
    if shards := foreign_shards(folder, source_roots(config), plan):
        raise StoreError(
            f"{len(shards)} shards of {folder} were written at the same time from other recordings:"
            " another process has the same table, but other files below the root. Let only one of"
            " them run, and run `ecgpipe prepare` again."
        )


def _changed(store: Path, config: DataConfig) -> bool:
    """Whether a complete store was made from other recordings than those at the roots now."""
    roots = source_roots(config)
    if is_compared(store, roots):
        return bool(changed_rejections(store, roots))
    return bool(changed_recordings(store, roots, read_plan(config)))


def _signal_settings(config: DataConfig) -> dict[str, Any]:
    return {key: getattr(config, key) for key in _SIGNAL_SETTINGS}


def _signals_digest(config: DataConfig, plan: Plan) -> str:
    settings = _signal_settings(config)
    return digest_of({"version": _SIGNAL_VERSION, "settings": settings, "plan": plan.hash()})


def _is_sealed(folder: Path) -> bool:
    return manifest_path(folder).exists()


def _shards_of(share: Share, writer: SignalStoreWriter) -> list[int]:
    """The unfinished shards of a worker, by number, so that each has one writer."""
    return [k for k in writer.shards_to_do() if k % share.count == share.index]


def _write_shards(
    writer: SignalStoreWriter, config: DataConfig, plan: Plan, stop: Stop, share: Share
) -> Work:
    shards = _shards_of(share, writer)
    n_records = sum(len(writer.planned(shard)) for shard in shards)
    n_workers = min(config.workers or available_cores(), len(shards))
    earlier = find_earlier_shards(writer.folder) if shards else []
    jobs = (
        _shard_job(shard, writer, config, plan, earlier) for shard in shards
    )  # one at a time: each is large
    with progress("prepare", n_records, "records") as tick:
        n_reused = do_jobs(jobs, n_workers, stop, tick)
    return Work(n_records - n_reused, n_reused)


def _shard_job(
    shard: int,
    writer: SignalStoreWriter,
    config: DataConfig,
    plan: Plan,
    earlier: Sequence[EarlierShard],
) -> ShardJob:
    recordings = tuple(plan.of_slots(writer.planned(shard)))
    shard_plan = writer.shard_plan(shard)
    return ShardJob(shard_plan, recordings, config, overlapping(earlier, shard_plan.record_ids))


def _write_rejected(path: Path, rejected: Sequence[Refused]) -> None:
    rows = [
        (
            refused.rejection.record_id,
            refused.place,
            refused.rejection.reason,
            refused.rejection.message,
        )
        for refused in rejected
    ]
    write_atomic(path, csv_bytes(("record_id", "place", "reason", "message"), rows))


def _check_rejected_share(
    config: DataConfig, counts: dict[str, Any], rejected: Sequence[Refused], path: Path
) -> None:
    """Refuse too many rejections. The message names only places and reasons, because a cell may
    hold a patient's name."""
    if counts["rejected"] <= config.max_rejected_fraction * counts["planned"]:
        return
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in counts["rejected_by_reason"].items())
    raise SourceError(
        f"{counts['rejected']:,} of {counts['planned']:,} records were rejected, more than"
        f" data.max_rejected_fraction {config.max_rejected_fraction:g} allows: {reasons}. The first"
        f" is {rejected[0].place}. All are listed in {path}, with what was found. Correct them and"
        " run the same command again, or raise the limit."
    )
