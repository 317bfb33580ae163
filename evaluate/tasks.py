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

_TASKS = NamedFiles("tasks", (".yaml", ".yml"), "task", "eval.tasks")


@dataclass(frozen=True)
class TaskClass:
    """One candidate: what it is called, and which findings make a record show it."""

    id: str
    names: Names
    """Wording by language, ja and en."""

    members: frozenset[str]
    """Ids of findings."""


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
        classes = [[c.id, dict(c.names), sorted(c.members)] for c in self.classes]
        return digest_of([self.name, self.kind, classes])

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
        candidates: the findings that may compete where the task's classes are the taxonomy's own;
            None for all.

    Raises:
        TaxonomyError: it does not exist, is malformed, or refers to what the taxonomy lacks.
    """
    settings = _read_task(name)
    try:
        return _task(settings, taxonomy, candidates)
    except (KeyError, TypeError, AttributeError) as error:
        raise TaxonomyError(f"The task file {name} is malformed: {error!r}.") from error


def has_group(name: str, taxonomy: Taxonomy) -> bool:
    """Whether the taxonomy holds the grouping that a task needs."""
    settings = _read_task(name)
    return "group" not in settings or settings["group"] in taxonomy.group_columns


def _read_task(name: str) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(_TASKS.read(name))
    except yaml.YAMLError as error:
        raise TaxonomyError(f"The task file {name} is not valid YAML: {error}.") from error
    if not isinstance(settings, dict):
        raise TaxonomyError(f"The task file {name} is malformed: it must be a mapping.")
    return settings


def _task(
    settings: Mapping[str, Any], taxonomy: Taxonomy, candidates: Collection[str] | None
) -> Task:
    if settings["kind"] not in ("multi_label", "single_label"):
        raise TaxonomyError(f"task {settings['name']}: kind is {settings['kind']!r}.")
    if settings["classes"] == "taxonomy":
        classes = _taxonomy_classes(taxonomy, candidates)
    else:
        classes = tuple(
            _stated_class(entry, settings.get("group"), taxonomy) for entry in settings["classes"]
        )
    return Task(
        name=settings["name"],
        title=settings["title"],
        source=settings["source"],
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


def _stated_class(entry: Mapping[str, Any], group: str | None, taxonomy: Taxonomy) -> TaskClass:
    """A class of the file: its members are listed, or taken from the taxonomy's group column."""
    if "members" in entry:
        members = frozenset(taxonomy.resolve_all([str(name) for name in entry["members"]]))
    else:
        members = frozenset(
            f.id for f in taxonomy.findings if f.groups.get(str(group)) == entry["id"]
        )
    return TaskClass(entry["id"], {"ja": entry["ja"], "en": entry["en"]}, members)
