"""Tasks: the classes that compete, their wordings, and which records show which class.

Owns what a task file means for a taxonomy. A task is data: to add one, write a file
(docs/tasks.md).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import Record
from ecgpipe.config.settings import Language
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.answers import Answers
from ecgpipe.evaluate.tasks.echo_definitions import EchoDefinitions
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

__all__ = [
    "Kind",
    "Task",
    "TaskClass",
    "check_other_name",
    "load_task",
    "misfit",
    "title_of_trained",
]

Names = Mapping[str, str]

_LANGUAGE_NAMES = {"ja": ("日本語", "Japanese"), "en": ("英語", "English")}
_TASKS = NamedFiles("tasks", (".yaml", ".yml"), "task", "eval.tasks")


@dataclass(frozen=True)
class TaskClass:
    """One candidate: what it is called, and which findings make a record show it."""

    id: str
    wordings: Wordings
    """The texts of its prompts, by language ja and en; one or several."""

    members: frozenset[str]
    """Ids of findings; of a partly_known task, of those of data.echo."""

    member_names: tuple[Names, ...] = ()
    """Names of the members that may compete; empty if the class is itself one finding."""

    @property
    def names(self) -> Names:
        """Its name in tables, by language: its first wording."""
        return {language: self.wordings[language][0] for language in LANGUAGES}


@dataclass(frozen=True)
class Task:
    """Classes that compete for the ECGs of a split."""

    name: str
    title: Names
    source: str
    kind: Kind
    """multi_label: an ECG may show several classes. single_label: only ECGs with exactly one of the
    classes are scored, by arg-max. partly_known: whether an ECG shows a class may be unknown; it
    counts for the others."""

    classes: tuple[TaskClass, ...]
    ensemble: Ensemble = "mean"
    """How several wordings of a class become one score."""

    language: Language | None = None
    """The language of the wordings; None: the one the model was trained in."""

    trained_on: bool = False
    """Whether training read the wording of one of its groups of findings: it is not zero-shot."""

    def as_trained_on(self) -> "Task":
        """The same, marked as trained on, also in its title."""
        return replace(self, title=title_of_trained(self.title), trained_on=True)

    @property
    def digest(self) -> str:
        """Changes when a class, a wording, a membership, the ensemble or the language does."""
        classes = [
            [
                c.id,
                {language: list(texts) for language, texts in c.wordings.items()},
                sorted(c.members),
                [dict(names) for names in c.member_names],
            ]
            for c in self.classes
        ]
        return digest_of([self.name, self.kind, classes, self.ensemble, self.language])

    @property
    def has_members(self) -> bool:
        """Whether all classes have members to score by, some with texts other than their own."""
        return all(c.member_names for c in self.classes) and any(
            self.wordings(language) != self.member_wording(language) for language in LANGUAGES
        )

    def member_wording(self, language: str) -> list[list[str]]:
        """The texts of each class's members, as `wordings`."""
        spoken = self.language or language
        return [[names[spoken] for names in c.member_names] for c in self.classes]

    def wordings(self, language: str) -> list[list[str]]:
        """The texts of each class, one or several, in the task's language or else `language`."""
        return [list(c.wordings[self.language or language]) for c in self.classes]

    def answers(self, records: Sequence[Record]) -> Answers:
        """Which records show which class, and where that is known."""
        if self.kind != "partly_known":
            return Answers(self.truth([record.findings for record in records]), None)
        shown_NC = self.truth([record.echo_shown for record in records])
        # A class of several members is known not to be shown only if each member is.
        sure_NC = self._by_set(
            [record.echo_known for record in records], lambda c, ids: c.members <= ids
        )
        return Answers(shown_NC, shown_NC | sure_NC)

    def truth(self, findings: Sequence[Collection[str]]) -> npt.NDArray[np.bool_]:
        """Which records show which class, (records, classes), by the finding ids of each."""
        return self._by_set(findings, lambda c, ids: not c.members.isdisjoint(ids))

    def _by_set(
        self,
        findings: Sequence[Collection[str]],
        holds: Callable[[TaskClass, frozenset[str]], bool],
    ) -> npt.NDArray[np.bool_]:
        """(records, classes) whether `holds`; of a million records few have ids that no other has,
        so each set of ids is looked at once."""
        row_of: dict[frozenset[str], int] = {}
        rows = [row_of.setdefault(frozenset(ids), len(row_of)) for ids in findings]
        found = [[holds(c, ids) for c in self.classes] for ids in row_of]
        return np.array(found, np.bool_).reshape(len(row_of), len(self.classes))[rows]


def load_task(
    name: str,
    taxonomy: Taxonomy,
    candidates: Collection[str] | None,
    language: Language | None = None,
    echo: EchoDefinitions | None = None,
) -> Task:
    """Read a task that ships with ecgpipe, by name, or your own, by path.

    Args:
        name: its name or path; a suffix @ja or @en sets the language of the wordings, and is part
            of the task's name.
        taxonomy: the findings its classes refer to.
        candidates: the findings that may compete, as classes or members; None for all.
        language: of the wordings, if `name` sets none; None: the model's.
        echo: the findings that the classes of a partly_known task refer to.

    Raises:
        TaxonomyError: it does not exist, is malformed, or refers to unknown findings.
    """
    name, suffix = _split_language(name)
    file = parse_task_file(_TASKS.read(name), name)
    if why := _why_unfit(file, taxonomy, echo):
        raise TaxonomyError(f"The task {file.name} does not fit the data: {why}.")
    if file.kind == "partly_known":
        classes = _echo_classes(file, echo)
    else:
        classes = _classes(file, taxonomy, candidates)
    if file.kind == "single_label":
        _check_disjoint(file, classes, taxonomy)
    return Task(
        name=f"{file.name}@{suffix}" if suffix else file.name,
        title=_title(file, suffix),
        source=file.source,
        kind=file.kind,
        classes=classes,
        ensemble=file.ensemble,
        language=suffix or language,
    )


def misfit(name: str, taxonomy: Taxonomy, echo: EchoDefinitions | None = None) -> str | None:
    """Why a shipped task does not fit a taxonomy, or the findings of data.echo; None if it does.

    Raises:
        TaxonomyError: as `load_task`; also if the task is your own file and does not fit, since
            that is a mistake and not a different data set's task.
    """
    path, _ = _split_language(name)
    file = parse_task_file(_TASKS.read(path), path)
    why = _why_unfit(file, taxonomy, echo)
    if why and _TASKS.is_own(path):
        raise TaxonomyError(f"The task file {path} does not fit the data: {why}.")
    return why


def title_of_trained(title: Names, runs: Sequence[str] = ()) -> Names:
    """A task's title with the mark that its wordings were trained on, by these runs or by all."""
    by = ", ".join(runs)
    return {
        "ja": f"{title['ja']}（学習済みの言い方{by and f'：{by}'}）",
        "en": f"{title['en']} (trained on{by and f' by {by}'})",
    }


def check_other_name(task: Task, others: Iterable[object]) -> None:
    """Refuse a second task of the same name: its results would overwrite the first's.

    Raises:
        TaxonomyError: `others` has a task of this name.
    """
    if task.name in {other.name for other in others if isinstance(other, Task)}:
        raise TaxonomyError(
            f"Two of eval.tasks are called {task.name!r}. Name each once, or change the `name` in"
            " one of the files."
        )


def _title(file: TaskFile, suffix: Language | None) -> Names:
    """Its title; with the language of the wordings where its name states one."""
    if suffix is None:
        return {"ja": file.title.ja, "en": file.title.en}
    in_japanese, in_english = _LANGUAGE_NAMES[suffix]
    return {
        "ja": f"{file.title.ja}（{in_japanese}の表現）",
        "en": f"{file.title.en} ({in_english} wordings)",
    }


def _split_language(name: str) -> tuple[str, Language | None]:
    """superclass@en as the task and the language."""
    task, at, language = name.rpartition("@")
    if at and language in LANGUAGES:
        return task, language
    return name, None


def _why_unfit(file: TaskFile, taxonomy: Taxonomy, echo: EchoDefinitions | None) -> str | None:
    if file.kind == "partly_known":
        return _why_unfit_for_echo(file, echo)
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
    """The findings of a class: its members, or those of the taxonomy's group column.

    Raises:
        TaxonomyError: a member is unknown.
    """
    if stated.members is not None:
        return frozenset(taxonomy.resolve_all(stated.members))
    return frozenset(f.id for f in taxonomy.findings if f.groups.get(str(group)) == stated.id)


def _why_unfit_for_echo(file: TaskFile, echo: EchoDefinitions | None) -> str | None:
    if echo is None:
        return "it is about echocardiograms, and data.echo names no table of them"
    named = {member for stated in file.classes or () for member in stated.members or ()}
    if unknown := sorted(named - set(echo.ids)):
        return (
            f"it names {', '.join(unknown)}, which data.echo.definitions does not define (it"
            f" defines {', '.join(echo.ids)})"
        )
    return None


def _echo_classes(file: TaskFile, echo: EchoDefinitions | None) -> tuple[TaskClass, ...]:
    if file.classes is not None:
        return tuple(
            TaskClass(stated.id, stated.wordings, frozenset(stated.members or ()))
            for stated in file.classes
        )
    return tuple(
        TaskClass(each.id, {"ja": (each.ja,), "en": (each.en,)}, frozenset({each.id}))
        for each in (() if echo is None else echo.definitions)
        if each.rule is not None
    )


def _classes(
    file: TaskFile, taxonomy: Taxonomy, candidates: Collection[str] | None
) -> tuple[TaskClass, ...]:
    if file.classes is None:
        # A task about one taxonomy uses all of it; a task about any, the findings that occur.
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
    """Refuse a finding of two classes in a single_label task."""
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
