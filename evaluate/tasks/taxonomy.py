"""A list of findings, and which finding a name in a table means.

Owns the taxonomy file: one CSV with the columns id, japanese, english; optional synonyms, and
ambiguous names, which other findings have too (both separated by ;), codes in columns named in
CODE_COLUMNS, and any further column as a grouping (superclass, rhythm...) that tasks refer to.
Editing such a column is how findings are mapped to coarse classes (the paper's Table 8).
"""

import csv
import difflib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.finding_names import (
    contradict,
    is_one_edit_apart,
    plain_name,
    without_doubt,
)
from ecgpipe.evaluate.tasks.named_file import NamedFiles
from ecgpipe.files import digest_of

CODE_COLUMNS = ("scp", "snomed_ct")
_NAME_COLUMNS = ("id", "japanese", "english", "synonyms", "ambiguous")
_CANDIDATES = 3
_ALIKE = 0.5
"""Of difflib: at less, names share little but 心 or ブロック."""
_COMMAS = re.compile("[,，]")
_OTHER_MARKS = re.compile(r"[,，・･/／+＋|｜\s]+")
_TAXONOMIES = NamedFiles("taxonomies", (".csv",), "taxonomy", "data.taxonomy")

UnknownKind = Literal["joined", "suspected", "misspelt", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One thing an ECG may show."""

    id: str
    japanese: str
    english: str
    synonyms: tuple[str, ...]
    ambiguous: tuple[str, ...]
    """Names that may mean this finding or another, such as 2度房室ブロック."""

    codes: tuple[str, ...]
    groups: Mapping[str, str]
    """Column name to class, for example superclass to MI; without the empty ones."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that mean it, but for codes."""
        return (self.id, self.japanese, self.english, *self.synonyms)

    def name(self, language: str) -> str:
        """The name that goes into a prompt; `language` is ja or en."""
        return self.japanese if language == "ja" else self.english


@dataclass(frozen=True)
class CellFindings:
    """What the names in a cell mean."""

    certain: tuple[str, ...]
    """Ids."""

    doubtful: Mapping[str, str]
    """Id to name of those that are only suspected, such as 左室肥大の疑い."""

    unknown: tuple[str, ...]
    """Names as they were written."""


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

        Width, case, spaces and the spelling of a degree do not matter.

        Raises:
            TaxonomyError: none; the message names what it may mean.
        """
        try:
            return self.by_name[plain_name(name)]
        except KeyError:
            raise TaxonomyError(
                f"the finding {name!r} is not in {self.name}; {self.advice(name)}"
            ) from None

    def resolve_all(self, names: Sequence[str]) -> tuple[str, ...]:
        """Ids of findings, each once, in the taxonomy's order. Raises as `resolve`."""
        return self._in_order(self.resolve(name).id for name in names)

    def read(self, names: Sequence[str]) -> CellFindings:
        """Ids of findings, each once, in the taxonomy's order, and the names that mean none."""
        certain, unknown = set(), []
        doubtful: dict[str, str] = {}
        for name in names:
            plain = plain_name(name)
            if (finding := self.by_name.get(plain)) is not None:
                certain.add(finding.id)
            elif (finding := self.by_name.get(without_doubt(plain))) is not None:
                doubtful.setdefault(finding.id, name)
            else:
                unknown.append(name)
        only = {id_: name for id_, name in doubtful.items() if id_ not in certain}
        return CellFindings(self._in_order(certain), only, tuple(unknown))

    def advice(self, name: str) -> str:
        """What an unknown name may mean, and what to do."""
        plain = plain_name(name)
        if self._knows_any(_COMMAS.split(name)):
            return "separate findings by 、 or ; instead of a comma"
        if self._is_joined(name):
            return "these are several findings: separate them by 、 or ;"
        if without_doubt(plain) in self.by_name:
            return "it is only suspected: data.uncertain_findings says what to do with those"
        if several := self.may_mean.get(plain):
            return f"it may mean {_listed(f.japanese for f in several)}: write which"
        near = self.similar(name)
        verb = "is" if len(near) == 1 else "are"
        return f"the nearest known {verb} {_listed(near)}" if near else "none is near"

    def kind_of_unknown(self, name: str) -> UnknownKind:
        """What is probably wrong with a name that `read` does not know."""
        if self._is_joined(name):
            return "joined"
        if without_doubt(plain_name(name)) in self.by_name:
            return "suspected"
        return "misspelt" if self.meant(name) else "unknown"

    def meant(self, name: str) -> str | None:
        """The known name, with its id, of the one finding that an unknown name is a slip of."""
        plain = plain_name(name)
        found = {
            finding.id: known
            for known, finding in self.by_name.items()
            if is_one_edit_apart(plain, known)
            and not contradict(plain, known, plain_name(finding.japanese))
        }
        return self._spelt(next(iter(found.values()))) if len(found) == 1 else None

    def _is_joined(self, name: str) -> bool:
        """Whether a name is several findings with another mark between them than 、 or ;."""
        parts = _OTHER_MARKS.split(name)
        return self._knows_any(_COMMAS.split(name)) or (
            len(parts) > 1 and all(plain_name(part) in self.by_name for part in parts)
        )

    def _knows_any(self, parts: Sequence[str]) -> bool:
        return any(plain_name(part) in self.by_name for part in parts)

    def similar(self, name: str) -> list[str]:
        """Up to three known names of different findings that are like an unknown one, with ids.

        None that differs in side, chamber, degree, wall or direction.
        """
        plain = plain_name(name)
        alike = difflib.get_close_matches(plain, self.by_name, 4 * _CANDIDATES, _ALIKE)
        found: dict[str, str] = {}
        for each in alike:
            finding = self.by_name[each]
            if not contradict(plain, each, plain_name(finding.japanese)):
                found.setdefault(finding.id, each)
        return [self._spelt(each) for each in found.values()][:_CANDIDATES]

    def matching(self, word: str) -> list[Finding]:
        """The findings one of whose names contains a word; those that an ambiguous name may mean;
        all for ''."""
        plain = plain_name(word)
        return [
            finding
            for finding in self.findings
            if any(plain in plain_name(each) for each in (*finding.names, *finding.ambiguous))
            or plain in map(plain_name, finding.codes)
        ]

    def _in_order(self, ids: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(set(ids), key=self._place.__getitem__))

    def _spelt(self, plain: str) -> str:
        finding = self.by_name[plain]
        written = next((s for s in finding.names if plain_name(s) == plain), plain)
        return f"{written!r} (id {finding.id})" if written != finding.id else f"id {finding.id}"

    @cached_property
    def may_mean(self) -> Mapping[str, tuple[Finding, ...]]:
        """The findings of every ambiguous name, as `plain_name` writes it."""
        found: dict[str, tuple[Finding, ...]] = {}
        for finding in self.findings:
            for name in dict.fromkeys(map(plain_name, finding.ambiguous)):
                found[name] = (*found.get(name, ()), finding)
        return found

    @cached_property
    def _place(self) -> dict[str, int]:
        return {finding.id: place for place, finding in enumerate(self.findings)}


def load_taxonomy(name: str) -> Taxonomy:
    """Read a taxonomy that ships with ecgpipe, by name, or your own, by path.

    Raises:
        TaxonomyError: it does not exist, lacks a column, or names are empty or ambiguous.
    """
    return parse_taxonomy(_TAXONOMIES.read(name), name)


def shipped_taxonomies() -> list[str]:
    """The names of the taxonomies that ship with ecgpipe."""
    return _TAXONOMIES.shipped()


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
        ambiguous=_several(cells.get("ambiguous", "")),
        codes=tuple(c for column in CODE_COLUMNS for c in _several(cells.get(column, ""))),
        groups={group: cells[group] for group in groups if cells[group]},
    )


def _names(findings: Sequence[Finding], taxonomy: str) -> dict[str, Finding]:
    names: dict[str, Finding] = {}
    for finding in findings:
        for name in dict.fromkeys(map(plain_name, finding.names)):
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


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
