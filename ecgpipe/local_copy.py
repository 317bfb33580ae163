"""Copies on a node's own disk of files that many processes would read over the network at once.

Owns how a copy comes to be and when it may be used: one process copies under a lock while others
wait; each file is hashed while it is read and again from the copy; the folder gets its name last,
with a manifest in it. A copy is used only where it is this user's own and every file in it has the
size and the time that the manifest says. Knows nothing of what the files mean.

Copies are an optimisation and nothing else: whoever asks for one and has none reads the original.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from ecgpipe.errors import StoreError
from ecgpipe.files import fsync_folder, read_json, storing, write_json_atomic
from ecgpipe.processes import is_first

VARIABLE = "ECGPIPE_SCRATCH"
_FORMAT = "ecgpipe-staged/1"
_MANIFEST = "ecgpipe-staged.json"
_BLOCK_BYTES = 1 << 22
_SPARE = 1.01


@dataclass(frozen=True)
class Original:
    """What is to be copied: files by their name in the copy."""

    name: str
    """Of the copy; equal names mean equal content."""

    files: Mapping[str, Path]
    sums: Mapping[str, str] = field(default_factory=dict)
    """xxh3-128 of some of the files, where it is known what they should hold."""

    @property
    def n_bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files.values())


@dataclass(frozen=True)
class Staged:
    """A copy that may be used."""

    folder: Path
    n_bytes: int
    copied: bool
    """Whether it was this call that copied; else it was there, or another process made it."""


def scratch_root(scratch: Path) -> Path:
    """The folder of this user's copies below `scratch`."""
    return scratch / f"ecgpipe-staged-{os.getuid()}"


def scratch_from_environment(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The node's own disk that ECGPIPE_SCRATCH names, if any."""
    value = environment.get(VARIABLE)
    return Path(value) if value else None


def stage(original: Original, scratch: Path) -> Staged:
    """Make a copy, or wait for the process that makes it, or find it there.

    Raises:
        StoreError: the disk is too small or not writable, the folder belongs to somebody else, or
            what was read is not what it should be. Nothing half is left.
    """
    root = scratch_root(scratch)
    _own_folder(root)
    folder = root / original.name
    with _lock(root / f".{original.name.replace('/', '-')}.lock"):
        if _why_unusable(folder) is None:
            return Staged(folder, original.n_bytes, copied=False)
        _remove_rubbish(folder)
        _check_space(original, root)
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            _copy(original, temporary)
            with storing(folder):
                temporary.rename(folder)
                fsync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return Staged(folder, original.n_bytes, copied=True)


def staged_copy(name: str, what: str, scratch: Path | None = None) -> Path | None:
    """The folder of a copy that may be used; None where none was asked for or there is none.

    Args:
        name: of the copy.
        what: it holds, for the line in the log.
        scratch: where to look; by default what ECGPIPE_SCRATCH says.
    """
    scratch = scratch or scratch_from_environment()
    if scratch is None:
        return None
    folder = scratch_root(scratch) / name
    why = _why_unusable(folder)
    if is_first():
        told = (
            f"{what} are read from {folder}"
            if why is None
            else f"{what} are not read from {scratch}: {why}"
        )
        print(f"scratch: {told}", file=sys.stderr, flush=True)
    return folder if why is None else None


def remove_staged(scratch: Path) -> int:
    """Remove all copies of this user below `scratch`; returns their bytes.

    Raises:
        StoreError: they cannot be removed, or are somebody else's.
    """
    root = scratch_root(scratch)
    if not root.is_symlink() and not root.exists():
        return 0
    _check_own(root)
    n_bytes = sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir())
    with storing(root):
        shutil.rmtree(root)
    return n_bytes


def _why_unusable(folder: Path) -> str | None:
    """Why a copy must not be used; None where it may."""
    try:
        _check_own(folder.parent)
        _check_own(folder)
        manifest = read_json(folder / _MANIFEST)
        if manifest["format"] != _FORMAT:
            return f"{folder} is of another version"
        files: dict[str, Any] = manifest["files"]
        for name, entry in files.items():
            status = (folder / name).stat()
            if [status.st_size, status.st_mtime_ns] != [entry["bytes"], entry["mtime_ns"]]:
                return f"{folder / name} was changed since it was copied"
    except FileNotFoundError as error:
        return f"{error.filename} is missing" if folder.exists() else "there is no copy"
    except (StoreError, OSError, KeyError, TypeError, AttributeError) as error:
        return f"the copy is damaged ({error})"
    return None


def _copy(original: Original, temporary: Path) -> None:
    """Copy every file, and write the manifest last."""
    entries = {}
    for name, source in original.files.items():
        target = temporary / name
        with _staging(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            read = _copy_file(source, target)
        wanted = original.sums.get(name, read)
        if read != wanted:
            raise StoreError(
                f"{source} differs from what was written there (bit rot, or the file was changed),"
                " so it was not copied. Run `ecgpipe verify`."
            )
        if _sum_of(target) != read:
            raise StoreError(
                f"The copy of {source} in {temporary.parent} differs from it: that disk does not"
                " keep what is written to it. Use another, or read from work_dir."
            )
        status = target.stat()
        entries[name] = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "xxh3_128": read}
    write_json_atomic(temporary / _MANIFEST, {"format": _FORMAT, "files": entries})


def _copy_file(source: Path, target: Path) -> str:
    """Copy a file to the disk; returns the xxh3-128 of what was read."""
    hasher = xxhash.xxh3_128()
    with source.open("rb") as reading, target.open("xb") as writing:
        while block := reading.read(_BLOCK_BYTES):
            hasher.update(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
        # What was just written is in memory; asked to forget it, the kernel reads it from the disk.
        with contextlib.suppress(OSError, AttributeError):
            os.posix_fadvise(writing.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return hasher.hexdigest()


def _sum_of(path: Path) -> str:
    hasher = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            hasher.update(block)
    return hasher.hexdigest()


def _check_space(original: Original, root: Path) -> None:
    with _staging(root):
        needed, free = original.n_bytes, shutil.disk_usage(root).free
    if free < needed * _SPARE:
        raise StoreError(_too_small(root, f"{needed / 1e9:,.1f} GB needed, {free / 1e9:,.1f} free"))


def _too_small(place: Path, why: str) -> str:
    return (
        f"{place} is too small for the copy: {why}. Name a larger disk with --to, copy less"
        " (--signals or --model), or do without: what is not copied is read from work_dir."
    )


@contextlib.contextmanager
def _staging(target: Path) -> Iterator[None]:
    """An error of the disk in words that name the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(_too_small(target.parent, error.strerror or "it is full")) from error
        raise StoreError(
            f"Cannot copy to {target}: {error.strerror or error}. Name another disk with --to, or"
            " do without: what is not copied is read from work_dir."
        ) from error


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the lock, waiting for it; the kernel takes it from a holder that ends, however."""
    with _staging(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        with contextlib.suppress(OSError):  # a file system without locks: two may copy the same
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_rubbish(folder: Path) -> None:
    """An unusable copy, and what killed copiers left; whoever holds the lock may.

    Processes that have the files mapped keep them until they end.
    """
    with _staging(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        for path in (folder, *folder.parent.glob(f".{folder.name}.*.tmp")):
            if path.exists():
                shutil.rmtree(path)


def _own_folder(root: Path) -> None:
    """The folder of copies, for this user alone: signals are patients' data."""
    with _staging(root):
        with contextlib.suppress(FileExistsError):
            root.mkdir(mode=0o700, parents=True)
        _check_own(root)


def _check_own(folder: Path) -> None:
    """In a folder that all may write, somebody could have laid files under the name we look for.

    Raises:
        StoreError: it is another user's, or a link.
        FileNotFoundError: it is not there.
    """
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid():
        raise StoreError(
            f"{folder} is not a folder of this user's own, so nothing is read from or written to"
            " it. Remove it, or name another place."
        )
