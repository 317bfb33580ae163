"""A task file (YAML): what it may say, and a clear message where it is wrong.

Owns its keys and their types, checked by pydantic; docs/tasks.md says what each is for. Knows no
taxonomy: whether a member exists is checked in `task`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from ecgpipe.config.file import load_yaml
from ecgpipe.config.settings import Language, Settings, need
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.finding_names import plain_name

Kind = Literal["multi_label", "single_label", "partly_known"]
Ensemble = Literal["mean", "max"]
Wordings = Mapping[str, tuple[str, ...]]

LANGUAGES: tuple[Language, ...] = get_args(Language)
# They have a meaning in eval.tasks, in paths of results, or in a table's cells.
_NOT_IN_NAMES = '@/\\|"<>:*?'


def _filled(text: str) -> str:
    need(bool(text.strip()), "is empty; a prompt or a table needs a text")
    return text.strip()


def _id(value: Any) -> str:
    """A class's id or a finding's; a bare number is one too. YAML 1.1 reads a bare NO as false."""
    plain = isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip()
    need(bool(plain), f'is {value!r}, not an id; write it in quotes: "NO"')
    return str(value).strip()


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,)


Text = Annotated[str, AfterValidator(_filled)]
Id = Annotated[str, BeforeValidator(_id)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1)]
"""One wording, or a list of them."""


@dataclass(frozen=True, kw_only=True)
class Title(Settings):
    """What a task is called."""

    ja: Text
    en: Text


@dataclass(frozen=True, kw_only=True)
class StatedClass(Settings):
    """A class as the file writes it."""

    id: Id
    ja: Texts
    en: Texts
    members: Annotated[tuple[Id, ...], Field(min_length=1)] | None = None
    """Findings by any name they have; None: the file's group decides."""

    @property
    def wordings(self) -> Wordings:
        """By language, one or more."""
        return {"ja": self.ja, "en": self.en}


@dataclass(frozen=True, kw_only=True)
class TaskFile(Settings):
    """A task as the file writes it."""

    name: Text
    title: Title
    source: Text
    kind: Kind
    classes: tuple[StatedClass, ...] | None
    """None, written as `taxonomy`: every finding of the taxonomy. For partly_known written as
    `definitions`: every finding of data.echo that has a rule."""

    group: Text | None = None
    """The taxonomy's column that says which findings belong to which class."""

    taxonomy: Text | None = None
    """The only taxonomy the task is about; None: any that has its findings."""

    ensemble: Ensemble = "mean"

    def __post_init__(self) -> None:
        bad = sorted(set(self.name) & set(_NOT_IN_NAMES))
        need(not bad, f"has the name {self.name!r}. Leave out {' '.join(bad)}")
        if self.kind == "partly_known":
            of_list = self.group is None and self.taxonomy is None
            need(of_list, "is partly_known, so about data.echo: drop `group` and `taxonomy`")
        if self.classes is None:
            need(self.group is None, "has a group, which `classes: taxonomy` does not read")
            return
        ids = [stated.id for stated in self.classes]
        twice = next((each for each in ids if ids.count(each) > 1), None)
        need(twice is None, f"has the class {twice} twice. Give each its own id")
        for stated in self.classes:
            need(
                bool(stated.members or self.group),
                f"has the class {stated.id} without `members`. List its findings, or give the file"
                " a `group`: the taxonomy's column that says which findings belong to it",
            )
        need(
            self.group is None or not all(stated.members for stated in self.classes),
            "has a group, but every class lists its members. Drop one",
        )
        for language in LANGUAGES:
            self._check_wordings(language)

    def _check_wordings(self, language: Language) -> None:
        """Two classes with one wording have one vector, so neither could win."""
        owner: dict[str, str] = {}
        for stated in self.classes or ():
            for wording in stated.wordings[language]:
                other = owner.get(plain_name(wording))
                need(
                    other is None,
                    f"has the {language} wording {wording!r} twice, in {other} and {stated.id}."
                    " Every wording must be unique",
                )
                owner[plain_name(wording)] = stated.id


def parse_task_file(text: str, name: str) -> TaskFile:
    """Read a task file; `name` is for messages.

    Raises:
        TaxonomyError: it is not YAML, lacks a key, has an unknown one or a value of the wrong type,
            or an id or a wording is used twice.
    """
    where = f"The task file {name}"
    try:
        settings = load_yaml(text)
    except yaml.YAMLError as error:
        raise TaxonomyError(f"{where} is not valid YAML: {error}.") from error
    if not isinstance(settings, dict):
        raise TaxonomyError(f"{where} must be a mapping that begins with `name:`.")
    everything = "definitions" if settings.get("kind") == "partly_known" else "taxonomy"
    classes = settings.get("classes", everything)
    is_list = isinstance(classes, list) and classes and all(isinstance(c, dict) for c in classes)
    if classes != everything and not is_list:
        raise TaxonomyError(
            f"{where} needs `classes: {everything}`, or a list of classes such as"
            " {id: SR, ja: 洞調律, en: Sinus rhythm}."
        )
    if "classes" in settings and classes == everything:
        settings = {**settings, "classes": None}
    try:
        return TypeAdapter(TaskFile).validate_json(json.dumps(settings, default=str), strict=True)
    except ValidationError as error:
        raise TaxonomyError(f"{where}{_explain(dict(error.errors()[0]))}.") from None


_KNOWN: dict[str, Any] = {"": TaskFile, "title": Title, "classes": StatedClass}


def _explain(mistake: dict[str, Any]) -> str:
    """The first mistake in words: where it is, what was found, what was expected."""
    *parents, key = [part for part in mistake["loc"] if part != "nullable"] or [""]
    kind, found = mistake["type"], mistake["input"]
    if kind in ("missing", "unexpected_keyword_argument"):
        inside = _place(parents)
        if kind == "missing":
            return f"{inside} lacks {key}"
        known = ", ".join(field.name for field in fields(_KNOWN[parents[0] if parents else ""]))
        return f"{inside} has {key}; known are {known}"
    place = _place([*parents, key] if key != "" else [])
    if kind == "value_error":
        return f"{place} {mistake['ctx']['error']}"
    if kind == "literal_error":
        return f"{place} is {found!r}; it must be {mistake['ctx']['expected']}"
    if kind == "too_short":
        return f"{place} is an empty list. Give at least one entry"
    expected = {
        "string_type": "a text. Put it in quotes if it is one",
        "tuple_type": "a list such as [AFIB, 心房粗動]",
    }.get(kind, "a mapping such as {ja: 調律, en: Rhythm}")
    return f"{place} is {found!r}, not {expected}"


def _place(loc: list[Any]) -> str:
    """classes, 1, ja, 0 as ': class number 2, ja'."""
    words: list[str] = []
    for before, part in zip(["", *loc], loc, strict=False):
        if isinstance(part, int):
            if before == "classes":
                words[-1] = f"class number {part + 1}"
        else:
            words.append(str(part))
    return f": {', '.join(words)}" if words else ""
