"""A bank: other ways to say each finding of a taxonomy, to train on and to be tried by.

Owns the bank file: a CSV with the columns id (of the finding), language (ja or en), kind (synonym,
abbreviation or definition) and text. A finding's two names stand in its taxonomy, not here. A third
of each finding's wordings is held out of training by a fixed rule, so that nobody chooses them:
those with the least SHA-256.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, cast, get_args

from ecgpipe.config.settings import Language
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.finding_names import plain_name
from ecgpipe.evaluate.tasks.task_file import LANGUAGES
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.files import decode_text, sha256_text

Kind = Literal["synonym", "abbreviation", "definition"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_COLUMNS = ("id", "language", "kind", "text")
_SHOWN = 5
_WITHOUT = "Without one, set text.wordings=name and do not name wordings in eval.analyses."


@dataclass(frozen=True)
class Wording:
    """One way to say a finding."""

    language: Language
    kind: Kind
    text: str


@dataclass(frozen=True)
class Bank:
    """The wordings of every finding of a taxonomy, by the finding's id."""

    trained: Mapping[str, tuple[Wording, ...]]
    """Those that training may use."""

    held_out: Mapping[str, tuple[Wording, ...]]
    """A third of each finding's, rounded, which training never sees."""


def load_bank(taxonomy: Taxonomy) -> Bank:
    """Read the bank of a taxonomy that ships with ecgpipe, or of your own: NAME.wordings.csv beside
    NAME.csv.

    Raises:
        TaxonomyError: there is none, or as `parse_bank`.
    """
    own = Path(taxonomy.name)
    if own.suffix:
        return parse_bank(_read_own(own.with_suffix(".wordings.csv")), taxonomy)
    folder = resources.files("ecgpipe.evaluate") / "wordings"
    shipped = {entry.name.removesuffix(".csv"): entry for entry in folder.iterdir()}
    if taxonomy.name not in shipped:
        raise TaxonomyError(
            f"The taxonomy {taxonomy.name} has no bank of wordings; only"
            f" {', '.join(sorted(shipped))} have. {_WITHOUT}"
        )
    return parse_bank(shipped[taxonomy.name].read_text(encoding="utf-8"), taxonomy)


def _read_own(path: Path) -> str:
    try:
        return decode_text(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TaxonomyError(
            f"The bank of wordings of your taxonomy, {path}, cannot be read: {error}. Write it,"
            f" with the columns {', '.join(_COLUMNS)}. {_WITHOUT}"
        ) from None


def parse_bank(text: str, taxonomy: Taxonomy) -> Bank:
    """Read a bank from CSV text.

    Raises:
        TaxonomyError: a column is missing, a cell holds what it must not, a wording stands there
            twice, has another finding's name or may mean several, or a finding has none.
    """
    where = f"The bank of wordings of {taxonomy.name}"
    found: dict[str, list[Wording]] = {finding.id: [] for finding in taxonomy.findings}
    owners: dict[str, str] = {}
    for number, cells in enumerate(_rows(text, where), 2):
        here = f"{where}, row {number},"
        wording = _wording(cells, found, here)
        _check_meaning(wording, cells["id"], taxonomy, here)
        plain = plain_name(wording.text)
        if plain in owners:
            raise TaxonomyError(
                f"{here} repeats the wording {wording.text!r} of finding {owners[plain]}. Leave it"
                " out, or word it otherwise."
            )
        owners[plain] = cells["id"]
        found[cells["id"]].append(wording)
    if none := [finding_id for finding_id, wordings in found.items() if not wordings]:
        raise TaxonomyError(
            f"{where} has none for {len(none)} of {len(found)} findings: {', '.join(none[:_SHOWN])}"
            f"{', ...' if len(none) > _SHOWN else ''}. Give every finding at least one."
        )
    return _divided(found)


def _rows(text: str, where: str) -> list[dict[str, str]]:
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise TaxonomyError(f"{where} cannot be read: {error}.") from None
    if missing := [column for column in _COLUMNS if column not in (rows[0] if rows else ())]:
        raise TaxonomyError(f"{where} has no column {', '.join(missing)}.")
    return [{column: (row[column] or "").strip() for column in _COLUMNS} for row in rows]


def _wording(cells: Mapping[str, str], ids: Mapping[str, object], here: str) -> Wording:
    if cells["id"] not in ids:
        raise TaxonomyError(f"{here} is about {cells['id']!r}, which is no finding's id.")
    for column, allowed in (("language", LANGUAGES), ("kind", KINDS)):
        if cells[column] not in allowed:
            raise TaxonomyError(
                f"{here} has the {column} {cells[column]!r}; it may be {', '.join(allowed)}."
            )
    if not cells["text"]:
        raise TaxonomyError(f"{here} has no text.")
    return Wording(cast(Language, cells["language"]), cast(Kind, cells["kind"]), cells["text"])


def _check_meaning(wording: Wording, finding_id: str, taxonomy: Taxonomy, here: str) -> None:
    plain = plain_name(wording.text)
    named = taxonomy.by_name.get(plain)
    if named is not None and named.id != finding_id:
        raise TaxonomyError(
            f"{here} words finding {finding_id} as {wording.text!r}, which is a name of {named.id}."
        )
    if plain in taxonomy.may_mean:
        raise TaxonomyError(
            f"{here} has {wording.text!r}, which may mean several findings; training would tell the"
            " model that it means one."
        )
    own = taxonomy[finding_id]
    if plain in (plain_name(own.japanese), plain_name(own.english)):
        raise TaxonomyError(
            f"{here} has {wording.text!r}, the finding's own name, which the taxonomy states."
        )


def _divided(found: Mapping[str, Sequence[Wording]]) -> Bank:
    trained, held_out = {}, {}
    for finding_id, wordings in found.items():
        by_digest = sorted(wordings, key=lambda each: sha256_text(plain_name(each.text)))
        out = set(by_digest[: round(len(wordings) / 3)])
        trained[finding_id] = tuple(each for each in wordings if each not in out)
        held_out[finding_id] = tuple(each for each in wordings if each in out)
    return Bank(trained, held_out)
