"""How fast a vector cache opens, how much memory it takes, and how fast it reads random rows.

A cache of a million rows (bfloat16 bits, 512 wide unless --dim says otherwise) is written to the
temporary folder, once in parts of 4,096 rows, as workers write them, and once of 65,536, as
compaction does; the same rows also as one plain file. Measured:

- seconds of `VectorCache.open`, and the anonymous memory it adds besides the mapped vectors;
- `gather` of random rows that have been checked before, and a plain numpy memory map of the one
  file, in turn. A run reads each vector once, when it starts, so a million rows a second do.
"""

import argparse
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.report import as_lines, conditions, table, verdict
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import VectorRows, part_image
from ecgpipe.cache.vectors.reader import VectorCache

Rows = npt.NDArray[np.int64]

_BLOCK_ROWS = 4096
_FINGERPRINT = Fingerprint({"benchmark": "vectors"})
_SPARE_BYTES = 4 << 30  # left free on the disk


@dataclass(frozen=True)
class Opened:
    """What opening cost."""

    seconds: float
    cpu_seconds: float
    anonymous_mb: float


def blocks(n_rows: int, dim: int) -> Iterator[VectorRows]:
    """Rows in blocks of 4,096: finite bfloat16 patterns and keys as random as SHA-256."""
    for number, start in enumerate(range(0, n_rows, _BLOCK_ROWS)):
        random = np.random.default_rng([0, number])
        rows = min(_BLOCK_ROWS, n_rows - start)
        yield VectorRows(
            random.integers(0x3C00, 0x4080, (rows, dim), np.uint16),  # 0.008 to 4
            random.integers(0, 256, (rows, 32), np.uint8),
            np.full(rows, 30, np.uint32),
            np.zeros(rows, np.bool_),
        )


def write_parts(root: Path, n_rows: int, dim: int, part_rows: int) -> None:
    """A cache below `root` in parts of `part_rows`; not synced, as the disk is not measured."""
    folder = root / _FINGERPRINT.short
    folder.mkdir(parents=True)
    source = blocks(n_rows, dim)
    for number in itertools.count():
        chunk = list(itertools.islice(source, max(1, part_rows // _BLOCK_ROWS)))
        if not chunk:
            return
        image = part_image(VectorRows.joined(chunk), _FINGERPRINT, {})
        (folder / f"part-{number:06d}.h5").write_bytes(image)


def write_plain(path: Path, n_rows: int, dim: int) -> None:
    """The same rows as one file without any header."""
    with path.open("wb") as file:
        for block in blocks(n_rows, dim):
            file.write(block.vectors.tobytes())


def measure_open(root: Path, n_rounds: int) -> Opened:
    """Medians over `n_rounds`, each in a new process, so that no memory is left over."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        opened = [pool.submit(open_once, root).result() for _ in range(n_rounds)]
    return Opened(
        statistics.median(each.seconds for each in opened),
        statistics.median(each.cpu_seconds for each in opened),
        statistics.median(each.anonymous_mb for each in opened),
    )


def open_once(root: Path) -> Opened:
    """Open the cache in this process."""
    before_kb = _anonymous_kb()
    started, cpu_started = time.perf_counter(), time.process_time()
    cache = VectorCache.open(root, _FINGERPRINT)
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    grown_kb = _anonymous_kb() - before_kb
    del cache
    return Opened(elapsed_s, cpu_s, grown_kb * 1024 / 1e6)


def measure_gather(
    cache: VectorCache, plain: npt.NDArray[np.uint16], batch: int, n_rounds: int
) -> tuple[float, float, float]:
    """Rows per second of the cache and of the plain map, and the median of their ratios.

    Each reads different rows: rows that were just read are in the processor's cache.
    """
    rows = np.random.default_rng(batch).integers(0, len(cache), (n_rounds, 2, batch))
    for each in rows.reshape(-1, batch):  # afterwards every row is checked, and its page is mapped
        if not np.array_equal(cache.gather(each), plain[each]):
            raise SystemExit("gather returned rows that differ from the plain file")
    seconds = np.empty((n_rounds, 2))
    ways: list[Callable[[Rows], object]] = [cache.gather, plain.__getitem__]
    for number, place in itertools.product(range(n_rounds), (0, 1)):
        way = (number + place) % 2  # they take turns in going first
        started = time.perf_counter()
        ways[way](rows[number, way])
        seconds[number, way] = time.perf_counter() - started
    ours, other = batch / np.median(seconds, axis=0)
    return float(ours), float(other), float(np.median(seconds[:, 1] / seconds[:, 0]))


def rows_that_fit(folder: Path, n_rows: int, dim: int) -> int:
    """At most `n_rows`, so that two copies fit on the disk."""
    free = shutil.disk_usage(folder).free - _SPARE_BYTES
    return max(1, min(n_rows, free // (2 * (dim * 2 + 64))))


def _anonymous_kb() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("Anonymous:")).split()[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--part-rows", type=int, nargs="+", default=[4_096, 65_536])
    parser.add_argument("--rounds", type=int, default=51, help="of gathering; a tenth of opening")
    parser.add_argument("--miniature", action="store_true", help="5,000 rows: does it run?")
    chosen = parser.parse_args()
    if chosen.miniature:
        chosen.rows, chosen.dim, chosen.rounds = 5_000, 64, 3
    print(as_lines(conditions(["xxhash"])))
    with tempfile.TemporaryDirectory() as folder:
        n_rows = rows_that_fit(Path(folder), chosen.rows, chosen.dim)
        if n_rows < chosen.rows:
            print(f"only {n_rows:,} rows: {folder} has no room for more")
        _run(Path(folder), n_rows, chosen.dim, chosen.part_rows, chosen.rounds)


def _run(folder: Path, n_rows: int, dim: int, part_sizes: list[int], n_rounds: int) -> None:
    write_plain(folder / "plain", n_rows, dim)
    plain = np.memmap(folder / "plain", np.uint16, "r", shape=(n_rows, dim))
    opening, gathering, verdicts = [], [], []
    for part_rows in part_sizes:
        root = folder / "cache"
        write_parts(root, n_rows, dim, part_rows)
        opened = measure_open(root, max(1, n_rounds // 10))
        figures = (
            f"{opened.seconds:.3f}",
            f"{opened.cpu_seconds:.3f}",
            f"{opened.anonymous_mb:.0f}",
        )
        opening.append([f"{part_rows:,}", *figures])
        named = f"parts of {part_rows:,}"
        verdicts += [
            verdict(f"{named}: seconds to open", opened.seconds, 1.0, at_least=False),
            verdict(f"{named}: MB beside the vectors", opened.anonymous_mb, 100, at_least=False),
        ]
        cache = VectorCache.open(root, _FINGERPRINT)
        for batch in (4_096, 65_536):
            ours, other, ratio = measure_gather(cache, plain, batch, n_rounds)
            gathering.append(
                [f"{part_rows:,}", f"{batch:,}", f"{ours:,.0f}", f"{other:,.0f}", f"{ratio:.2f}"]
            )
            verdicts.append(verdict(f"{named}: gather of {batch:,}, rows/s", ours, 1e6))
        del cache
        shutil.rmtree(root)
    print(f"\n{n_rows:,} rows of {dim} bfloat16 values")
    print(
        table(["rows a part", "seconds to open", "CPU s", "MB beside the vectors"], opening),
        end="\n\n",
    )
    header = ["rows a part", "batch", "ours, rows/s", "plain map, rows/s", "ratio (median)"]
    print(table(header, gathering), *verdicts, sep="\n")


if __name__ == "__main__":
    main()
