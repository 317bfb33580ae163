"""Small signal stores, and the records in them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.cache.signals.writer import Rejection, SignalResult, SignalStoreWriter, write_shard

LEADS = ("I", "II", "III")
SAMPLES = 50


def signal_of(number: int) -> npt.NDArray[np.int16]:
    rng = np.random.default_rng(number)
    return rng.integers(-32767, 32768, (len(LEADS), SAMPLES)).astype(np.int16)


def results(slots: range, rejected: tuple[int, ...] = ()) -> Iterator[SignalResult]:
    for slot in slots:
        if slot in rejected:
            yield SignalResult(
                f"r{slot:05d}", rejected=Rejection(f"r{slot:05d}", "flat", "every lead is flat")
            )
        else:
            yield SignalResult(f"r{slot:05d}", signal_of(slot), ("resampled",))


def writer_for(folder: Path, n: int, digest: str = "d1") -> SignalStoreWriter:
    return SignalStoreWriter(
        folder,
        record_ids=[f"r{slot:05d}" for slot in range(n)],
        leads=LEADS,
        samples=SAMPLES,
        attributes={"digest": digest, "settings": {"rate_hz": 500}},
    )


def build(folder: Path, n: int, rejected: tuple[int, ...] = ()) -> SignalStore:
    writer = writer_for(folder, n)
    for shard in writer.shards_to_do():
        write_shard(writer.shard_plan(shard), results(writer.planned(shard), rejected))
    writer.seal({"made": "here"})
    return SignalStore.open(folder)


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
