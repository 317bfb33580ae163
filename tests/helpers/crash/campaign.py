"""The crash campaign: workers killed at random moments, every crash point, cut power.

Owns the kills: when a worker dies, that it is started again until all texts have a vector, and what
must hold afterwards; and the table of the whole campaign. Run it by hand or by `make crash-embed`:

    python tests/helpers/crash/campaign.py --kills 100 --prefixes --power-loss 300
"""

import argparse
import multiprocessing
import random
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import h5py
import numpy as np

if not __package__:  # a script uses the tree that it lies in, whatever else is installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash import crash_states, worker
from crash.crash_states import Findings
from crash.reader import Reader
from ecgpipe.cache.vectors import writer as vector_writer
from ecgpipe.cache.vectors.part import KEY_BYTES
from ecgpipe.cache.vectors.reader import part_paths
from ecgpipe.processes import Share

WORKERS = 3
SEAL_ROWS = 24
ROWS_PER_BATCH = 8
TEXTS_PER_ROUND = 960
"""Few enough that a worker, which opens all parts first, is soon writing again."""

HANG_AFTER_S = 60.0

_POLL_S = 0.002
_BROKEN_STARTS = 5


@dataclass
class Life:
    """A worker from its start to its end, and the moment at which it is to be killed."""

    index: int
    start: int
    log: Path
    process: BaseProcess
    born_at: float
    wait_rows: int | None
    """Reported rows to wait for; None: the kill comes at a time since birth."""

    then_wait_s: float
    kill_at: float | None = None

    def is_due(self, now: float) -> bool:
        """Whether the moment of the kill has come."""
        if self.kill_at is None:
            if self.wait_rows is None:
                self.kill_at = self.born_at + self.then_wait_s
            elif self.log.exists() and self.log.stat().st_size >= self.wait_rows * KEY_BYTES:
                self.kill_at = now + self.then_wait_s
        return self.kill_at is not None and now >= self.kill_at

    def end(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.join()

    def errors(self) -> str:
        """What a worker said that could not go on."""
        path = _errors(self.log)
        return path.read_text() if path.exists() else f"ended with {self.process.exitcode}"


class Round:
    """One cache from empty to complete, by workers that share the texts and are killed meanwhile.

    Moments of kills: one in ten within a tenth of a second of the start, which is mostly before
    anything is written; the others some milliseconds after a worker opened its log, or after its
    first or second report, so that they fall anywhere in a seal however fast the machine is.
    """

    def __init__(
        self, folder: Path, findings: Findings, chance: random.Random, way: str | None = None
    ) -> None:
        """Work in `folder`, which must not be there; count faults in `findings`."""
        folder.mkdir(parents=True)
        self.n_inside = 0
        """Kills that left a temporary file: in the middle of writing a part."""

        self.n_unreported = 0
        """Rows that were sealed when the kill came, but not yet reported."""

        self._root = folder / "root"
        self._logs = folder / "logs"
        self._logs.mkdir()
        self._findings = findings
        self._chance = chance
        self._way = way
        self._starts = 0
        self._broken = 0

    def run(self, most_kills: int) -> None:
        """Kill at most so many times; returns when every worker has said that all is done."""
        lives = [self._born(index) for index in range(WORKERS)]
        try:
            while lives:
                time.sleep(_POLL_S)
                lives = [next_life for life in lives for next_life in self._seen(life, most_kills)]
        finally:
            for life in lives:
                life.end()

    def check(self, reader: Reader) -> None:
        """What must hold at the end."""
        texts = worker.text_keys(TEXTS_PER_ROUND)
        verdict = reader.look(self._root, texts)
        self._findings.missing += verdict.lost
        self._findings.wrong += verdict.wrong + verdict.twice
        self._findings.hangs += verdict.hangs
        if verdict.unreadable:
            self._findings.unreadable += 1
            self._findings.note(verdict.unreadable)
            return
        sealed = self._sealed_by_start()
        for start in range(self._starts):
            reported = {key.tobytes() for key in worker.reported_keys(self._log(start))}
            self._findings.lost += len(reported - sealed.get(start, set()))
            self.n_unreported += len(sealed.get(start, set()) - reported)
        self.n_inside += len(list(self._root.glob("*/.part-*.tmp")))

    def _born(self, index: int) -> Life:
        start, log = self._starts, self._log(self._starts)
        self._starts += 1
        # Forked, not started anew: what a worker imports cannot touch its files, and the time goes
        # into kills. The recorded writer of crash_states is a program of its own.
        process = multiprocessing.get_context("fork").Process(
            target=_live, args=(self._root, log, Share(index, WORKERS), start, self._way)
        )
        process.start()
        early = self._chance.random() < 0.1
        return Life(
            index,
            start,
            log,
            process,
            time.monotonic(),
            wait_rows=None if early else self._chance.randrange(3) * SEAL_ROWS,
            then_wait_s=self._chance.uniform(0, 0.1 if early else 0.03),
        )

    def _seen(self, life: Life, most_kills: int) -> Iterator[Life]:
        """The life while it lasts; the next one where it ended too early; none when all is done."""
        now = time.monotonic()
        if not life.process.is_alive():
            if life.process.exitcode:
                yield from self._after_failure(life, life.errors())
        elif now - life.born_at > HANG_AFTER_S:
            life.end()
            self._findings.hangs += 1
            yield from self._after_failure(life, f"no end after {HANG_AFTER_S:.0f} s")
        elif self._findings.points < most_kills and life.is_due(now):
            life.end()
            if life.process.exitcode:  # otherwise it ended by itself in that moment
                self._findings.points += 1
                yield self._born(life.index)
        else:
            yield life

    def _after_failure(self, life: Life, errors: str) -> Iterator[Life]:
        """A worker that cannot go on has found a cache that it cannot read or write."""
        self._findings.unreadable += 1
        self._findings.note(errors.strip().rsplit("\n", 1)[-1])
        self._broken += 1
        if self._broken < _BROKEN_STARTS:
            yield self._born(life.index)

    def _log(self, start: int) -> Path:
        return self._logs / f"{start:05d}"

    def _sealed_by_start(self) -> dict[int, set[bytes]]:
        """The keys that each start of a worker sealed.

        A row that was reported and then lost would be made again by a later start, so it does not
        lack at the end; but it lacks in the parts of the start that reported it. Nothing in a round
        removes parts.
        """
        sealed: dict[int, set[bytes]] = {}
        for path in part_paths(self._root / worker.FINGERPRINT.short):
            with h5py.File(path, "r", locking=False) as file:
                keys = np.asarray(file["key"])
                sealed.setdefault(int(file.attrs["start"]), set()).update(
                    key.tobytes() for key in keys
                )
        return sealed


def _live(root: Path, log: Path, share: Share, start: int, way: str | None) -> None:
    """The whole life of a worker, in its own process."""
    vector_writer.SEAL_ROWS = SEAL_ROWS
    try:
        worker.work(root, log, share, TEXTS_PER_ROUND, ROWS_PER_BATCH, start, way)
    except Exception:
        _errors(log).write_text(traceback.format_exc())
        sys.exit(1)


def _errors(log: Path) -> Path:
    return log.with_suffix(".errors")


def kill_workers(n_kills: int, seed: int, folder: Path, way: str | None = None) -> Findings:
    """Kill workers `n_kills` times, in as many rounds as that takes.

    Args:
        n_kills: how many times.
        seed: of the moments, as far as a busy machine lets them be the same twice.
        folder: where the caches are made.
        way: to write wrongly on purpose; see worker.BAD_WAYS.
    """
    findings, started = Findings("kill -9"), time.monotonic()
    chance = random.Random(seed)
    n_rounds = n_inside = n_unreported = 0
    with Reader() as reader:
        while findings.points < n_kills and not findings.hangs:
            round_ = Round(folder / f"round-{n_rounds}", findings, chance, way)
            round_.run(n_kills)
            round_.check(reader)
            n_rounds += 1
            n_inside += round_.n_inside
            n_unreported += round_.n_unreported
            if findings.unreadable:
                break
    findings.note(
        f"{WORKERS} workers, {n_rounds} caches of {TEXTS_PER_ROUND:,} texts; {n_inside} kills while"
        f" a part was written, {n_unreported} rows sealed but not reported"
    )
    findings.seconds = time.monotonic() - started
    return findings


def table(all_findings: Sequence[Findings]) -> str:
    """The summary that people read."""
    heads = ("", "points", "lost", "wrong", "unreadable", "hangs", "missing", "seconds")
    lines = ["{:14}{:>8}{:>8}{:>8}{:>12}{:>8}{:>9}{:>9}".format(*heads)]
    for one in all_findings:
        lines.append(
            f"{one.name:14}{one.points:8,}{one.lost:8,}{one.wrong:8,}{one.unreadable:12,}"
            f"{one.hangs:8,}{one.missing:9,}{one.seconds:9.1f}"
        )
    lines += [f"{one.name}: {note}" for one in all_findings for note in one.notes]
    return "\n".join(lines)


def main() -> int:
    """Run what the command line asks for; 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=0, help="kill -9 workers so many times")
    parser.add_argument("--prefixes", action="store_true", help="look at every crash point")
    parser.add_argument("--power-loss", type=int, default=0, help="look at so many power cuts")
    parser.add_argument(
        "--batches", type=int, default=300, help="of the run whose calls are logged"
    )
    parser.add_argument("--way", choices=worker.BAD_WAYS, help="write wrongly, to see faults found")
    parser.add_argument("--strict-folders", action="store_true", help="unsynced folders may go too")
    parser.add_argument("--seed", type=int, default=None, help="default: another each time")
    asked = parser.parse_args()
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="crash-embed-"))
    found = []
    if asked.kills:
        found.append(kill_workers(asked.kills, seed, folder / "kills", asked.way))
    if asked.prefixes or asked.power_loss:
        operations = crash_states.record(folder / "log", asked.batches, asked.way)
        if asked.prefixes:
            found.append(crash_states.check_prefixes(operations, folder / "prefixes"))
        if asked.power_loss:
            found.append(
                crash_states.check_power_loss(
                    operations,
                    asked.power_loss,
                    seed,
                    folder / "power",
                    strict_folders=asked.strict_folders,
                )
            )
    print(f"Crash campaign of the text-vector cache, seed {seed}\n{table(found)}")
    if all(one.is_clean for one in found):
        shutil.rmtree(folder)
        return 0
    print(f"Faults were found. What is left of it is in {folder}.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
