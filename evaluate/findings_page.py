"""A list of findings -> a Markdown page of every name that a table may use.

Owns the page's layout; its words are in words.yaml. The command prints it, and docs/findings.md is
one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ecgpipe.evaluate.tasks.finding_names import plain_name
from ecgpipe.evaluate.tasks.taxonomy import Finding, Taxonomy
from ecgpipe.evaluate.words import word

_HEADS = ("id", "japanese", "english", "synonyms", "codes")
_BETWEEN = "; "
"""Names of one finding; some hold a comma."""


def findings_page(taxonomy: Taxonomy, language: str) -> str:
    """The list as a Markdown page; `language`, ja or en, is that of the words around it."""

    def text(key: str, **parts: object) -> str:
        return word("findings_page", key, **parts)[language]

    parts = [
        f"# {text('title', name=taxonomy.name)}",
        text("lead", n=len(taxonomy.findings)),
        _table(map(text, _HEADS), (_row(each, taxonomy) for each in taxonomy.findings)),
    ]
    if ambiguous := _ambiguous(taxonomy, language):
        heads = text("names"), text("may_mean")
        parts += [f"## {text('ambiguous')}", text("ambiguous_lead"), _table(heads, ambiguous)]
    return "\n\n".join(parts) + "\n"


def _row(finding: Finding, taxonomy: Taxonomy) -> list[str]:
    codes = [c for c in finding.codes if taxonomy.by_name.get(plain_name(c)) is finding]
    names = [finding.id, finding.japanese, finding.english]
    return [*names, _BETWEEN.join(finding.synonyms), _BETWEEN.join(codes)]


def _ambiguous(taxonomy: Taxonomy, language: str) -> list[list[str]]:
    """Names that may mean the same findings, and those findings, a row each."""
    names: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in dict.fromkeys(name for each in taxonomy.findings for name in each.ambiguous):
        meant = taxonomy.may_mean[plain_name(name)]
        names[tuple(finding.name(language) for finding in meant)].append(name)
    return [[_BETWEEN.join(each), _BETWEEN.join(meant)] for meant, each in names.items()]


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(heads), *rows]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
