"""A stage that writes a heartbeat while it works, and how it ended.

Owns which share of its work a stage's process has. What a heartbeat holds is up to
`ecgpipe.heartbeat`.
"""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from ecgpipe.heartbeat import heartbeat
from ecgpipe.processes import Share, share_of_work
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.stage_result import Outcome
from ecgpipe.stopping import Stop

P = ParamSpec("P")
Stage = Callable[Concatenate[Experiment, Stop, P], Outcome]


def signed(name: str) -> Callable[[Stage[P]], Stage[P]]:
    """Make a stage write heartbeats under `name`, in work_dir's status/<experiment>/.

    Its share is the `Share` among its arguments; without one, that of this process among those it
    was launched with.
    """

    def sign(stage: Stage[P]) -> Stage[P]:
        @functools.wraps(stage)
        def run(
            experiment: Experiment, stop: Stop, /, *args: P.args, **kwargs: P.kwargs
        ) -> Outcome:
            given = [value for value in (*args, *kwargs.values()) if isinstance(value, Share)]
            share = given[0] if given else share_of_work(None)
            with heartbeat(experiment.workspace.status, name, share) as set_message:
                outcome = stage(experiment, stop, *args, **kwargs)
                set_message(outcome.line)
            return outcome

        return run

    return sign
