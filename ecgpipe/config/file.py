"""Reading pipeline.yaml into a `PipelineConfig`, or an error that says what to do.

Owns reading, `--set` overrides, `${VARIABLE}`s and relative paths; `mistakes` words the errors.
The meaning and limits of a setting belong to its own module, presets to theirs.

pydantic checks types in strict JSON mode: a string is not a number, true is not 1.
"""

import copy
import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from ecgpipe.config.cluster import ClusterConfig
from ecgpipe.config.data import EchonextSource
from ecgpipe.config.mistakes import explain
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.presets import kept_over_preset, merged, with_preset
from ecgpipe.config.text import CONTROLS
from ecgpipe.config.yaml_mistakes import explain_yaml, value_hint
from ecgpipe.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def load_config(path: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read pipeline.yaml, apply `key.path=value` overrides, and check everything.

    Relative paths, in the file and in overrides, are relative to the file's folder. `${VAR}` and
    `${VAR:-default}` in values are replaced from the environment.

    Raises:
        ConfigError: the file is missing or not YAML; a key is unknown (the message suggests the
            nearest known one), missing, or of the wrong type; a value is out of bounds; a variable
            is not set.
    """
    settings = _read_yaml(path)
    for override in overrides:
        _apply_override(settings, override)
    origin = f"{path} with the command line's changes" if overrides else str(path)
    return parse_config(settings, path.resolve().parent, origin)


def parse_config(settings: Mapping[str, Any], folder: Path, origin: str) -> PipelineConfig:
    """Check plain `settings` and turn them into a `PipelineConfig` with absolute paths.

    `folder` is what relative paths are relative to; `origin` names the file in messages. Raises as
    `load_config`.
    """
    filled = with_preset(_expand(dict(settings), origin))
    try:
        config = TypeAdapter(PipelineConfig).validate_json(
            json.dumps(filled, default=str), strict=True
        )
    except ValidationError as error:
        raise ConfigError(explain(error, filled, origin, PipelineConfig)) from None
    return _with_absolute_paths(config, folder)


def tell_kept_over_preset(path: Path, overrides: Sequence[str]) -> str:
    """A line that names the file's own values which a preset in `overrides` does not change.

    Empty if `overrides` name no preset, or none of the file's values stands against it. The file
    and the overrides must be valid, as `load_config` found them.
    """
    named = {override.partition("=")[0] for override in overrides}
    if "train.preset" not in named:
        return ""
    own = _expand(_read_yaml(path), str(path))
    changed = copy.deepcopy(own)
    for override in overrides:
        _apply_override(changed, override)
    kept, is_all = kept_over_preset(own, changed, named)
    if not kept:
        return ""
    preset = changed["train"]["preset"]
    if is_all:
        return (
            f"train.preset={preset} changes nothing, because {path.name}'s own values stay:"
            f" {', '.join(kept)}. Put a # before them there to take the preset's."
        )
    return (
        f"train.preset={preset} does not change everything: {path.name}'s own values stay:"
        f" {', '.join(kept)}. Put a # before them there to take the preset's."
    )


def load_cluster(path: Path, overrides: Sequence[str] = ()) -> ClusterConfig:
    """How work is queued: pipeline.yaml's `cluster` block over the user's own file, key by key.

    The user's file is ecgpipe/cluster.yaml below $XDG_CONFIG_HOME or ~/.config, and is optional. It
    holds the keys of the `cluster` block; its relative paths are relative to its own folder.

    Raises:
        ConfigError: as `load_config`, of either file.
    """
    settings = _read_yaml(path)
    for override in overrides:
        _apply_override(settings, override)
    own = _cluster_settings(settings.get("cluster"), path.resolve().parent, str(path), "cluster.")
    file = own_cluster_file()
    if file.exists():
        own = merged(_cluster_settings(_read_yaml(file), file.parent, str(file), ""), own)
    return _cluster_config(own, str(path), "cluster.")


def own_cluster_file() -> Path:
    """The user's file of settings for all experiments on a cluster."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "ecgpipe" / "cluster.yaml"


def _cluster_settings(block: Any, folder: Path, origin: str, prefix: str) -> dict[str, Any]:
    """The keys that one file sets, checked on their own, with absolute paths."""
    if block is None:
        return {}
    filled = _expand(block, origin)
    checked: ClusterConfig = _resolve_paths(_cluster_config(filled, origin, prefix), folder)
    plain = {"container": checked.container, "binds": checked.binds}
    return {key: _plain(plain.get(key, value)) for key, value in filled.items()}


def _cluster_config(settings: Any, origin: str, prefix: str) -> ClusterConfig:
    try:
        text = json.dumps(settings, default=str)
        return TypeAdapter(ClusterConfig).validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigError(explain(error, settings, origin, ClusterConfig, prefix)) from None


def config_as_dict(config: PipelineConfig) -> dict[str, Any]:
    """The resolved settings as plain values for YAML or JSON, which read back to the same settings.

    Without `cluster`: the account and queue are not part of an experiment.
    """
    values = dataclasses.asdict(config)
    return {key: _plain(value) for key, value in values.items() if key != "cluster"}


def config_as_yaml(config: PipelineConfig) -> str:
    """The resolved settings as YAML, which reads back to the same settings."""
    return yaml.safe_dump(config_as_dict(config), allow_unicode=True, sort_keys=False)


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-3 as a number (YAML 1.2) and refuses a key written twice."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    nodes = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]  # `<<: *name`
    keys = [loader.construct_object(key) for key in nodes]
    for key_node, key in zip(nodes, keys, strict=True):
        if not isinstance(key, str):
            raise yaml.MarkedYAMLError(
                problem=f"the key {key!r} is not text", problem_mark=key_node.start_mark
            )
        if keys.count(key) > 1:
            raise yaml.MarkedYAMLError(
                problem=f"the key '{key}' is written twice", problem_mark=key_node.start_mark
            )
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def _read_yaml(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")
        settings = load_yaml(text)
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist. Name your pipeline file with -c, or write one with"
            " `ecgpipe init`."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8. Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {explain_yaml(text, error)}.") from None
    if not isinstance(settings, dict):
        raise ConfigError(
            f"{path} has no settings: it must be a mapping such as `name: ...`.{value_hint(text)}"
        )
    return settings


def load_yaml(text: str) -> Any:
    """The value of YAML text.

    Raises:
        yaml.YAMLError: it is not YAML, or a form that settings cannot have.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader: builds plain values only
    except ValueError as error:  # such as a date that does not exist
        raise yaml.YAMLError(str(error)) from error
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None


def _apply_override(settings: dict[str, Any], override: str) -> None:
    """Set `a.b.0.c=value` in nested settings; the value is read as YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write it as key=value, for example train.epochs=20.")
    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"--set {override}: the value is not YAML: {explain_yaml(text, error)}."
        ) from None
    *parents, last = key.split(".")
    place: Any = settings
    for part in parents:
        place = _step_into(place, part, override)
    if isinstance(place, list):
        place[_index(place, last, override)] = value
    else:
        place[last] = value


def _step_into(place: Any, part: str, override: str) -> Any:
    if isinstance(place, list):
        inner = place[_index(place, part, override)]
    else:
        inner = place.setdefault(part, {})
        if inner is None:
            inner = place[part] = {}
    if not isinstance(inner, dict | list):
        raise ConfigError(f"--set {override}: {part} is a value, so it has no settings below it.")
    return inner


def _index(place: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(place):
        raise ConfigError(
            f"--set {override}: '{part}' is not an index of a list of {len(place)};"
            " indices start at 0."
        )
    return int(part)


def _expand(value: Any, origin: str) -> Any:
    """Replace ${VAR} in every string, at any depth."""
    if isinstance(value, dict):
        return {key: _expand(inner, origin) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, origin) for inner in value]
    if isinstance(value, str):
        if "\0" in value or not _is_utf8(value):
            raise ConfigError(f"{origin}: {value!r} contains a character that is not text.")
        return _VARIABLE.sub(lambda match: _variable(match, origin), value)
    return value


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _variable(match: re.Match[str], origin: str) -> str:
    name, default = match.groups()
    value = os.environ.get(name) or default
    if value is None:
        raise ConfigError(
            f"{origin} uses ${{{name}}}, but that environment variable is not set. Set it, or give"
            f" a default: ${{{name}:-...}}."
        )
    return value


def _with_absolute_paths(config: PipelineConfig, folder: Path) -> PipelineConfig:
    resolved: PipelineConfig = _resolve_paths(config, folder)
    taxonomy = _resolve_named_file(config.data.taxonomy, folder, (".csv",))
    echo = resolved.data.echo
    yaml_files = (".yaml", ".yml")
    if echo is not None:
        definitions = _resolve_named_file(echo.definitions, folder, yaml_files)
        echo = dataclasses.replace(echo, definitions=definitions)
    sources = tuple(
        dataclasses.replace(
            each, definitions=_resolve_named_file(each.definitions, folder, yaml_files)
        )
        if isinstance(each, EchonextSource)
        else each
        for each in resolved.data.sources
    )
    tasks, parents = (
        tuple(_resolve_named_file(name, folder, yaml_files) for name in names)
        for names in (config.eval.tasks, config.text.parents)
    )
    model = _resolve_model(config.text.model, folder)
    return dataclasses.replace(
        resolved,
        data=dataclasses.replace(resolved.data, sources=sources, taxonomy=taxonomy, echo=echo),
        text=dataclasses.replace(resolved.text, model=model, parents=parents),
        eval=dataclasses.replace(resolved.eval, tasks=tasks),
    )


def _resolve_paths(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return _absolute(value, folder)
    if isinstance(value, tuple):
        return tuple(_resolve_paths(inner, folder) for inner in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {
            item.name: _resolve_paths(getattr(value, item.name), folder)
            for item in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **changes)
    return value


def _absolute(path: Path, folder: Path) -> Path:
    try:
        return Path(os.path.normpath(folder / path.expanduser()))
    except RuntimeError as error:
        raise ConfigError(f"The path {path} cannot be resolved: {error}") from None


def _resolve_named_file(name: str, folder: Path, suffixes: tuple[str, ...]) -> str:
    """A name stays as it is; a file becomes absolute."""
    is_file = Path(name).suffix.casefold() in suffixes
    return str(_absolute(Path(name), folder)) if is_file else name


def _resolve_model(model: str, folder: Path) -> str:
    """A path becomes absolute; a hub id, package:, imported: or a control stays as it is.

    A path is what exists, begins like one (./, ../, ~), ends in .gguf, or lies in a folder that
    exists: `models/llama` beside `models/` is a misspelt folder, not a hub id.
    """
    if model.partition(":")[0] in ("package", "imported", *CONTROLS):
        return model
    path = _absolute(Path(model), folder)
    first = Path(model).parts[0] if model else ""
    is_path = model.startswith(("./", "../", "~")) or path.suffix == ".gguf"
    in_folder = len(Path(model).parts) > 1 and (folder / first).is_dir()
    return str(path) if is_path or in_folder or path.exists() else model


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
