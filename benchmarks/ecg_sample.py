"""ECGs for the benchmarks of the signal store: real ones where they are, else simulated ones.

Owns where they come from, and a hospital's table with as many rows as are asked for. There are
fewer recordings than rows, so several rows name one file; each row is still read, converted and
stored like any other.
"""

import csv
import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecgpipe.read_ecg.prepare.preparation import Prepared

_SIMULATOR = Path(__file__).resolve().parents[1] / "examples" / "simulated"


@dataclass(frozen=True)
class EcgSample:
    """WFDB recordings of format 16, 12 leads x 5000 samples, as PTB-XL has them."""

    root: Path
    headers: tuple[Path, ...]
    said: str
    """What they are, for the report."""


def find_sample(folder: Path, n_simulated: int) -> EcgSample:
    """The PTB-XL records below $ECGPIPE_DATA; else about so many simulated ones, made in `folder`.

    Simulated patients have one to three records each.
    """
    root = Path(os.environ.get("ECGPIPE_DATA", "../shared/data")) / "ptbxl"
    if root.is_dir():
        said = "PTB-XL records"
    else:
        sys.path.insert(0, str(_SIMULATOR))
        import make_ecgs

        root, said = folder / "simulated", "simulated records"
        make_ecgs.make_ecgs(root, n_patients=max(2, n_simulated * 2 // 3), seed=0)
    headers = tuple(sorted(root.rglob("*.hea")))
    return EcgSample(root.resolve(), headers, f"{len(headers):,} {said}")


def write_table(path: Path, sample: EcgSample, n_rows: int) -> None:
    """A hospital's table whose rows name the recordings in turn."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["record_id", "patient_id", "path", "findings"])
        for number, header in zip(range(n_rows), itertools.cycle(sample.headers), strict=False):
            place = header.resolve().relative_to(sample.root).with_suffix("").as_posix()
            table.writerow([f"r{number:07d}", f"p{number // 2:07d}", place, "洞調律"])


def prepare_table(table: Path, root: Path, work: Path, workers: int, **settings: Any) -> "Prepared":
    """The prepare stage, into a work_dir that is not there yet."""
    # Not at the top: each process of prepare imports the script, and the command's imports little.
    from ecgpipe.config.data import DataConfig, TableSource
    from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
    from ecgpipe.read_ecg.prepare.preparation import prepare
    from ecgpipe.stopping import Stop
    from ecgpipe.workspace import Workspace

    source = TableSource(kind="table", table=table, root=root)
    config = DataConfig(sources=(source,), taxonomy="findings98", workers=workers, **settings)
    return prepare(config, load_taxonomy("findings98"), Workspace(work, "benchmark"), Stop())
