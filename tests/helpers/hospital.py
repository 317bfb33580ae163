"""A small hospital on disk, and the prepare stage over it."""

import csv
import dataclasses
from pathlib import Path

import pytest
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.cache.records_table import RecordsTable, read_records
from ecgpipe.config.data import DataConfig, TableSource
from ecgpipe.evaluate.tasks.echo_definitions import EchoDefinitions, load_echo_definitions
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.read_ecg.prepare import shard_job
from ecgpipe.read_ecg.prepare.preparation import Prepared, find_prepared, inputs_digest, prepare
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace

TAXONOMY = load_taxonomy("findings98")


class Hospital:
    """A small hospital: a table, recordings, and the stage over them."""

    def __init__(self, folder: Path, n: int = 12) -> None:
        self.folder = folder
        self.rows = [
            {
                "record_id": f"r{number:02}",
                "patient_id": f"p{number // 2}",
                "path": f"ecg/r{number:02}",
                "findings": "洞調律、左室肥大" if number % 2 else "心房細動",
            }
            for number in range(n)
        ]
        for number in range(n):
            write_wfdb(folder / "ecg", f"r{number:02}", ecg_like(seed=number))
        self.workspace = Workspace(folder / "work", "x")
        self.config = DataConfig(
            sources=(TableSource(kind="table", table=folder / "records.csv"),),
            taxonomy="findings98",
            max_rejected_fraction=0.5,
            workers=1,
        )

    def write_table(self) -> None:
        with (self.folder / "records.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)

    @property
    def echo_definitions(self) -> EchoDefinitions | None:
        name = self.config.echo_definitions
        return None if name is None else load_echo_definitions(name)

    def prepare(self, **settings: object) -> Prepared:
        self.write_table()
        self.config = dataclasses.replace(self.config, **settings)
        return prepare(self.config, TAXONOMY, self.workspace, Stop(), self.echo_definitions)

    def find(self) -> Prepared | None:
        digest = inputs_digest(self.config, TAXONOMY, self.workspace, self.echo_definitions)
        return find_prepared(self.config, digest, self.workspace)

    def records(self, prepared: Prepared) -> RecordsTable:
        return read_records(self.workspace.records(prepared.digest))

    def rejected(self, prepared: Prepared) -> dict[str, tuple[str, str]]:
        path = self.workspace.rejected(prepared.digest)
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {r["record_id"]: (r["reason"], r["message"]) for r in csv.DictReader(file)}


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recordings that are read from now on."""
    real, names = shard_job.read_recording, []

    def counting(path: Path) -> object:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(shard_job, "read_recording", counting)
    return names
