"""Any recording file to EcgRecord: which format it has, by its content, and that format's reader.

Owns the list of formats and the order in which they are tried. WFDB is not in the list: it is
recognised by its .hea file, which comes first.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.aecg import is_aecg, read_aecg
from ecgpipe.read_ecg.formats.bare_array import facts_files
from ecgpipe.read_ecg.formats.csv_file import is_csv, read_csv
from ecgpipe.read_ecg.formats.dicom import is_dicom, read_dicom
from ecgpipe.read_ecg.formats.edf import is_edf, read_edf
from ecgpipe.read_ecg.formats.hdf5 import is_hdf5, read_hdf5
from ecgpipe.read_ecg.formats.matlab import is_matlab, read_matlab
from ecgpipe.read_ecg.formats.mfer import is_mfer, read_mfer
from ecgpipe.read_ecg.formats.muse import is_muse, read_muse
from ecgpipe.read_ecg.formats.numpy_file import is_numpy, read_numpy
from ecgpipe.read_ecg.formats.philips import is_philips, read_philips
from ecgpipe.read_ecg.formats.scp import is_scp, read_scp
from ecgpipe.read_ecg.formats.wfdb import read_wfdb
from ecgpipe.read_ecg.formats.wfdb_header import read_header
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

HEAD_BYTES = 1 << 16
_WFDB_SUFFIXES = (".hea", ".dat", ".mat")


class Format(NamedTuple):
    """One format: how it is recognised, and its reader."""

    name: str
    is_it: Callable[[bytes, Path], bool]
    read: Callable[[Path], EcgRecord]


# The surest signs first. Then MFER, which without its preamble is only a chain of tags. CSV last,
# because any text in a file called .csv is taken for one.
FORMATS = (
    Format("DICOM waveform", is_dicom, read_dicom),
    Format("SCP-ECG", is_scp, read_scp),
    Format("EDF", is_edf, read_edf),
    Format("HDF5", is_hdf5, read_hdf5),
    Format("NumPy", is_numpy, read_numpy),
    Format("MATLAB", is_matlab, read_matlab),
    Format("HL7 aECG", is_aecg, read_aecg),
    Format("GE MUSE XML", is_muse, read_muse),
    Format("Philips XML", is_philips, read_philips),
    Format("MFER", is_mfer, read_mfer),
    Format("CSV", is_csv, read_csv),
)
NAMES = "WFDB (.hea with .dat or .mat), " + ", ".join(form.name for form in FORMATS)


def read_recording(path: Path) -> EcgRecord:
    """Read one recording.

    Args:
        path: a WFDB recording, with or without .hea, .dat or .mat; or a file of any format in
            `FORMATS`, under any name; `file.hdf5#id` for one of several in an HDF5 file.

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


def find_format(path: Path) -> Format | None:
    """The format that a file's first bytes show, whatever its name; None if it is unknown."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return next((form for form in FORMATS if form.is_it(head, path)), None)


def recording_state(path: Path) -> str:
    """Size and modification time of a recording's files; '' if there is none.

    Shows whether a rejected recording has been repaired since.
    """
    if not path.name:  # '' or /
        return ""
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


def recording_files(path: Path) -> list[Path]:
    """The files that a recording is read from, sorted: its header and signals, or the file itself
    with what may state its facts. Some of them may not exist.

    Raises:
        OSError: a folder cannot be searched.
    """
    header = next((name for name in _possible_headers(path) if name.is_file()), None)
    if header is not None:
        try:
            names = {signal.file_name for signal in read_header(header).signals}
        except RecordError:  # a header that will be refused, or that a data set corrects
            names = {header.with_suffix(suffix).name for suffix in _WFDB_SUFFIXES}
        return sorted({header, *(header.with_name(name) for name in names)})
    file = _container(path) or path
    return sorted({file, *facts_files(file)})


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
