"""serve as a process: its address, its end, and what keeps it from starting."""

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_experiment import Experiment

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.archive import ArchiveOrigin, write_archive
from ecgpipe.errors import ConfigError
from ecgpipe.stages.apply.serve import address, listening, run_serve


def left() -> set[Path]:
    return set(Path("/dev/shm").glob("ecgpipe-serve-*"))


@pytest.fixture
def server(finished: tuple[Experiment, Any]) -> Iterator[subprocess.Popen[str]]:
    process = finished[0].start("serve", "toy", "--port", "0")
    yield process
    process.kill()
    process.communicate()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_at_the_address_it_prints_and_leaves_nothing_when_stopped(
    server: subprocess.Popen[str], number: signal.Signals
) -> None:
    before = left()
    assert server.stdout is not None
    assert server.stderr is not None
    page = server.stdout.readline().strip()
    assert page.startswith("http://127.0.0.1:")
    status, about = get(page + "about.json")
    assert status == 200
    assert json.loads(about)["model"] == "toy"
    assert get(page.removesuffix("/"))[0] == 404
    port = page.split(":")[2].split("/")[0]
    assert get(f"http://127.0.0.1:{port}/")[0] == 404
    server.send_signal(number)
    assert server.wait(30) == 0
    said = server.stderr.read()
    assert "nothing of what was dropped is left" in said
    assert "Traceback" not in said
    assert "about.json" not in said
    assert left() <= before


def test_a_port_in_use_is_said_with_the_way_out(finished: tuple[Experiment, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, out, err = finished[0].run("serve", "toy", "--port", port)
    assert code == 2
    assert out == ""
    assert f"Port {port} of 127.0.0.1 is in use" in err
    assert "--port 0" in err


def test_an_address_that_is_not_of_this_machine_is_said() -> None:
    with pytest.raises(ConfigError, match=r"Nothing can listen at 192\.0\.2\.1"):
        listening("192.0.2.1", 0)
    with pytest.raises(ConfigError, match=r"Nothing can listen at no\.such\.host\.invalid"):
        listening("no.such.host.invalid", 0)


def test_the_default_is_reached_from_this_machine_only() -> None:
    with listening("127.0.0.1", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:8750/secret/"),
        ("::1", "http://[::1]:8750/secret/"),
        ("0.0.0.0", f"http://{socket.gethostname()}:8750/secret/"),
    ],
)
def test_an_address_can_be_opened(host: str, expected: str) -> None:
    assert address(host, 8750, "secret") == expected


def test_an_archive_of_another_model_is_refused_before_the_page_opens(
    finished: tuple[Experiment, Any], tmp_path: Path
) -> None:
    path = tmp_path / "other.h5"
    origin = ArchiveOrigin("other", "0" * 64, {}, {})
    write_archive(path, origin, (1, 128), lambda: [("a", "a")], [np.ones((1, 128), np.float32)])
    code, out, err = finished[0].run("serve", "toy", "--archive", str(path))
    assert (code, out) == (1, "")
    assert "vectors of another model" in err


def test_without_the_extra_packages_the_command_that_installs_them_is_named(
    applied: AppliedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"pip install 'ecgpipe\[serve\]'"):
        run_serve(applied, None, "127.0.0.1", 0, print)
