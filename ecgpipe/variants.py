"""Several runs of one pipeline.yaml: seeds, and grids of settings.

Owns their names and settings. Each run is an ordinary experiment with its own name, so it is
resumed, evaluated and compared like any other.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from ecgpipe.config.file import load_config, load_yaml
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import ConfigError
from ecgpipe.files import sha256_text

_RANGE = re.compile(r"^(\d+)\.\.(\d+)$")
_NOT_IN_NAMES = re.compile(r"[^\w.=-]+")
_MOST = 1000


def load_variants(
    path: Path, overrides: Sequence[str], seeds: str | None, grids: Sequence[str]
) -> tuple[list[PipelineConfig], list[str]]:
    """The experiments of a sweep; without seeds and grids, just the file's own.

    Args:
        path: pipeline.yaml.
        overrides: `key=value`, for all runs.
        seeds: "0..4" or "0,3,7", for train.seed.
        grids: "key=a,b,c" each; every combination becomes a run.

    Returns:
        Their settings, and a line for each combination that is not valid.

    Raises:
        ConfigError: seeds or a grid are malformed, or no combination is valid.
    """
    axes = [_grid_axis(grid) for grid in grids]
    if seeds is not None:
        axes.append([f"train.seed={seed}" for seed in _parse_seeds(seeds)])
    if not axes:
        return [load_config(path, overrides)], []
    keys = Counter(axis[0].partition("=")[0] for axis in axes)
    if twice := [key for key, number in keys.items() if number > 1]:
        raise ConfigError(
            f"--grid and --seeds name {twice[0]} twice. Give all its values in one of them."
        )
    name = load_config(path, overrides).name
    number = math.prod(map(len, axes))
    if number > _MOST:
        raise ConfigError(f"The sweep has {number:,} runs; at most {_MOST:,} at once.")
    named_axes = [list(zip(axis, _short_names(axis), strict=True)) for axis in axes]
    configs, refused = [], []
    for combination in itertools.product(*named_axes):
        settings = [setting for setting, _ in combination]
        own_name = "+".join([name, *(short for _, short in combination)])
        try:
            configs.append(load_config(path, [*overrides, *settings, f"name={own_name}"]))
        except ConfigError as error:
            refused.append(f"left out: {' '.join(settings)}: {error}")
    if not configs:
        raise ConfigError("\n".join(["No run of the sweep is possible:", *refused]))
    return configs, refused


def _grid_axis(grid: str) -> list[str]:
    key, sign, values = grid.partition("=")
    chosen = [value.strip() for value in values.split(",")]
    if not sign or not key.strip() or not all(chosen):
        raise ConfigError(f"--grid {grid}: write it as KEY=A,B, such as train.loss=clip,siglip.")
    if len(set(map(_canonical, chosen))) < len(chosen):
        raise ConfigError(f"--grid {grid} repeats a value.")
    return [f"{key.strip()}={value}" for value in chosen]


def _parse_seeds(text: str) -> list[int]:
    if match := _RANGE.match(text.strip()):
        first, last = map(int, match.groups())
        if last - first >= _MOST:
            raise ConfigError(f"--seeds {text} is more than {_MOST:,} runs.")
        if first <= last:
            return list(range(first, last + 1))
    parts = [part.strip() for part in text.split(",")]
    seeds = [int(part) for part in parts if part.isdecimal()]
    if len(set(seeds)) < len(parts):
        raise ConfigError(f"--seeds {text}: write it as 0..4 or 0,3,7, each seed once.")
    return seeds


def _canonical(value: str) -> str:
    """A form in which equal values are equal: 1e-3 and 0.001 are the same."""
    try:
        return repr(load_yaml(value))
    except yaml.YAMLError:
        return value


def _short_names(axis: Sequence[str]) -> Iterator[str]:
    """train.loss=clip as loss=clip; characters that a folder name cannot have become a dash.

    Values whose names would then be equal get a few digits of a digest.
    """
    names = []
    for setting in axis:
        key, _, value = setting.partition("=")
        names.append(f"{key.rsplit('.', 1)[-1]}={_NOT_IN_NAMES.sub('-', value)}")
    times = Counter(names)
    for setting, name in zip(axis, names, strict=True):
        yield name if times[name] == 1 else f"{name}-{sha256_text(setting)[:8]}"
