"""HDF5: an array of many recordings, as in CODE-15, or of one recording.

Owns finding a recording by its id, which follows # in the path: `exams_part0.hdf5#1169160`. Rate,
leads and zero padding of CODE-15's files (tracings (N, 4096, 12), exam_id) are documented and need
not be stated. Their unit is not (see docs/decisions.md): it is stated once, in arrays.json.

Source: Ribeiro et al. 2021, CODE-15 % (doi 10.5281/zenodo.4916206).
"""

import itertools
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.bare_array import (
    MAX_VALUES,
    Facts,
    check_shape,
    read_facts,
    to_record,
)
from ecgpipe.read_ecg.formats.clinical import reasons
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord, Reason

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CODE15 = Facts(rate_hz=400.0, leads=LEADS, variable="tracings", ids="exam_id")
_MAX_RECORDINGS = 10_000_000
_PACKING = {1, 4, 32000}  # HDF5's numbers for deflate, szip and LZF
_DEFLATE_AT_MOST = 1032
_CHECKSUM_BYTES = 4


def is_hdf5(head: bytes, path: Path) -> bool:
    """Whether a file begins with the signature of HDF5."""
    return head.startswith(_SIGNATURE)


def read_hdf5(path: Path, recording_id: str = "") -> EcgRecord:
    """Read one recording of an HDF5 file.

    Args:
        path: the file.
        recording_id: which one; '' if the file holds only one.

    Returns:
        The recording without the zero padding at both ends.

    Raises:
        RecordError: the file is damaged, the id is missing or appears twice, or rate, units or
            leads are not stated.
    """
    import h5py

    with reasons(path, "HDF5"), h5py.File(path, "r") as file:
        facts = read_facts(path, _CODE15 if _is_code15(file) else None)
        values = _one_recording(file, facts, recording_id, path)
    return to_record(_without_padding(values, path), facts, path, "HDF5")


def _is_code15(file: Any) -> bool:
    tracings = file.get("tracings")
    return (
        "exam_id" in file and len(getattr(tracings, "shape", ())) == 3 and tracings.shape[2] == 12
    )


def _one_recording(
    file: Any, facts: Facts, recording_id: str, path: Path
) -> npt.NDArray[np.float64]:
    signals = _dataset(file, facts.variable or _only_dataset(file, path), path)
    if len(signals.shape) == 2 and not recording_id:
        check_shape(signals.shape, signals.dtype, path)
        _check_chunks(signals, 0, signals.shape[0], path)
        return np.asarray(signals[()], np.float64)
    if len(signals.shape) != 3:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} has {len(signals.shape)} dimensions; one recording has two, several have"
            " three",
        )
    check_shape(signals.shape[1:], signals.dtype, path)
    row = _row_of(file, facts, recording_id, signals.shape[0], path)
    _check_chunks(signals, row, row + 1, path)
    return np.asarray(signals[row], np.float64)


def _row_of(file: Any, facts: Facts, recording_id: str, n_recordings: int, path: Path) -> int:
    if not recording_id:
        if n_recordings == 1:
            return 0
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} holds {n_recordings:,} recordings; name one in the table's path, as"
            f" {path.name}#ID",
        )
    if facts.ids is None:
        raise RecordError(
            Reason.UNREADABLE,
            f"nothing states which array of {path.name} holds the ids; name it as `ids` in the JSON"
            " file next to it",
        )
    ids = _dataset(file, facts.ids, path)
    if len(ids.shape) != 1 or ids.shape[0] > _MAX_RECORDINGS:
        raise RecordError(Reason.UNREADABLE, f"{path.name}: {facts.ids!r} is not a list of ids")
    rows = np.flatnonzero(_as_text(ids[()]) == recording_id)
    if len(rows) != 1 or rows[0] >= n_recordings:
        raise RecordError(
            Reason.MISSING_FILE, f"{path.name} holds {len(rows)} recordings of this id"
        )
    return int(rows[0])


def _dataset(file: Any, name: str, path: Path) -> Any:
    """A dataset of this file; links to other files are refused."""
    import h5py

    link = file.get(name, getlink=True)
    found = None if isinstance(link, h5py.ExternalLink) else file.get(name)
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise RecordError(Reason.UNREADABLE, f"{path.name} holds no array {name!r} of its own")
    if found.chunks and math.prod(found.chunks) > MAX_VALUES:  # HDF5 decompresses whole chunks
        raise RecordError(Reason.UNREADABLE, f"{path.name} has chunks too large to decompress")
    return found


def _check_chunks(signals: Any, start: int, stop: int, path: Path) -> None:
    """Refuse rows whose chunks decompress to more than their shape: HDF5 has no limit.

    Deflate expands a byte to at most 1,032, so small chunks need not be tried.
    """
    filters = signals.id.get_create_plist()
    kinds = [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
    packing = [kind for kind in kinds if kind in _PACKING]
    if not packing:
        return
    n_bytes = math.prod(signals.chunks) * signals.dtype.itemsize
    ranges = [range(start // signals.chunks[0] * signals.chunks[0], stop, signals.chunks[0])]
    ranges += [
        range(0, n, step) for n, step in zip(signals.shape[1:], signals.chunks[1:], strict=True)
    ]
    for place in itertools.product(*ranges):
        size = signals.id.get_chunk_info_by_coord(place).size or 0
        if (
            len(packing) > 1
            or size > n_bytes + _CHECKSUM_BYTES
            or not _is_honest(signals, place, size)
        ):
            raise RecordError(
                Reason.UNREADABLE, f"{path.name}: a chunk decompresses to more than its shape"
            )


def _is_honest(signals: Any, place: tuple[int, ...], size: int) -> bool:
    """Whether a chunk decompresses to at most its size, or cannot become large."""
    if size * _DEFLATE_AT_MOST <= MAX_VALUES * 8 or signals.compression != "gzip":
        return True
    _, packed = signals.id.read_direct_chunk(place)
    n_bytes = math.prod(signals.chunks) * signals.dtype.itemsize
    try:
        unpacked = zlib.decompressobj().decompress(packed, n_bytes + 1)
    except zlib.error:
        return True  # HDF5 will refuse it
    return bool(len(unpacked) <= n_bytes)


def _only_dataset(file: Any, path: Path) -> str:
    if len(file) != 1:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} holds {len(file)} arrays; name one as `variable` in the JSON next to it",
        )
    return str(next(iter(file)))


def _as_text(ids: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    if ids.dtype.kind in "OS":
        return np.array([i.decode() if isinstance(i, bytes) else str(i) for i in ids])
    return ids.astype(np.str_)


def _without_padding(values: npt.NDArray[np.float64], path: Path) -> npt.NDArray[np.float64]:
    """Cut off the ends where every lead is 0."""
    time_axis = int(values.shape[1] > values.shape[0])
    beating = np.flatnonzero((values != 0).any(axis=1 - time_axis))
    if len(beating) == 0:
        raise RecordError(Reason.FLAT, f"{path.name}: the recording is all zeros")
    kept = slice(int(beating[0]), int(beating[-1]) + 1)
    return values[kept] if time_axis == 0 else values[:, kept]
