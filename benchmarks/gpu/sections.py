"""The sections of a first lease: `python -m benchmarks.gpu.sections NAME --out DIR`.

One a process. Which matter most, in what order and for how long, is in `lease.py`.
"""

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.results import Results

SECTIONS = {
    "card": "benchmarks.gpu.first_speed",
    "against_cpu": "benchmarks.gpu.first_checks",
    "captures": "benchmarks.gpu.first_checks",
    "lifetimes": "benchmarks.gpu.first_checks",
    "train_speed": "benchmarks.gpu.first_speed",
    "embed_speed": "benchmarks.gpu.first_speed",
}
"""Where the function of each name is."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one section; the exit code is 1 if a check was missed."""
    parser = argparse.ArgumentParser(description="One section of the GPU benchmarks.")
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--miniature", action="store_true")
    options = parser.parse_args(arguments)
    results = Results(options.out, options.section)
    section = getattr(importlib.import_module(SECTIONS[options.section]), options.section)
    section(results, options.miniature)
    if results.missed:
        raise SystemExit("MISSED: " + "; ".join(results.missed))


if __name__ == "__main__":
    main()
