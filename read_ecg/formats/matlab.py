"""MATLAB files of version 5 to 7: one matrix in a .mat file.

Owns the choice of the matrix. A .mat with a .hea is WFDB and is not read here. Version 7.3, a kind
of HDF5, is refused with advice. Rate, units and leads are stated in the JSON file next to it
(see bare_array).
"""

import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.bare_array import (
    MAX_VALUES,
    check_shape,
    read_facts,
    to_record,
)
from ecgpipe.read_ecg.formats.clinical import reasons
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

_VERSION_5 = b"MATLAB 5.0 MAT-file"
_VERSION_7_3 = b"MATLAB 7.3 MAT-file"
_HEADER_BYTES, _TAG_BYTES = 128, 8
_COMPRESSED = 15
_NUMBERS = range(6, 16)  # classes of matrices: double, single, and integers
_COMPLEX = 0x0800
_PARTS_BEFORE_NUMBERS = 3  # flags, dimensions, name
_LOOKED_AT, _BLOCK = 1 << 12, 1 << 20
_MAX_BYTES = MAX_VALUES * 8 + _BLOCK
_KINDS = {"double", "single"} | {f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)}


def is_matlab(head: bytes, path: Path) -> bool:
    """Whether a file begins with the signature of MATLAB, of any version since 5."""
    return head.startswith((_VERSION_5, _VERSION_7_3))


def read_matlab(path: Path) -> EcgRecord:
    """Read one recording from a .mat file of version 5 to 7.

    Raises:
        RecordError: it is damaged or of version 7.3, holds several matrices of which none is named,
            or rate, units or leads are not stated.
    """
    with path.open("rb") as file:
        if file.read(len(_VERSION_7_3)) == _VERSION_7_3:
            raise RecordError(
                Reason.UNREADABLE,
                f"{path.name} is a MATLAB 7.3 file; save it with `save(name, '-v7')`",
            )
    facts = read_facts(path)
    with reasons(path, "MATLAB"):
        values = _matrix(path, facts.variable)
    return to_record(values, facts, path, "MATLAB")


def _matrix(path: Path, variable: str | None) -> npt.NDArray[Any]:
    """The matrix of that name, or the only one; its size is checked before it is decompressed."""
    import scipy.io  # slow to import, and rarely needed

    _check_claims(path)
    found = {
        name: shape
        for name, shape, kind in scipy.io.whosmat(path)
        if kind in _KINDS and variable in (None, name)
    }
    if variable is None:  # single values, such as a rate, are not signals
        found = {name: shape for name, shape in found.items() if max(shape) > 1}
    if len(found) != 1:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} holds {len(found)} matrices of numbers"
            f"{'' if variable is None else f' named {variable!r}'}; name one as `variable` in the"
            " JSON file next to it",
        )
    ((name, shape),) = found.items()
    check_shape(shape, np.float64, path)
    return np.asarray(scipy.io.loadmat(path, variable_names=[name])[name])


def _check_claims(path: Path) -> None:
    """Refuse a matrix that claims more bytes than the file has, or decompresses to more than a
    recording: scipy allocates whatever is claimed."""
    with path.open("rb") as file:
        order = "<" if file.read(_HEADER_BYTES)[126:128] == b"IM" else ">"
        left = path.stat().st_size - _HEADER_BYTES
        while left >= _TAG_BYTES:
            kind, size = struct.unpack(f"{order}II", file.read(_TAG_BYTES))
            left -= _TAG_BYTES + size
            if left < 0:
                raise RecordError(Reason.TRUNCATED, f"{path.name} ends within a matrix")
            following = file.tell() + size
            if kind == _COMPRESSED:
                _check_matrix(*_unpacked(file, size, path), order, path, inside=_TAG_BYTES)
            else:
                _check_matrix(file.read(min(size, _LOOKED_AT)), size, order, path, inside=0)
            file.seek(following)


def _unpacked(file: BinaryIO, size: int, path: Path) -> tuple[bytes, int]:
    """The first decompressed bytes of an element, and their total number."""
    packed, head, total = zlib.decompressobj(), b"", 0
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        size -= len(block)
        while block:
            part = packed.decompress(block, _BLOCK)
            block, total = packed.unconsumed_tail, total + len(part)
            head += part[: max(_LOOKED_AT - len(head), 0)]
            if total > _MAX_BYTES:
                raise RecordError(
                    Reason.UNREADABLE,
                    f"{path.name} decompresses to more than {MAX_VALUES:,} values",
                )
    return head, total


def _check_matrix(head: bytes, total: int, order: str, path: Path, inside: int) -> None:
    """Walk a matrix to the tag of its numbers; anything but a matrix of numbers is left to scipy.

    Args:
        head: the first bytes of the element.
        total: its number of bytes.
        order: the file's byte order, < or >.
        path: of the file, for messages.
        inside: the index at which the matrix begins.
    """
    at = inside
    for number in range(_PARTS_BEFORE_NUMBERS + 1):
        if at + _TAG_BYTES > len(head):
            return
        kind, size = struct.unpack_from(f"{order}II", head, at)
        if kind >> 16:  # a small element: size, kind and data in eight bytes
            at += _TAG_BYTES
            continue
        if number == 0:
            flags = struct.unpack_from(f"{order}I", head, at + _TAG_BYTES)[0]
            if flags & 255 not in _NUMBERS:
                return
            if flags & _COMPLEX:
                raise RecordError(Reason.UNREADABLE, f"{path.name} holds complex numbers")
        if at + _TAG_BYTES + size > total:
            raise RecordError(
                Reason.TRUNCATED, f"{path.name}: a matrix claims more than the file holds"
            )
        at += _TAG_BYTES + size + -size % 8
