"""A task file (YAML): what it may say, and what is refused with the way out.

Owns its keys and their types; docs/tasks.md says what each is for. Knows no taxonomy: whether a
member exists is asked in `tasks`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import yaml

from ecgpipe.config.file import load_yaml
from ecgpipe.config.settings import Language
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.taxonomy import plain_name

Kind = Literal["multi_label", "single_label"]
Ensemble = Literal["mean", "max"]
Wordings = Mapping[str, tuple[str, ...]]

LANGUAGES: tuple[Language, ...] = get_args(Language)
_NEEDED = ("name", "title", "source", "kind", "classes")
_KNOWN = (*_NEEDED, "group", "taxonomy", "ensemble")
_CLASS_NEEDED = ("id", *LANGUAGES)
_CLASS_KNOWN = (*_CLASS_NEEDED, "members")
# They have a meaning in eval.tasks, in paths of results, or in a table's cells.
_NOT_IN_NAMES = '@/\\|"<>:*?'


@dataclass(frozen=True)
class StatedClass:
    """A class as the file writes it."""

    id: str
    wordings: Wordings
    """By language, one or more."""

    members: tuple[str, ...] | None
    """Findings by any name they have; None: the file's group says which."""


@dataclass(frozen=True)
class TaskFile:
    """A task as the file writes it, every value of the type it must have."""

    name: str
    title: Mapping[str, str]
    source: str
    kind: Kind
    classes: tuple[StatedClass, ...] | None
    """None: every finding of the taxonomy."""

    group: str | None
    taxonomy: str | None
    """The only taxonomy the task is about; None: any that has its findings."""

    ensemble: Ensemble


def parse_task_file(text: str, name: str) -> TaskFile:
    """Read a task file; `name` is for messages.

    Raises:
        TaxonomyError: it is not YAML, lacks a key, has one that nobody reads, or a value of another
            type; an id or a wording is there twice.
    """
    where = f"The task file {name}"
    try:
        settings = load_yaml(text)
    except yaml.YAMLError as error:
        raise TaxonomyError(f"{where} is not valid YAML: {error}.") from error
    if not isinstance(settings, dict):
        raise TaxonomyError(f"{where} must be a mapping that begins with `name:`.")
    _check_keys(where, settings, _NEEDED, _KNOWN)
    task_name = _text(settings["name"], f"{where}: name")
    if bad := sorted(set(task_name) & set(_NOT_IN_NAMES)):
        raise TaxonomyError(f"{where} has the name {task_name!r}. Leave out {' '.join(bad)}.")
    found = TaskFile(
        name=task_name,
        title=_title(settings["title"], where),
        source=_text(settings["source"], f"{where}: source"),
        kind=cast(Kind, _one_of(settings["kind"], get_args(Kind), f"{where}: kind")),
        classes=_classes(settings["classes"], where),
        group=_text(settings["group"], f"{where}: group") if "group" in settings else None,
        taxonomy=_text(settings["taxonomy"], f"{where}: taxonomy")
        if "taxonomy" in settings
        else None,
        ensemble=cast(
            Ensemble,
            _one_of(settings.get("ensemble", "mean"), get_args(Ensemble), f"{where}: ensemble"),
        ),
    )
    _check_classes(found, where)
    return found


def _title(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TaxonomyError(f"{where} needs a title such as {{ja: 調律, en: Rhythm}}.")
    _check_keys(f"The title of {where[0].lower()}{where[1:]}", value, LANGUAGES, LANGUAGES)
    return {language: _text(value[language], f"{where}: title") for language in LANGUAGES}


def _classes(value: Any, where: str) -> tuple[StatedClass, ...] | None:
    if value == "taxonomy":
        return None
    if not isinstance(value, list) or not value or not all(isinstance(c, dict) for c in value):
        raise TaxonomyError(
            f"{where} needs `classes: taxonomy`, or a list of classes such as"
            " {id: SR, ja: 洞調律, en: Sinus rhythm}."
        )
    return tuple(_class(entry, number, where) for number, entry in enumerate(value, 1))


def _class(entry: Mapping[Any, Any], number: int, where: str) -> StatedClass:
    _check_keys(f"{where}, class number {number},", entry, _CLASS_NEEDED, _CLASS_KNOWN)
    class_id = _id(entry["id"], f"{where}, class number {number},")
    place = f"{where}, class {class_id}"
    return StatedClass(
        id=class_id,
        wordings={lang: _texts(entry[lang], f"{place}: {lang}") for lang in LANGUAGES},
        members=_members(entry["members"], place) if "members" in entry else None,
    )


def _id(value: Any, where: str) -> str:
    """A class's id or a finding's; a bare number is one too."""
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        # YAML 1.1 reads a bare NO, N or OFF as false.
        raise TaxonomyError(f'{where} has the id {value!r}. Write it in quotes: "NO".')
    return str(value).strip()


def _members(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise TaxonomyError(
            f"{where}: members is {value!r}, so no ECG could show it. List findings:"
            " [AFIB, 心房粗動]."
        )
    return tuple(_id(member, f"{where}: a member") for member in value)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    """One wording, or a list of them."""
    if not isinstance(value, list):
        return (_text(value, where),)
    if not value:
        raise TaxonomyError(f"{where} is an empty list. Give one wording, or several.")
    return tuple(_text(each, where) for each in value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise TaxonomyError(f"{where} is {value!r}, not a text. Put it in quotes if it is one.")
    if not value.strip():
        raise TaxonomyError(f"{where} is empty: there is nothing to put into a prompt or a table.")
    return value.strip()


def _one_of(value: Any, known: Sequence[str], where: str) -> str:
    if value not in known:
        raise TaxonomyError(f"{where} is {value!r}; {' and '.join(known)} are known.")
    return str(value)


def _check_keys(
    where: str, found: Mapping[Any, Any], needed: Collection[str], known: Collection[str]
) -> None:
    if missing := [name for name in needed if name not in found]:
        raise TaxonomyError(f"{where} lacks {', '.join(missing)}.")
    if unknown := [str(name) for name in found if name not in known]:
        raise TaxonomyError(f"{where} has {', '.join(unknown)}; known are {', '.join(known)}.")


def _check_classes(task: TaskFile, where: str) -> None:
    """What no class can see by itself."""
    if task.classes is None:
        if task.group is not None:
            raise TaxonomyError(f"{where} has a group, which `classes: taxonomy` does not read.")
        return
    ids: set[str] = set()
    for stated in task.classes:
        if stated.id in ids:
            raise TaxonomyError(f"{where} has the class {stated.id} twice. Give each its own id.")
        ids.add(stated.id)
        if stated.members is None and task.group is None:
            raise TaxonomyError(
                f"{where}: class {stated.id} needs `members`, or the file a `group`: the taxonomy's"
                " column that says which findings belong to it."
            )
    if task.group is not None and all(stated.members for stated in task.classes):
        raise TaxonomyError(f"{where} has a group, but every class lists its members. Drop one.")
    for language in LANGUAGES:
        _check_wordings(task.classes, language, where)


def _check_wordings(classes: Sequence[StatedClass], language: str, where: str) -> None:
    """Two classes of one wording have one vector: neither could win."""
    owner: dict[str, str] = {}
    for stated in classes:
        for wording in stated.wordings[language]:
            plain = plain_name(wording)
            if plain in owner:
                raise TaxonomyError(
                    f"{where} has the {language} wording {wording!r} twice, in {owner[plain]} and"
                    f" {stated.id}. Every wording must stand once."
                )
            owner[plain] = stated.id
