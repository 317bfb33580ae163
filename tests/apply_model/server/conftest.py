"""The server of a toy model, asked without a network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from synthetic_ecg import ecg
from wfdb_files import write_wfdb

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.archive import Archive, ArchiveOrigin, read_archive, write_archive
from ecgpipe.apply_model.server.access import access_to
from ecgpipe.apply_model.server.app import build_app
from ecgpipe.apply_model.server.desk import Desk
from ecgpipe.apply_model.server.turns import Turns

Files = list[tuple[str, tuple[str, bytes]]]


@dataclass
class Served:
    """A server, and a client that knows its address."""

    client: Any
    app: Any
    token: str
    desk: Desk
    turns: Turns
    folder: Path

    def send(self, files: Files) -> list[dict[str, Any]]:
        """What is said of an upload."""
        response = self.client.post("ecgs", files=files)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["ecgs"]
        return found


@pytest.fixture(scope="module")
def wfdb(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The two files of one good recording."""
    path = write_wfdb(tmp_path_factory.mktemp("wfdb"), "good", (1000 * ecg(75)).astype(np.int16))
    return [("file", (f"good{s}", path.with_suffix(s).read_bytes())) for s in (".hea", ".dat")]


@pytest.fixture(scope="module")
def archive(applied: AppliedModel, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Twenty ECGs of other rates, and between them the good recording."""
    ecgs = [applied.window(ecg(bpm), 500) for bpm in (75, *range(40, 59))]
    vectors = applied.encode_ecg(np.stack([one.signal_uv for one in ecgs]))
    named = [(f"record-{n}", f"ecg/{n}") for n in range(len(ecgs))]
    path = tmp_path_factory.mktemp("archive") / "archive.h5"
    origin = ArchiveOrigin("toy", applied.digest, applied.contract.as_dict(), {})
    write_archive(path, origin, vectors.shape, lambda: named, [vectors])
    return read_archive(path, applied.digest)


@pytest.fixture(scope="module")
def served(
    applied: AppliedModel, archive: Archive, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("private")
    desk, turns, access = Desk(applied, archive, folder), Turns(), access_to("127.0.0.1")
    app = build_app(desk, turns, access)
    client = TestClient(app, base_url=f"http://127.0.0.1:8750/{access.token}/")
    yield Served(client, app, access.token, desk, turns, folder)
    turns.close()
