"""Any recording file to EcgRecord.

Owns the order: a WFDB header beside or under the name, else what the file's content shows. A new
format is one more line in `formats`.
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
            `formats`, under any name; of an HDF5 file with several, `file.hdf5#id`.

    Raises:
        RecordError: there is no such file, no reader for it, or it is damaged.
    """
    for header in _possible_headers(path):
        if header.is_file():
            return read_wfdb(header)
    container = _container(path)
    if container is not None:
        return read_hdf5(container, path.name.removeprefix(f"{container.name}#"))
    if not path.is_file():
        raise RecordError(
            Reason.MISSING_FILE, f"{path} is no file, and {path.name}.hea does not exist either"
        )
    try:
        found = find_format(path)
    except OSError as error:
        raise RecordError(Reason.UNREADABLE, f"{path}: {error.strerror}") from error
    if found is None:
        raise RecordError(Reason.UNREADABLE, f"{path} is of no known format; known are {NAMES}")
    return found.read(path)


def recording_state(path: Path) -> str:
    """Size and time of change of the files a recording may consist of; '' where there is none.

    Tells whether a recording that was rejected has been mended since.
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
    """The file of several recordings that `file#id` names one of; None where it is no such name."""
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
