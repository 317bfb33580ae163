"""What all benchmarks print alike: a table, and under which conditions it was measured."""

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ecgpipe.provenance import provenance


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that reads well as plain text; the first column is left-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = [
        "-" * width if not place else "-" * (width - 1) + ":" for place, width in enumerate(widths)
    ]
    return "\n".join(_line(cells, widths) for cells in (header, rule, *rows))


def conditions(packages: Sequence[str] = (), **more: str | int) -> dict[str, Any]:
    """When, on what, and with which software; `packages` are reported besides the usual."""
    found = provenance()
    found["packages"] = found["packages"] | {name: _version(name) for name in packages}
    return found | {"processor": _processor()} | more


def as_lines(found: dict[str, Any]) -> str:
    """Conditions for people."""
    flat = {key: value for key, value in found.items() if key != "packages"}
    versions = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return "\n".join([*(f"{key}: {value}" for key, value in flat.items()), f"packages: {versions}"])


def verdict(what: str, value: float, target: float, at_least: bool = True) -> str:
    """One line: a figure, its target, and whether it is met."""
    met = value >= target if at_least else value <= target
    sign = ">=" if at_least else "<="
    return f"{what}: {value:.2f} (target {sign} {target:g}): {'met' if met else 'MISSED'}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([first, *rest])} |"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
