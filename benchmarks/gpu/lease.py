"""Runs the GPU benchmarks within one lease of a bare machine, section by section.

Each section is a process of its own with its own limit, since a CUDA error, a failed capture or a
hang ends the process in which it happens. It appends to its file in `--out` the moment something is
measured, so whatever ends the lease leaves what was measured until then. A section that fails does
not stop the later ones; the table at the end says which did. Standard library only: what the
sections need beside torch and transformers is unpacked first (`packages.py`).

    python -m benchmarks.gpu.lease first --out DIR [--wheels DIR]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.gpu.packages import provide

_ROOT = Path(__file__).resolve().parents[2]
_MEASURE, _WHOLE = "benchmarks.gpu.sections", "benchmarks.gpu."
_LEAST_S = 5.0


@dataclass(frozen=True)
class Section:
    """One process."""

    name: str
    module: str
    arguments: tuple[str, ...]
    limit_s: float


def _of(name: str, limit_s: float) -> Section:
    return Section(name, _MEASURE, (name,), limit_s)


# The checks come first: figures of something that computes wrongly are worth nothing.
PLANS: dict[str, tuple[Section, ...]] = {
    "first": (
        _of("card", 40),
        _of("against_cpu", 80),
        _of("captures", 130),
        _of("lifetimes", 90),
        _of("train_speed", 100),
        _of("embed_speed", 110),
    ),
    "rest": (
        Section("train", _WHOLE + "train", ("--most-seconds", "6"), 330),
        Section("embed", _WHOLE + "embed", (), 200),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """How a section ended."""

    section: str
    how: str
    """ok, or why not."""
    seconds: float
    results: int
    """Lines in its file, or files."""


def run(section: Section, out: Path, limit_s: float, environment: Mapping[str, str]) -> Outcome:
    """Run one section to its end or its limit; its output goes to `out`/<name>.txt too."""
    command = [sys.executable, "-m", section.module, *section.arguments, "--out", str(out)]
    started = time.monotonic()
    with (out / f"{section.name}.txt").open("w", encoding="utf-8") as text:
        process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env=environment,
            stdout=text,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
            how = "ok" if code == 0 else f"FAILED with exit code {code}"
        except subprocess.TimeoutExpired:
            how = f"CUT at its limit of {limit_s:.0f} s"
        finally:
            _end(process)
    seconds = time.monotonic() - started
    return Outcome(section.name, how, seconds, _results(out, section.name))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and its children, and wait until its memory on the GPU is free again."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _results(out: Path, section: str) -> int:
    path = out / f"{section}.jsonl"
    if path.exists():
        return len(path.read_text(encoding="utf-8").splitlines())
    return len(list(out.glob(f"gpu-{section}-*")))  # a whole benchmark writes files of its own


def table(outcomes: Sequence[Outcome]) -> str:
    """Every section, and how it ended."""
    lines = [f"{'section':<14}{'seconds':>8}{'results':>9}  how it ended"]
    lines += [f"{o.section:<14}{o.seconds:>8.1f}{o.results:>9}  {o.how}" for o in outcomes]
    failed = [o.section for o in outcomes if o.how != "ok"]
    lines.append(f"failed: {', '.join(failed)}" if failed else "all sections ended well")
    return "\n".join(lines)


def run_plan(
    plan: Sequence[Section], out: Path, minutes: float, environment: Mapping[str, str]
) -> list[Outcome]:
    """All sections, as far as the time reaches; the table is written again after each."""
    started, outcomes = time.monotonic(), []
    for section in plan:
        left_s = 60 * minutes - (time.monotonic() - started)
        if left_s < _LEAST_S:
            outcomes.append(Outcome(section.name, "LEFT OUT: no time was left", 0.0, 0))
        else:
            print(f"{section.name} ...", flush=True)
            outcomes.append(run(section, out, min(section.limit_s, left_s), environment))
            tail = (out / f"{section.name}.txt").read_text(encoding="utf-8", errors="replace")
            print(tail[-3000:], flush=True)
        (out / "sections.txt").write_text(table(outcomes) + "\n", encoding="utf-8")
    return outcomes


def main(arguments: Sequence[str] | None = None) -> None:
    """Provide packages, run the plan, print the table; the exit code is 1 if a section failed."""
    parser = argparse.ArgumentParser(description="GPU benchmarks within one lease.")
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("--out", type=Path, required=True, help="folder that is brought back")
    parser.add_argument(
        "--wheels", type=Path, help="folder that wheels.sh filled; else pip's index"
    )
    parser.add_argument("--minutes", type=float, default=9.5, help="after which nothing is begun")
    parser.add_argument("--only", nargs="+", help="some sections")
    parser.add_argument("--miniature", action="store_true", help="toys, on a CPU if need be")
    options = parser.parse_args(arguments)
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ecgpipe-packages-") as folder:
        started = time.monotonic()
        paths = provide(options.wheels, Path(folder))
        print(f"packages: {'unpacked' if paths else 'all are here'}", flush=True)
        plan = [s for s in PLANS[options.plan] if not options.only or s.name in options.only]
        if options.miniature:
            plan = [replace(s, arguments=(*s.arguments, "--miniature")) for s in plan]
        minutes = options.minutes - (time.monotonic() - started) / 60
        outcomes = run_plan(plan, out, minutes, _environment(paths))
    summary = [vars(outcome) for outcome in outcomes]
    (out / "sections.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(table(outcomes))
    if any(outcome.how != "ok" for outcome in outcomes):
        raise SystemExit(1)


def _environment(paths: Sequence[Path]) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (_ROOT, *paths))),
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # without it two equal products may differ
    }


if __name__ == "__main__":
    main()
