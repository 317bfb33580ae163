"""What is wrong with settings, as sentences for the person who wrote them.

Owns the words for pydantic's errors, and which known setting a misspelt one may be. Pure.
"""

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from ecgpipe.config.yaml_mistakes import value_hint


def explain(
    error: ValidationError,
    settings: Any,
    origin: str,
    known: type,
    prefix: str = "",
) -> str:
    """One line per mistake, with the nearest known key for a misspelt one.

    Args:
        error: what pydantic found.
        settings: what it was given.
        origin: the file, for the first line.
        known: the class that the settings are read into.
        prefix: put before each place, for a block deeper in the file.
    """
    errors = error.errors()
    inner = {each["loc"][:n] for each in errors for n in range(len(each["loc"]))}
    # A list is also "too short" for pydantic if one of its items has a mistake of its own.
    told = [each for each in errors if each["type"] != "too_short" or each["loc"] not in inner]
    lines = [_explain_one(dict(mistake), settings, known, prefix) for mistake in told]
    head = f"{origin} has a mistake:" if len(lines) == 1 else f"{origin} has {len(lines)} mistakes:"
    return "\n".join([head, *(f"  - {line}" for line in lines)])


def _explain_one(mistake: dict[str, Any], settings: Any, known: type, prefix: str) -> str:
    inside = _written_place(mistake["loc"], settings)
    place = prefix + inside if inside else prefix.rstrip(".")
    kind, message = mistake["type"], str(mistake["msg"]).removeprefix("Value error, ")
    met: Any = mistake.get("input")
    if kind == "unexpected_keyword_argument":
        near = _nearest_setting(inside, known, prefix, _kind(mistake["loc"]))
        return f"{place} is not a setting.{value_hint(str(mistake['loc'][-1])) or near}"
    if kind in ("missing", "union_tag_not_found"):
        missing = place + ".kind" if kind == "union_tag_not_found" else place
        return f"{missing} is missing."
    if kind == "union_tag_invalid":
        return f"{place}.kind is {met['kind']!r}; {mistake['ctx']['expected_tags']} are known."
    if kind == "value_error":
        return f"{place}: {message}." if place else f"{message}."
    if kind == "dataclass_type":
        return f"{place} must hold settings (`key: value` lines), not {met!r}.{value_hint(met)}"
    return f"{place} is {met!r}: {message[0].lower()}{message[1:]}.{value_hint(met)}"


def _written_place(location: Sequence[int | str], settings: Any) -> str:
    """The dotted place as the user wrote it, without the tag that pydantic adds for a source."""
    inner: Any = settings
    for place, step in enumerate(location):
        behind_number = place > 0 and isinstance(location[place - 1], int)
        if behind_number and isinstance(inner, dict) and step == inner.get("kind"):
            return ".".join(map(str, (*location[:place], *location[place + 1 :])))
        try:
            inner = inner[step]
        except (KeyError, IndexError, TypeError):
            break
    return ".".join(map(str, location))


def _kind(location: Sequence[int | str]) -> str | None:
    """The tag that pydantic adds behind a source's number, if the place is in one."""
    steps = itertools.pairwise(location)
    return next((str(step) for before, step in steps if isinstance(before, int)), None)


def _nearest_setting(place: str, cls: type, prefix: str, kind: str | None) -> str:
    known = sorted(set(_known_settings(cls, kind)))
    written, _, last = place.rpartition(".")
    parent = re.sub(r"\.\d+", "", written)
    siblings = [name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == parent]
    if near := difflib.get_close_matches(last, siblings, 1):
        return f" Did you mean {prefix}{written + '.' if written else ''}{near[0]}?"
    if elsewhere := [name for name in known if name.rpartition(".")[2] == last]:
        return f" Did you mean {prefix}{elsewhere[0]}?"
    return f" Known here: {', '.join(siblings)}."


def _known_settings(cls: Any, kind: str | None, prefix: str = "") -> Iterator[str]:
    """Every dotted setting name below a settings class; of sources only those of a kind."""
    for item in dataclasses.fields(cls):
        yield prefix + item.name
        for inner in _settings_classes(item.type):
            kinds = {each.name: get_args(each.type) for each in dataclasses.fields(inner)}
            if kind is None or kind in kinds.get("kind", (kind,)):
                yield from _known_settings(inner, kind, f"{prefix}{item.name}.")


def _settings_classes(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _settings_classes(argument)
