"""Who may ask: the token in the address, the host and the origin; and the headers of every answer.

A page of another site can make a browser ask a server on the same machine. It knows neither the
token nor can it send our origin, and a name of its own that it lets lead to this machine (DNS
rebinding) is not one of our hosts. An address in digits is safe from that: nobody can rebind it.
"""

import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from ecgpipe.apply_model.server.words import Both, word

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_BYTES = 24

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src blob: data:; font-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Of every answer. An icon in data: keeps the browser from asking for one."""


@dataclass(frozen=True)
class Access:
    """What a request must show."""

    token: str
    hosts: frozenset[str]
    """Names under which this machine may be asked, in lower case and without a port."""

    any_address: bool
    """Whether any address in digits is accepted, or those of this machine's loopback only."""

    def refusal(self, path: str, host: str, origin: str | None) -> tuple[int, Both] | None:
        """The status and the reason if a request is refused.

        Args:
            path: of the address, decoded.
            host: the header, "" if there is none.
            origin: the header; None if there is none, as from a program that is no browser.
        """
        if not self._is_ours(host):
            return 421, word("wrong_host")
        if origin is not None and origin.casefold() not in _origins(host):
            return 403, word("wrong_origin")
        before, _, rest = path.partition("/")
        stated, slash, _ = rest.partition("/")
        is_right = secrets.compare_digest(stated.encode(errors="replace"), self.token.encode())
        if before or not slash or not is_right:
            return 404, word("wrong_token")
        return None

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host).casefold()
        if name in self.hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address or address.is_loopback


def access_to(host: str) -> Access:
    """A new token, and the hosts of a server that listens at `host`."""
    if is_loopback(host):
        return Access(_new_token(), frozenset({"localhost"}), any_address=False)
    names = {host, "localhost", socket.gethostname(), socket.getfqdn()}
    return Access(_new_token(), frozenset(map(str.casefold, names)), any_address=True)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def guarded(app: App, access: Access, refuse: Callable[[int, Both], App]) -> App:
    """An app that answers only requests that may ask, and puts HEADERS on every answer.

    Args:
        app: asked with the path behind the token.
        access: what a request must show.
        refuse: makes the app that answers with a status and a reason.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served")
        headers = scope["headers"]
        host, origin = _header(headers, b"host") or "", _header(headers, b"origin")
        refusal = access.refusal(scope["path"], host, origin)
        if refusal is not None:
            await refuse(*refusal)(scope, receive, _with_headers(send))
            return
        path = scope["path"][1 + len(access.token) :]
        inner = {**scope, "path": path, "raw_path": path.encode()}
        await app(inner, receive, _with_headers(send))

    return answer


def _with_headers(send: Send) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *ours]}
        await send(message)

    return send_with


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The value of a header; one that is stated twice fits nothing."""
    found = [value.decode("latin-1") for key, value in headers if key == name]
    return "\n".join(found) if found else None


def _origins(host: str) -> set[str]:
    """Our own origin, as the browser knows it; https if somebody put a proxy before us."""
    return {f"{scheme}://{host.casefold()}" for scheme in ("http", "https")}


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)
