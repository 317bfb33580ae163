"""The settings of a batch cluster: pipeline.yaml's `cluster:` block, and the user's own file.

Owns every setting's name, meaning, default and limits. They say how and where work is queued, and
no result depends on them. `ecgpipe.config.file` reads and merges them; `ecgpipe.cluster` turns them
into a scheduler's options.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ecgpipe.config.settings import Settings, need

Scheduler = Literal["slurm", "pbs", "grid_engine", "pjm"]
Hours = Annotated[float, Field(gt=0, le=24 * 366)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Gpus = Annotated[int, Field(ge=0, le=64)]

# For values in a scheduler's own lines, where quoting does not work.
_PLAIN = re.compile(r"^[\w.,:;=@/+*%\[\]()&|!-]+$", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class StageJob(Settings):
    """What the job of a stage requests; in a job array, each task."""

    hours: Hours = 4.0
    """Wall time. The command stops `margin_minutes` earlier, with everything saved."""

    cpus: Count = 8
    """Cores of each process."""

    memory_gb: Annotated[int, Field(ge=1)] | None = None
    """Main memory of each node. Null: the site's default."""

    queue: str | None = None
    """A queue for this stage, instead of `cluster.queue`."""

    resources: str | None = None
    """The site's own resource request, instead of one made from nodes, GPUs, cores and memory: PBS
    `select=1:ngpus=8`, Grid Engine `gpu_1=1`, PJM `gpu=1`, Slurm `--gres=gpu:1`."""

    options: tuple[str, ...] = ()
    """More lines for the scheduler, such as `--constraint=h100`."""

    def __post_init__(self) -> None:
        for name in ("queue", "resources"):
            _need_plain(name, getattr(self, name))
        _need_options(self.options)

    @property
    def wall_minutes(self) -> int:
        """Wall time in whole minutes."""
        return max(1, round(60 * self.hours))


@dataclass(frozen=True, kw_only=True)
class PrepareJob(StageJob):
    """prepare: an array of readers, without a GPU."""

    shards: Count = 1
    """Tasks of the job array; 1: one job."""


@dataclass(frozen=True, kw_only=True)
class EmbedJob(StageJob):
    """embed: an array of language models, each on its own GPUs."""

    shards: Count = 1
    """Tasks of the job array; 1: one job."""

    gpus: Gpus = 1
    """GPUs of each task; 0: run on CPUs."""


@dataclass(frozen=True, kw_only=True)
class TrainJob(StageJob):
    """train: one model, with one process per GPU."""

    hours: Hours = 12.0
    nodes: Count = 1

    gpus: Gpus = 1
    """GPUs of each node; 0: one process per node, on CPUs."""


@dataclass(frozen=True, kw_only=True)
class EvalJob(StageJob):
    """eval: one process."""

    hours: Hours = 2.0
    gpus: Gpus = 1


@dataclass(frozen=True, kw_only=True)
class ClusterConfig(Settings):
    """How `ecgpipe submit` queues the stages."""

    scheduler: Scheduler | None = None
    """slurm | pbs | grid_engine | pjm."""

    account: str | None = None
    """The account to charge: Slurm --account, PBS -P, Grid Engine -g, PJM -g. If a site uses a
    different option, leave this out and write `options`."""

    queue: str | None = None
    """Slurm's partition, PBS's and Grid Engine's queue, PJM's resource group."""

    modules: tuple[str, ...] = ()
    """Environment modules to load."""

    setup: tuple[str, ...] = ()
    """Shell lines before the command, such as `source .venv/bin/activate`, run in the folder of
    pipeline.yaml. Without them and without a container, the ecgpipe that submits is used."""

    container: Path | None = None
    """An Apptainer image with ecgpipe."""

    binds: tuple[Path, ...] = ()
    """Folders the container must see, besides work_dir and the folder of pipeline.yaml."""

    scratch: str = "$TMPDIR"
    """A fast folder on the node, for compilers' caches. Variables such as $TMPDIR are expanded on
    the node; /tmp if the result is empty."""

    options: tuple[str, ...] = ()
    """More lines for the scheduler in every job, such as `--mail-type=END`."""

    margin_minutes: Annotated[float, Field(ge=2)] = 10.0
    """How long before their wall time commands stop, but not before nine tenths of it."""

    retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How often to restart a stage that stopped with everything saved. Null: 30 times where a job
    can requeue itself (Slurm, Grid Engine); once where another job must be queued for it (PBS,
    PJM)."""

    prepare: PrepareJob = field(default_factory=PrepareJob)
    embed: EmbedJob = field(default_factory=EmbedJob)
    train: TrainJob = field(default_factory=TrainJob)
    eval: EvalJob = field(default_factory=EvalJob)

    def __post_init__(self) -> None:
        for name in ("account", "queue"):
            _need_plain(name, getattr(self, name))
        for module in self.modules:
            _need_plain("modules", module)
        for line in self.setup:
            need(_is_one_line(line), f"setup must be single lines, not {line!r}")
        need(_is_one_line(self.scratch), f"scratch must be a folder, not {self.scratch!r}")
        _need_options(self.options)


def _need_plain(name: str, value: str | None) -> None:
    need(
        value is None or bool(_PLAIN.match(value)),
        f"{name} must be a word of letters, digits and punctuation without spaces, not {value!r}",
    )


def _need_options(lines: tuple[str, ...]) -> None:
    for line in lines:
        need(
            line.startswith("-") and _is_one_line(line),
            f"options must be single lines that start with -, not {line!r}",
        )


def _is_one_line(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()
