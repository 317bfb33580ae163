"""A hub of models on this machine: as much of the Hugging Face hub's protocol as a download needs.

Small files are answered in place, weights by a redirect, as the hub hands large files to its CDN.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "hospital/tiny-llama"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = (".safetensors", ".bin")


class FakeHub:
    """One model at one commit, and what was asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.served: list[str] = []
        """Names of the files whose content was asked for, in order."""

        self.cut_once: set[str] = set()
        """Files whose first answer ends in the middle."""

        self.held: set[str] = set()
        """Files whose answer stops in the middle and waits until `let_go`."""

        self.stops_at: str | None = None
        """A file in whose middle the whole hub goes away for good."""

        self.gone = False
        self.reached_hold = threading.Event()
        self.let_go = threading.Event()
        self.url = ""


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve `hub` on a free port of this machine for the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a model folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _handler_of(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.hub = hub
    return Handler


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.hub.gone:
            self.close_connection = True
            return
        path = self.path.split("?")[0]
        if path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"))
        elif path.startswith("/cdn/"):
            self._content(path.removeprefix("/cdn/"))
        elif found := re.fullmatch(rf"/{NAME}/resolve/([^/]+)/(.+)", path):
            self._file(*found.groups())
        else:
            self._refuse(404, "RepoNotFound")

    def _api(self, path: str) -> None:
        if not path.startswith(NAME + "/"):
            self._refuse(401, "RepoNotFound")  # what the hub says to whom it does not know
        elif path == f"{NAME}/tree/{COMMIT}":
            self._json([_entry(name, content) for name, content in self.hub.files.items()])
        elif path == f"{NAME}/revision/{COMMIT}":
            siblings = [_sibling(name, content) for name, content in self.hub.files.items()]
            self._json({"id": NAME, "sha": COMMIT, "siblings": siblings})
        else:
            self._refuse(404, "RevisionNotFound")

    def _file(self, commit: str, name: str) -> None:
        if commit != COMMIT or name not in self.hub.files:
            self._refuse(404, "EntryNotFound")
        elif name.endswith(_LARGE):
            content = self.hub.files[name]
            self.send_response(302)
            self.send_header("Location", f"{self.hub.url}/cdn/{name}")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._content(name)

    def _content(self, name: str) -> None:
        content, start = self.hub.files[name], 0
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(found[1])
        self.send_response(206 if start else 200)
        if start:
            end = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{_blob_id(content)}"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            self.hub.served.append(name)
            self._send(name, content[start:])

    def _send(self, name: str, content: bytes) -> None:
        hub, half = self.hub, len(content) // 2
        if name in hub.held or name in hub.cut_once or name == hub.stops_at:
            self.wfile.write(content[:half])
            self.wfile.flush()
            if name in hub.held:
                hub.reached_hold.set()
                hub.let_go.wait()
            hub.cut_once.discard(name)
            hub.gone = name == hub.stops_at
            self.close_connection = True
        else:
            self.wfile.write(content)

    def _json(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    """A file in the listing of a commit."""
    entry = {"type": "file", "path": name, "size": len(content), "oid": _blob_id(content)}
    return entry | _large_file(name, content, "oid")


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    """The same file in what the hub tells of the model."""
    entry = {"rfilename": name, "size": len(content), "blobId": _blob_id(content)}
    return entry | _large_file(name, content, "sha256")


def _large_file(name: str, content: bytes, sha256: str) -> dict[str, Any]:
    if not name.endswith(_LARGE):
        return {}
    digest = hashlib.sha256(content).hexdigest()
    return {"lfs": {sha256: digest, "size": len(content), "pointerSize": 134}}


def _blob_id(content: bytes) -> str:
    """Git's name of a file's content, which the hub gives for small files."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
