"""What an echocardiogram shows: rules on its measurements, read from a file.

Owns how a rule is written, and its three answers: shown, not shown, unknown. Knows no ECG and no
table. A value may be known only within limits, as in "mild to moderate"; a rule that these limits
do not decide is unknown, and unknown is never taken for not shown.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from ecgpipe.config.file import load_yaml
from ecgpipe.config.settings import Settings, need
from ecgpipe.echo_measurements import MEASUREMENTS, Interval, Measured
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.named_file import NamedFiles
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.files import digest_of

_FILES = NamedFiles(
    "echo_definitions", (".yaml", ".yml"), "file of echo definitions", "data.echo.definitions"
)
_LIMIT = re.compile(r"(<=|<|>=|>) *([0-9]+(?:\.[0-9]+)?)")

# Least and greatest possible value, limit -> whether it is surely met, and whether it may be met.
_COMPARE: Mapping[str, tuple[Callable[[Interval, float], bool], Callable[[Interval, float], bool]]]
_COMPARE = {
    ">=": (lambda value, limit: value[0] >= limit, lambda value, limit: value[1] >= limit),
    ">": (lambda value, limit: value[0] > limit, lambda value, limit: value[1] > limit),
    "<=": (lambda value, limit: value[1] <= limit, lambda value, limit: value[0] <= limit),
    "<": (lambda value, limit: value[1] < limit, lambda value, limit: value[0] < limit),
}

Text = Annotated[str, Field(min_length=1)]
Sex = Literal["male", "female"]


@dataclass(frozen=True, kw_only=True)
class EchoDefinition(Settings):
    """A finding of echocardiography, as the file writes it."""

    id: Text
    ja: Text
    en: Text
    source: Text
    """The guideline or data set that the rule is from."""

    rule: Mapping[str, str | Mapping[Sex, str]] | None = None
    """By measurement, in its first unit: a limit such as `>= 13`, or one for each sex. The finding
    is shown if one of them is met."""

    any_of: tuple[Text, ...] | None = None
    """Instead of a rule: shown if one of these findings is."""

    @property
    def names(self) -> dict[str, str]:
        """By language."""
        return {"ja": self.ja, "en": self.en}

    def __post_init__(self) -> None:
        need(
            bool(self.rule) != bool(self.any_of),
            f"the definition {self.id} needs either a `rule` or `any_of`",
        )
        for name, limits in (self.rule or {}).items():
            near = difflib.get_close_matches(name, MEASUREMENTS, 1)
            need(
                name in MEASUREMENTS,
                f"the definition {self.id} names {name!r}, which no echocardiogram measures."
                f"{f' Did you mean {near[0]!r}?' if near else ''} Known are"
                f" {', '.join(MEASUREMENTS)}",
            )
            for limit in (limits,) if isinstance(limits, str) else limits.values():
                need(
                    _LIMIT.fullmatch(limit) is not None,
                    f"the definition {self.id} has the limit {limit!r} for {name}. Write <=, <, >="
                    ' or > and a number in quotes, such as ">= 13"',
                )

    def judge(self, measured: Measured, sex: str | None) -> bool | None:
        """Whether its rule is met; None if that cannot be known."""
        return _one_of(
            [
                _met(limits, measured[name], sex) if name in measured else None
                for name, limits in (self.rule or {}).items()
            ]
        )


@dataclass(frozen=True)
class EchoDefinitions:
    """All findings of a file, in its order."""

    definitions: tuple[EchoDefinition, ...]

    @cached_property
    def digest(self) -> str:
        """Changes when a rule does, or the list of findings; not with their names."""
        return digest_of([[each.id, each.rule, each.any_of] for each in self.definitions])

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all findings."""
        return tuple(each.id for each in self.definitions)

    def judge(self, measured: Measured, sex: str | None) -> dict[str, bool]:
        """Whether an echocardiogram shows each finding.

        Args:
            measured: what it measured.
            sex: male, female, or anything else for unknown. Without it, a rule that differs by sex
                is decided only where both agree.

        Returns:
            Shown or not, by id, in the file's order. What cannot be known is left out.
        """
        found: dict[str, bool | None] = {}
        for each in self.definitions:
            if each.any_of is None:
                found[each.id] = each.judge(measured, sex)
        for each in self.definitions:
            if each.any_of is not None:
                found[each.id] = _one_of([found[member] for member in each.any_of])
        return {each: shown for each in self.ids if (shown := found[each]) is not None}


def load_echo_definitions(name: str) -> EchoDefinitions:
    """Read a file of definitions: the name of one that ships, or the path of your own.

    Raises:
        TaxonomyError: there is none, or it is malformed; a definition names a measurement that does
            not exist, or a finding that the file lacks.
    """
    where = f"The file of echo definitions {name}"
    try:
        settings = load_yaml(_FILES.read(name))
    except yaml.YAMLError as error:
        raise TaxonomyError(f"{where} is not valid YAML: {error}.") from error
    listed = settings.get("definitions") if isinstance(settings, dict) else None
    if not isinstance(listed, list) or not listed or len(settings) != 1:
        raise TaxonomyError(f"{where} must be a list of findings under `definitions:`.")
    try:
        found = TypeAdapter(tuple[EchoDefinition, ...]).validate_json(
            json.dumps(listed, default=str), strict=True
        )
        _check_ids(found)
    except ValidationError as error:
        raise TaxonomyError(f"{where}: {_explain(dict(error.errors()[0]))}.") from None
    except ValueError as error:
        raise TaxonomyError(f"{where}: {error}.") from None
    return EchoDefinitions(found)


def check_other_names(echo: EchoDefinitions, taxonomy: Taxonomy) -> None:
    """Refuse a finding that is called as one of the ECG's own: both would have one vector.

    Raises:
        TaxonomyError: there is one.
    """
    taken = {name for finding in taxonomy.findings for name in (finding.japanese, finding.english)}
    for each in echo.definitions:
        for name in {each.ja, each.en} & taken:
            raise TaxonomyError(
                f"The echo definition {each.id} is called {name!r}, as is a finding of the ECG in"
                f" {taxonomy.name}. Say in its name that echocardiography shows it."
            )


def _check_ids(found: Sequence[EchoDefinition]) -> None:
    ids = [each.id for each in found]
    for each in found:
        need(ids.count(each.id) == 1, f"the definition {each.id} is there twice")
        for member in each.any_of or ():
            other = next((one for one in found if one.id == member), None)
            need(
                other is not None and other.any_of is None,
                f"any_of of the definition {each.id} names {member!r}, which has no rule in this"
                " file",
            )


def _explain(mistake: dict[str, Any]) -> str:
    """Which definition is wrong, by its number, and how."""
    if mistake["type"] == "value_error":
        return str(mistake["ctx"]["error"])
    number, *inside = mistake["loc"]
    place = ", ".join(map(str, inside)) or "entry"
    return f"definition number {int(number) + 1}, {place}: {mistake['msg']}"


def _one_of(answers: Sequence[bool | None]) -> bool | None:
    """Shown if one is; not shown only if every one is known not to be."""
    if any(answers):
        return True
    return None if None in answers else False


def _met(limits: str | Mapping[Sex, str], value: Interval, sex: str | None) -> bool | None:
    if isinstance(limits, str):
        return _compared(limits, value)
    by_sex = {each: _compared(limit, value) for each, limit in limits.items()}
    if sex in by_sex:
        return by_sex[sex]
    answers = set(by_sex.values()) if len(by_sex) > 1 else {None}
    return answers.pop() if len(answers) == 1 else None


def _compared(limit: str, value: Interval) -> bool | None:
    match = _LIMIT.fullmatch(limit)
    assert match is not None, limit
    surely, perhaps = _COMPARE[match[1]]
    if surely(value, float(match[2])):
        return True
    return None if perhaps(value, float(match[2])) else False
