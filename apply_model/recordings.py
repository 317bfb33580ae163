"""INPUT... of a command line, or the rows of a table -> a stream of named inputs.

Owns what counts as one ECG, its name, and the order: as named on the command line, and a folder's
files sorted by name. A recording of several files is one input. Reads no signal before `read` is
called, holds no list of a folder's inputs, and knows no model.
"""

import glob
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import xxhash

from ecgpipe.errors import RecordError, SourceError
from ecgpipe.read_ecg.datasets.source import recording_path
from ecgpipe.read_ecg.datasets.table_file import read_table, require_columns
from ecgpipe.read_ecg.formats.bare_array import FOLDER_FACTS
from ecgpipe.read_ecg.formats.recording import NAMES, find_format, read_recording, recording_state
from ecgpipe.read_ecg.formats.wfdb_header import read_header
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

_HEADER = ".hea"
_SIGNAL_FILES = (".dat", ".mat")
_ARRAYS = (".csv", ".tsv", ".npy", ".npz", ".h5", ".hdf5", ".mat")  # with facts in a .json
_WILDCARDS = frozenset("*?[")

# What people keep beside ECGs. No format above begins like these.
_KINDS = (
    (b"PK\x03\x04", "a ZIP archive (or an Office file); unpack it first"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"%PDF", "a PDF; only signals can be read, not pictures of them"),
    (b"\x89PNG", "a picture; only signals can be read"),
    (b"\xff\xd8\xff", "a picture; only signals can be read"),
)


@dataclass(frozen=True, slots=True)
class Input:
    """One ECG that was asked for. It is small and can be sent to another process."""

    record_id: str
    """The table's; for a file its path as named, without .hea."""

    path: str
    """Where it lies, for the output."""

    open: Callable[[], EcgRecord] | None
    """Reads the recording; None if it is refused already."""

    refusal: str = ""
    patient_id: str = ""
    """Whose it is; '' if nobody says so, as for a file."""

    def read(self) -> EcgRecord:
        """The recording.

        Raises:
            RecordError: it is refused; the message is the true reason.
        """
        if self.open is None:
            raise RecordError(Reason.UNREADABLE, self.refusal)
        try:
            return self.open()
        except RecordError as error:
            kind = _kind_of(Path(self.path))
            raise RecordError(Reason.UNREADABLE, kind) if kind else error from None
        except OSError as error:  # a forbidden folder, a name too long, a lost mount
            what = error.strerror or str(error)
            raise RecordError(Reason.UNREADABLE, f"it cannot be read: {what}") from error


def inputs_of(names: Sequence[str]) -> Iterator[Input]:
    """The recordings that files, folders and patterns name, each once.

    Args:
        names: recordings of any format, folders (searched to any depth; hidden files are skipped),
            or patterns with * ? [...] that no shell has expanded.

    Raises:
        SourceError: a folder or a pattern holds nothing; the message says what was looked for. Or a
            name is empty.
    """
    return each_once(itertools.chain.from_iterable(map(_named, names)))


def inputs_of_table(table: Path, root: Path | None = None) -> Iterator[Input]:
    """The recordings of a table's rows.

    Args:
        table: with the columns record_id and path, and patient_id if it has it; others are not
            looked at.
        root: what `path` is relative to; None for the table's folder.

    Raises:
        SourceError: the table cannot be read, lacks a column, or has no rows.
    """
    return each_once(_of_rows(table, root or table.parent))


def each_once(inputs: Iterable[Input]) -> Iterator[Input]:
    """The inputs; a second one of the same id and path is dropped, of another path refused.

    It keeps two digests of each input, some 200 bytes, and nothing else.
    """
    paths: dict[bytes, bytes] = {}
    for given in inputs:
        name = xxhash.xxh3_128_digest(given.record_id.encode(errors="surrogatepass"))
        path = xxhash.xxh3_64_digest(given.path.encode(errors="surrogatepass"))
        if name not in paths:
            paths[name] = path
            yield given
        elif paths[name] != path:
            yield Input(
                given.record_id,
                given.path,
                None,
                f"another recording before it has the id {given.record_id!r}, so their answers"
                " could not be told apart. Give each ECG an id of its own",
            )


def _named(name: str) -> Iterator[Input]:
    if not name:  # Path("") would be the current folder
        raise SourceError(
            "The name of an input is empty, perhaps that of a shell variable that is not set. Name"
            " recordings or folders."
        )
    path = Path(name)
    if os.path.isdir(path):
        yield from _at_least_one(_of_folder(path, frozenset()), f"The folder {name} holds")
    elif _WILDCARDS & set(name) and not os.path.exists(path):
        yield from _at_least_one(_of_pattern(name), f"Nothing fits {name}: it leads to")
    else:
        yield _of_file(path)


def _at_least_one(inputs: Iterator[Input], where: str) -> Iterator[Input]:
    first = next(inputs, None)
    if first is None:
        raise SourceError(
            f"{where} no recording, at any depth. Looked for files of these formats, by content"
            f" and under any name that is not hidden: {NAMES}."
        )
    yield first
    yield from inputs


def _of_pattern(pattern: str) -> Iterator[Input]:
    found = sorted(map(Path, glob.iglob(pattern, recursive=True)))
    known = set(found)
    for path in found:
        if path.is_dir():
            if "**" not in pattern:  # which has already found what lies in it
                yield from _of_folder(path, frozenset())
            continue
        near = {name for name in _siblings(path) if path.with_name(name) in known}
        if not _belongs_to_another(path, near.__contains__):
            yield _of_file(path)


def _siblings(path: Path) -> Iterator[str]:
    """The names of the files that `path` may belong to."""
    yield path.with_suffix(_HEADER).name
    yield from (path.stem + suffix for suffix in _ARRAYS)


def _of_folder(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Input]:
    """The recordings in a folder and those below, in the order of their names.

    Args:
        folder: which.
        above: device and inode of the folders above, so that a link to one of them ends the way.
    """
    try:
        status = folder.stat()
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        yield Input(str(folder), str(folder), None, f"its folder cannot be read: {error.strerror}")
        return
    this = (status.st_dev, status.st_ino)
    if this in above:
        return
    known = set(names)
    signal_files = _signal_files(folder, names)
    for name in names:
        path = folder / name
        if path.is_dir():
            yield from _of_folder(path, above | {this})
        elif name not in signal_files and not _belongs_to_another(path, known.__contains__):
            yield _of_file(path)


def _signal_files(folder: Path, names: Sequence[str]) -> set[str]:
    """The files that the folder's WFDB headers name, if some .dat has no header of its own name."""
    known = set(names)
    headers = [name for name in names if name.endswith(_HEADER)]
    if not headers or all(
        Path(name).with_suffix(_HEADER).name in known
        for name in names
        if name.endswith(_SIGNAL_FILES)
    ):
        return set()
    found: set[str] = set()
    for name in headers:
        try:
            header = read_header(folder / name)
        except (RecordError, OSError):
            continue  # it is refused when it is read
        found |= {signal.file_name for signal in header.signals}
    return found


def _belongs_to_another(path: Path, exists: Callable[[str], bool]) -> bool:
    """Whether a file is a part of a recording that another file stands for."""
    suffix = path.suffix.casefold()
    if suffix == _HEADER:
        return False
    if exists(path.with_suffix(_HEADER).name):
        # Its signals; or annotations and the like, which have no format of an ECG.
        return suffix in _SIGNAL_FILES or _format_name(path) is None
    if suffix == ".json":
        return path.name == FOLDER_FACTS or any(exists(path.stem + other) for other in _ARRAYS)
    return False


def _of_file(path: Path) -> Input:
    is_part = path.suffix.casefold() in (_HEADER, *_SIGNAL_FILES)
    header = path.with_suffix(_HEADER) if is_part else path.with_name(path.name + _HEADER)
    # Not Path.is_file, which raises on a forbidden folder, and on a name that is too long.
    if os.path.isfile(header):
        return Input(str(header.with_suffix("")), str(header), partial(read_recording, header))
    if not recording_state(path):
        return Input(
            str(path),
            str(path),
            None,
            f"neither {path} nor {path.name}.hea exists. Check the name, or give the folder",
        )
    return Input(str(path), str(path), partial(read_recording, path))


def _of_rows(table: Path, root: Path) -> Iterator[Input]:
    rows = read_table(table)
    require_columns(table, rows, ("record_id", "path"))
    for number, row in rows:
        place = f"row {number} of {table.name}"
        if not row["record_id"]:
            yield Input(place, row["path"], None, f"{place} has no record_id")
            continue
        try:
            path = recording_path(root, row["path"])
        except RecordError as error:
            yield Input(row["record_id"], row["path"], None, f"{place}: {error}")
        else:
            yield Input(
                row["record_id"],
                str(path),
                partial(read_recording, path),
                patient_id=row.get("patient_id", ""),
            )


def _format_name(path: Path) -> str | None:
    try:
        found = find_format(path)
    except OSError:
        return None
    return None if found is None else found.name


def _kind_of(path: Path) -> str:
    """What a file is that has no format of an ECG, in words; '' if it has one or is not known."""
    if path.suffix.casefold() == _HEADER or not path.is_file() or _format_name(path) is not None:
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:  # that is its reason, and known already
        return ""
    if not head:
        return f"{path.name} is empty"
    for begin, kind in _KINDS:
        if head.startswith(begin):
            return f"{path.name} is {kind}"
    if b"\0" not in head and not any(byte < 9 for byte in head):
        return f"{path.name} is a text, not an ECG"
    return ""
