"""Which of several processes this one is.

Owns the environment variables of launchers and schedulers. Only the first process writes shared
files and prints; divisible work is divided into shares, without communication between processes.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ecgpipe.errors import ConfigError

_SHARD = re.compile(r"^(\d+)/(\d+)$")
_ARRAY_OF = re.compile(r"^array/(\d+)$")

# Variables for a task's index, first, last and step. PBS and PJM do not expose the array's size, so
# --shard is required there.
_ARRAYS = (
    (
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_TASK_MIN",
        "SLURM_ARRAY_TASK_MAX",
        "SLURM_ARRAY_TASK_STEP",
    ),
    ("SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE"),
)

# Variables for a task's index, and its value in the first task of our own arrays: Grid Engine has
# no index 0.
_INDICES = (
    ("SLURM_ARRAY_TASK_ID", 0),
    ("PBS_ARRAY_INDEX", 0),
    ("PBS_ARRAYID", 0),
    ("SGE_TASK_ID", 1),
    ("PJM_BULKNUM", 0),
)


@dataclass(frozen=True)
class Share:
    """The part of divisible work that this process does: `index` of `count`, counted from 0."""

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def rank(environment: Mapping[str, str] = os.environ) -> int:
    """The number of this process among those that train together; 0 if it is alone."""
    return int(environment.get("RANK", "0"))


def world(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes train together, according to the launcher; 1 if this one is alone."""
    return int(environment.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes shared files and prints."""
    return rank() == 0


def local_rank(environment: Mapping[str, str] = os.environ) -> int:
    """The number of this process on its machine, which selects its GPU."""
    return int(environment.get("LOCAL_RANK") or _of_step("SLURM_LOCALID", environment) or 0)


def share_of_work(shard: str | None, environment: Mapping[str, str] = os.environ) -> Share:
    """This process's share: the share of --shard, divided among the processes of its launcher.

    Args:
        shard: "i/n", counted from 0; "array" for the index and size of a Slurm or Grid Engine job
            array; "array/n" for the index in any job array of n tasks, even if only some are queued
            again; None for everything. A job array is read only on request, because arrays also
            serve to try many settings.
        environment: the variables of launcher and scheduler. torchrun and accelerate set RANK and
            WORLD_SIZE; srun numbers the tasks of a step.

    Raises:
        ConfigError: `shard` is malformed, or it names a job array that this process is not part of.
    """
    outer = _requested_share(shard, environment)
    inner = _launched_share(environment)
    return Share(outer.index * inner.count + inner.index, outer.count * inner.count)


def _requested_share(shard: str | None, environment: Mapping[str, str]) -> Share:
    if shard is None:
        return Share()
    if shard == "array":
        return _array_share(environment)
    if of_array := _ARRAY_OF.match(shard):
        return _share_of_array(int(of_array[1]), environment)
    match = _SHARD.match(shard)
    if match is None or int(match[1]) >= int(match[2]):
        raise ConfigError(
            f"--shard {shard} is malformed. Write i/n, counted from 0 (0/8, 1/8, ... 7/8), or"
            " array or array/8."
        )
    return Share(int(match[1]), int(match[2]))


def _array_share(environment: Mapping[str, str]) -> Share:
    for index, first, last, step in _ARRAYS:
        if environment.get(index, "undefined") == "undefined":
            continue  # Grid Engine's word for a job without an array
        start = int(environment[first])
        stride = int(environment.get(step) or 1)
        count = (int(environment[last]) - start) // stride + 1
        return Share((int(environment[index]) - start) // stride, count)
    raise ConfigError(
        "--shard array: this process is not in a Slurm or Grid Engine job array. Under other"
        " schedulers give the size: --shard array/8, or --shard $PBS_ARRAY_INDEX/8 for an array"
        " that counts from 0."
    )


def _share_of_array(count: int, environment: Mapping[str, str]) -> Share:
    """A task's share of an array of `count` tasks, as `ecgpipe submit` queues them."""
    for variable, first in _INDICES:
        value = environment.get(variable, "undefined")
        if value == "undefined":
            continue  # Grid Engine's word for a job without an array
        index = int(value) - first if value.isdecimal() else -1
        if not 0 <= index < count:
            raise ConfigError(
                f"--shard array/{count}: {variable} is {value}, but the {count} tasks count from"
                f" {first}. Give the share as i/n."
            )
        return Share(index, count)
    raise ConfigError(
        f"--shard array/{count}: this process is not in a job array; none of"
        f" {', '.join(variable for variable, _ in _INDICES)} is set. Give the share as i/n."
    )


def _launched_share(environment: Mapping[str, str]) -> Share:
    if world(environment) > 1:
        return Share(rank(environment), world(environment))
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS") or 1)
    return Share(int(_of_step("SLURM_PROCID", environment) or 0), tasks)


def _of_step(variable: str, environment: Mapping[str, str]) -> str | None:
    """A Slurm variable, but only inside `srun`: a batch script sees the variables of rank 0 too."""
    in_step = int(environment.get("SLURM_STEP_NUM_TASKS") or 1) > 1
    return environment.get(variable) if in_step else None
