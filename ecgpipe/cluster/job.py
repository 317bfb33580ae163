"""One job of a chain, independent of any scheduler.

`chain` fills these types; the schedulers' modules render them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command, the resources it needs, and the job it depends on."""

    stage: str
    """prepare, embed, train or eval."""

    number: int
    """Position of the stage in the chain, from 1."""

    variant: str = ""
    """Which run of a sweep it belongs to, such as `seed=0`; empty for a job that all runs share."""

    command: tuple[str, ...]
    """The same for every array task and every rank."""

    tasks: int = 1
    """Size of the job array; 1 means no array."""

    nodes: int = 1
    ranks_per_node: int = 1
    """Cooperating processes per node."""

    gpus_per_node: int = 0
    cpus: int = 1
    """Cores per process."""

    threads: int = 1
    """numpy and torch threads per process."""

    memory_gb: int | None = None
    """Per node; None means the site's default."""

    wall_minutes: int
    margin_minutes: float
    """How long before the end of the wall time the command is asked to stop."""

    retries: int
    """How often it may be restarted after stopping early with everything saved."""

    depends_on: str | None = None
    """The `file_name` of the job that must succeed first."""

    queue: str | None = None
    resources: str | None = None
    """A site-specific request that replaces nodes, GPUs, cores and memory."""

    options: tuple[str, ...] = ()
    """Extra directives for the scheduler."""

    @property
    def name(self) -> str:
        """Its name in the queue; older PBS versions allow at most 15 characters."""
        return f"ecgpipe-{self.stage}"

    @property
    def file_name(self) -> str:
        """The name of its script."""
        return f"{self.number}-{self.stage}{f'-{self.variant}' if self.variant else ''}.sh"

    @property
    def ranks(self) -> int:
        """Cooperating processes over all nodes."""
        return self.nodes * self.ranks_per_node


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the scripts of all jobs have in common."""

    run_name: str
    folder: Path
    """The working directory: the folder of pipeline.yaml."""

    jobs_folder: Path
    """Holds the scripts and their logs; jobs are submitted from it."""

    account: str | None = None
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    scratch: str = "$TMPDIR"

    path_folder: Path | None = None
    """Prepended to PATH if neither `setup` nor a container provides ecgpipe."""

    version: str = ""
    """The version of ecgpipe that wrote the scripts."""

    def run_of(self, job: Job) -> str:
        """The name of the run that a job belongs to."""
        return f"{self.run_name}+{job.variant}" if job.variant else self.run_name


@dataclass(frozen=True)
class After:
    """The ids of the jobs that a job depends on; `finished` was queued after `succeeded`."""

    succeeded: str | None = None
    """Must end with exit code 0."""

    finished: str | None = None
    """May end with any exit code."""

    def conditions(self, ok: str, any_exit: str) -> list[str]:
        """The dependencies in a scheduler's syntax, such as `afterok:7`."""
        pairs = ((ok, self.succeeded), (any_exit, self.finished))
        return [f"{word}:{job_id}" for word, job_id in pairs if job_id is not None]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One scheduler: its syntax and its limits."""

    name: str
    script: Callable[[Job, Site], str]

    submit: Callable[[Job, Site, After | None], list[str]]
    """Returns the command that queues a job's script, to be run in `jobs_folder`."""

    read_id: Callable[[str], str | None]
    """Parses the job id from the command's output, in the form `submit` expects; None if absent."""

    cancel: str
    """The command that cancels jobs by id."""

    requeues_itself: bool
    """Whether a stopped job can requeue itself under the same id. If not, one more copy of the job
    per retry is queued behind it."""

    has_free_dependencies: bool = True
    """Whether any job can depend on any other. If not, jobs that depend on each other form a single
    line, without arrays and forks."""

    placeholder_id: str = "ID_OF_{name}"
    """Printed in place of a job id in a dry run. `line` and `place` number a scheduler's lines of
    dependent jobs and the jobs in a line."""
