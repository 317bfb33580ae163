"""Stages for every variant of a sweep; a single experiment is a sweep of one.

Owns that one run which fails does not end the others, and the comparison at the end.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ecgpipe.commands.options import Launch
from ecgpipe.commands.output import print_comparison, report, say
from ecgpipe.errors import ComparisonError, EcgpipeError, StoppedEarly
from ecgpipe.processes import is_first, world

if TYPE_CHECKING:
    from ecgpipe.config.pipeline import PipelineConfig
    from ecgpipe.stages.experiment import Experiment
    from ecgpipe.stages.stage_result import Results, StageResult
    from ecgpipe.stopping import Stop

    StageFunction = Callable[[Experiment, Stop], StageResult]


def run_sweep(stages: "Sequence[StageFunction]", launch: Launch) -> None:
    """Run the stages for each variant, one variant after the other.

    Raises:
        StoppedEarly: stopped with everything saved.
        ConfigError, EcgpipeError, OSError: a run failed; with several runs, after the others ended.
    """
    from ecgpipe.stages.experiment import Experiment
    from ecgpipe.stages.stage_result import without_frames
    from ecgpipe.stopping import stop_on_signals

    variants, left_out = launch.variants()
    for line in [*left_out, *launch.lines_on_preset()] if is_first() else ():
        say(line)
    with stop_on_signals(launch.max_minutes) as stop:
        ended: dict[str, StageResult | Exception] = {}
        for number, config in enumerate(variants, 1):
            if len(variants) > 1 and is_first():
                say(f"{config.name}: run {number} of {len(variants)}")
            try:
                results = _run_one(stages, Experiment(config), stop)
            except (EcgpipeError, OSError) as error:
                # With several processes, perhaps only this one failed: going on would separate them
                if isinstance(error, StoppedEarly) or len(variants) == 1 or world() > 1:
                    raise
                say(f"ecgpipe: {error}")
                ended[config.name] = without_frames(error)
                continue
            ended[config.name] = results[-1]
            if is_first():
                report(results, launch.as_json)
    _end_sweep(variants, ended)


def _run_one(
    stages: "Sequence[StageFunction]", experiment: "Experiment", stop: "Stop"
) -> "list[StageResult]":
    results = []
    for stage in stages:
        results.append(stage(experiment, stop))
        if is_first():
            say(f"{results[-1].stage}: {results[-1].line}")
    return results


def _end_sweep(variants: "Sequence[PipelineConfig]", ended: "Results") -> None:
    """Compare the runs that were evaluated, then raise what the failed ones raised."""
    from ecgpipe.stages.stage_result import raise_failures

    finished = [config for config in variants if not isinstance(ended[config.name], Exception)]
    if finished:
        last = ended[finished[-1].name]
        assert not isinstance(last, Exception)
        _compare_variants(finished, last)
    raise_failures(ended)


def _compare_variants(variants: "Sequence[PipelineConfig]", last: "StageResult") -> None:
    from ecgpipe.stages.evaluate.compare import run_compare
    from ecgpipe.workspace import Workspace

    if len(variants) < 2 or last.stage != "eval" or not is_first():
        return
    folders = [str(Workspace(config.work_dir, config.name).run) for config in variants]
    try:
        print_comparison(run_compare(folders, None), paper=False)
    except ComparisonError as error:
        say(f"compare: {error}")
