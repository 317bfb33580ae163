"""How fast `predict` is, against what it is made of: `prepare`, and the encoder alone.

The recordings are PTB-XL's if available, otherwise simulated ones, in the page cache. Measured in
turn, round by round, with two processes that read:

- predict: recordings -> answers in a file, with everything that a user gets;
- prepare: the same recordings -> the signal store, at the model's window;
- encode: the windows of that store, in the batches of `predict`.

The target is a share of the rate that prepare and encode would reach one after the other. Peak
memory is that of whole commands, over the recordings once and ten times.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

from benchmarks.ecg_sample import EcgSample, find_sample, prepare_table, write_table
from benchmarks.measured_process import measured
from benchmarks.report import as_lines, conditions, table, verdict

_BATCH = 64
_READERS = 2


class Parts:
    """The three things that are measured, over the same rows."""

    def __init__(self, model: Path, sample: EcgSample, folder: Path, n_ecgs: int) -> None:
        # Not at the top: each process that reads imports the script.
        from ecgpipe.apply_model.applied_model import load_model
        from ecgpipe.config.data import WindowConfig

        self.folder, self.sample, self.n_ecgs = folder, sample, n_ecgs
        self.model = load_model(model)
        contract = self.model.contract
        self.window = {each.name: getattr(contract, each.name) for each in fields(WindowConfig)}
        self.rows = folder / "records.csv"
        write_table(self.rows, sample, n_ecgs)

    def predict(self) -> None:
        """Answers in a file."""
        from ecgpipe.apply_model.recordings import inputs_of_table
        from ecgpipe.stages.apply.predict import PredictOptions, run_predict
        from ecgpipe.stopping import Stop

        out = self.folder / "answers.jsonl"
        out.unlink(missing_ok=True)
        result = run_predict(
            self.model,
            lambda: inputs_of_table(self.rows, self.sample.root),
            PredictOptions(out=out, workers=_READERS),
            Stop(),
            None,
        )
        assert result.n_answered == self.n_ecgs, asdict(result)

    def prepare(self) -> None:
        """The signal store."""
        shutil.rmtree(self.folder / "work", ignore_errors=True)
        prepare_table(self.rows, self.sample.root, self.folder / "work", _READERS, **self.window)

    def encode(self) -> None:
        """Vectors of the store's windows."""
        import numpy as np

        from ecgpipe.cache.signals.reader import SignalStore

        (path,) = (self.folder / "work" / "signals").glob("*.zarr")
        store = SignalStore.open(path)
        for first in range(0, store.n_slots, _BATCH):
            slots = np.arange(first, min(first + _BATCH, store.n_slots))
            self.model.encode_ecg(store.read(slots))


def rates(parts: Parts, n_rounds: int) -> dict[str, list[float]]:
    """ECGs per second of each part in each round; a first round, not counted, warms up."""
    ways: dict[str, Callable[[], None]] = {
        "prepare": parts.prepare,
        "encode": parts.encode,
        "predict": parts.predict,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(n_rounds + 1):
        for name, work in ways.items():
            started = time.perf_counter()
            work()
            found[name].append(parts.n_ecgs / (time.perf_counter() - started))
    return {name: each[1:] for name, each in found.items()}


def peak_memory_mb(model: Path, sample: EcgSample, folder: Path, n_ecgs: int) -> float:
    """Of the command over so many recordings."""
    rows, out = folder / f"{n_ecgs}.csv", folder / f"{n_ecgs}.jsonl"
    write_table(rows, sample, n_ecgs)
    options = ["--table", str(rows), "--root", str(sample.root), "--out", str(out)]
    command = [sys.executable, "-m", "ecgpipe", "predict", str(model), *options]
    return measured(command, os.environ).use.memory_mb


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("model", type=Path, help="a folder that `ecgpipe export` wrote")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--miniature", action="store_true", help="only check that it runs")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = find_sample(folder, 40)
        n_ecgs, n_rounds = (70, 1) if chosen.miniature else (len(sample.headers), chosen.rounds)
        parts = Parts(chosen.model, sample, folder, n_ecgs)
        found = rates(parts, n_rounds)
        shares = [
            predict * (1 / prepare + 1 / encode)
            for prepare, encode, predict in zip(*found.values(), strict=True)
        ]
        rows = [[part, f"{statistics.median(each):,.0f}"] for part, each in found.items()]
        print(as_lines(conditions(ecgs=f"{n_ecgs:,} of {sample.said}")))
        print(f"rounds: {n_rounds}\nmodel: {parts.model.contract.rate_hz:g} Hz\n")
        print(table(["part", "ECGs/s"], rows))
        print("\n" + verdict("predict / (prepare, then encode)", statistics.median(shares), 0.9))
        once, often = (
            peak_memory_mb(chosen.model, sample, folder, n_ecgs * times) for times in (1, 10)
        )
        print(f"peak memory: {once:,.0f} MB once, {often:,.0f} MB ten times over")
        print(verdict("memory, ten times / once", often / once, 1.1, at_least=False))


if __name__ == "__main__":
    main()
