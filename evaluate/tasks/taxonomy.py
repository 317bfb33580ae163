"""A list of findings, and which finding a name in a table means.

Owns the taxonomy file: one CSV with the columns id, japanese, english; optional synonyms (separated
by ;), codes in columns named in CODE_COLUMNS, and any further column as a grouping (superclass,
rhythm...) that tasks refer to. Editing such a column is how findings are mapped to coarse classes
(the paper's Table 8).
"""

import csv
import difflib
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.named_file import NamedFiles
from ecgpipe.files import digest_of

CODE_COLUMNS = ("scp", "snomed_ct")
_NAME_COLUMNS = ("id", "japanese", "english", "synonyms")
_TAXONOMIES = NamedFiles("taxonomies", (".csv",), "taxonomy", "data.taxonomy")


@dataclass(frozen=True)
class Finding:
    """One thing an ECG may show."""

    id: str
    japanese: str
    english: str
    synonyms: tuple[str, ...]
    codes: tuple[str, ...]
    groups: Mapping[str, str]
    """Column name to class, for example superclass to MI; without the empty ones."""

    def name(self, language: str) -> str:
        """The name that goes into a prompt; `language` is ja or en."""
        return self.japanese if language == "ja" else self.english


@dataclass(frozen=True)
class Taxonomy:
    """All findings of a list, in its order."""

    name: str
    findings: tuple[Finding, ...]
    group_columns: tuple[str, ...]
    by_name: Mapping[str, Finding]
    """The finding of every id, name, synonym and unambiguous code, as `plain_name` writes it."""

    @cached_property
    def digest(self) -> str:
        """Changes when a finding or one of its names does.

        Without the grouping columns: they change tasks, which have their own digests, and no
        record. So Table 8 can be edited without preparing again.
        """
        return digest_of(
            [[f.id, f.japanese, f.english, f.synonyms, f.codes] for f in self.findings]
        )

    def __getitem__(self, finding_id: str) -> Finding:
        return self.findings[self._place[finding_id]]

    def resolve(self, name: str) -> Finding:
        """The finding that an id, a name in either language, a synonym or a code means.

        Width, case and spaces do not matter.

        Raises:
            TaxonomyError: none; the message names the nearest known one.
        """
        try:
            return self.by_name[plain_name(name)]
        except KeyError:
            near = self.nearest(name)
            hint = f"the nearest known is {near}" if near else "none is near"
            raise TaxonomyError(f"the finding {name!r} is not in {self.name}; {hint}") from None

    def resolve_all(self, names: Sequence[str]) -> tuple[str, ...]:
        """Ids of findings, each once, in the taxonomy's order. Raises as `resolve`."""
        ids = {self.resolve(name).id for name in names}
        return tuple(sorted(ids, key=self._place.__getitem__))

    def nearest(self, name: str) -> str | None:
        """The known name most similar to an unknown one, with its id; None if none is."""
        near = difflib.get_close_matches(plain_name(name), self.by_name, 1, 0.4)
        return self._spelt(near[0]) if near else None

    def _spelt(self, plain: str) -> str:
        finding = self.by_name[plain]
        spellings = (finding.id, finding.japanese, finding.english, *finding.synonyms)
        written = next((s for s in spellings if plain_name(s) == plain), plain)
        return f"{written!r} (id {finding.id})" if written != finding.id else f"id {finding.id}"

    @cached_property
    def _place(self) -> dict[str, int]:
        return {finding.id: place for place, finding in enumerate(self.findings)}


def load_taxonomy(name: str) -> Taxonomy:
    """Read a taxonomy that ships with ecgpipe, by name, or your own, by path.

    Raises:
        TaxonomyError: it does not exist, lacks a column, or names are empty or ambiguous.
    """
    return parse_taxonomy(_TAXONOMIES.read(name), name)


def taxonomy_csv(name: str) -> bytes:
    """The file of a taxonomy as UTF-8. Raises as `load_taxonomy`."""
    return _TAXONOMIES.read(name).encode()


def parse_taxonomy(text: str, name: str) -> Taxonomy:
    """Read a taxonomy from CSV text; `name` is for messages. Raises as `load_taxonomy`."""
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise TaxonomyError(f"The taxonomy {name} cannot be read: {error}.") from None
    columns = list(rows[0]) if rows else []
    for number, row in enumerate(rows, 2):
        if None in row:
            raise TaxonomyError(
                f"The taxonomy {name}, row {number}, has more cells than columns. Put quotes around"
                " a cell that holds a comma."
            )
    if missing := [c for c in ("id", "japanese", "english") if c not in columns]:
        raise TaxonomyError(f"The taxonomy {name} has no column {', '.join(missing)}.")
    groups = tuple(c for c in columns if c not in (*_NAME_COLUMNS, *CODE_COLUMNS))
    findings = tuple(_finding(row, groups, name) for row in rows)
    if len({finding.id for finding in findings}) < len(findings):
        raise TaxonomyError(f"The taxonomy {name} has an id more than once.")
    names = _names(findings, name)
    return Taxonomy(name, findings, groups, _unique_codes(findings, names) | names)


def _finding(row: Mapping[str, str | None], groups: Sequence[str], name: str) -> Finding:
    cells = {key: (value or "").strip() for key, value in row.items()}
    if not (cells["id"] and cells["japanese"] and cells["english"]):
        raise TaxonomyError(
            f"The taxonomy {name} has a row without id, japanese or english: {row}."
        )
    return Finding(
        id=cells["id"],
        japanese=cells["japanese"],
        english=cells["english"],
        synonyms=_several(cells.get("synonyms", "")),
        codes=tuple(c for column in CODE_COLUMNS for c in _several(cells.get(column, ""))),
        groups={group: cells[group] for group in groups if cells[group]},
    )


def _names(findings: Sequence[Finding], taxonomy: str) -> dict[str, Finding]:
    names: dict[str, Finding] = {}
    for finding in findings:
        spellings = (finding.id, finding.japanese, finding.english, *finding.synonyms)
        for name in dict.fromkeys(plain_name(spelling) for spelling in spellings):
            other = names.setdefault(name, finding)
            if other is not finding:
                raise TaxonomyError(
                    f"The taxonomy {taxonomy} gives the name {name!r} to findings {other.id} and"
                    f" {finding.id}. Every name and synonym must mean one finding."
                )
    return names


def _unique_codes(findings: Sequence[Finding], taken: Mapping[str, Finding]) -> dict[str, Finding]:
    """Codes that only one finding has.

    A shared code (SNOMED has one for most infarctions) is ambiguous, so it means none.
    """
    owners: dict[str, list[Finding]] = {}
    for finding in findings:
        for code in finding.codes:
            owners.setdefault(plain_name(code), []).append(finding)
    return {code: own[0] for code, own in owners.items() if len(own) == 1 and code not in taken}


def _several(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def plain_name(name: str) -> str:
    """The name without differences of width, case and spaces."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())
