"""The prepare stage: sources to a signal store and a table of records.

Owns the plan (which record takes which slot), the digests that say whether prepared data are still
what the settings ask for, and the list of rejected records. Knows findings only through the
`FindingList` it is handed.
"""

import contextlib
import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ecgpipe.cache.records_table import Record, read_about, write_records
from ecgpipe.cache.signal_reader import SignalStore, read_manifest
from ecgpipe.cache.signal_writer import Rejection, SignalStoreWriter
from ecgpipe.config import DataConfig
from ecgpipe.errors import RecordError, SourceError, StoreError, TaxonomyError
from ecgpipe.files import canonical_json, digest_of, write_atomic
from ecgpipe.progress import progress
from ecgpipe.provenance import provenance
from ecgpipe.read_ecg.adapters import planned_rows, read_source, source_digest
from ecgpipe.read_ecg.record import LEADS, Reason
from ecgpipe.read_ecg.recording import recording_state
from ecgpipe.read_ecg.shard_job import PlannedRecording, ShardJob
from ecgpipe.read_ecg.source import SourceRow, SourceRows
from ecgpipe.read_ecg.splits import assign_splits, check_patients
from ecgpipe.read_ecg.workers import available_cores, do_jobs
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace

# Raised when the same recordings and settings give other samples or other notes, which lie in one
# store, or the same table other records.
_SIGNAL_VERSION = 2
_RECORDS_VERSION = 1

# The settings a stored signal depends on. The others only decide who is in the table.
_SIGNAL_SETTINGS = (
    "rate_hz",
    "duration_s",
    "crop",
    "min_leads",
    "min_duration_s",
    "max_missing_fraction",
)


class FindingList(Protocol):
    """What the preparation needs of a taxonomy."""

    @property
    def digest(self) -> str:
        """Changes when the list does."""

    def resolve_all(self, names: Sequence[str]) -> tuple[str, ...]:
        """Ids of findings, in the list's order.

        Raises:
            TaxonomyError: a name is unknown; the message holds the nearest known one.
        """


@dataclass(frozen=True)
class Prepared:
    """Prepared data, complete: where they are and what happened on the way."""

    digest: str
    """Of all inputs: names the records table."""

    signals_digest: str
    counts: dict[str, Any]
    """planned, prepared, rejected by reason, left out, notes, and records by split."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A row with its place in the plan."""

    row: SourceRow
    source: SourceRows
    split: str


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
    return workspace.signals(_signals_digest(config, _plan(config)))


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
    digest = inputs_digest(config, findings)
    plan = _plan(config)
    store = _store_signals(config, plan, workspace, stop)
    known = _known_codes(plan, findings)
    records, rejected = _records(plan, store, findings, known)
    check_patients((p.row, p.split) for p in plan if p.row.patient_id)
    _write_rejected(workspace.rejected(digest), rejected, plan)
    counts = _counts(plan, records, rejected, store.manifest["notes"])
    counts["left_out"] = _left_out(plan, known)
    places = _places(plan, rejected)
    first_place = places[rejected[0].record_id] if rejected else ""
    _check_rejected_share(config, counts, first_place, workspace.rejected(digest))
    about = {
        "inputs": digest,
        "signals": store.digest,
        "counts": counts,
        "settings": json.loads(canonical_json(asdict(config))),
        "provenance": provenance(),
    }
    write_records(workspace.records(digest), records, about)
    return Prepared(digest, store.digest, counts)


def _plan(config: DataConfig) -> list[_Planned]:
    """Every row of every source, sorted by record id: a re-ordered table changes nothing."""
    planned: list[_Planned] = []
    for number, settings in enumerate(config.sources):
        source = planned_rows(read_source(settings), config)
        if not source.root.is_dir():
            raise SourceError(f"data.sources.{number}.root, {source.root}, is not a folder.")
        splits = assign_splits(source.rows, config.split)
        planned += [
            _Planned(row, source, split) for row, split in zip(source.rows, splits, strict=True)
        ]
    _check_unique(planned)
    return sorted(planned, key=lambda p: p.row.record_id)


def _check_unique(planned: Sequence[_Planned]) -> None:
    first: dict[str, SourceRow] = {}
    for p in planned:
        other = first.setdefault(p.row.record_id, p.row)
        if other is not p.row:
            raise SourceError(
                f"A record_id is there twice: {other.place} and {p.row.place}. Give every ECG its"
                " own."
            )


def _store_signals(
    config: DataConfig, plan: Sequence[_Planned], workspace: Workspace, stop: Stop
) -> SignalStore:
    """The sealed store of this plan; where rejected recordings were mended, a new one."""
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
            record_ids=[p.row.record_id for p in plan],
            leads=LEADS,
            samples=config.samples,
            attributes={"digest": digest, "settings": settings},
        )
        if mended:
            _adopt_shards(writer, first, plan, {r.record_id for r in mended})
        _write_shards(writer, config, plan, stop)
        writer.seal(provenance())
    return SignalStore.open(folder)


def _signal_settings(config: DataConfig) -> dict[str, Any]:
    return {key: getattr(config, key) for key in _SIGNAL_SETTINGS}


def _signals_digest(config: DataConfig, plan: Sequence[_Planned]) -> str:
    settings = _signal_settings(config)
    return digest_of({"version": _SIGNAL_VERSION, "settings": settings, "plan": _plan_hash(plan)})


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


def _adopt_shards(
    writer: SignalStoreWriter, first: Path, plan: Sequence[_Planned], mended: set[str]
) -> None:
    """Only shards with a mended recording are read again."""
    for shard in writer.shards_to_do():
        if not any(plan[slot].row.record_id in mended for slot in writer.planned(shard)):
            writer.adopt_shard(shard, first)


def _plan_hash(plan: Sequence[_Planned]) -> str:
    digest = hashlib.sha256()
    for p in plan:
        line = f"{p.row.record_id}\0{p.source.root}\0{p.row.path}"
        if p.row.start_s is not None:
            line += f"\0{p.row.start_s!r}\0{p.row.length_s!r}"
        if p.source.read is not None:
            line += f"\0{p.source.name}"
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _write_shards(
    writer: SignalStoreWriter, config: DataConfig, plan: Sequence[_Planned], stop: Stop
) -> None:
    jobs = _Jobs(writer, config, plan)
    with progress("prepare", jobs.n_records, "records") as tick:
        do_jobs(jobs, config.workers or available_cores(), stop, tick)


class _Jobs(Sequence[ShardJob]):
    """The shards to be written; a job is made when it is asked for, so that few exist at once."""

    def __init__(
        self, writer: SignalStoreWriter, config: DataConfig, plan: Sequence[_Planned]
    ) -> None:
        self._writer = writer
        self._config = config
        self._plan = plan
        self._shards = writer.shards_to_do()
        self.n_records = sum(len(writer.planned(shard)) for shard in self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, place: Any) -> Any:
        shard = self._shards[place]
        planned = (self._plan[slot] for slot in self._writer.planned(shard))
        recordings = tuple(PlannedRecording.of(p.row, p.source) for p in planned)
        return ShardJob(self._writer.shard_plan(shard), recordings, self._config)


def _records(
    plan: Sequence[_Planned], store: SignalStore, findings: FindingList, known: Collection[str]
) -> tuple[list[Record], list[Rejection]]:
    """The rows whose signal is stored and whose text is usable, and the others with the reason."""
    rejected = [Rejection(**entry) for entry in store.manifest["rejected"]]
    without_signal = {rejection.record_id for rejection in rejected}
    records = []
    for slot, p in enumerate(plan):
        if p.row.record_id in without_signal:
            continue
        try:
            records.append(_record(slot, p, findings, known))
        except RecordError as error:
            rejected.append(Rejection(p.row.record_id, str(error.reason), str(error)))
    return records, sorted(rejected, key=lambda rejection: rejection.record_id)


def _record(slot: int, planned: _Planned, findings: FindingList, known: Collection[str]) -> Record:
    row = planned.row
    names = [n for n in row.findings if n in known] if row.public_codes else row.findings
    if not row.patient_id:
        raise RecordError(
            Reason.NO_PATIENT, "patient_id is empty, so it cannot be kept in one split"
        )
    if not row.findings and not row.report:
        raise RecordError(Reason.NO_TEXT, "findings and report are both empty")
    if not names and not row.report:
        raise RecordError(Reason.NO_TEXT, "none of its codes is a finding of data.taxonomy")
    try:
        ids = findings.resolve_all(names)
    except TaxonomyError as error:
        raise RecordError(Reason.UNKNOWN_FINDING, str(error)) from error
    return Record(
        slot=slot,
        record_id=row.record_id,
        patient_id=row.patient_id,
        source=planned.source.name,
        split=planned.split,
        findings=ids,
        report=row.report,
        age=row.age,
        sex=row.sex,
        site=row.site,
        recorded_at=row.recorded_at,
    )


def _known_codes(plan: Sequence[_Planned], findings: FindingList) -> frozenset[str]:
    """Those codes of public lists that the taxonomy has; each is looked up once."""
    known = set()
    for code in {code for p in plan if p.row.public_codes for code in p.row.findings}:
        with contextlib.suppress(TaxonomyError):
            findings.resolve_all((code,))
            known.add(code)
    return frozenset(known)


def _left_out(plan: Sequence[_Planned], known: Collection[str]) -> dict[str, int]:
    """What of the sources is not in the records though nothing was wrong with it."""
    sources = {id(p.source): p.source for p in plan}.values()
    counts = {what: n for source in sources for what, n in source.left_out.items()}
    codes = Counter(
        f"code {code}" if code.isdigit() else "other codes"  # a cell may hold anything
        for p in plan
        if p.row.public_codes
        for code in p.row.findings
        if code not in known
    )
    return counts | dict(codes.most_common())


def _counts(
    plan: Sequence[_Planned],
    records: Sequence[Record],
    rejected: Sequence[Rejection],
    notes: dict[str, int],
) -> dict[str, Any]:
    splits = Counter(record.split for record in records)
    return {
        "planned": len(plan),
        "prepared": len(records),
        "rejected": len(rejected),
        "rejected_by_reason": dict(Counter(r.reason for r in rejected).most_common()),
        "notes": notes,
        "patients": len({record.patient_id for record in records}),
        "splits": {name: splits[name] for name in ("train", "val", "test")},
    }


def _places(plan: Sequence[_Planned], rejected: Sequence[Rejection]) -> dict[str, str]:
    """Where the rows of the rejected records stand."""
    wanted = {rejection.record_id for rejection in rejected}
    return {p.row.record_id: p.row.place for p in plan if p.row.record_id in wanted}


def _write_rejected(path: Path, rejected: Sequence[Rejection], plan: Sequence[_Planned]) -> None:
    places = _places(plan, rejected)
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["record_id", "place", "reason", "message"])
    for r in rejected:
        table.writerow([r.record_id, places[r.record_id], r.reason, r.message])
    # With a byte-order mark: hospital staff open this in Excel, which needs it to see UTF-8.
    write_atomic(path, text.getvalue().encode("utf-8-sig"))


def _check_rejected_share(
    config: DataConfig, counts: dict[str, Any], first_place: str, path: Path
) -> None:
    """The message says places and reasons only: what a cell held may be a patient's name."""
    if counts["rejected"] <= config.max_rejected_fraction * counts["planned"]:
        return
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in counts["rejected_by_reason"].items())
    raise SourceError(
        f"{counts['rejected']:,} of {counts['planned']:,} records were rejected, more than"
        f" data.max_rejected_fraction {config.max_rejected_fraction:g} allows: {reasons}. The first"
        f" is {first_place}. All are listed with what was met in {path}. Mend them and run the same"
        " command again, or raise the limit."
    )
