"""Settings to the chain of jobs: an array that prepares, an array that embeds, train, eval.

Owns the commands of the stages and what each asks for. No scheduler's words.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ecgpipe.cluster.job import Job
from ecgpipe.config.cluster import ClusterConfig, StageJob
from ecgpipe.errors import ConfigError

STAGES = ("prepare", "embed", "train", "eval")

# A tenth at least is work.
_MOST_OF_THE_TIME = 0.9


@dataclass(frozen=True, kw_only=True)
class Calls:
    """How the ordinary commands are called on a node."""

    program: tuple[str, ...]
    """Words of the program: `ecgpipe`."""

    config: Path
    """The settings, all paths in them absolute."""

    folders: tuple[Path, ...] = ()
    """What a container must see."""

    prepare_workers: int | None = None
    """data.workers, where the person set it; None: as many as the job has cores."""


def chain(
    cluster: ClusterConfig, calls: Calls, stages: Collection[str], retries: int
) -> tuple[Job, ...]:
    """The jobs of some stages, in order, each waiting for the one before.

    Args:
        cluster: the settings.
        calls: how commands are called.
        stages: which to queue, of STAGES.
        retries: how often each is started again.

    Raises:
        ConfigError: a folder cannot be shown to a container.
    """
    jobs: list[Job] = []
    for number, stage in enumerate(STAGES, 1):
        if stage in stages:
            depends_on = jobs[-1].stage if jobs else None
            jobs.append(_job(stage, number, cluster, calls, retries, depends_on))
    return tuple(jobs)


def _job(
    stage: str,
    number: int,
    cluster: ClusterConfig,
    calls: Calls,
    retries: int,
    depends_on: str | None,
) -> Job:
    asked: StageJob = getattr(cluster, stage)
    tasks, nodes = getattr(asked, "shards", 1), getattr(asked, "nodes", 1)
    gpus = getattr(asked, "gpus", 0)
    margin = min(cluster.margin_minutes, (1 - _MOST_OF_THE_TIME) * asked.wall_minutes)
    words = [*calls.program, stage, "--config", str(calls.config)]
    if tasks > 1:
        words += ["--shard", f"array/{tasks}"]
    if stage == "prepare":
        # Not every scheduler keeps a job to its cores, and then a node's would all be counted.
        words += ["--set", f"data.workers={calls.prepare_workers or asked.cpus}"]
    words += ["--max-minutes", f"{asked.wall_minutes - margin:g}"]
    return Job(
        stage=stage,
        number=number,
        command=(*_container(cluster, calls, gpus), *words),
        tasks=tasks,
        nodes=nodes,
        ranks_per_node=max(gpus, 1) if stage == "train" else 1,
        gpus_per_node=gpus,
        cpus=asked.cpus,
        threads=1 if stage == "prepare" else asked.cpus,  # prepare's workers have one each
        memory_gb=asked.memory_gb,
        wall_minutes=asked.wall_minutes,
        margin_minutes=margin,
        retries=retries,
        depends_on=depends_on,
        queue=asked.queue or cluster.queue,
        resources=asked.resources,
        options=(*cluster.options, *asked.options),
    )


def _container(cluster: ClusterConfig, calls: Calls, gpus: int) -> list[str]:
    """The words that run a command inside the container; none without one."""
    if cluster.container is None:
        return []
    words = ["apptainer", "exec", *(["--nv"] if gpus else [])]
    for folder in dict.fromkeys((*calls.folders, *cluster.binds)):
        if set(str(folder)) & set(":,"):
            raise ConfigError(
                f"The folder {folder} cannot be shown to a container: apptainer's --bind has no"
                " way to write a ':' or ','. Rename it, or leave out cluster.container."
            )
        words += ["--bind", str(folder)]
    return [*words, str(cluster.container)]
