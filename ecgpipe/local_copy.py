"""Local copies: files that many processes would read over the network, on a node's own disk.

Owns how a copy is made and when it may be used: one process copies under a lock while others wait;
each file is hashed while it is read, and synced; the folder gets its name last, with a manifest in
it. A copy is used only if it belongs to this user and every file in it has the size and time that
the manifest lists. Knows nothing of what the files mean.

Copies are only an optimisation: without one, the original is read.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from ecgpipe.errors import StoreError
from ecgpipe.files import (
    fsync_folder,
    read_json,
    storing,
    temporary_beside,
    write_json_atomic,
)
from ecgpipe.processes import is_first
from ecgpipe.progress import say

VARIABLE = "ECGPIPE_SCRATCH"
_MANIFEST = "ecgpipe-copy.json"
_BLOCK_BYTES = 1 << 22
_SPARE = 1.01  # of the disk: folders and block sizes cost a little more than the files


@dataclass(frozen=True)
class Original:
    """What to copy: files by their name in the copy."""

    name: str
    """Of the copy; equal names mean equal content."""

    files: Mapping[str, Path]
    digests: Mapping[str, str] = field(default_factory=dict)
    """Expected xxh3-128 of some of the files, by their name in the copy."""

    @property
    def n_bytes(self) -> int:
        """Of all files together."""
        return sum(path.stat().st_size for path in self.files.values())


def copies_folder(disk: Path) -> Path:
    """The folder of this user's copies on `disk`."""
    return disk / f"ecgpipe-copies-{os.getuid()}"


def local_disk() -> Path | None:
    """The folder on the node's own disk that ECGPIPE_SCRATCH names, if any."""
    value = os.environ.get(VARIABLE)
    return Path(value) if value else None


def make_local_copy(original: Original, disk: Path) -> tuple[Path, bool]:
    """Make a copy, or wait for the process that is making it, or find an existing one.

    Returns:
        Its folder, and whether this call copied the files.

    Raises:
        StoreError: the disk is too small or not writable, the folder belongs to another user, or a
            file's content is not what it should be. No partial copy is left.
    """
    root = copies_folder(disk)
    _make_own_folder(root)
    folder = root / original.name
    with _lock(root / f".{original.name}.lock"):
        if _why_unusable(folder) is None:
            return folder, False
        _remove_leftovers(folder)
        _check_space(original, root)
        temporary = temporary_beside(folder)
        try:
            _copy(original, temporary)
            with _copy_errors(folder):
                temporary.rename(folder)
                fsync_folder(root)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return folder, True


def find_local_copy(name: str, what: str) -> Path | None:
    """The folder of a usable copy on the `local_disk`; None without such a disk or copy.

    Args:
        name: of the copy.
        what: what it holds, for the line in the log.
    """
    disk = local_disk()
    if disk is None:
        return None
    folder = copies_folder(disk) / name
    why = _why_unusable(folder)
    if is_first():
        line = f"read from {folder}" if why is None else f"not read from {disk}: {why}"
        say(f"local copy: {what} are {line}")
    return folder if why is None else None


def remove_local_copies(disk: Path) -> int:
    """Remove all copies of this user on `disk`; returns their bytes.

    Raises:
        StoreError: they cannot be removed, or belong to another user.
    """
    root = copies_folder(disk)
    if not root.is_symlink() and not root.exists():
        return 0
    _check_own(root)
    n_bytes = sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir())
    with storing(root):
        shutil.rmtree(root)
    return n_bytes


def _why_unusable(folder: Path) -> str | None:
    """Why a copy must not be used; None if it may be."""
    try:
        _check_own(folder.parent)
        for name, size_and_time in read_json(folder / _MANIFEST).items():
            status = (folder / name).stat()
            if [status.st_size, status.st_mtime_ns] != size_and_time:
                return f"{folder / name} has changed since it was copied"
    except FileNotFoundError as error:
        return f"{error.filename} is missing" if folder.exists() else "there is no copy"
    except (StoreError, OSError, AttributeError) as error:
        return f"the copy is damaged ({error})"
    return None


def _copy(original: Original, temporary: Path) -> None:
    """Copy every file, and write the manifest last."""
    entries = {}
    for name, source in original.files.items():
        target = temporary / name
        with _copy_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            read = _copy_file(source, target)
        if read != original.digests.get(name, read):
            raise StoreError(
                f"{source} differs from what was written (bit rot, or the file was changed), so it"
                " was not copied. Run `ecgpipe verify`."
            )
        status = target.stat()
        entries[name] = [status.st_size, status.st_mtime_ns]
    write_json_atomic(temporary / _MANIFEST, entries)


def _copy_file(source: Path, target: Path) -> str:
    """Copy a file to the disk; returns the xxh3-128 of what was read."""
    hasher = xxhash.xxh3_128()
    with source.open("rb") as reading, target.open("xb") as writing:
        while block := reading.read(_BLOCK_BYTES):
            hasher.update(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    return hasher.hexdigest()


def _check_space(original: Original, root: Path) -> None:
    with _copy_errors(root):
        needed, free = original.n_bytes, shutil.disk_usage(root).free
    if free < needed * _SPARE:
        raise StoreError(
            f"{root} is too small for the copy: {needed / 1e9:,.1f} GB needed, {free / 1e9:,.1f}"
            " free. Name a larger disk with --to, or copy less (--signals or --model): what is not"
            " copied is read from work_dir."
        )


@contextlib.contextmanager
def _copy_errors(target: Path) -> Iterator[None]:
    """Turn a disk's error into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"Cannot copy to {target}: {error.strerror or error}. Name another disk with --to, or"
            " go on without a copy: files are then read from work_dir."
        ) from error


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Wait for the lock and hold it; the kernel releases it when its holder ends, however."""
    with _copy_errors(path):
        file = path.open("a")
    with file:
        # On a file system without locks, two processes may copy the same files.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_leftovers(folder: Path) -> None:
    """Remove an unusable copy and what killed processes left; call it with the lock held.

    Processes that have mapped the files keep them until they end.
    """
    with _copy_errors(folder):
        for path in (folder, *folder.parent.glob(f".{folder.name}.*.tmp")):
            if path.exists():
                shutil.rmtree(path)


def _make_own_folder(root: Path) -> None:
    """Make the folder of copies, for this user alone: signals are patients' data."""
    with _copy_errors(root):
        with contextlib.suppress(FileExistsError):
            root.mkdir(mode=0o700, parents=True)
        _check_own(root)


def _check_own(folder: Path) -> None:
    """In a folder that everybody can write to, anybody could put files under the name we look for.

    Raises:
        StoreError: the folder belongs to another user, or is a link.
        FileNotFoundError: it does not exist.
    """
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid():
        raise StoreError(
            f"{folder} is not a folder that belongs to this user, so nothing is read from it or"
            " written to it. Remove it, or name another place."
        )
