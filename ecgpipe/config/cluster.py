"""The settings of a batch cluster: pipeline.yaml's `cluster:` block, and the user's own file.

Owns every setting's name, meaning, default and limits. They say how and where work is queued, and
no result depends on them. `ecgpipe.config.file` reads and merges them; `ecgpipe.cluster` turns them
into a scheduler's options.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ecgpipe.config.settings import Settings, need

Scheduler = Literal["slurm", "pbs", "grid_engine", "pjm"]

# For values in a scheduler's own lines, where quoting does not work.
_PLAIN = re.compile(r"^[\w.,:;=@/+*%\[\]()&|!-]+$", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class StageJob(Settings):
    """What the job of a stage requests; in a job array, each task."""

    hours: float = 4.0
    """Wall time. The command stops `margin_minutes` earlier, with everything saved."""

    cpus: int = 8
    """Cores of each process."""

    memory_gb: int | None = None
    """Main memory of each node. Null: the site's default."""

    queue: str | None = None
    """A queue for this stage, instead of `cluster.queue`."""

    resources: str | None = None
    """The site's own resource request, instead of one made from nodes, GPUs, cores and memory: PBS
    `select=1:ngpus=8`, Grid Engine `gpu_1=1`, PJM `gpu=1`, Slurm `--gres=gpu:1`."""

    options: tuple[str, ...] = ()
    """More lines for the scheduler, such as `--constraint=h100`."""

    def __post_init__(self) -> None:
        need(0 < self.hours <= 24 * 366, f"hours must be between 0 and a year, not {self.hours:g}")
        need(self.cpus >= 1, f"cpus must be at least 1, not {self.cpus}")
        need(
            self.memory_gb is None or self.memory_gb >= 1,
            f"memory_gb must be at least 1, not {self.memory_gb}",
        )
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

    shards: int = 1
    """Tasks of the job array; 1: one job."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _need_count("shards", self.shards, 1, 10_000)


@dataclass(frozen=True, kw_only=True)
class EmbedJob(StageJob):
    """embed: an array of language models, each on its own GPUs."""

    shards: int = 1
    """Tasks of the job array; 1: one job."""

    gpus: int = 1
    """GPUs of each task; 0: run on CPUs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _need_count("shards", self.shards, 1, 10_000)
        _need_count("gpus", self.gpus, 0, 64)


@dataclass(frozen=True, kw_only=True)
class TrainJob(StageJob):
    """train: one model, with one process per GPU."""

    hours: float = 12.0
    nodes: int = 1

    gpus: int = 1
    """GPUs of each node; 0: one process per node, on CPUs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _need_count("nodes", self.nodes, 1, 10_000)
        _need_count("gpus", self.gpus, 0, 64)


@dataclass(frozen=True, kw_only=True)
class EvalJob(StageJob):
    """eval: one process."""

    hours: float = 2.0
    gpus: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _need_count("gpus", self.gpus, 0, 64)


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

    margin_minutes: float = 10.0
    """How long before their wall time commands stop, but not before nine tenths of it."""

    retries: int | None = None
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
        need(self.margin_minutes >= 2, f"margin_minutes must be >= 2, not {self.margin_minutes:g}")
        need(
            self.retries is None or 0 <= self.retries <= 1000,
            f"retries must be between 0 and 1000, not {self.retries}",
        )


def _need_count(name: str, count: int, least: int, most: int) -> None:
    need(least <= count <= most, f"{name} must be between {least} and {most}, not {count}")


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
