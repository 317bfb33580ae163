"""The switch that keeps a process on its own machine does keep it there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import HELPERS

FOLDER = HELPERS / "no_network"


def run(program: str, log: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(FOLDER), "NO_NETWORK_LOG": str(log)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )


# 192.0.2.0/24, 2001:db8::/32 and .invalid are reserved: nobody can be reached there.
@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("import socket; socket.create_connection(('192.0.2.1', 80), 1)", "192.0.2.1"),
        ("import socket; socket.socket().connect(('192.0.2.1', 80))", "connect 192.0.2.1"),
        ("import socket; socket.socket().connect_ex(('192.0.2.1', 80))", "connect_ex 192.0.2.1"),
        (
            "import socket; s = socket.socket(type=socket.SOCK_DGRAM);"
            "s.sendto(b'x', ('192.0.2.1', 53))",
            "sendto 192.0.2.1",
        ),
        (
            "import socket; socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
            "connect 2001:db8::1",
        ),
        ("import socket; socket.getaddrinfo('hub.invalid', 443)", "getaddrinfo hub.invalid"),
        ("import socket; socket.gethostbyname('hub.invalid')", "gethostbyname hub.invalid"),
        ("import urllib.request as u; u.urlopen('http://hub.invalid/')", "getaddrinfo hub.invalid"),
        (
            "import asyncio; asyncio.run(asyncio.open_connection('192.0.2.1', 80))",
            "192.0.2.1",
        ),
    ],
)
def test_a_call_to_another_machine_raises_and_is_written_down(
    tmp_path: Path, call: str, told: str
) -> None:
    done = run(call, tmp_path / "log")
    assert done.returncode != 0
    assert "NetworkRefusedError" in done.stderr
    assert told in (tmp_path / "log").read_text()


def test_an_error_that_is_swallowed_is_still_written_down(tmp_path: Path) -> None:
    program = (
        "import socket\n"
        "try: socket.create_connection(('hub.invalid', 443))\n"
        "except Exception: print('went on')\n"
    )
    assert run(program, tmp_path / "log").stdout == "went on\n"
    assert "hub.invalid" in (tmp_path / "log").read_text()


def test_loopback_and_unix_sockets_work(tmp_path: Path) -> None:
    program = (
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    with socket.create_connection(('localhost', server.getsockname()[1])) as one:\n"
        "        other, _ = server.accept()\n"
        "        with other: one.sendall(b'x'); assert other.recv(1) == b'x'\n"
        "a, b = socket.socketpair()\n"
        "a.sendall(b'y'); assert b.recv(1) == b'y'; a.close(); b.close()\n"
        "print('both')\n"
    )
    done = run(program, tmp_path / "log")
    assert (done.stdout, done.returncode) == ("both\n", 0), done.stderr
    assert not (tmp_path / "log").exists()


def test_ecgpipe_starts_under_it(tmp_path: Path) -> None:
    done = run("import torch, transformers, ecgpipe; print('here')", tmp_path / "log")
    assert done.stdout.endswith("here\n"), done.stderr
    assert not (tmp_path / "log").exists()
