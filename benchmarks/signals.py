"""How fast signals are prepared and handed out, against wfdb, a plain memory map and zarr-python.

The recordings are WFDB files of format 16, 12 leads x 5000 samples: PTB-XL's if available,
otherwise simulated ones. All are in the page cache, so reading does not wait for a disk; prepared
data are written and synced. Measured in turn, round by round:

- reading: `read_wfdb` against `wfdb.rdsamp` over the same files;
- the whole prepare stage (table, reading, checks, conversion, CRC, shards written and synced,
  records table), with one process and with two, against `wfdb.rdsamp`, which only reads, in one
  process;
- random batches from the store, with different slots for each reader: ours, a plain numpy memory
  map of the same int16 values, zarr-python's orthogonal selection on the same store, and a loop of
  `wfdb.rdsamp`, which returns float64.
"""

import argparse
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ecg_sample import EcgSample, find_sample, prepare_table, write_table
from benchmarks.report import as_lines, conditions, table, verdict
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.read_ecg.formats.wfdb import read_wfdb

Slots = npt.NDArray[np.int64]
Way = Callable[[Slots], npt.NDArray[Any]]

_BATCHES = (32, 256)
_SLOW_EVERY = 10  # slow readers are measured in every tenth round only


def per_second(read: Callable[[Path], object], headers: Sequence[Path]) -> float:
    """Recordings per second."""
    started = time.perf_counter()
    for header in headers:
        read(header)
    return len(headers) / (time.perf_counter() - started)


def rdsamp(header: Path) -> npt.NDArray[np.float64]:
    """The peers' way: (5000, 12) in mV."""
    import wfdb  # not at the top: each process of prepare imports this file

    values: npt.NDArray[np.float64] = wfdb.rdsamp(str(header.with_suffix("")))[0]
    return values


def measure_reading(sample: EcgSample, n_files: int, n_rounds: int) -> tuple[float, float, float]:
    """Recordings per second of ours and of wfdb's, and the median of their ratios."""
    ours, peers = [], []
    for number in range(n_rounds + 1):
        first = number * n_files % len(sample.headers)
        chosen = (sample.headers + sample.headers)[first : first + n_files]
        for header in chosen:  # into the page cache
            header.with_suffix(".dat").read_bytes()
        for read, found in [(read_wfdb, ours), (rdsamp, peers)][:: 1 if number % 2 else -1]:
            found.append(per_second(read, chosen))
    return _compared(ours[1:], peers[1:])  # the first round warms up


def measure_prepare(
    sample: EcgSample, folder: Path, n_records: int, n_rounds: int
) -> dict[int, tuple[float, float, float]]:
    """For one and two processes: records per second, those of wfdb.rdsamp, median of the ratios.

    Leaves the last store in `folder`/work.
    """
    write_table(folder / "records.csv", sample, n_records)
    peers: list[float] = []
    ours: dict[int, list[float]] = {1: [], 2: []}
    for number in range(n_rounds):
        chosen = sample.headers[number % 7 :: 7][: max(2, n_records // 16)]
        peers.append(per_second(rdsamp, chosen))
        for workers in (1, 2) if number % 2 else (2, 1):
            shutil.rmtree(folder / "work", ignore_errors=True)
            started = time.perf_counter()
            prepare_table(folder / "records.csv", sample.root, folder / "work", workers)
            ours[workers].append(n_records / (time.perf_counter() - started))
    return {workers: _compared(found, peers) for workers, found in ours.items()}


def measure_batches(
    folder: Path, sample: EcgSample, batch: int, n_rounds: int
) -> dict[str, tuple[float, float]]:
    """Records per second of each reader, and the median ratio of its seconds to ours."""
    import zarr

    (path,) = (folder / "work" / "signals").glob("*.zarr")
    store = SignalStore.open(path)
    _write_plain(folder / "plain.npy", store)
    plain = np.load(folder / "plain.npy", mmap_mode="r")
    array = zarr.open_group(path, mode="r", use_consolidated=False)["signal"]
    assert isinstance(array, zarr.Array)
    headers = sample.headers

    def with_zarr(slots: Slots) -> npt.NDArray[Any]:
        return np.asarray(array.get_orthogonal_selection((slots,)))

    def with_wfdb(slots: Slots) -> npt.NDArray[Any]:
        return np.stack([rdsamp(headers[slot % len(headers)]).T for slot in slots])

    def never_read(slots: Slots) -> npt.NDArray[Any]:
        return fresh.read(slots)

    ways: dict[str, Way] = {
        "ours": store.read,
        "plain memory map": plain.__getitem__,
        "ours, first read of each": never_read,
        "zarr-python": with_zarr,
        "wfdb.rdsamp": with_wfdb,
    }
    slow = ("zarr-python", "wfdb.rdsamp")
    random = np.random.default_rng(batch)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(n_rounds):
        for name in random.permutation(list(ways)):
            if name in slow and number % _SLOW_EVERY:
                continue
            fresh = SignalStore.open(path)
            slots = random.integers(0, store.n_slots, batch)
            started = time.perf_counter()
            got = ways[name](slots)
            seconds[name].append(time.perf_counter() - started)
            _check(name, got, plain[slots])
            del got
    ours_s = np.array(seconds["ours"])
    return {
        name: (
            batch / statistics.median(found),
            float(np.median(np.array(found) / ours_s[:: _SLOW_EVERY if name in slow else 1])),
        )
        for name, found in seconds.items()
    }


def _check(name: str, got: npt.NDArray[Any], wanted: npt.NDArray[np.int16]) -> None:
    equal = (
        np.abs(got * 1000 - wanted).max() <= 0.5
        if got.dtype == np.float64
        else np.array_equal(got, wanted)
    )
    if not equal:
        raise SystemExit(f"{name} returned values that differ from the plain file's")


def _write_plain(path: Path, store: SignalStore) -> None:
    """Write every record into one .npy, which also verifies and caches each record of `store`."""
    shape = (store.n_slots, len(store.leads), store.samples)
    plain = np.lib.format.open_memmap(path, "w+", np.int16, shape)
    for first in range(0, store.n_slots, 256):
        slots = np.arange(first, min(first + 256, store.n_slots))
        plain[slots] = store.read(slots)
    plain.flush()


def _compared(ours: list[float], others: list[float]) -> tuple[float, float, float]:
    ratio = statistics.median(a / b for a, b in zip(ours, others, strict=True))
    return statistics.median(ours), statistics.median(others), ratio


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=8_192, help="of 120 kB each; 8 shards")
    parser.add_argument("--rounds", type=int, default=51, help="of batches; a tenth of preparing")
    parser.add_argument("--miniature", action="store_true", help="100 records: does it run?")
    chosen = parser.parse_args()
    if chosen.miniature:
        chosen.records, chosen.rounds = 100, 2
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="wfdb")
    print(as_lines(conditions(["wfdb", "zarr", "crc32c"])))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = find_sample(folder, n_simulated=12 if chosen.miniature else 1_000)
        print(f"\n{sample.said}, {chosen.records:,} rows; everything is in the page cache\n")
        _run(folder, sample, chosen.records, chosen.rounds)


def _run(folder: Path, sample: EcgSample, n_records: int, n_rounds: int) -> None:
    few = max(1, n_rounds // 10)
    ours, peers, ratio = measure_reading(sample, min(200, len(sample.headers)), few)
    rows = [["read only: read_wfdb", f"{ours:,.0f}", f"{peers:,.0f}", f"{ratio:.1f}"]]
    verdicts = []
    for workers, found in measure_prepare(sample, folder, n_records, few).items():
        named = f"prepare, {workers} process{'es' if workers > 1 else ''}"
        rows.append([named, f"{found[0]:,.0f}", f"{found[1]:,.0f}", f"{found[2]:.1f}"])
        verdicts.append(verdict(f"{named} to wfdb.rdsamp", found[2], 10))
    print(table(["", "ours, records/s", "wfdb.rdsamp, records/s", "ratio"], rows), end="\n\n")
    batch_rows = []
    for batch in _BATCHES:
        found_ways = measure_batches(folder, sample, batch, n_rounds)
        for name, (rate, times) in found_ways.items():
            batch_rows.append([name, str(batch), f"{rate:,.0f}", f"{times:.2f}"])
        for name, target in (("plain memory map", 0.8), ("wfdb.rdsamp", 30), ("zarr-python", 10)):
            said = f"batches of {batch}: ours to {name}"
            verdicts.append(verdict(said, found_ways[name][1], target))
    print(table(["random batches", "of", "records/s", "its seconds to ours"], batch_rows))
    print(*verdicts, sep="\n")


if __name__ == "__main__":
    main()
