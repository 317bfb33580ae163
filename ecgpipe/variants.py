"""Several runs of one pipeline.yaml: seeds, and grids of settings.

Owns their names and settings. Each run is an ordinary experiment with a name of its own, so that it
is resumed, evaluated and compared like any other.
"""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from ecgpipe.config import PipelineConfig
from ecgpipe.config_file import load_config
from ecgpipe.errors import ConfigError

_RANGE = re.compile(r"^(\d+)\.\.(\d+)$")
_NOT_IN_NAMES = re.compile(r"[^\w.=-]+")
_MOST = 1000


def load_variants(
    path: Path, overrides: Sequence[str], seeds: str | None, grids: Sequence[str]
) -> tuple[list[PipelineConfig], list[str]]:
    """The experiments of a sweep; just the file's own without seeds and grids.

    Args:
        path: pipeline.yaml.
        overrides: `key=value` for all of them.
        seeds: "0..4" or "0,3,7", for train.seed.
        grids: "key=a,b,c" each; every combination becomes a run.

    Returns:
        Their settings, and a line for each combination that the settings refuse.

    Raises:
        ConfigError: seeds or a grid are malformed, or no combination is possible.
    """
    axes = [_grid_axis(grid) for grid in grids]
    if seeds is not None:
        axes.append([f"train.seed={seed}" for seed in _parse_seeds(seeds)])
    if not axes:
        return [load_config(path, overrides)], []
    name = load_config(path, overrides).name
    combinations = list(itertools.product(*axes))
    if len(combinations) > _MOST:
        raise ConfigError(f"The sweep has {len(combinations):,} runs; at most {_MOST:,} at once.")
    configs, refused = [], []
    for settings in combinations:
        own_name = "+".join([name, *map(_short, settings)])
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
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"--grid {grid} names a value twice.")
    return [f"{key.strip()}={value}" for value in chosen]


def _parse_seeds(text: str) -> list[int]:
    if match := _RANGE.match(text.strip()):
        first, last = map(int, match.groups())
        if first <= last:
            return list(range(first, last + 1))
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise ConfigError(f"--seeds {text}: write it as 0..4 or 0,3,7, each seed once.")
    return [int(part) for part in parts]


def _short(setting: str) -> str:
    """train.loss=clip as loss=clip; what a folder's name cannot hold becomes a dash."""
    key, _, value = setting.partition("=")
    return f"{key.rsplit('.', 1)[-1]}={_NOT_IN_NAMES.sub('-', value)}"
