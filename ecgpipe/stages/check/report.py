"""What `ecgpipe check` found, as text, as a list and for programs.

Owns the order (worst first), how much of each problem is shown, and what may be shown at all: rows
by their place, never an id, a report or the text of an unknown finding. Only the list that was
asked for has those.
"""

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

_EXAMPLES = 3
_WIDTH = 100


class Severity(IntEnum):
    """How bad a problem is; the worst comes first."""

    STOPS = 0
    WRONG = 1
    LOOK = 2


_HEADINGS = {
    Severity.STOPS: "Stops the run",
    Severity.WRONG: "Gives wrong results",
    Severity.LOOK: "Look at it",
}


@dataclass(frozen=True)
class Example:
    """One place where a problem shows."""

    place: str
    """'row 17 of records.csv', or a name that ships with the project."""

    detail: str = ""
    """What is the matter here; shown, so without ids and texts."""

    record_id: str = ""
    """Only for the list."""

    private: str = ""
    """What else only the list may say, such as the text of an unknown finding."""


@dataclass(frozen=True)
class Problem:
    """One thing to mend or to look at, however many rows it is about."""

    severity: Severity
    kind: str
    """A few words that stay the same, for programs."""

    summary: str
    mend: str
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that was found."""

    title: str
    figures: tuple[tuple[str, str], ...]
    """What there is, in lines of a name and a text."""

    problems: tuple[Problem, ...]
    numbers: dict[str, Any] = field(default_factory=dict)
    """Figures for programs."""

    @property
    def ready(self) -> bool:
        """Whether nothing stops the run or makes its results wrong."""
        return all(problem.severity == Severity.LOOK for problem in self.problems)


def render(report: Report) -> str:
    """The report for people."""
    lines = [report.title, ""]
    width = max((len(name) for name, _ in report.figures), default=0)
    for name, text in report.figures:
        lines += _wrapped(text, f"  {name:<{width}}  ", " " * (width + 4))
    number = 0
    for severity, heading in _HEADINGS.items():
        chosen = [p for p in _ordered(report.problems) if p.severity == severity]
        lines += ["", heading] if chosen else []
        for problem in chosen:
            number += 1
            lines += _problem_lines(problem, number)
    return "\n".join([*lines, "", _verdict(report)])


def as_list(report: Report) -> str:
    """Every row of every problem as CSV, with ids and with the texts that were not understood."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["severity", "kind", "summary", "place", "detail", "record_id", "text"])
    for problem in _ordered(report.problems):
        for example in problem.examples or (Example(""),):
            table.writerow(
                [
                    _HEADINGS[problem.severity],
                    problem.kind,
                    problem.summary,
                    example.place,
                    example.detail,
                    example.record_id,
                    example.private,
                ]
            )
    return text.getvalue()


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs; it says no more than the text does."""
    return {
        "ready": report.ready,
        "problems": [
            {
                "severity": problem.severity.name.lower(),
                "kind": problem.kind,
                "summary": problem.summary,
                "mend": problem.mend,
                "n": len(problem.examples),
                "examples": [
                    {"place": example.place, "detail": example.detail}
                    for example in problem.examples[:_EXAMPLES]
                ],
            }
            for problem in _ordered(report.problems)
        ],
        "figures": dict(report.figures),
        **report.numbers,
    }


def _ordered(problems: Sequence[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda p: (p.severity, -len(p.examples)))


def _problem_lines(problem: Problem, number: int) -> Iterator[str]:
    yield from _wrapped(problem.summary, f"{number:>4}  ", " " * 6)
    if problem.mend:
        yield from _wrapped(problem.mend, "      → ", " " * 8)
    shown = problem.examples[:_EXAMPLES]
    width = max((_columns(example.place) for example in shown), default=0)
    for example in shown:
        start = f"      {example.place}{' ' * (width - _columns(example.place))}  "
        yield from _wrapped(example.detail, start, " " * _columns(start))
    if more := len(problem.examples) - len(shown):
        yield f"      and {more:,} more"


def _wrapped(text: str, first: str, then: str) -> list[str]:
    """Lines of at most _WIDTH columns, broken at spaces; a Japanese letter is two columns wide."""
    lines, line, gap = [], first, ""
    for word in text.split():
        if gap and _columns(line) + 1 + _columns(word) > _WIDTH:
            lines.append(line)
            line, gap = then, ""
        line, gap = line + gap + word, " "
    return [line.rstrip() for line in (*lines, line)]


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _verdict(report: Report) -> str:
    n = {s: sum(p.severity == s for p in report.problems) for s in Severity}
    looks = f"{n[Severity.LOOK]} to look at" if n[Severity.LOOK] else ""
    if report.ready:
        return f"ready{f' ({looks})' if looks else ''}"
    parts = [
        f"{n[Severity.STOPS]} to mend before it runs" if n[Severity.STOPS] else "",
        f"{n[Severity.WRONG]} to mend before its results are right" if n[Severity.WRONG] else "",
        looks,
    ]
    return f"not ready: {', '.join(part for part in parts if part)}"
