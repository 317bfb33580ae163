"""One job of a chain, in no scheduler's words.

Owns the shape that `chain` fills and the schedulers' modules render.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command, what it asks for, and what it waits for."""

    stage: str
    """prepare, embed, train or eval; what other jobs call it."""

    number: int
    """Its place in the chain of all stages, from 1."""

    command: tuple[str, ...]
    """The words of the command. Each task of an array and each rank runs the same ones."""

    tasks: int = 1
    """Of a job array; 1: no array."""

    nodes: int = 1
    ranks_per_node: int = 1
    """Processes that work together on each node."""

    gpus_per_node: int = 0
    cpus: int = 1
    """Cores of each process."""

    threads: int = 1
    """Threads of numpy and torch in each process."""

    memory_gb: int | None = None
    """Of each node; None: the site's own amount."""

    wall_minutes: int
    margin_minutes: float
    """How long before the end of the wall time the command is told to stop."""

    retries: int
    """How often it is started again after it was stopped with everything saved."""

    depends_on: str | None = None
    """The stage that must have ended well before."""

    queue: str | None = None
    resources: str | None = None
    """The site's own words, in place of nodes, GPUs, cores and memory."""

    options: tuple[str, ...] = ()
    """More lines for the scheduler."""

    @property
    def name(self) -> str:
        """As it stands in the queue: 15 letters at most, which is all that an old PBS takes."""
        return f"ecgpipe-{self.stage}"

    @property
    def file_name(self) -> str:
        """Of its script."""
        return f"{self.number}-{self.stage}.sh"

    @property
    def ranks(self) -> int:
        """Processes that work together, on all nodes."""
        return self.nodes * self.ranks_per_node


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the scripts of all jobs share."""

    run_name: str
    folder: Path
    """Where commands run: the folder of pipeline.yaml."""

    jobs_folder: Path
    """Where the scripts and their logs lie, and where they are queued from."""

    account: str | None = None
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    scratch: str = "$TMPDIR"

    path_folder: Path | None = None
    """Put in front of PATH, where neither `setup` nor a container brings ecgpipe."""

    version: str = ""
    """Of the ecgpipe that wrote the scripts."""


@dataclass(frozen=True)
class After:
    """Queued jobs that another waits for, by id; of one chain, `ended` behind `ended_well`."""

    ended_well: str | None = None
    """It must have ended, and well."""

    ended: str | None = None
    """Its end is enough."""

    def words(self, well: str, any_end: str) -> list[str]:
        """Each as a scheduler's condition, such as `afterok:7`."""
        pairs = ((well, self.ended_well), (any_end, self.ended))
        return [f"{word}:{job_id}" for word, job_id in pairs if job_id is not None]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One scheduler: how it is spoken to and what it cannot do."""

    name: str
    script: Callable[[Job, Site], str]

    submit: Callable[[Job, Site, After | None], list[str]]
    """The words that queue a job's script, run in the folder it lies in."""

    read_id: Callable[[str], str | None]
    """The job's id out of what the command printed, as `submit` wants it; None: not there."""

    cancel: str
    """The command that cancels jobs by id."""

    starts_itself_again: bool
    """Whether a stopped job goes back into the queue under its own id. Otherwise as many more jobs
    as there may be retries wait behind it."""

    waits_for_arrays: bool = True
    """Whether a job can wait for an array."""

    stand_in: str = "ID_OF_{name}"
    """What stands for an id where nothing is queued yet."""
