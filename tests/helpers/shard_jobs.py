"""Jobs of prepare over a few recordings, also for programs that tests start and kill."""

import dataclasses
from pathlib import Path

from ecgpipe.cache.signals.writer import SignalStoreWriter
from ecgpipe.config.data import DataConfig, TableSource
from ecgpipe.read_ecg.datasets.source import Planned, SourceRow, SourceRows
from ecgpipe.read_ecg.prepare.shard_job import ShardJob
from ecgpipe.read_ecg.signal.record import LEADS

N_RECORDS = 1024 * 3 + 40
CONFIG = DataConfig(
    sources=(TableSource(kind="table", table=Path("t.csv")),), rate_hz=50, duration_s=5.0
)


def jobs(store: Path, root: Path) -> tuple[SignalStoreWriter, list[ShardJob]]:
    """Four shards over sixteen recordings, of which four are there."""
    source = SourceRows(name="t", kind="table", root=root, table=root / "t.csv", rows=())
    ids = [f"id{number:05}" for number in range(N_RECORDS)]
    writer = SignalStoreWriter(
        store,
        record_ids=ids,
        leads=LEADS,
        samples=CONFIG.samples,
        attributes={"digest": "d", "version": 1, "settings": {}},
        origin={source.label: str(root)},
    )
    config = dataclasses.replace(CONFIG)
    planned = [
        Planned(
            SourceRow(record_id=name, patient_id=name, path=f"r{number % 16}", findings=()), source
        )
        for number, name in enumerate(ids)
    ]
    return writer, [
        ShardJob(
            writer.shard_plan(shard),
            tuple(planned[slot] for slot in writer.planned(shard)),
            config,
        )
        for shard in writer.shards_to_do()
    ]
