"""What is made beside the tasks: one function a block of the results file.

Owns which blocks there are, and that one which cannot be made is left out with its reason while the
rest goes on.
"""

from collections.abc import Callable
from typing import Any

from ecgpipe.config.evaluate import Analysis
from ecgpipe.progress import progress
from ecgpipe.stages.evaluate.analysis_blocks import (
    neighbours,
    probe,
    retrieval,
    robustness,
    subgroups,
)
from ecgpipe.stages.evaluate.context import AnalysisContext, LeftOutError
from ecgpipe.stages.evaluate.failure_blocks import failures, measurements, text_space
from ecgpipe.stages.evaluate.view_blocks import example_ecgs, joint_map

ANALYSES: dict[Analysis, Callable[[AnalysisContext], dict[str, Any]]] = {
    "retrieval": retrieval,
    "probe": probe,
    "neighbours": neighbours,
    "robustness": robustness,
    "subgroups": subgroups,
    "failures": failures,
    "text_space": text_space,
    "measurements": measurements,
    "map": joint_map,
    "examples": example_ecgs,
}


def with_analyses(context: AnalysisContext) -> dict[str, Any]:
    """Every block of eval.analyses under its name, and what was left out and why.

    `subgroups` goes into the tasks' own blocks, as `groups`.

    Raises:
        StoppedEarly: a signal came; nothing is kept.
        StoreError: a signal is damaged or a vector missing.
    """
    blocks: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name in context.experiment.config.eval.analyses:
        context.check_stop()
        with progress(f"eval: {name}", 1, "block") as tick:
            try:
                blocks[name] = ANALYSES[name](context)
                tick()
            except LeftOutError as why:
                left_out[name] = str(why)
                tick(note=f"left out: {why}")
    for task, groups in blocks.pop("subgroups", {}).items():
        context.evaluation.tasks[task]["groups"] = groups
    return {**blocks, "analyses_left_out": left_out}
