"""Present what `ecgpipe check` found: as text, as a CSV list, and as JSON.

Owns the order (worst first), how much of each problem is shown, and what may be shown at all: rows
are named by place, never by id, report or the text of an unknown finding. Only `--list` writes
those.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from ecgpipe.language.layout import padded, width_of, wrapped
from ecgpipe.language.translation import shown, shown_word
from ecgpipe.spreadsheet import csv_bytes

_EXAMPLES = 3
_GROUPS = 12
_WIDTH = 100
_GIB = 1 << 30


class Severity(IntEnum):
    """How bad a problem is, worst first."""

    STOPS = 0
    WRONG = 1
    LOOK = 2


_HEADINGS = {
    Severity.STOPS: "Stops the run",
    Severity.WRONG: "Makes results wrong",
    Severity.LOOK: "Worth a look",
}


@dataclass(frozen=True)
class Example:
    """One place where a problem was found."""

    place: str
    """'row 17 of records', or a name that ships with the project."""

    detail: str = ""
    """What was found here. It is shown, so it holds no id and no text of a patient."""

    record_id: str = ""
    """Written to the list only."""

    private: str = ""
    """Written to the list only, such as the text of an unknown finding."""


@dataclass(frozen=True)
class Problem:
    """One kind of problem, with all places where it was found."""

    severity: Severity
    kind: str
    """A short name that stays the same, for programs."""

    summary: str
    """What was found, and what was expected."""

    fix: str = ""
    """What to do; '' where the summary says it."""

    examples: tuple[Example, ...] = ()

    groups: tuple[Example, ...] = ()
    """Shown instead of the examples, where counts of their kinds say more than some places."""


@dataclass(frozen=True)
class Report:
    """Everything that was found."""

    title: str
    overview: dict[str, str]
    """What the data and the run are like: a line of text per name."""

    problems: tuple[Problem, ...]
    numbers: dict[str, Any] = field(default_factory=dict)
    """Written to the JSON only."""

    @property
    def ready(self) -> bool:
        """Whether nothing stops the run or makes its results wrong."""
        return all(problem.severity == Severity.LOOK for problem in self.problems)


def problem_at(
    examples: Sequence[Example], severity: Severity, kind: str, noun: str, what: str, fix: str
) -> Iterator[Problem]:
    """The problem found at these places, summarised as '3 rows: what'; nothing without places."""
    if examples:
        summary = f"{counted(len(examples), noun)}: {what}"
        yield Problem(severity, kind, summary, fix, tuple(examples))


def gib(n_bytes: float) -> str:
    """An amount of memory or disk."""
    return f"{n_bytes / _GIB:,.1f} GiB" if n_bytes >= 0.1 * _GIB else f"{n_bytes / 2**20:,.1f} MiB"


def counted(n: int, noun: str) -> str:
    """'1 row', '2 rows'."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def render(report: Report) -> str:
    """The report as text."""
    lines = [report.title, ""]
    names = {name: shown_word(name) for name in report.overview}
    width = max(map(width_of, names.values()), default=0)
    for name, text in report.overview.items():
        start = f"  {padded(names[name], width)}  "
        lines += _wrapped(shown(text), start, " " * (width + 4))
    number = 0
    for severity, heading in _HEADINGS.items():
        chosen = [p for p in _ordered(report.problems) if p.severity == severity]
        lines += ["", shown(heading)] if chosen else []
        for problem in chosen:
            number += 1
            lines += _problem_lines(problem, number)
    return "\n".join([*lines, "", shown(_verdict(report))])


def as_list(report: Report) -> bytes:
    """Every place of every problem as CSV, with record ids and unknown findings.

    What is said of them is in the language of this process; the header and `kind` never change.
    """
    header = ("severity", "kind", "summary", "place", "detail", "record_id", "text")
    rows = [
        (
            shown(_HEADINGS[problem.severity]),
            problem.kind,
            shown(problem.summary),
            shown(example.place),
            shown(example.detail),
            example.record_id,
            example.private,
        )
        for problem in _ordered(report.problems)
        for example in problem.examples or (Example(""),)
    ]
    return csv_bytes(header, rows)


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs. It holds nothing that the text may not show."""
    return {
        "ready": report.ready,
        "problems": [
            {
                "severity": problem.severity.name.lower(),
                "kind": problem.kind,
                "summary": problem.summary,
                "fix": problem.fix,
                "n": len(problem.examples),
                "examples": [
                    {"place": example.place, "detail": example.detail}
                    for example in problem.examples[:_EXAMPLES]
                ],
            }
            for problem in _ordered(report.problems)
        ],
        "overview": report.overview,
        **report.numbers,
    }


def _ordered(problems: Sequence[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda p: (p.severity, -len(p.examples)))


def _problem_lines(problem: Problem, number: int) -> Iterator[str]:
    yield from _wrapped(shown(problem.summary), f"{number:>4}  ", " " * 6)
    if problem.fix:
        yield from _wrapped(shown(problem.fix), "      → ", " " * 8)
    all_shown = problem.groups or problem.examples
    examples = all_shown[: _GROUPS if problem.groups else _EXAMPLES]
    places = [shown(example.place) for example in examples]
    width = max(map(width_of, places), default=0)
    for place, example in zip(places, examples, strict=True):
        start = f"      {padded(place, width)}  "
        yield from _wrapped(shown(example.detail), start, " " * width_of(start))
    if more := len(all_shown) - len(examples):
        yield "      " + shown(f"and {more:,} more")


def _wrapped(text: str, first: str, then: str) -> list[str]:
    return wrapped(text, _WIDTH, first, then) or [first.rstrip()]


def _verdict(report: Report) -> str:
    n = Counter(problem.severity for problem in report.problems)
    look = [f"{n[Severity.LOOK]:,} worth a look"] if n[Severity.LOOK] else []
    if report.ready:
        return "ready" + "".join(f" ({part})" for part in look)
    stop = [f"{n[Severity.STOPS]:,} to fix before it runs"] if n[Severity.STOPS] else []
    wrong = [f"{n[Severity.WRONG]:,} to fix for correct results"] if n[Severity.WRONG] else []
    return f"not ready: {', '.join(stop + wrong + look)}"
