"""Files that are either complete or absent.

Owns the one way to write a file that something else will trust: a temporary name in the same
folder, fsync, rename, fsync of the folder. A kill or a full disk leaves the old file or none, never
a partial one. Knows nothing of what the bytes mean.
"""

import codecs
import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from ecgpipe.errors import BusyError, StoreError

USER_BLOCK_BYTES = 512
_READ_BYTES = 1 << 20

LEFTOVER_AFTER_S = 24 * 3600.0
"""From this age on, a temporary file's writer is taken for dead."""

TEMPORARY = re.compile(r"\..+\.\d+(-[0-9a-f]{8})?\.tmp")
"""The names of temporary files."""


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that becomes `path` if the block succeeds, and is removed otherwise.

    Raises:
        StoreError: the folder cannot be created or written, or the disk is full. Nothing is left.
    """
    temporary = temporary_beside(path)
    with storing(path):
        make_folder(path.parent)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def temporary_beside(path: Path) -> Path:
    """A free name in the same folder, which nobody takes for a finished file."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, and sync each parent, so that they survive a power cut."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        fsync_folder(new.parent)


def remove_leftovers(folder: Path) -> tuple[int, int]:
    """Remove temporary files of killed writers below `folder`; returns their number and bytes.

    Files younger than a day are kept: their writer may still be running.

    Raises:
        StoreError: the folder cannot be changed.
    """
    n_files = n_bytes = 0
    for path in folder.rglob(".*.tmp"):
        with storing(path), contextlib.suppress(FileNotFoundError):
            status = path.stat()
            if time.time() - status.st_mtime > LEFTOVER_AFTER_S:
                path.unlink()
                n_files, n_bytes = n_files + 1, n_bytes + status.st_size
    return n_files, n_bytes


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path`, completely or not at all. Raises as `open_atomic`."""
    with open_atomic(path) as file:
        file.write(content)


def write_json_atomic(path: Path, value: Any) -> None:
    """Write `value` as readable UTF-8 JSON, completely or not at all. Raises as `open_atomic`."""
    write_atomic(path, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())


def point_link(link: Path, target: Path) -> None:
    """Let `link` lead to `target`, which lies in its folder or below; the link may exist.

    Raises:
        StoreError: the folder is not writable, or `link` is no link.
    """
    with storing(link):
        new = link.with_name(f".{link.name}.{os.getpid()}.tmp")
        new.unlink(missing_ok=True)
        new.symlink_to(target.relative_to(link.parent))  # so that the folder can be moved
        new.replace(link)
        fsync_folder(link.parent)


def read_json(path: Path) -> Any:
    """Read a JSON file that we wrote.

    Raises:
        StoreError: it is missing, unreadable, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path} is missing.") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as JSON: {error}.") from error


def read_json_object(path: Path, names: Collection[str], hint: str) -> dict[str, Any]:
    """Read a JSON object that we wrote, and check that it has `names`.

    Args:
        path: the file.
        names: required keys.
        hint: what to do about a missing or damaged file, for the message.

    Raises:
        StoreError: it is missing, unreadable, not an object, or lacks a key.
    """
    try:
        value = read_json(path)
    except StoreError as error:
        raise StoreError(f"{error} {hint}") from error
    if not isinstance(value, dict) or not set(names) <= set(value):
        wanted = ", ".join(sorted(names))
        raise StoreError(f"{path} is damaged: it is not an object with {wanted}. {hint}")
    return value


def decode_text(content: bytes) -> str:
    """Decode text that users saved: UTF-8 with or without a byte-order mark, UTF-16, Shift-JIS or
    ISO-2022-JP.

    Raises:
        ValueError: it has none of these encodings.
    """
    return content.decode(_encoding_of(io.BytesIO(content)))


def text_encoding(path: Path) -> str:
    """The encoding of a text file that users saved: utf-8-sig, utf-16, cp932 or iso2022_jp_ext;
    reads all of it.

    Raises:
        OSError: it cannot be read.
        ValueError: it has none of these encodings.
    """
    with path.open("rb") as file:
        return _encoding_of(file)


def _encoding_of(file: BinaryIO) -> str:
    if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
        encodings: tuple[str, ...] = ("utf-16",)
    elif _has_japanese_escapes(file):
        encodings = ("iso2022_jp_ext",)
    else:
        # Strict UTF-8 first: Japanese text in Shift-JIS is almost never valid UTF-8.
        encodings = ("utf-8-sig", "cp932")
    for encoding in encodings:
        file.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)()
        with contextlib.suppress(UnicodeDecodeError):
            while block := file.read(_READ_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
            return encoding
    if encodings == ("iso2022_jp_ext",):
        raise ValueError(
            "it seems to be ISO-2022-JP, but is damaged or has characters of a vendor;"
            " save it as UTF-8"
        )
    raise ValueError("it is neither UTF-8 nor Shift-JIS; save it as UTF-8")


def _has_japanese_escapes(file: BinaryIO) -> bool:
    """Whether all bytes are below 128 and some begin Japanese text as ISO-2022-JP does (RFC 1468,
    ESC $): such bytes are valid UTF-8 too, but no text has an escape character."""
    file.seek(0)
    found, last = False, b""
    while block := file.read(_READ_BYTES):
        if not block.isascii():
            return False
        found = found or b"\x1b$" in last + block
        last = block[-1:]
    return found


def canonical_json(value: Any) -> str:
    """The JSON of `value` that is hashed: sorted keys, no spaces, paths as text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def sha256_bytes(content: bytes) -> str:
    """SHA-256 of `content`, as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_text(text: str) -> str:
    """SHA-256 of the UTF-8 bytes of `text`, as 64 hex digits."""
    return sha256_bytes(text.encode())


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hex digits."""
    return sha256_text(canonical_json(value))


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def checked_user_block(form: str, body: bytes | memoryview) -> bytes:
    """The first 512 bytes of one of our HDF5 files: a line with its format and a checksum.

    HDF5 readers skip them. They are compared before HDF5 sees a byte, because it may loop forever
    on a damaged file.

    Args:
        form: the name of the format.
        body: all bytes behind the block.
    """
    line = f"{form} xxh3-128 {xxhash.xxh3_128_hexdigest(body)}\n"
    return line.encode().ljust(USER_BLOCK_BYTES, b"\0")


def fsync_file(path: Path) -> None:
    """Sync a closed file's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(folder: Path) -> None:
    """Sync a folder's list of names to the disk, so that a rename survives a power cut."""
    fsync_file(folder)


@contextlib.contextmanager
def only_one(lock: Path, does: str) -> Iterator[None]:
    """Hold `lock` for the block; the kernel releases it when this process ends, however it ends.

    Args:
        lock: an empty file next to what it protects.
        does: what the holder does, for the message to a second process.

    Raises:
        BusyError: another process holds the lock.
        StoreError: the lock cannot be written.
    """
    with storing(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"Another process {does} ({lock} is locked). Wait for it, or give this experiment"
                " another name."
            ) from None
        except OSError:
            pass  # a file system without locks: go on without one
        yield


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn an `OSError` from writing `path` into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"Cannot write {path}: {error.strerror or error}. "
            "Check the permissions and free space there, or choose another work_dir."
        ) from error
