"""Several runs of a sweep trained at the same time, as threads of this process.

Owns the threads, the stages beside them that the runs go through in turn, and that a run which
fails does not end the others. They are threads because the training signals are then there once,
however many runs read them. A run's order of records, texts
and variations are functions of its seed, so that what it ends with does not depend on its
neighbours.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from importlib import import_module

from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import ConfigError, EcgpipeError, StoppedEarly
from ecgpipe.processes import world
from ecgpipe.progress import one_of_several, say
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.shelves import Shelves
from ecgpipe.stages.stage_result import Outcome, Results, without_frames
from ecgpipe.stages.train.train import run_train
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.own_stream import remark_on_cores

StageFunction = Callable[[Experiment, Stop], Outcome]

_NOT_BEGUN = StoppedEarly("It was not begun.")


def train_at_once(
    configs: Sequence[PipelineConfig], at_once: int, shelves: Shelves, stop: Stop
) -> Results:
    """Train each, at most `at_once` of them at the same time, beginning in their order.

    Args:
        configs: the runs of a sweep; their names differ.
        at_once: threads.
        shelves: signals that they share.
        stop: asked by each run between its steps; those not yet begun are left.

    Returns:
        How each ended, by name: its outcome, or what it raised, of which a line was shown.

    Raises:
        ConfigError: as `check_at_once`.
    """
    check_at_once(configs)
    if remark := remark_on_cores(min(at_once, len(configs))):
        say(remark)
    waiting: queue.SimpleQueue[PipelineConfig] = queue.SimpleQueue()
    for config in configs:
        waiting.put(config)
    ended: dict[str, Outcome | Exception] = {}

    def work() -> None:
        while True:
            try:
                config = waiting.get_nowait()
            except queue.Empty:
                return
            ended[config.name] = _trained(config, shelves, stop) if not stop else _NOT_BEGUN

    import_module("ecgpipe.stages.model_bridge")  # not by several threads at a time
    # Daemons: whoever interrupts twice does not wait for them; what they have saved is whole.
    threads = [threading.Thread(target=work, daemon=True) for _ in configs[:at_once]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {config.name: ended[config.name] for config in configs}


def each_in_turn(
    stage: StageFunction, configs: Sequence[PipelineConfig], shelves: Shelves, stop: Stop
) -> Results:
    """A stage of each that is not for several at the same time; one that fails costs no other.

    Args:
        stage: what is done.
        configs: the runs of a sweep; their names differ.
        shelves: signals that they share.
        stop: handed on.

    Returns:
        As `train_at_once`.

    Raises:
        StoppedEarly: one was stopped; those after it are not begun.
    """
    ended: dict[str, Outcome | Exception] = {}
    for config in configs:
        with one_of_several(config.name):
            try:
                ended[config.name] = _told(stage(Experiment(config, shelves), stop))
            except StoppedEarly:
                raise
            except (EcgpipeError, OSError) as error:
                ended[config.name] = _failed(error)
    return ended


def check_at_once(configs: Sequence[PipelineConfig]) -> None:
    """Refuse what cannot be trained at the same time in one process.

    Raises:
        ConfigError: several processes train together, or a run asks for torch.compile.
    """
    if world() > 1:
        raise ConfigError(
            f"--at-once trains several runs in one process, but {world()} processes were started to"
            " train one run together. Start one process, or leave out --at-once."
        )
    compiled = [config.name for config in configs if config.train.compile]
    if compiled:
        raise ConfigError(
            f"--at-once: {compiled[0]} has train.compile, but torch.compile compiles for one thread"
            " at a time. Set train.compile=false, or leave out --at-once."
        )


def _trained(config: PipelineConfig, shelves: Shelves, stop: Stop) -> Outcome | Exception:
    with one_of_several(config.name):
        try:
            return _told(run_train(Experiment(config, shelves, beside_others=True), stop))
        except Exception as error:
            return _failed(error)


def _told(outcome: Outcome) -> Outcome:
    say(f"{outcome.stage}: {outcome.line}")
    return outcome


def _failed(error: Exception) -> Exception:
    say(str(error) or type(error).__name__)
    return without_frames(error)
