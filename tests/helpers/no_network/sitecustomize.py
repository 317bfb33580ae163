"""Python's sockets reach this machine and nothing else: for jobs that must run without a network.

Python imports this at its start where its folder is on PYTHONPATH. A call to any address outside
loopback raises, and is written into the file that NO_NETWORK_LOG names, since a library may swallow
the error and go another way; beside it, in a file ending in .on, every process that is watched so
leaves its number. Sockets of C code (curl, NCCL) are not caught.
"""

import ipaddress
import os
import socket
from typing import Any

_KNOWN = {"", "localhost", "localhost.localdomain", "ip6-localhost", socket.gethostname()}


class NetworkRefusedError(RuntimeError):
    """A call left this machine. No OSError: those are what libraries catch and try again."""


def _check(host: Any, call: str) -> None:
    if host is None:
        return
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    if name in _KNOWN or _is_loopback(name):
        return
    log = os.environ.get("NO_NETWORK_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{call} {name}\n")
    raise NetworkRefusedError(f"{call} to {name}: this process may only reach its own machine")


def _is_loopback(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback or address.is_unspecified)


class _Socket(socket.socket):
    """A socket whose other end is on this machine."""

    def connect(self, address: Any) -> None:
        """As socket.connect."""
        self._check(address, "connect")
        super().connect(address)

    def connect_ex(self, address: Any) -> int:
        """As socket.connect_ex."""
        self._check(address, "connect_ex")
        return super().connect_ex(address)

    def sendto(self, data: Any, *rest: Any) -> int:
        """As socket.sendto: the address is the last argument."""
        self._check(rest[-1], "sendto")
        return super().sendto(data, *rest)

    def sendmsg(self, buffers: Any, *rest: Any) -> int:
        """As socket.sendmsg: the address is the fourth argument."""
        if len(rest) > 2:
            self._check(rest[2], "sendmsg")
        return super().sendmsg(buffers, *rest)

    def _check(self, address: Any, call: str) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address is not None:
            _check(address[0], call)


def _refusing(name: str, function: Any) -> Any:
    def call(host: Any, *rest: Any, **named: Any) -> Any:
        _check(host, name)
        return function(host, *rest, **named)

    return call


if "NO_NETWORK_LOG" in os.environ:
    with open(os.environ["NO_NETWORK_LOG"] + ".on", "a", encoding="utf-8") as _file:
        _file.write(f"{os.getpid()}\n")
socket.socket = _Socket
for _name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
    setattr(socket, _name, _refusing(_name, getattr(socket, _name)))
