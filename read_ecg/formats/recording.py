"""Any recording file to EcgRecord.

Owns the order: first a WFDB header of that name, then the file's content. A new format is one more
line in `detect`.
"""

import contextlib
from pathlib import Path

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.bare_array import facts_files
from ecgpipe.read_ecg.formats.detect import NAMES, find_format
from ecgpipe.read_ecg.formats.hdf5 import read_hdf5
from ecgpipe.read_ecg.formats.wfdb import read_wfdb
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

_WFDB_SUFFIXES = (".hea", ".dat", ".mat")


def read_recording(path: Path) -> EcgRecord:
    """Read one recording.

    Args:
        path: a WFDB recording, with or without .hea, .dat or .mat; or a file of any format in
            `detect`, under any name; `file.hdf5#id` for one of several in an HDF5 file.

    Raises:
        RecordError: the file does not exist, has no known format, or is damaged.
    """
    for header in _possible_headers(path):
        if header.is_file():
            return read_wfdb(header)
    container = _container(path)
    if container is not None:
        return read_hdf5(container, path.name.removeprefix(f"{container.name}#"))
    if not path.is_file():
        raise RecordError(Reason.MISSING_FILE, f"neither {path} nor {path.name}.hea exists")
    try:
        found = find_format(path)
    except OSError as error:
        raise RecordError(Reason.UNREADABLE, f"{path}: {error.strerror}") from error
    if found is None:
        raise RecordError(Reason.UNREADABLE, f"{path} has an unknown format; known are {NAMES}")
    return found.read(path)


def recording_state(path: Path) -> str:
    """Size and modification time of a recording's files; '' if there is none.

    Shows whether a rejected recording has been repaired since.
    """
    names = [path, *_possible_headers(path), *(path.with_suffix(s) for s in _WFDB_SUFFIXES)]
    names += [path.with_name(path.name + suffix) for suffix in _WFDB_SUFFIXES]
    container = _container(path)
    names += [*facts_files(container or path), *([container] if container else [])]
    found = []
    for name in sorted(set(names)):
        with contextlib.suppress(OSError):
            status = name.stat()
            found.append(f"{name.name} {status.st_size} {status.st_mtime_ns}")
    return "; ".join(found)


def _container(path: Path) -> Path | None:
    """The file in a path of the form `file#id`; None for any other path."""
    name, mark, recording_id = path.name.rpartition("#")
    if not (name and mark and recording_id) or path.is_file():
        return None
    file = path.with_name(name)
    return file if file.is_file() else None


def _possible_headers(path: Path) -> list[Path]:
    headers = [path.with_name(path.name + ".hea")]
    if path.suffix.casefold() in _WFDB_SUFFIXES:
        headers.insert(0, path.with_suffix(".hea"))
    return headers
