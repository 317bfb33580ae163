"""Check the findings of the rows: those that the taxonomy does not know, and those in doubt.

Owns how unknown spellings are told apart by what is probably wrong, and counted. A spelling is
free text of a table, so only the list shows it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecgpipe.config.data import DataConfig
from ecgpipe.evaluate.tasks.taxonomy import (
    Taxonomy,
    UnknownKind,
    load_taxonomy,
    shipped_taxonomies,
)
from ecgpipe.read_ecg.prepare.record_rows import finding_chooser
from ecgpipe.stages.check.report import Example, Problem, Severity, counted
from ecgpipe.stages.check.table_rows import CheckedRow

_SIMILAR_FOR = 200

# What is probably wrong with a spelling: a name for programs, and in words, with what to do.
_KINDS: Mapping[UnknownKind, tuple[str, str, str]] = {
    "joined": (
        "findings not separated",
        "several findings are written as one",
        "Separate findings by 、 or ; and by nothing else.",
    ),
    "misspelt": (
        "misspelt finding",
        "a finding is one letter away from a known one",
        "Correct the cells. --list FILE lists them all.",
    ),
    "suspected": (
        "suspected finding",
        "a finding is only suspected",
        "data.uncertain_findings says what to do with those.",
    ),
    "unknown": (
        "unknown finding",
        "a finding is not in the taxonomy",
        "Correct the cells, or add the spellings as synonyms to a taxonomy of your own;"
        " `ecgpipe findings WORD` shows what is known. --list FILE lists them all. Or leave out"
        " only the findings: data.unknown_findings.",
    ),
}


@dataclass(frozen=True)
class _OtherList:
    """A list that ships with ecgpipe and knows more of the rows' findings."""

    taxonomy: Taxonomy
    n_unknown: int
    """Rows with a finding that is not in this list either."""

    def knows(self, name: str) -> bool:
        return not self.taxonomy.read((name,)).unknown


def finding_problems(
    rows: Sequence[CheckedRow], taxonomy: Taxonomy, config: DataConfig
) -> Iterator[Problem]:
    """Findings that lead to rows being left out, or are left out of rows."""
    yield from _unknown_findings(rows, taxonomy, config)
    n = sum(checked.n_uncertain for checked in rows)
    if n:
        yield Problem(
            Severity.LOOK,
            "uncertain finding",
            f"{counted(n, 'finding')} left out as only suspected, by data.uncertain_findings",
            "",
            tuple(checked.example() for checked in rows if checked.n_uncertain),
        )


def _unknown_findings(
    rows: Sequence[CheckedRow], taxonomy: Taxonomy, config: DataConfig
) -> Iterator[Problem]:
    with_unknown = [checked for checked in rows if checked.unknown]
    counts = Counter(name for checked in with_unknown for name in checked.unknown)
    other = _other_list(rows, len(with_unknown), taxonomy, config) if counts else None
    kinds = {name: _kind_of(name, taxonomy, other) for name in counts}
    for kind, (short, what, fix) in _KINDS.items():
        names = [name for name, _ in counts.most_common() if kinds[name] == kind]
        chosen = [c for c in with_unknown if any(kinds[name] == kind for name in c.unknown)]
        if not names:
            continue
        about = {
            name: _about(name, kind, taxonomy, other) if number < _SIMILAR_FOR else ""
            for number, name in enumerate(names)  # the search for similar names is slow
        }
        n_rows, spellings = counted(len(chosen), "row"), counted(len(names), "spelling")
        yield Problem(
            Severity.LOOK,
            short,
            f"{n_rows} left out because of a finding: {what} ({spellings})"
            if config.unknown_findings == "reject"
            else f"a finding is left out of {n_rows}: {what} ({spellings})",
            fix if kind != "unknown" or other is None else f"{_advice(other, names, rows)} {fix}",
            tuple(
                Example(checked.row.place, about[name], checked.row.record_id, name)
                for checked in chosen
                for name in checked.unknown
                if kinds[name] == kind
            ),
            tuple(_spelling(name, counts[name], about[name], chosen) for name in names),
        )


def _kind_of(name: str, taxonomy: Taxonomy, other: _OtherList | None) -> UnknownKind:
    kind = taxonomy.kind_of_unknown(name)
    return "unknown" if kind == "misspelt" and other and other.knows(name) else kind


def _about(name: str, kind: UnknownKind, taxonomy: Taxonomy, other: _OtherList | None) -> str:
    """What is shown about a spelling, without the spelling."""
    match kind:
        case "misspelt":
            return f"the nearest known is {taxonomy.meant(name)}"
        case "unknown" if other and other.knows(name):
            return f"the list {other.taxonomy.name} knows it"
        case "unknown":
            return taxonomy.advice(name)
    return ""


def _spelling(name: str, n: int, about: str, chosen: Sequence[CheckedRow]) -> Example:
    first = next(checked.row.place for checked in chosen if name in checked.unknown)
    return Example(counted(n, "row"), "; ".join(filter(None, (f"first in {first}", about))))


def _other_list(
    rows: Sequence[CheckedRow], n_unknown: int, taxonomy: Taxonomy, config: DataConfig
) -> _OtherList | None:
    """The list that would know the findings of most rows; None if none knows more than this."""
    found = []
    for name in shipped_taxonomies():
        if name != taxonomy.name:
            other = load_taxonomy(name)
            choose = finding_chooser(other, config)
            private = (checked.row for checked in rows if not checked.row.public_codes)
            n = sum(bool(choose(row.findings).unknown) for row in private)
            found.append(_OtherList(other, n))
    best = min(found, key=lambda each: each.n_unknown)
    return best if best.n_unknown < n_unknown else None


def _advice(other: _OtherList, names: Sequence[str], rows: Sequence[CheckedRow]) -> str:
    name, n_known = other.taxonomy.name, sum(map(other.knows, names))
    now = counted(sum(bool(checked.unknown) for checked in rows), "row")
    return (
        f"The list {name} knows {n_known:,} of the {len(names):,}. With data.taxonomy: {name} an"
        f" unknown finding is in {counted(other.n_unknown, 'row')} instead of {now}."
    )
