"""The prepare stage: sources to a signal store and a table of records.

Owns the order of the work, the digests that say whether prepared data are still what the settings
ask for, and the list of rejected records. Of a record it holds what `plan` does: everything else is
worked on shard by shard or row by row.
"""

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecgpipe.cache.records_table import read_about, write_records
from ecgpipe.cache.signals.reader import SignalStore, read_manifest
from ecgpipe.cache.signals.writer import Rejection, SignalStoreWriter
from ecgpipe.config.data import DataConfig
from ecgpipe.errors import SourceError, StoreError
from ecgpipe.files import canonical_json, digest_of, write_atomic
from ecgpipe.processes import Share
from ecgpipe.progress import progress
from ecgpipe.provenance import provenance
from ecgpipe.read_ecg.datasets.adapters import source_digest
from ecgpipe.read_ecg.datasets.splits import check_patients
from ecgpipe.read_ecg.formats.recording import recording_state
from ecgpipe.read_ecg.prepare.plan import Plan, read_plan
from ecgpipe.read_ecg.prepare.record_rows import FindingList, RecordRows, Refused
from ecgpipe.read_ecg.prepare.shard_job import PlannedRecording, ShardJob
from ecgpipe.read_ecg.prepare.workers import available_cores, do_jobs
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace

# Raised when the same recordings and settings give other samples or other notes, which lie in one
# store, or the same table other records.
_SIGNAL_VERSION = 2
_RECORDS_VERSION = 2

# The settings a stored signal depends on. The others only decide who is in the table.
_SIGNAL_SETTINGS = (
    "rate_hz",
    "duration_s",
    "crop",
    "min_leads",
    "min_duration_s",
    "max_missing_fraction",
)


@dataclass(frozen=True)
class Prepared:
    """Prepared data, complete: where they are and what happened on the way."""

    digest: str
    """Of all inputs: names the records table."""

    signals_digest: str
    counts: dict[str, Any]
    """planned, prepared, rejected by reason, left out, notes, and records by split."""


def inputs_digest(config: DataConfig, findings: FindingList) -> str:
    """What the prepared data depend on: settings, tables by content, taxonomy.

    Recordings themselves are taken to be immutable: their content is not hashed.

    Raises:
        SourceError: a table is missing.
    """
    idle = ("taxonomy", "workers")  # the taxonomy counts by its content
    settings = {key: value for key, value in asdict(config).items() if key not in idle}
    return digest_of(
        {
            "settings": settings,
            "tables": [source_digest(source) for source in config.sources],
            "taxonomy": findings.digest,
            "versions": [_SIGNAL_VERSION, _RECORDS_VERSION],
        }
    )


def find_prepared(digest: str, workspace: Workspace) -> Prepared | None:
    """Data prepared earlier from the very inputs of `digest`; None without any, or where a
    recording that was rejected has been mended since.

    Raises:
        StoreError: they are there but damaged.
    """
    about = read_about(workspace.records(digest))
    signals = None if about is None else workspace.signals(about["signals"])
    if about is None or signals is None or not _is_sealed(signals):
        return None
    if any(map(_is_mended, _rejected_of(signals))):
        return None
    return Prepared(digest, about["signals"], about["counts"])


def find_signals(config: DataConfig, digest: str, workspace: Workspace) -> Path:
    """The store of an experiment's signals, whole, unfinished, damaged or not there.

    Args:
        config: what was or is to be prepared.
        digest: of all inputs.
        workspace: where.

    Raises:
        SourceError: there is no table of records that names the store, nor a usable source.
    """
    with contextlib.suppress(StoreError):  # a damaged table cannot say which store is its own
        about = read_about(workspace.records(digest))
        if about is not None:
            return workspace.signals(about["signals"])
    return workspace.signals(_signals_digest(config, read_plan(config)))


def prepare(
    config: DataConfig, findings: FindingList, workspace: Workspace, stop: Stop
) -> Prepared:
    """Read every source's recordings into the signal store and write the records table.

    Continues an interrupted preparation at the first unfinished shard. A record that cannot be used
    is listed with its reason; the rest goes on.

    Raises:
        SourceError: a table is unusable, a record id is there twice, a patient lies in two splits,
            or more records than data.max_rejected_fraction were rejected (the list is written).
        StoreError: work_dir cannot be written.
        StoppedEarly: a signal came; finished shards are kept.
    """
    prepared = prepare_share(config, findings, workspace, stop, Share())
    assert isinstance(prepared, Prepared), "one process leaves nothing to others"
    return prepared


@dataclass(frozen=True)
class ShareDone:
    """A worker did all that was its own; the data are complete once the others have as well."""

    left_to_others: int
    """Shards that were not finished when this worker looked."""


def prepare_share(
    config: DataConfig, findings: FindingList, workspace: Workspace, stop: Stop, share: Share
) -> Prepared | ShareDone:
    """Prepare the shards of one worker of several; who finds all of them finished completes the
    data, as `prepare` does.

    Workers share the plan, which follows from tables and settings alone, and work_dir. Two that
    both find everything finished write the same files, each whole.

    Raises:
        As `prepare`. What is wrong with the data as a whole is told by whoever completes them.
    """
    digest = inputs_digest(config, findings)
    plan = read_plan(config)
    manifest = _store_signals(config, plan, workspace, stop, share)
    if isinstance(manifest, ShareDone):
        return manifest
    check_patients((leaking.row, leaking.split) for leaking in plan.in_several_splits())
    without_signal = [Rejection(**entry) for entry in manifest["rejected"]]
    records = RecordRows(plan, without_signal, findings)
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
    return Prepared(digest, manifest["digest"], counts)


def _store_signals(
    config: DataConfig, plan: Plan, workspace: Workspace, stop: Stop, share: Share
) -> dict[str, Any] | ShareDone:
    """The manifest of the sealed store of this plan; where rejected recordings were mended, of a
    new one. None yet where other workers have shards to do."""
    settings, digest = _signal_settings(config), _signals_digest(config, plan)
    first, mended = workspace.signals(digest), []
    if _is_sealed(first):
        rejected = _rejected_of(first)
        mended = [r for r in rejected if _is_mended(r)]
        if mended:
            digest = digest_of([digest, [(r.path, _state_now(r)) for r in rejected]])
    folder = workspace.signals(digest)
    if not _is_sealed(folder):
        writer = SignalStoreWriter(
            folder,
            record_ids=plan.record_ids,
            leads=LEADS,
            samples=config.samples,
            attributes={"digest": digest, "settings": settings},
        )
        if mended:
            _adopt_shards(writer, first, plan, {r.record_id for r in mended}, share)
        _write_shards(writer, config, plan, stop, share)
        # Of workers that end together, the last to rename its done file sees all others': over NFS
        # too, where changing a folder is what makes a client look at it anew.
        if share.count > 1 and (left := writer.shards_to_do()):
            return ShareDone(len(left))
        if not _is_sealed(folder):
            writer.seal(provenance())
    return SignalStore.open(folder).manifest


def _signal_settings(config: DataConfig) -> dict[str, Any]:
    return {key: getattr(config, key) for key in _SIGNAL_SETTINGS}


def _signals_digest(config: DataConfig, plan: Plan) -> str:
    settings = _signal_settings(config)
    return digest_of({"version": _SIGNAL_VERSION, "settings": settings, "plan": plan.hash()})


def _is_sealed(folder: Path) -> bool:
    return (folder / "manifest.json").exists()


def _rejected_of(folder: Path) -> list[Rejection]:
    """The records that a sealed store lacks.

    Raises:
        StoreError: the manifest is damaged.
    """
    return [Rejection(**entry) for entry in read_manifest(folder)["rejected"]]


def _state_now(rejection: Rejection) -> str:
    return recording_state(Path(rejection.path)) if rejection.path else ""


def _is_mended(rejection: Rejection) -> bool:
    return _state_now(rejection) != rejection.state


def _shards_of(share: Share, writer: SignalStoreWriter) -> list[int]:
    """The unfinished shards of a worker: by number, so that each has one writer."""
    return [k for k in writer.shards_to_do() if k % share.count == share.index]


def _adopt_shards(
    writer: SignalStoreWriter, first: Path, plan: Plan, mended: set[str], share: Share
) -> None:
    """Only shards with a mended recording are read again."""
    for shard in _shards_of(share, writer):
        if not any(plan.record_ids[slot] in mended for slot in writer.planned(shard)):
            writer.adopt_shard(shard, first)


def _write_shards(
    writer: SignalStoreWriter, config: DataConfig, plan: Plan, stop: Stop, share: Share
) -> None:
    jobs = _Jobs(writer, config, plan, _shards_of(share, writer))
    with progress("prepare", jobs.n_records, "records") as tick:
        do_jobs(jobs, config.workers or available_cores(), stop, tick)


class _Jobs(Sequence[ShardJob]):
    """The shards to be written; a job is made when it is asked for, so that few exist at once."""

    def __init__(
        self, writer: SignalStoreWriter, config: DataConfig, plan: Plan, shards: list[int]
    ) -> None:
        self._writer = writer
        self._config = config
        self._plan = plan
        self._shards = shards
        self.n_records = sum(len(writer.planned(shard)) for shard in self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, place: Any) -> Any:
        shard = self._shards[place]
        slots = self._writer.planned(shard)
        planned = self._plan[slots.start : slots.stop]
        recordings = tuple(PlannedRecording.of(p.row, p.source) for p in planned)
        return ShardJob(self._writer.shard_plan(shard), recordings, self._config)


def _write_rejected(path: Path, rejected: Sequence[Refused]) -> None:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["record_id", "place", "reason", "message"])
    for refused in rejected:
        r = refused.rejection
        table.writerow([r.record_id, refused.place, r.reason, r.message])
    # With a byte-order mark: hospital staff open this in Excel, which needs it to see UTF-8.
    write_atomic(path, text.getvalue().encode("utf-8-sig"))


def _check_rejected_share(
    config: DataConfig, counts: dict[str, Any], rejected: Sequence[Refused], path: Path
) -> None:
    """The message says places and reasons only: what a cell held may be a patient's name."""
    if counts["rejected"] <= config.max_rejected_fraction * counts["planned"]:
        return
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in counts["rejected_by_reason"].items())
    raise SourceError(
        f"{counts['rejected']:,} of {counts['planned']:,} records were rejected, more than"
        f" data.max_rejected_fraction {config.max_rejected_fraction:g} allows: {reasons}. The first"
        f" is {rejected[0].place}. All are listed with what was met in {path}. Mend them and run"
        " the same command again, or raise the limit."
    )
