"""The four schedulers by name."""

from ecgpipe.cluster.grid_engine import GRID_ENGINE
from ecgpipe.cluster.job import Dialect
from ecgpipe.cluster.pbs import PBS
from ecgpipe.cluster.pjm import PJM
from ecgpipe.cluster.slurm import SLURM
from ecgpipe.config.cluster import Scheduler

DIALECTS: dict[Scheduler, Dialect] = {
    "slurm": SLURM,
    "pbs": PBS,
    "grid_engine": GRID_ENGINE,
    "pjm": PJM,
}
