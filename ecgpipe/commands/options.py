"""The options that commands share, and the launch they describe.

Owns how a command line becomes an experiment's settings. Settings are stored in pipeline.yaml;
options are only for what differs between two launches of the same run.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ecgpipe.config.pipeline import PipelineConfig
    from ecgpipe.stages.experiment import Experiment

Command = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What the shared options of one command line say."""

    path: Path
    """pipeline.yaml."""

    overrides: tuple[str, ...]
    """KEY=VALUE each."""

    as_json: bool

    max_minutes: float | None = None
    seeds: str | None = None
    grids: tuple[str, ...] = ()

    @property
    def is_sweep(self) -> bool:
        """Whether it names several runs."""
        return self.seeds is not None or bool(self.grids)

    def config(self) -> "PipelineConfig":
        """Read the settings. Raises ConfigError as `load_config`."""
        from ecgpipe.config.file import load_config

        return load_config(self.path, self.overrides)

    def variants(self) -> "tuple[list[PipelineConfig], list[str]]":
        """The runs of a sweep, and a line for each that is left out; as `load_variants`."""
        from ecgpipe.variants import load_variants

        return load_variants(self.path, self.overrides, self.seeds, self.grids)

    def lines_on_preset(self) -> list[str]:
        """What a preset of the command line does not change, for each one that it names.

        The settings must have been read before.
        """
        from ecgpipe.config.file import tell_kept_over_preset

        chosen = [grid.partition("=")[2] for grid in self.grids if grid.startswith("train.preset=")]
        more = [[f"train.preset={name.strip()}"] for name in ",".join(chosen).split(",") if name]
        told = (tell_kept_over_preset(self.path, [*self.overrides, *one]) for one in more or [[]])
        return [line for line in told if line]

    def experiment(self) -> "Experiment":
        """Open the experiment. Raises ConfigError as `load_config`."""
        from ecgpipe.stages.experiment import Experiment

        return Experiment(self.config())

    def experiment_opener(self) -> "Callable[[], Experiment] | None":
        """Opens the experiment on first use; None if none was named and ./pipeline.yaml is missing.

        Must be called inside a command.
        """
        source = click.get_current_context().get_parameter_source("path")
        if source == click.core.ParameterSource.DEFAULT and not self.path.exists():
            return None
        return functools.cache(self.experiment)


def launch_options(*, sweep: bool = False, minutes: bool = False) -> Callable[[Command], Command]:
    """Give a command the shared options and pass them as a `Launch`, its first argument.

    Args:
        sweep: whether it takes --seeds and --grid.
        minutes: whether it takes --max-minutes.
    """
    options = [*(_MINUTES if minutes else ()), *(_SWEEP if sweep else ()), *_EXPERIMENT]
    names = [name for name in Launch.__dataclass_fields__]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**values: Any) -> None:
            launch = Launch(**{name: values.pop(name) for name in names if name in values})
            command(launch, **values)

        return functools.reduce(lambda made, option: option(made), reversed(options), run)

    return decorate


def _finite(_: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse NaN, which passes every range check."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a number of minutes.", param=parameter)
    return value


_EXPERIMENT = (
    click.option(
        "-c",
        "--config",
        "path",
        type=click.Path(path_type=Path),
        default=Path("pipeline.yaml"),
        show_default=True,
        help="The experiment's settings.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a setting, for example train.epochs=20. Repeatable.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print a one-line JSON summary last."),
)
_SWEEP = (
    click.option("--seeds", metavar="0..4", help="One run for each training seed: 0..4, or 0,3,7."),
    click.option(
        "--grid",
        "grids",
        multiple=True,
        metavar="KEY=A,B,...",
        help="One run for each value, for example train.loss=clip,siglip. Repeat it to run every"
        " combination.",
    ),
)
_MINUTES = (
    click.option(
        "--max-minutes",
        type=click.FloatRange(min=0, min_open=True),
        callback=_finite,
        metavar="MINUTES",
        help="Save everything and stop after this long (exit code 75).",
    ),
)
shard_option = click.option(
    "--shard",
    metavar="I/N",
    help="Do part I of N, counted from 0. `array/N` takes I from the job array of any scheduler;"
    " `array` takes both from Slurm or Grid Engine. Workers need to share nothing but work_dir.",
)
