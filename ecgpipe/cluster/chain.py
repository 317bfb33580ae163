"""Turn settings into the chain of jobs: a prepare array, an embed array, train, eval.

The runs of a sweep share prepare and embed; each has its own train and eval.

Owns each stage's command and the resources it requests. Knows no scheduler's syntax.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ecgpipe.cluster.job import Job
from ecgpipe.config.cluster import ClusterConfig, StageJob
from ecgpipe.errors import ConfigError

STAGES = ("prepare", "embed", "train", "eval")

# The margin before the wall time must leave at least this share of it for work.
_MIN_WORK_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """How ecgpipe is invoked on a node."""

    program: tuple[str, ...]
    """Usually just `ecgpipe`."""

    config: Path
    """The settings file, with absolute paths only."""

    folders: tuple[Path, ...] = ()
    """Folders to bind into the container."""

    prepare_workers: int | None = None
    """data.workers if the user set it; None means one per core of the job."""


def build_chain(
    cluster: ClusterConfig,
    invocation: Invocation,
    stages: Collection[str],
    retries: int,
    variant: str = "",
    after: Job | None = None,
) -> tuple[Job, ...]:
    """Build the jobs for `stages`, in order, each depending on the one before.

    Args:
        cluster: the settings.
        invocation: how ecgpipe is called on a node.
        stages: a subset of STAGES.
        retries: how often each job may be restarted.
        variant: which run of a sweep the jobs belong to.
        after: the job that the first one depends on.

    Raises:
        ConfigError: a folder cannot be bound into the container.
    """
    jobs: list[Job] = []
    for number, stage in enumerate(STAGES, 1):
        if stage in stages:
            before = jobs[-1] if jobs else after
            job = _build_job(stage, number, cluster, invocation, retries)
            depends_on = before.file_name if before is not None else None
            jobs.append(dataclasses.replace(job, variant=variant, depends_on=depends_on))
    return tuple(jobs)


def _build_job(
    stage: str,
    number: int,
    cluster: ClusterConfig,
    invocation: Invocation,
    retries: int,
) -> Job:
    settings: StageJob = getattr(cluster, stage)
    tasks, nodes = getattr(settings, "shards", 1), getattr(settings, "nodes", 1)
    gpus = getattr(settings, "gpus", 0)
    margin = min(cluster.margin_minutes, (1 - _MIN_WORK_SHARE) * settings.wall_minutes)
    words = [*invocation.program, stage, "--config", str(invocation.config)]
    if tasks > 1:
        words += ["--shard", f"array/{tasks}"]
    if stage == "prepare":
        # Some schedulers do not pin a job to its cores, so the core count cannot be detected.
        words += ["--set", f"data.workers={invocation.prepare_workers or settings.cpus}"]
    words += ["--max-minutes", f"{settings.wall_minutes - margin:g}"]
    return Job(
        stage=stage,
        number=number,
        command=(*_container_words(cluster, invocation, gpus), *words),
        tasks=tasks,
        nodes=nodes,
        ranks_per_node=max(gpus, 1) if stage == "train" else 1,
        gpus_per_node=gpus,
        cpus=settings.cpus,
        threads=1 if stage == "prepare" else settings.cpus,  # one per prepare worker
        memory_gb=settings.memory_gb,
        wall_minutes=settings.wall_minutes,
        margin_minutes=margin,
        retries=retries,
        queue=settings.queue or cluster.queue,
        resources=settings.resources,
        options=(*cluster.options, *settings.options),
    )


def _container_words(cluster: ClusterConfig, invocation: Invocation, gpus: int) -> list[str]:
    """The prefix that runs a command inside the container; empty without a container."""
    if cluster.container is None:
        return []
    words = ["apptainer", "exec", *(["--nv"] if gpus else [])]
    for folder in dict.fromkeys((*invocation.folders, *cluster.binds)):
        if set(str(folder)) & set(":,"):
            raise ConfigError(
                f"The folder {folder} cannot be bound into a container: apptainer's --bind cannot"
                " escape ':' or ','. Rename the folder, or remove cluster.container."
            )
        words += ["--bind", str(folder)]
    return [*words, str(cluster.container)]
