"""Tasks: which classes compete, by which wording, and which records show which class.

Owns the task file (YAML) and its meaning. A task is data: adding one is writing a file.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml

from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.named_file import NamedFiles
from ecgpipe.evaluate.taxonomy import Taxonomy
from ecgpipe.files import digest_of

Kind = Literal["multi_label", "single_label"]
Names = Mapping[str, str]

_NEEDED = ("name", "title", "source", "kind", "classes")
_LANGUAGES = ("ja", "en")
_TASKS = NamedFiles("tasks", (".yaml", ".yml"), "task", "eval.tasks")


@dataclass(frozen=True)
class TaskClass:
    """One candidate: what it is called, and which findings make a record show it."""

    id: str
    names: Names
    """Wording by language, ja and en."""

    members: frozenset[str]
    """Ids of findings."""

    member_names: tuple[Names, ...] = ()
    """Wordings of the members that may compete; empty where the class is one finding itself."""


@dataclass(frozen=True)
class Task:
    """Classes that compete for the ECGs of a split."""

    name: str
    title: Names
    source: str
    kind: Kind
    """multi_label: an ECG may show several classes, every one is ranked. single_label: ECGs with
    exactly one of the classes are scored, by arg-max."""

    classes: tuple[TaskClass, ...]

    @property
    def digest(self) -> str:
        """Changes when a class, a wording or a membership does."""
        classes = [
            [c.id, dict(c.names), sorted(c.members), [dict(names) for names in c.member_names]]
            for c in self.classes
        ]
        return digest_of([self.name, self.kind, classes])

    @property
    def has_members(self) -> bool:
        """Whether every class can be scored by its members' prompts, and some have several."""
        sizes = [len(c.member_names) for c in self.classes]
        return bool(sizes) and min(sizes) >= 1 and max(sizes) > 1

    def member_wording(self, language: str) -> list[list[str]]:
        """What goes into the prompts of each class's members."""
        return [[names[language] for names in c.member_names] for c in self.classes]

    def wording(self, language: str) -> list[str]:
        """What goes into the prompt of each class; `language` is ja or en."""
        return [c.names[language] for c in self.classes]

    def truth(self, findings: Sequence[Collection[str]]) -> npt.NDArray[np.bool_]:
        """Which records show which class.

        Args:
            findings: the finding ids of each record.

        Returns:
            (records, classes).
        """
        shown = [[not c.members.isdisjoint(ids) for c in self.classes] for ids in findings]
        return np.array(shown, np.bool_).reshape(len(findings), len(self.classes))


def load_task(name: str, taxonomy: Taxonomy, candidates: Collection[str] | None) -> Task:
    """Read a task that ships with ecgpipe, by name, or one of your own, by path.

    Args:
        name: its name or path.
        taxonomy: the findings its classes refer to.
        candidates: the findings that may compete, as classes or as members of classes; None for
            all.

    Raises:
        TaxonomyError: it does not exist, is malformed, or refers to what the taxonomy lacks.
    """
    return _task(_read_task(name), taxonomy, candidates)


def has_group(name: str, taxonomy: Taxonomy) -> bool:
    """Whether the taxonomy holds the grouping that a task needs.

    Raises:
        TaxonomyError: it does not, and the task is a file of one's own: then it is misspelt, while
            a shipped task merely does not fit the taxonomy.
    """
    settings = _read_task(name)
    if "group" not in settings or settings["group"] in taxonomy.group_columns:
        return True
    if _TASKS.is_own(name):
        raise TaxonomyError(
            f"The task file {name} has the group {settings['group']!r}, which is no column of"
            f" {taxonomy.name}. It has: {', '.join(taxonomy.group_columns) or 'none'}."
        )
    return False


def _read_task(name: str) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(_TASKS.read(name))
    except yaml.YAMLError as error:
        raise TaxonomyError(f"The task file {name} is not valid YAML: {error}.") from error
    _check(name, settings)
    return dict(settings)


def _check(name: str, settings: Any) -> None:
    """Refuse a task file that does not say what it must, or says what nobody reads."""
    if not isinstance(settings, dict):
        raise TaxonomyError(f"The task file {name} is malformed: it must be a mapping.")
    _check_names(f"The task file {name}", settings, _NEEDED, (*_NEEDED, "group"))
    if settings["kind"] not in ("multi_label", "single_label"):
        raise TaxonomyError(
            f"The task file {name} has the kind {settings['kind']!r}; multi_label and single_label"
            " are known."
        )
    title, classes = settings["title"], settings["classes"]
    if not isinstance(title, dict):
        raise TaxonomyError(f"The task file {name} needs a title such as {{ja: 調律, en: Rhythm}}.")
    _check_names(f"The title of the task file {name}", title, _LANGUAGES, _LANGUAGES)
    if classes == "taxonomy":
        return
    if not isinstance(classes, list) or not all(isinstance(entry, dict) for entry in classes):
        raise TaxonomyError(
            f"The task file {name} needs `classes: taxonomy`, or a list of classes such as"
            " {id: SR, ja: 洞調律, en: Sinus rhythm}."
        )
    for entry in classes:
        where = f"A class of the task file {name}"
        _check_names(where, entry, ("id", *_LANGUAGES), ("id", *_LANGUAGES, "members"))
        if "members" not in entry and "group" not in settings:
            raise TaxonomyError(
                f"{where}, {entry['id']}, needs `members`, or the file a `group`: the taxonomy's"
                " column that says which findings belong to it."
            )


def _check_names(
    where: str, found: Mapping[str, Any], needed: Collection[str], known: Collection[str]
) -> None:
    if missing := [name for name in needed if name not in found]:
        raise TaxonomyError(f"{where} lacks {', '.join(missing)}.")
    if unknown := [str(name) for name in found if name not in known]:
        raise TaxonomyError(f"{where} has {', '.join(unknown)}; known are {', '.join(known)}.")


def _task(
    settings: Mapping[str, Any], taxonomy: Taxonomy, candidates: Collection[str] | None
) -> Task:
    if settings["classes"] == "taxonomy":
        classes = _taxonomy_classes(taxonomy, candidates)
    else:
        classes = tuple(
            _stated_class(entry, settings.get("group"), taxonomy, candidates)
            for entry in settings["classes"]
        )
    if empty := [c.id for c in classes if not c.members]:
        raise TaxonomyError(
            f"The task {settings['name']} has classes without a finding in {taxonomy.name}:"
            f" {', '.join(empty)}. Check `members` and the column {settings.get('group')}."
        )
    return Task(
        name=str(settings["name"]),
        title=settings["title"],
        source=str(settings["source"]),
        kind=settings["kind"],
        classes=classes,
    )


def _taxonomy_classes(
    taxonomy: Taxonomy, candidates: Collection[str] | None
) -> tuple[TaskClass, ...]:
    return tuple(
        TaskClass(f.id, {"ja": f.japanese, "en": f.english}, frozenset({f.id}))
        for f in taxonomy.findings
        if candidates is None or f.id in candidates
    )


def _stated_class(
    entry: Mapping[str, Any],
    group: str | None,
    taxonomy: Taxonomy,
    candidates: Collection[str] | None,
) -> TaskClass:
    """A class of the file: its members are listed, or taken from the taxonomy's group column."""
    if "members" in entry:
        members = frozenset(taxonomy.resolve_all([str(name) for name in entry["members"]]))
    else:
        members = frozenset(
            f.id for f in taxonomy.findings if f.groups.get(str(group)) == str(entry["id"])
        )
    names = {name: str(entry[name]) for name in _LANGUAGES}
    member_names = tuple(
        {"ja": f.japanese, "en": f.english}
        for f in taxonomy.findings
        if f.id in members and (candidates is None or f.id in candidates)
    )
    return TaskClass(str(entry["id"]), names, members, member_names)
