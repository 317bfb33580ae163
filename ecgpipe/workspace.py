"""The file names of a work_dir.

Owns every path in it, so that no name is spelt twice. Signals, records and embeddings lie in
folders named by a digest of what they depend on: a changed setting makes a new one and overwrites
nothing, and going back costs nothing.
"""

from dataclasses import dataclass
from pathlib import Path

_SHORT = 16


@dataclass(frozen=True)
class Workspace:
    """Paths below one work_dir, for the experiment called `name`."""

    work_dir: Path
    name: str

    def signals(self, digest: str) -> Path:
        """The signal store made under `digest`."""
        return self.work_dir / "signals" / f"{digest[:_SHORT]}.zarr"

    def records(self, digest: str) -> Path:
        """The records table made from the inputs of `digest`."""
        return self.work_dir / "records" / f"{digest[:_SHORT]}.parquet"

    def rejected(self, digest: str) -> Path:
        """The list of rejected records beside the table."""
        return self.work_dir / "records" / f"{digest[:_SHORT]}.rejected.csv"

    @property
    def embeddings(self) -> Path:
        """The folder of all text-vector caches; each lies in one named by its fingerprint."""
        return self.work_dir / "embeddings"

    @property
    def signs(self) -> Path:
        """The signs of life of this experiment's stages; not in the run's folder, which may be set
        aside."""
        return self.work_dir / "status" / self.name

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.work_dir / "runs"

    @property
    def run(self) -> Path:
        """The folder of this experiment's run."""
        return self.runs / self.name

    @property
    def jobs(self) -> Path:
        """Batch scripts of the run and their logs. Not set aside with it: a scheduler has them."""
        return self.run / "jobs"

    @property
    def run_lock(self) -> Path:
        """Held by the process that trains the run; beside its folder, which may be set aside."""
        return self.runs / f".{self.name}.lock"

    @property
    def checkpoints(self) -> Path:
        """Where training saves after each epoch."""
        return self.run / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.run / "model"

    @property
    def evaluation(self) -> Path:
        """Results and report."""
        return self.run / "eval"
