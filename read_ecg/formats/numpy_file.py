"""NumPy files: one array in .npy, or .npz with the arrays signal, leads, rate_hz and units.

Owns reading them without unpickling: numpy refuses arrays of objects by default. What an array does
not state is read from the JSON file next to it (see bare_array).
"""

import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.bare_array import (
    MAX_VALUES,
    Facts,
    check_facts,
    check_shape,
    read_facts,
    to_record,
)
from ecgpipe.read_ecg.formats.clinical import reasons
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

_NPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_MAX_BYTES_PER_VALUE = 8
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def is_numpy(head: bytes, path: Path) -> bool:
    """Whether a file begins like .npy, or like a zip archive whose first member is an .npy."""
    if head.startswith(_ZIP) and len(head) >= 30:
        (name_bytes,) = struct.unpack("<H", head[26:28])
        return head[30 : 30 + name_bytes].endswith(b".npy")
    return head.startswith(_NPY)


def read_numpy(path: Path) -> EcgRecord:
    """Read one recording from an .npy or .npz file.

    Raises:
        RecordError: it is damaged or holds objects, or rate, units or leads are not stated.
    """
    with reasons(path, "NumPy"):
        with path.open("rb") as file:
            is_archive = file.read(4) == _ZIP
        return _read_archive(path) if is_archive else _read_array(path)


def _read_array(path: Path) -> EcgRecord:
    stored = np.load(path, mmap_mode="r")  # nothing is read yet
    check_shape(stored.shape, stored.dtype, path)
    return to_record(np.array(stored), read_facts(path), path, "NumPy")


def _read_archive(path: Path) -> EcgRecord:
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > (
            MAX_VALUES * _MAX_BYTES_PER_VALUE
        ):
            raise RecordError(
                Reason.UNREADABLE, f"{path.name} decompresses to more than {MAX_VALUES:,} values"
            )
    with np.load(path) as arrays:
        facts = read_facts(path, _own_facts(arrays, path))
        name = facts.variable or ("signal" if "signal" in arrays.files else "")
        if not name and len(arrays.files) == 1:
            name = arrays.files[0]
        if name not in arrays.files:
            raise RecordError(
                Reason.UNREADABLE,
                f"{path.name} holds {len(arrays.files)} arrays and none is named"
                f" {name or 'signal'!r}; rename it, or set `variable` in the JSON next to it",
            )
        return to_record(_array(arrays, name, path), facts, path, "NumPy")


def _array(arrays: Any, name: str, path: Path) -> npt.NDArray[Any]:
    """An array of an archive; NumPy would allocate whatever its header claims."""
    member = name if name in arrays.zip.namelist() else f"{name}.npy"
    with arrays.zip.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = _HEADERS.get(version)
        shape, _, dtype = read_header(stream) if read_header else ((), False, np.dtype(object))
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > arrays.zip.getinfo(member).file_size:
        raise RecordError(
            Reason.TRUNCATED, f"{path.name}: its array {name[:40]!r} is shorter than it claims"
        )
    found: npt.NDArray[Any] = arrays[name]
    return found


def _own_facts(arrays: Any, path: Path) -> Facts:
    """What the archive's arrays leads, rate_hz and units state."""
    said: dict[str, Any] = {}
    if "units" in arrays.files:
        said["units"] = str(_single(_array(arrays, "units", path), "units", path))
    if "rate_hz" in arrays.files:
        said["rate_hz"] = float(_single(_array(arrays, "rate_hz", path), "rate_hz", path))
    if "leads" in arrays.files:
        said["leads"] = tuple(str(name) for name in _array(arrays, "leads", path).reshape(-1))
    return check_facts(said, path.name)


def _single(array: npt.NDArray[Any], name: str, path: Path) -> Any:
    if array.size != 1:
        raise RecordError(Reason.UNREADABLE, f"{path.name}: {name} must be one value")
    return array.reshape(-1)[0]
