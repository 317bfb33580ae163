"""The file names of a work_dir.

Owns every path in it, so that no name is spelt twice. Signals, records and embeddings are stored in
folders named by a digest of what they depend on: a changed setting makes a new folder and
overwrites nothing, and changing it back costs nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_SHORT = 16
_OLD_RUN = re.compile(r"\.old-\d+")


@dataclass(frozen=True)
class Workspace:
    """Paths below one work_dir, for the experiment called `name`."""

    work_dir: Path
    name: str

    @property
    def all_signals(self) -> Path:
        """The folder of all signal stores."""
        return self.work_dir / "signals"

    def signals(self, digest: str) -> Path:
        """The signal store made under `digest`."""
        return self.all_signals / f"{digest[:_SHORT]}.zarr"

    @property
    def all_records(self) -> Path:
        """The folder of all records tables."""
        return self.work_dir / "records"

    def records(self, digest: str) -> Path:
        """The records table made from the inputs of `digest`."""
        return self.all_records / f"{digest[:_SHORT]}.parquet"

    def rejected(self, digest: str) -> Path:
        """The list of rejected records beside the table."""
        return self.all_records / f"{digest[:_SHORT]}.rejected.csv"

    @property
    def table_digests(self) -> Path:
        """A memo of digests of what the rows of sources come from."""
        return self.all_records / "table-digests.json"

    @property
    def embeddings(self) -> Path:
        """The folder of all text-vector caches, each in a folder named by its fingerprint."""
        return self.work_dir / "embeddings"

    @property
    def status(self) -> Path:
        """Heartbeats of this experiment; not in the run's folder, which may be set aside."""
        return self.work_dir / "status" / self.name

    @property
    def jobs(self) -> Path:
        """Batch scripts and logs; not in the run's folder, since a scheduler has opened them."""
        return self.work_dir / "jobs" / self.name

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.work_dir / "runs"

    @property
    def run(self) -> Path:
        """The folder of this experiment's run."""
        return self.runs / self.name

    def old_runs(self) -> list[Path]:
        """Runs of this name that were set aside, as NAME.old-1, NAME.old-2, ...; oldest first."""
        found = [f for f in self.runs.glob("*.old-*") if is_old_run(f) and f.stem == self.name]
        return sorted(found, key=_number_of)

    def next_old_run(self) -> Path:
        """Where to set the run aside."""
        last = max(map(_number_of, self.old_runs()), default=0)
        return self.runs / f"{self.name}.old-{last + 1}"

    @property
    def run_lock(self) -> Path:
        """Held by the process that trains the run; not in its folder, which may be set aside."""
        return self.runs / f".{self.name}.lock"

    @property
    def checkpoints(self) -> Path:
        """Where training saves after each epoch."""
        return self.run / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.run / "model"

    def writer(self, key: str) -> Path:
        """A trained writer of reports; those of other languages or texts stay beside."""
        return self.run / "writers" / key[:12]

    @property
    def report_scores(self) -> Path:
        """How right drafts of reports are, and the drafts."""
        return self.run / "report-scores"

    @property
    def evaluation(self) -> Path:
        """Results and report of the latest evaluation: a link to one of `evaluation_with`."""
        return evaluation_of(self.run)

    def evaluation_with(self, key: str) -> Path:
        """Results and report of one evaluation; those with other tasks or settings stay beside."""
        return evaluations_of(self.run) / key[:12]


def run_key_path(run: Path) -> Path:
    """The key of the run in the folder `run`."""
    return run / "run.json"


def run_config_path(run: Path) -> Path:
    """The settings of the run in the folder `run`."""
    return run / "config.yaml"


def evaluation_of(run: Path) -> Path:
    """Results and report of the run in the folder `run`, or of the evaluation in it."""
    return run if results_path(run).exists() else run / "eval"


def evaluations_of(run: Path) -> Path:
    """The folder of all evaluations of the run in the folder `run`."""
    return run / "evals"


def results_path(evaluation: Path) -> Path:
    """The results in a folder of results and report; written last."""
    return evaluation / "results.json"


def scores_path(evaluation: Path) -> Path:
    """The scores of each record, from which runs are compared."""
    return evaluation / "scores.h5"


def is_old_run(folder: Path) -> bool:
    """Whether the folder of a run was set aside when its settings changed."""
    return _OLD_RUN.fullmatch(folder.suffix) is not None


def _number_of(old_run: Path) -> int:
    return int(old_run.suffix.removeprefix(".old-"))
