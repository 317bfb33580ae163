"""Any recording file to EcgRecord.

Owns finding out what a file is. A new format is one more reader here.
"""

import contextlib
from pathlib import Path

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.record import EcgRecord, Reason
from ecgpipe.read_ecg.wfdb_record import read_wfdb

_WFDB_SUFFIXES = (".hea", ".dat", ".mat")


def read_recording(path: Path) -> EcgRecord:
    """Read one recording.

    Args:
        path: a WFDB recording, with or without .hea or .dat.

    Raises:
        RecordError: there is no such file, no reader for it, or it is damaged.
    """
    for header in _possible_headers(path):
        if header.is_file():
            return read_wfdb(header)
    if path.is_file():
        raise RecordError(
            Reason.UNREADABLE, f"{path} is of no known format: WFDB (.hea with .dat) is read"
        )
    raise RecordError(Reason.MISSING_FILE, f"{path.with_name(path.name + '.hea')} does not exist")


def recording_state(path: Path) -> str:
    """Size and time of change of the files a recording may consist of; '' where there is none.

    Tells whether a recording that was rejected has been mended since.
    """
    names = [path, *_possible_headers(path), *(path.with_suffix(s) for s in _WFDB_SUFFIXES)]
    names += [path.with_name(path.name + suffix) for suffix in _WFDB_SUFFIXES]
    found = []
    for name in sorted(set(names)):
        with contextlib.suppress(OSError):
            status = name.stat()
            found.append(f"{name.name} {status.st_size} {status.st_mtime_ns}")
    return "; ".join(found)


def _possible_headers(path: Path) -> list[Path]:
    headers = [path.with_name(path.name + ".hea")]
    if path.suffix.casefold() in _WFDB_SUFFIXES:
        headers.insert(0, path.with_suffix(".hea"))
    return headers
