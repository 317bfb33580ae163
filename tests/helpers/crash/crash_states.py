"""Every state that a kill, and many that a power cut, can leave of a writer's files.

Owns the log of a writer's calls (`write_log.c` makes it), replaying it, and what a power cut may
take. Whether a state is good is the reader's to say; what the files mean is not known here, except
that a name that begins with a dot is never read.

A kill leaves what some prefix of the calls has done, since the kernel finishes what it was asked.
One call may be cut short: a long write, between two pages. So writes are split at pages first.

A power cut leaves less. The model: each page written since its file was last synced survives with
p = 0.5; each name made, changed or removed since its folder was last synced survives with p = 0.5,
whatever came before or after it. Real file systems keep more order than that. A folder that was
made survives, as it does where syncing a file also saves the folders above it; `strict_folders`
lets it be lost.
"""

import enum
import functools
import itertools
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from crash import worker
from crash.reader import Reader, Verdict
from ecgpipe.cache.vectors.part import KEY_BYTES
from ecgpipe.cache.vectors.reader import Keys

REPORTED = "reported"
ROWS_PER_BATCH = 5

_HEAD = struct.Struct("=4I2Q")
_PAGE_BYTES = 4096
_FULL_LOOK_EVERY = 100


class Kind(enum.IntEnum):
    """What a call did; the numbers are those of write_log.c."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC = 4
    RENAME = 5
    UNLINK = 6
    MKDIR = 7


@dataclass(frozen=True)
class Operation:
    """One call of the writer, or one page of a write. Paths are relative to the folder."""

    kind: Kind
    path: str
    target: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass
class Findings:
    """What one part of the campaign found."""

    name: str
    points: int = 0
    """Kills, prefixes or states covered."""

    lost: int = 0
    wrong: int = 0
    unreadable: int = 0
    hangs: int = 0
    missing: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing bad was found."""
        return not (self.lost or self.wrong or self.unreadable or self.hangs or self.missing)

    def add(self, verdict: Verdict) -> None:
        """Count what one look found."""
        self.lost += verdict.lost
        self.wrong += verdict.wrong
        self.hangs += verdict.hangs
        if verdict.unreadable:
            self.unreadable += 1
            self.note(verdict.unreadable)

    def note(self, text: str) -> None:
        """Keep a remark; of faults that repeat, the first few."""
        if len(self.notes) < 3:
            self.notes.append(text)


def why_not() -> str | None:
    """Why no log can be made on this machine; None where it can."""
    if not sys.platform.startswith("linux"):
        return "the log of a writer's calls needs Linux (LD_PRELOAD)"
    if _compiler() is None:
        return "the log of a writer's calls needs a C compiler (cc)"
    return None


def record(folder: Path, n_batches: int, way: str | None = None) -> list[Operation]:
    """Run a real writer in `folder`, which must be empty, and log its calls.

    Args:
        folder: for the cache, the log and the logger.
        n_batches: each is sealed as one part.
        way: to write wrongly on purpose; see worker.BAD_WAYS.

    Raises:
        RuntimeError: the writer failed, or something it wrote is not in the log.
    """
    root, log = (folder / "root").resolve(), folder / "log"
    root.mkdir(parents=True)
    arguments = worker.command(
        root,
        root / REPORTED,
        shard="0/1",
        texts=n_batches * ROWS_PER_BATCH,
        rows_per_batch=ROWS_PER_BATCH,
        seal_rows=ROWS_PER_BATCH,
        way=way,
    )
    environment = worker.environment(
        LD_PRELOAD=str(_built_logger(folder)), WRITE_LOG_FOLDER=str(root), WRITE_LOG_OUT=str(log)
    )
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"The logged writer failed: {done.stderr}")
    operations = list(_read_log(log.read_bytes(), root))
    _check_complete(operations, root, folder / "replayed")
    return operations


def check_prefixes(operations: Sequence[Operation], folder: Path) -> Findings:
    """Look at what every prefix of the calls leaves.

    The folder is rebuilt call by call, and looked at before each call that changes what a reader
    can see, and at the end. That covers all prefixes: between two such calls a reader sees the same
    bytes under the same names, so what it says of the rows is the same, and the reports only grow,
    so the last of these prefixes, which is looked at, asks for the most.

    Args:
        operations: what a writer did, from an empty folder on.
        folder: an empty one to rebuild in.
    """
    findings, started = Findings("every prefix"), time.monotonic()
    folder.mkdir()
    reported = bytearray()
    n_looks = 0
    with Reader() as reader:

        def look() -> None:
            nonlocal n_looks
            remember = n_looks % _FULL_LOOK_EVERY != 0
            findings.add(reader.look(folder, _as_keys(reported), remember=remember))
            n_looks += 1

        for operation in operations:
            findings.points += 1  # the prefix that ends before this call
            if _is_seen(operation):
                look()
            _apply(operation, folder)
            reported += _report(operation)
        findings.points += 1
        look()
        findings.add(reader.look(folder, _as_keys(reported)))
    findings.note(f"{n_looks} states differ for a reader")
    findings.seconds = time.monotonic() - started
    return findings


def check_power_loss(
    operations: Sequence[Operation],
    n_states: int,
    seed: int,
    folder: Path,
    *,
    strict_folders: bool = False,
) -> Findings:
    """Look at what power cuts at random moments may leave, by the model of this module.

    A report counts from its write on: somebody may have seen it.

    Args:
        operations: what a writer did, from an empty folder on.
        n_states: how many cuts.
        seed: of the moments and of what survives.
        folder: an empty one to rebuild in.
        strict_folders: a folder made, but not synced in its parent, may be lost as well.
    """
    findings, started = Findings("power loss"), time.monotonic()
    chance = random.Random(seed)
    # In order of time, so that each state is the one before with a few files changed.
    moments = sorted(chance.randint(1, len(operations)) for _ in range(n_states))
    folder.mkdir()
    there: dict[str, bytes] = {}
    with Reader() as reader:
        for number, moment in enumerate(moments):
            past = operations[:moment]
            left = _after_power_loss(past, chance, strict_folders)
            _turn_into(there, left, folder)
            there = left
            reported = b"".join(map(_report, past))
            remember = number % _FULL_LOOK_EVERY != 0
            findings.add(reader.look(folder, _as_keys(reported), remember=remember))
            findings.points += 1
    findings.seconds = time.monotonic() - started
    return findings


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


def _built_logger(folder: Path) -> Path:
    library, compiler = folder / "write_log.so", _compiler()
    assert compiler is not None, why_not()
    source = Path(__file__).with_name("write_log.c")
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-pthread", "-o", library, source], check=True
    )
    return library


def _read_log(content: bytes, root: Path) -> Iterator[Operation]:
    place = 0
    while place < len(content):
        kind, *lengths, _, offset, n_bytes = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        pieces = []
        for length in (*lengths, n_bytes):
            pieces.append(content[place : place + length])
            place += length
        path, target = (_relative(piece.decode(), root) for piece in pieces[:2])
        yield from _split_at_pages(Operation(Kind(kind), path, target, offset, pieces[2]))


def _relative(path: str, root: Path) -> str:
    return str(PurePosixPath(path).relative_to(root)) if path else ""


def _split_at_pages(operation: Operation) -> Iterator[Operation]:
    if operation.kind != Kind.WRITE:
        yield operation
        return
    start, end = operation.offset, operation.offset + len(operation.data)
    edges = [start, *range((start // _PAGE_BYTES + 1) * _PAGE_BYTES, end, _PAGE_BYTES), end]
    for begin, stop in itertools.pairwise(edges):
        piece = operation.data[begin - start : stop - start]
        yield Operation(Kind.WRITE, operation.path, "", begin, piece)


def _check_complete(operations: Sequence[Operation], root: Path, folder: Path) -> None:
    """All calls replayed must give the very files; otherwise the log has a hole."""
    folder.mkdir()
    for operation in operations:
        _apply(operation, folder)
    if _content(folder) != _content(root):
        raise RuntimeError(f"Something that the writer did to {root} is not in its log.")
    shutil.rmtree(folder)


def _content(folder: Path) -> dict[str, bytes | None]:
    found = sorted(folder.rglob("*"))
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in found
    }


def _apply(operation: Operation, folder: Path) -> None:
    path = folder / operation.path
    match operation.kind:
        case Kind.CREATE:
            path.open("xb").close()
        case Kind.WRITE:
            with path.open("r+b") as file:
                file.seek(operation.offset)
                file.write(operation.data)
        case Kind.TRUNCATE:
            os.truncate(path, operation.offset)
        case Kind.RENAME:
            path.replace(folder / operation.target)
        case Kind.UNLINK:
            path.unlink()
        case Kind.MKDIR:
            path.mkdir()
        case Kind.SYNC:
            pass


def _is_seen(operation: Operation) -> bool:
    """Whether a reader could see a difference; names with a dot and the reports are not read."""
    if operation.kind == Kind.SYNC or operation.path == REPORTED:
        return False
    names = [PurePosixPath(path).name for path in (operation.path, operation.target) if path]
    return any(not name.startswith(".") for name in names)


def _report(operation: Operation) -> bytes:
    is_report = operation.kind == Kind.WRITE and operation.path == REPORTED
    return operation.data if is_report else b""


def _as_keys(reported: bytes | bytearray) -> Keys:
    whole = bytes(reported[: len(reported) // KEY_BYTES * KEY_BYTES])
    return np.frombuffer(whole, np.uint8).reshape(-1, KEY_BYTES)


def _after_power_loss(
    past: Sequence[Operation], chance: random.Random, strict_folders: bool
) -> dict[str, bytes]:
    """The files that are there when the power is back, by path."""
    files, unsafe = _unsafe(past, strict_folders)
    names: dict[str, int] = {}
    folders = {"."}
    contents: defaultdict[int, bytearray] = defaultdict(bytearray)
    for place, (operation, file) in enumerate(zip(past, files, strict=True)):
        if place in unsafe and chance.random() < 0.5:
            continue
        match operation.kind:
            case Kind.CREATE:
                names[operation.path] = file
            case Kind.WRITE:
                _overwrite(contents[file], operation.offset, operation.data)
            case Kind.TRUNCATE:
                _resize(contents[file], operation.offset)
            case Kind.RENAME:
                if names.get(operation.path) == file:
                    del names[operation.path]
                names[operation.target] = file
            case Kind.UNLINK:
                names.pop(operation.path, None)
            case Kind.MKDIR:
                folders.add(operation.path)
            case Kind.SYNC:
                pass
    return {
        path: bytes(contents[file])
        for path, file in names.items()
        if path != REPORTED and _folder_of(path) in folders
    }


def _unsafe(past: Sequence[Operation], strict_folders: bool) -> tuple[list[int], set[int]]:
    """The file that each call meant, as a number, and the places of the calls not yet synced.

    A call means a file, whatever its name is by then: a rename moves the name only.
    """
    names: dict[str, int] = {}
    files: list[int] = []
    unsafe_by: defaultdict[int | str, set[int]] = defaultdict(set)  # a file, or a folder's path
    for place, operation in enumerate(past):
        kind, path = operation.kind, operation.path
        if kind == Kind.CREATE:
            names[path] = place
        file = names.get(path, -1)
        files.append(file)
        if kind in (Kind.WRITE, Kind.TRUNCATE):
            unsafe_by[file].add(place)
        elif kind == Kind.SYNC:
            unsafe_by.pop(path if file < 0 else file, None)
        elif kind != Kind.MKDIR or strict_folders:
            unsafe_by[_folder_of(operation.target or path)].add(place)
        if kind == Kind.RENAME:
            names[operation.target] = names.pop(path)
        elif kind == Kind.UNLINK:
            del names[path]
    return files, set().union(*unsafe_by.values())


@functools.cache
def _folder_of(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _overwrite(content: bytearray, offset: int, data: bytes) -> None:
    _resize(content, max(len(content), offset + len(data)))
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, n_bytes: int) -> None:
    del content[n_bytes:]
    content.extend(bytes(n_bytes - len(content)))


def _turn_into(there: dict[str, bytes], wanted: dict[str, bytes], folder: Path) -> None:
    """Make the files of the folder, which are those of `there`, those of `wanted`."""
    for path in there.keys() - wanted.keys():
        (folder / path).unlink()
    for path, content in wanted.items():
        if there.get(path) != content:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
