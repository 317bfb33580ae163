"""Tasks: which classes compete, by which wording, and which records show which class.

Owns what a task file means for a taxonomy. A task is data: adding one is writing a file
(docs/tasks.md).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.config.settings import Language
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.named_file import NamedFiles
from ecgpipe.evaluate.tasks.task_file import (
    LANGUAGES,
    Ensemble,
    Kind,
    StatedClass,
    TaskFile,
    Wordings,
    parse_task_file,
)
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.files import digest_of

__all__ = ["Kind", "Task", "TaskClass", "check_other_name", "load_task", "misfit"]

Names = Mapping[str, str]

_TASKS = NamedFiles("tasks", (".yaml", ".yml"), "task", "eval.tasks")


@dataclass(frozen=True)
class TaskClass:
    """One candidate: what it is called, and which findings make a record show it."""

    id: str
    wordings: Wordings
    """What goes into prompts, by language ja and en; one or several."""

    members: frozenset[str]
    """Ids of findings."""

    member_names: tuple[Names, ...] = ()
    """Wordings of the members that may compete; empty where the class is one finding itself."""

    @property
    def names(self) -> Names:
        """What it is called in tables, by language: its first wording."""
        return {language: self.wordings[language][0] for language in LANGUAGES}


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
    ensemble: Ensemble = "mean"
    """How several wordings of a class become one score."""

    language: Language | None = None
    """Whose wordings are scored; None: those of the language the model was trained in."""

    @property
    def digest(self) -> str:
        """Changes when a class, a wording, a membership or the language does.

        What a task does not use is not in it, so that a file written before this existed keeps its
        digest, and models that were chosen by it remain.
        """
        classes = [
            [
                c.id,
                {language: _written(texts) for language, texts in c.wordings.items()},
                sorted(c.members),
                [dict(names) for names in c.member_names],
            ]
            for c in self.classes
        ]
        parts: list[Any] = [self.name, self.kind, classes]
        if self.ensemble != "mean":
            parts.append({"ensemble": self.ensemble})
        if self.language is not None:
            parts.append({"language": self.language})
        return digest_of(parts)

    @property
    def has_members(self) -> bool:
        """Whether every class can be scored by its members' prompts, and some have other words."""
        return all(c.member_names for c in self.classes) and any(
            self.wordings(language) != self.member_wording(language) for language in LANGUAGES
        )

    def member_wording(self, language: str) -> list[list[str]]:
        """What goes into the prompts of each class's members; as `wordings`."""
        spoken = self.language or language
        return [[names[spoken] for names in c.member_names] for c in self.classes]

    def wordings(self, language: str) -> list[list[str]]:
        """What goes into the prompts of each class, one or several; `language` is ja or en, and
        the task's own wins over it."""
        return [list(c.wordings[self.language or language]) for c in self.classes]

    def truth(self, findings: Sequence[Collection[str]]) -> npt.NDArray[np.bool_]:
        """Which records show which class.

        Args:
            findings: the finding ids of each record.

        Returns:
            (records, classes).
        """
        shown = [[not c.members.isdisjoint(ids) for c in self.classes] for ids in findings]
        return np.array(shown, np.bool_).reshape(len(findings), len(self.classes))


def load_task(
    name: str,
    taxonomy: Taxonomy,
    candidates: Collection[str] | None,
    language: Language | None = None,
) -> Task:
    """Read a task that ships with ecgpipe, by name, or one of your own, by path.

    Args:
        name: its name or path; with @ja or @en behind it, that language's wordings are scored, and
            the task is called so.
        taxonomy: the findings its classes refer to.
        candidates: the findings that may compete, as classes or as members of classes; None for
            all.
        language: whose wordings are scored, where `name` does not say; None: the model's.

    Raises:
        TaxonomyError: it does not exist, is malformed, or refers to what the taxonomy lacks.
    """
    name, asked = _split_language(name)
    file = parse_task_file(_TASKS.read(name), name)
    if why := _why_unfit(file, taxonomy):
        raise TaxonomyError(f"The task {file.name} does not fit the taxonomy: {why}.")
    classes = _classes(file, taxonomy, candidates)
    if file.kind == "single_label":
        _check_disjoint(file, classes, taxonomy)
    return Task(
        name=f"{file.name}@{asked}" if asked else file.name,
        title={"ja": file.title.ja, "en": file.title.en},
        source=file.source,
        kind=file.kind,
        classes=classes,
        ensemble=file.ensemble,
        language=asked or language,
    )


def misfit(name: str, taxonomy: Taxonomy) -> str | None:
    """Why a shipped task cannot be asked of a taxonomy, or None: then it can.

    Raises:
        TaxonomyError: as `load_task`; also where the task is a file of one's own that does not fit,
            since that is a mistake to mend and not another data set's task.
    """
    path, _ = _split_language(name)
    file = parse_task_file(_TASKS.read(path), path)
    why = _why_unfit(file, taxonomy)
    if why and _TASKS.is_own(path):
        raise TaxonomyError(f"The task file {path} does not fit the taxonomy: {why}.")
    return why


def check_other_name(task: Task, others: Iterable[object]) -> None:
    """Refuse a task that is called as another: one's results would overwrite the other's.

    Raises:
        TaxonomyError: it is.
    """
    if task.name in {other.name for other in others if isinstance(other, Task)}:
        raise TaxonomyError(
            f"Two of eval.tasks are called {task.name!r}. Name each once, or change the `name` in"
            " one of the files."
        )


def _split_language(name: str) -> tuple[str, Language | None]:
    """superclass@en: the task, and the language."""
    task, at, language = name.rpartition("@")
    if at and language in LANGUAGES:
        return task, language
    return name, None


def _why_unfit(file: TaskFile, taxonomy: Taxonomy) -> str | None:
    if file.taxonomy not in (None, Path(taxonomy.name).stem):
        return f"it is about the findings of {file.taxonomy}, and data.taxonomy is {taxonomy.name}"
    if file.group is not None and file.group not in taxonomy.group_columns:
        return (
            f"it has the group {file.group!r}, which is no column of {taxonomy.name} (its columns"
            f" are {', '.join(taxonomy.group_columns) or 'none'})"
        )
    unknown: dict[str, str] = {}
    for stated in file.classes or ():
        try:
            if not _members(stated, file.group, taxonomy):
                unknown[stated.id] = f"the column {file.group} names it nowhere"
        except TaxonomyError as error:
            unknown[stated.id] = str(error)
    if not unknown:
        return None
    first = next(iter(unknown.values()))
    return f"it has classes without a finding in {taxonomy.name}: {', '.join(unknown)} ({first})"


def _members(stated: StatedClass, group: str | None, taxonomy: Taxonomy) -> frozenset[str]:
    """The findings of a class: listed, or taken from the taxonomy's group column.

    Raises:
        TaxonomyError: a listed one is unknown.
    """
    if stated.members is not None:
        return frozenset(taxonomy.resolve_all(stated.members))
    return frozenset(f.id for f in taxonomy.findings if f.groups.get(str(group)) == stated.id)


def _classes(
    file: TaskFile, taxonomy: Taxonomy, candidates: Collection[str] | None
) -> tuple[TaskClass, ...]:
    if file.classes is None:
        # A task about one list asks for all of it; one about any list, for what occurs.
        return tuple(
            TaskClass(f.id, {"ja": (f.japanese,), "en": (f.english,)}, frozenset({f.id}))
            for f in taxonomy.findings
            if candidates is None or f.id in candidates or file.taxonomy is not None
        )
    return tuple(_stated_class(stated, file.group, taxonomy, candidates) for stated in file.classes)


def _stated_class(
    stated: StatedClass,
    group: str | None,
    taxonomy: Taxonomy,
    candidates: Collection[str] | None,
) -> TaskClass:
    members = _members(stated, group, taxonomy)
    member_names = tuple(
        {"ja": f.japanese, "en": f.english}
        for f in taxonomy.findings
        if f.id in members and (candidates is None or f.id in candidates)
    )
    return TaskClass(stated.id, stated.wordings, members, member_names)


def _check_disjoint(file: TaskFile, classes: Sequence[TaskClass], taxonomy: Taxonomy) -> None:
    """Refuse a finding of two classes where only ECGs with one class count."""
    owner: dict[str, str] = {}
    for task_class in classes:
        for member in sorted(task_class.members):
            other = owner.setdefault(member, task_class.id)
            if other != task_class.id:
                raise TaxonomyError(
                    f"The task {file.name} is single_label, but {taxonomy[member].english} (id"
                    f" {member}) belongs to {other} and {task_class.id}: an ECG with it would never"
                    " be scored. Give it to one class, or set kind: multi_label."
                )


def _written(texts: Sequence[str]) -> str | list[str]:
    return texts[0] if len(texts) == 1 else list(texts)
