"""Files of a request, in memory; and a private folder for the readers, which want paths.

Owns the limits, the names, and that nothing is left. The folder is on a file system in memory where
there is one, and only this user may enter it. It is locked while its server lives, so the next
server can tell and remove what one left that was killed.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgpipe.apply_model.server.turns import Refused
from ecgpipe.apply_model.server.words import word

MB = 1 << 20
MOST_FILES = 20
MOST_BYTES_A_FILE = 32 * MB  # as large as the formats accept
MOST_BYTES = 64 * MB
_MULTIPART_BYTES = MB
"""For what a request holds beside the files."""

_PREFIX = "ecgpipe-serve-"
_LOCK = ".lock"
_MEMORY = Path("/dev/shm")
_LONGEST_NAME_BYTES = 120
_LOCKED_WITHIN_S = 60.0

File = tuple[str, bytes]
"""A name that is safe in a folder, and the content."""


async def files_of(headers: Any, body: AsyncIterator[bytes]) -> list[File]:
    """The files of a multipart request.

    Args:
        headers: Starlette's.
        body: the parts of the body as they arrive.

    Raises:
        Refused: it is no such request, holds no file, too many, or too large ones.
    """
    from starlette.formparsers import MultiPartException, MultiPartParser

    if not headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused(415, word("no_files"))
    parser = MultiPartParser(headers, _limited(headers, body), max_files=MOST_FILES, max_fields=0)
    parser.spool_max_size = 2 * MOST_BYTES  # keeps every file in memory
    try:
        form = await parser.parse()
    except MultiPartException as error:
        many = "Too many files" in error.message
        raise Refused(413 if many else 400, word("too_many" if many else "no_files")) from None
    async with contextlib.AsyncExitStack() as stack:
        uploads = [part for _, part in form.multi_items() if not isinstance(part, str)]
        for upload in uploads:
            stack.push_async_callback(upload.close)
        return await _contents(uploads)


async def _contents(uploads: Sequence[Any]) -> list[File]:
    files: list[File] = []
    taken: set[str] = set()
    for upload in uploads:
        if upload.size > MOST_BYTES_A_FILE:
            raise Refused(413, word("too_large"))
        files.append((safe_name(upload.filename, taken), await upload.read()))
    if not files:
        raise Refused(400, word("no_files"))
    return files


async def _limited(
    headers: Mapping[str, str], body: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """The body, unless it is larger than it may be: as stated, or as counted."""
    stated = headers.get("content-length", "")
    n_bytes = int(stated) if stated.isdigit() else 0
    if n_bytes > MOST_BYTES + _MULTIPART_BYTES:
        raise Refused(413, word("too_large"))
    n_bytes = 0
    async for part in body:
        n_bytes += len(part)
        if n_bytes > MOST_BYTES + _MULTIPART_BYTES:
            raise Refused(413, word("too_large"))
        yield part


def safe_name(stated: str, taken: set[str]) -> str:
    """A name that leads nowhere, and is different from those in `taken`, to which it is added."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", stated)[-1])
    name = "".join("_" if unicodedata.category(c)[0] == "C" else c for c in name)
    name = name.lstrip(".- ").rstrip() or "ecg"
    stem, dot, suffix = name.rpartition(".")
    while len(name.encode()) > _LONGEST_NAME_BYTES:
        stem, suffix = stem[:-1], suffix if len(suffix) < 10 else suffix[:-1]
        name = stem + dot + suffix
    plain, number = name, 1
    while name.casefold() in taken:
        number += 1
        name = f"{number}-{plain}"
    taken.add(name.casefold())
    return name


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user may enter, for as long as the block runs.

    What killed servers of this user left is removed first.
    """
    base = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    try:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def placed(files: Sequence[File], folder: Path) -> Iterator[Path]:
    """The files in a new folder below `folder`, removed in any case."""
    with tempfile.TemporaryDirectory(dir=folder) as new:
        for name, content in files:
            (Path(new) / name).write_bytes(content)
        yield Path(new)


def sweep(base: Path) -> None:
    """Remove the folders of this user's servers that no longer live."""
    for folder in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if status.st_uid == os.getuid() and folder.is_dir() and not folder.is_symlink():
                if _is_left(folder, time.time() - status.st_mtime):
                    shutil.rmtree(folder)


def _is_left(folder: Path, age_s: float) -> bool:
    try:
        with (folder / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return age_s > _LOCKED_WITHIN_S
    except BlockingIOError:
        return False
