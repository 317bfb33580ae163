"""The whole pipeline at the size it is for: seconds and memory of each stage, and how they grow.

Three sizes, each ten times the one before: a fixed cost (importing torch, loading a model) and
what grows with the records can then be told apart. The recordings are simulated in bulk, at 100 Hz;
their length is the same at all sizes: it changes the cost of an ECG, not how the cost grows. Each
stage is the command that a user runs, in a process of its own. Training streams one epoch with the
smallest encoder; evaluation scores a tenth of the records, 40,000 at most, with every analysis.

The exponent of a column y is log10(y3 / y2) between the two larger sizes; `of the growth` is
log10((y3 - y2) / (y2 - y1)), from which a fixed cost cancels: 1 is linear, 2 quadratic. What is
below a second or 50 MB has none.

    make rehearse RECORDS=80000

Before anything is written, the disk is checked for what the largest size needs.
"""

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measured_process import Measured, Use, measured
from benchmarks.report import as_lines, conditions, table, verdict
from benchmarks.simulated_hospital import RATE_HZ, bytes_of_recordings, write_hospital

SIZES = 3
RATIO = 10
MOST_MEMORY_MB = 4000
STAGES: dict[str, tuple[str, ...]] = {
    "check": ("check",),
    "prepare": ("prepare",),
    "embed": ("embed",),
    "train": ("train",),
    "eval": ("eval",),
    "status": ("status",),
    "verify": ("verify",),
    "run again": ("run",),
}
"""By name, the command. `run` at the end finds that nothing is left to do."""

_MORE_PER_RECORD = 1500  # bytes of tables, digests and logs
_MORE_BYTES = 300_000_000  # models, checkpoints, reports
_LEAST_S, _LEAST_MB = 1.0, 50.0
_MOST_EXPONENT = 1.1


@dataclass(frozen=True)
class Size:
    """What one size took, by stage."""

    records: int
    stages: Mapping[str, Measured]


def needed_bytes(n_records: int, seconds: int) -> int:
    """What the largest size writes: the recordings, the same in the store, and all else."""
    recordings = bytes_of_recordings(n_records, seconds)
    return 2 * recordings + _MORE_PER_RECORD * n_records + _MORE_BYTES


def check_disk(folder: Path, n_records: int, seconds: int) -> None:
    """Refuse a disk that is too small.

    Raises:
        SystemExit: naming what is needed and what is free.
    """
    needed, free = needed_bytes(n_records, seconds), shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(
            f"{folder} has {free / 1e9:.1f} GB free, but {n_records:,} records of {seconds} s need"
            f" {needed / 1e9:.1f} GB while they are rehearsed. Nothing was written. Name another"
            " folder with --folder, or fewer --records or --seconds."
        )


def settings(seconds: int, table: Path, model: Path, *, miniature: bool) -> dict[str, Any]:
    """The experiment; what is not named is as a user has it."""
    fewer = {"bootstrap_draws": 100, "random_encoders": 1} if miniature else {}
    return {
        "name": "rehearsal",
        "notice": "SIMULATED",
        "data": {
            "sources": [{"kind": "table", "table": str(table)}],
            "taxonomy": "findings98",
            "rate_hz": RATE_HZ,
            "duration_s": seconds,
            "min_duration_s": min(seconds, 5),
        },
        "text": {"model": str(model), "dtype": "float32"},
        "train": {
            "encoder": "cnn1d", "epochs": 1, "global_batch_size": 32, "placement": "stream",
        },
        "eval": {"tasks": ["findings", "superclass", "rhythm"], **fewer},
    }  # fmt: skip


def save_tiny_model(folder: Path) -> Path:
    """A language model with random weights: what it says does not matter here."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
    from tiny_models import save_llama

    return save_llama(folder)


def rehearse(folder: Path, n_records: int, seconds: int, *, miniature: bool = False) -> Size:
    """Make the data of one size, run every stage, and remove it all."""
    folder.mkdir()
    started = time.monotonic()
    records = write_hospital(folder / "hospital", n_records, seconds)
    took_s = time.monotonic() - started
    print(f"{n_records:,} records were simulated in {took_s:.1f} s", flush=True)
    pipeline = folder / "pipeline.yaml"
    model = save_tiny_model(folder / "model")
    wanted = settings(seconds, records, model, miniature=miniature)
    pipeline.write_text(yaml.safe_dump(wanted, allow_unicode=True), encoding="utf-8")
    # No network, and no waiting for a model that was never published.
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    stages = {}
    for name, words in STAGES.items():
        command = [sys.executable, "-m", "ecgpipe", *words, "-c", str(pipeline)]
        stages[name] = measured(command, environment)
        use = stages[name].use
        print(
            f"{n_records:,} records, {name}: {use.wall_s:.1f} s, {use.cpu_s:.1f} s of processors,"
            f" {use.memory_mb:.0f} MB",
            flush=True,
        )
    shutil.rmtree(folder)
    return Size(n_records, stages)


def uses(size: Size) -> dict[str, Use]:
    """Each stage, and under it its parts if there are several."""
    found = {}
    for name, stage in size.stages.items():
        found[name] = stage.use
        if len(stage.parts) > 1:
            found |= {f"- {label}": use for label, use in stage.parts.items()}
    return found


def exponent(values: Sequence[float], least: float) -> float | None:
    """Of the last two values, measured at sizes of which each is RATIO times the one before."""
    if len(values) < 2 or min(values[-2:]) < least:
        return None
    return math.log(values[-1] / values[-2], RATIO)


def growth_exponent(values: Sequence[float], least: float) -> float | None:
    """Of the increase over three sizes, from which a fixed cost cancels.

    None if it grew by less than `least` at the end; an increase at the beginning that is lost in
    the noise counts as a tenth of `least`.
    """
    if len(values) < SIZES:
        return None
    first, second, third = values[-SIZES:]
    if third - second < least:
        return None
    return math.log((third - second) / max(second - first, least / 10), RATIO)


def rows(sizes: Sequence[Size]) -> Iterator[list[str]]:
    """One row for each stage and part that every size has."""
    by_size = [uses(size) for size in sizes]
    for name in by_size[-1]:
        if not all(name in each for each in by_size):
            continue
        row = [name]
        for field, least in (("cpu_s", _LEAST_S), ("memory_mb", _LEAST_MB)):
            values = [float(getattr(each[name], field)) for each in by_size]
            digits = 1 if field == "cpu_s" else 0
            row += [f"{value:,.{digits}f}" for value in values]
            row += [
                "" if found is None else f"{found:.2f}"
                for found in (exponent(values, least), growth_exponent(values, least))
            ]
        last = by_size[-1][name]
        yield [*row, f"{last.resident_mb:,.0f}", f"{last.wall_s:,.0f}"]


def header(sizes: Sequence[Size]) -> list[str]:
    """Of the table."""
    of_size = [f"{size.records:,}" for size in sizes]
    exponents = ["exponent", "of the growth"]
    cpu, memory = [f"CPU s, {n}" for n in of_size], [f"MB, {n}" for n in of_size]
    more = [f"MB with mapped files, {of_size[-1]}", f"wall s, {of_size[-1]}"]
    return ["", *cpu, *exponents, *memory, *exponents, *more]


def verdicts(sizes: Sequence[Size]) -> Iterator[str]:
    """Whether each stage keeps below the memory, and grows no faster than the records."""
    for name in STAGES:
        every = [size.stages[name].use for size in sizes]
        yield verdict(
            f"{name}: MB at {sizes[-1].records:,}", every[-1].memory_mb, MOST_MEMORY_MB, False
        )
        for field, least in (("cpu_s", _LEAST_S), ("memory_mb", _LEAST_MB)):
            found = growth_exponent([getattr(use, field) for use in every], least)
            if found is not None:
                yield verdict(f"{name}: exponent of {field}", found, _MOST_EXPONENT, False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Rehearse every size, print the table, and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=80_000, help="and a tenth, and a hundredth")
    parser.add_argument("--seconds", type=int, default=2, help="of a recording, 2 to 10")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--out", type=Path, help="folder for the JSON file; default: none written")
    parser.add_argument("--miniature", action="store_true", help="400 records only, for CI")
    options = parser.parse_args(arguments)
    if not 2 <= options.seconds <= 10:
        parser.error("--seconds must be 2 to 10")
    if options.records < 300 * RATIO ** (SIZES - 1):
        parser.error(f"--records must be at least {300 * RATIO ** (SIZES - 1):,}")
    asked = [options.records // RATIO**back for back in reversed(range(SIZES))]
    if options.miniature:
        asked = [400]
    options.folder.mkdir(parents=True, exist_ok=True)
    check_disk(options.folder, asked[-1], options.seconds)
    found = conditions(["pyarrow", "scikit-learn"], seconds_per_ecg=options.seconds)
    print(as_lines(found), flush=True)
    with tempfile.TemporaryDirectory(prefix="rehearse-", dir=options.folder) as name:
        sizes = [
            rehearse(Path(name) / str(n), n, options.seconds, miniature=options.miniature)
            for n in asked
        ]
    print(table(header(sizes), list(rows(sizes))))
    for line in verdicts(sizes):
        print(line)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"rehearsal-{found['created'][:10]}-{asked[-1]}.json"
        entry = {"conditions": found, "sizes": [asdict(size) for size in sizes]}
        path.write_text(json.dumps(entry, indent=1, ensure_ascii=False), encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    main()
