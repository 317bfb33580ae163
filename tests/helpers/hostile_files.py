"""Files designed to exhaust memory: headers that claim terabytes, and decompression bombs.

Each is small on disk. A reader must refuse it before making room for what it claims, or read it
within the limits of tests/read_ecg/formats/test_format_fuzz.py.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import scipy.io

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ABSURD = 10**11
LARGEST = 1_245_000  # samples a lead: nearly what the array formats may hold

Writer = Callable[[Path], None]


def write_hostile(name: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Each hostile file of a format: what it is, and where."""
    folder.mkdir()
    facts = {"rate_hz": 500, "mv_per_unit": 0.001, "leads": LEADS}
    (folder / "arrays.json").write_text(json.dumps(facts))
    for title, write in WRITERS.get(name, {}).items():
        path = folder / "hostile"
        write(path)
        yield title, path
        for file in folder.glob("hostile*"):
            file.unlink()


def npy_header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def zeros_deflated(n_bytes: int, head: bytes = b"", wbits: int = 15) -> bytes:
    """A thousandth of its size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    parts = [packer.compress(head)]
    block = bytes(1 << 20)
    for _ in range(n_bytes >> 20):
        parts.append(packer.compress(block))
    return b"".join([*parts, packer.flush()])


def npy_of_absurd_shape(path: Path) -> None:
    path.write_bytes(npy_header((ABSURD, 12)) + bytes(96_000))


def npz_of_absurd_shape(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("signal.npy", npy_header((ABSURD, 12)) + bytes(96_000))


def npz_of_absurd_names(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("signal.npy", npy_header((500, 12)) + bytes(48_000))
        archive.writestr("leads.npy", npy_header((ABSURD,), "<U20") + bytes(960))


def npz_bomb(path: Path) -> None:
    """Two gigabytes, and the archive says so."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("signal.npy", "w", force_zip64=True) as member:
            member.write(npy_header((22_000_000, 12)))
            for _ in range(2048):
                member.write(bytes(1 << 20))


def npz_bomb_in_disguise(path: Path) -> None:
    """Two gigabytes, stated as 48 kB in both places of the archive."""
    whole = npy_header((500, 12)) + bytes(48_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("signal.npy", whole)
    data = path.read_bytes()
    old = zlib.compressobj(-1, zlib.DEFLATED, -15)
    packed = old.compress(whole) + old.flush()
    assert packed in data
    bomb = zeros_deflated(2 << 30, npy_header((22_000_000, 12)), -15)
    data = data.replace(packed, bomb).replace(
        struct.pack("<I", len(packed)), struct.pack("<I", len(bomb))
    )
    end = data.rindex(b"PK\5\6")
    at = data.index(b"PK\1\2", len(bomb))
    path.write_bytes(data[: end + 16] + struct.pack("<I", at) + data[end + 20 :])


def npz_of_many_members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}.npy", b"")


def npy_as_large_as_may_be(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(npy_header((12, LARGEST)))
        stream.truncate(len(npy_header((12, LARGEST))) + 12 * LARGEST * 8)


def npz_as_large_as_may_be(path: Path) -> None:
    header = npy_header((12, LARGEST))
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("signal.npy", "w") as member,
    ):
        member.write(header)
        for _ in range(12):
            member.write(bytes(LARGEST * 8))


def hdf5_of_absurd_shape(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("ecg", (ABSURD, 12), "<f8", chunks=(1000, 12))


def hdf5_of_an_absurd_chunk(path: Path) -> None:
    with h5py.File(path, "w") as file:
        shape, chunks = (100_000, 12), (10_000_000, 12)
        file.create_dataset("ecg", shape, "<f8", chunks=chunks, maxshape=(None, 12))


def hdf5_of_absurd_ids(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["tracings"] = np.ones((1, 500, 12), "<f4")
        file.create_dataset("exam_id", (ABSURD,), "<i8", chunks=(1000,))


def hdf5_bomb(path: Path) -> None:
    """A chunk of 48 kB that decompresses to two gigabytes."""
    with h5py.File(path, "w") as file:
        signals = file.create_dataset("ecg", (500, 12), "<f8", chunks=(500, 12), compression="gzip")
        signals.id.write_direct_chunk((0, 0), zeros_deflated(2 << 30))


def hdf5_of_a_large_chunk(path: Path) -> None:
    """Valid, but one chunk is as large as a whole recording may be."""
    with h5py.File(path, "w") as file:
        signals = file.create_dataset(
            "ecg", (500, 12), "<f8", maxshape=(None, 12), chunks=(LARGEST, 12), compression="gzip"
        )
        signals.id.write_direct_chunk((0, 0), zeros_deflated(12 * LARGEST * 8, bytes(LARGEST)))


def hdf5_packed_twice(path: Path) -> None:
    """Four gigabytes in six kilobytes."""
    with h5py.File(path, "w") as file:
        filters = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        filters.set_chunk((500, 12))
        filters.set_deflate(9)
        filters.set_filter(1, 0, (9,))
        space = h5py.h5s.create_simple((500, 12))
        signals = h5py.h5d.create(file.id, b"ecg", h5py.h5t.IEEE_F64LE, space, filters)
        inner = zeros_deflated(4 << 30)
        signals.write_direct_chunk((0, 0), zlib.compress(inner, 9))


def hdf5_of_many_groups(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for number in range(20_000):
            file.create_group(str(number))


def hdf5_as_large_as_may_be(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("ecg", (12, LARGEST), "<f8", chunks=(1, LARGEST), fillvalue=1.0)


def mat_element(kind: int, data: bytes, claimed: int | None = None) -> bytes:
    size = len(data) if claimed is None else claimed
    return struct.pack("<II", kind, size) + data + bytes(-len(data) % 8)


def mat_file(dims: tuple[int, int], data: bytes, claimed: int | None = None) -> tuple[bytes, bytes]:
    """The file's header, and an uncompressed matrix named ecg of doubles."""
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
    parts = mat_element(6, struct.pack("<II", 6, 0)) + mat_element(5, struct.pack("<ii", *dims))
    parts += mat_element(1, b"ecg") + mat_element(9, data, claimed)
    return head, mat_element(14, parts, len(parts) if claimed is None else claimed + 64)


def mat_of_absurd_shape(path: Path) -> None:
    head, matrix = mat_file((2_000_000_000, 12), bytes(96_000))
    path.write_bytes(head + matrix)


def mat_of_negative_shape(path: Path) -> None:
    head, matrix = mat_file((-500, -12), bytes(96_000))
    path.write_bytes(head + matrix)


def mat_with_absurd_data(path: Path) -> None:
    """A matrix of 500 x 12 whose numbers claim four gigabytes."""
    head, matrix = mat_file((500, 12), bytes(96_000), 0xFFFFFF00)
    path.write_bytes(head + matrix)


def mat_bomb(path: Path) -> None:
    """A matrix of 500 x 12 whose numbers decompress to two gigabytes."""
    head, matrix = mat_file((500, 12), b"", 2 << 30)
    packed = zeros_deflated((2 << 30) + (1 << 20), matrix)
    path.write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)


def mat_as_large_as_may_be(path: Path) -> None:
    values = np.zeros((12, LARGEST))
    values[:, ::2] = 1
    scipy.io.savemat(path, {"ecg": values}, appendmat=False)


def csv_of_many_cells(path: Path) -> None:
    """As many cells as fit into the largest allowed CSV."""
    head = ",".join(LEADS) + "\n"
    path.write_text(head + ("1," * 11 + "1\n") * ((1 << 26) // 24 - 10))


def csv_as_large_as_may_be(path: Path) -> None:
    row = ",".join(f"{number}.2345678" for number in range(12)) + "\n"
    path.write_text(",".join(f"{lead} [mV]" for lead in LEADS) + "\n" + row * 165_000)


def csv_of_one_endless_line(path: Path) -> None:
    path.write_text("I [mV]," + "1," * 50_000_000)


def csv_of_many_columns(path: Path) -> None:
    path.write_text(",".join(["I [mV]", *["x"] * 3_000_000]) + "\n" + "1," * 3_000_000 + "1\n")


def csv_of_one_endless_cell(path: Path) -> None:
    path.write_text("I [mV],II [mV]\n1," + "1" * (60 << 20) + "\n")


def wfdb_header(path: Path, record: str, signal: str, n: int = 12) -> None:
    lines = [f"hostile {record}", *(f"hostile.dat {signal} {lead}" for lead in LEADS[:n])]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")
    path.with_suffix(".dat").write_bytes(bytes(120_000))


def wfdb_of_absurd_length(path: Path) -> None:
    wfdb_header(path, "12 500 99999999999", "16 1000/mV 16 0 0 0 0")


def wfdb_212_of_absurd_length(path: Path) -> None:
    wfdb_header(path, "12 500 99999999999", "212 1000/mV 12 0 0 0 0")


def wfdb_of_absurd_frames(path: Path) -> None:
    wfdb_header(path, "12 500 1000", "16x99999999 1000/mV 16 0 0 0 0")


def wfdb_of_absurd_skew(path: Path) -> None:
    wfdb_header(path, "12 500 1000", "212:999999999 1000/mV 12 0 0 0 0")


def wfdb_of_absurd_signals(path: Path) -> None:
    wfdb_header(path, "2000000000 500 1000", "16 1000/mV 16 0 0 0 0")


def wfdb_of_absurd_offset(path: Path) -> None:
    wfdb_header(path, "12 500 1000", "16+99999999999 1000/mV 16 0 0 0 0")


def wfdb_flac_of_absurd_length(path: Path) -> None:
    wfdb_header(path, "12 500 4000000000", "508 1000/mV 8 0 0 0 0")


WRITERS: dict[str, dict[str, Writer]] = {
    ".npy": {
        "absurd shape": npy_of_absurd_shape,
        "as large as may be": npy_as_large_as_may_be,
    },
    ".npz": {
        "absurd shape": npz_of_absurd_shape,
        "absurd names": npz_of_absurd_names,
        "bomb": npz_bomb,
        "bomb in disguise": npz_bomb_in_disguise,
        "many members": npz_of_many_members,
        "as large as may be": npz_as_large_as_may_be,
    },
    "HDF5": {
        "absurd shape": hdf5_of_absurd_shape,
        "absurd chunk": hdf5_of_an_absurd_chunk,
        "absurd ids": hdf5_of_absurd_ids,
        "bomb": hdf5_bomb,
        "large chunk": hdf5_of_a_large_chunk,
        "packed twice": hdf5_packed_twice,
        "many groups": hdf5_of_many_groups,
        "as large as may be": hdf5_as_large_as_may_be,
    },
    "MATLAB": {
        "absurd shape": mat_of_absurd_shape,
        "negative shape": mat_of_negative_shape,
        "absurd data": mat_with_absurd_data,
        "bomb": mat_bomb,
        "as large as may be": mat_as_large_as_may_be,
    },
    "CSV": {
        "many cells": csv_of_many_cells,
        "as large as may be": csv_as_large_as_may_be,
        "one endless line": csv_of_one_endless_line,
        "many columns": csv_of_many_columns,
        "one endless cell": csv_of_one_endless_cell,
    },
    "WFDB 16": {
        "absurd length": wfdb_of_absurd_length,
        "absurd frames": wfdb_of_absurd_frames,
        "absurd signals": wfdb_of_absurd_signals,
        "absurd offset": wfdb_of_absurd_offset,
    },
    "WFDB 212": {
        "absurd length": wfdb_212_of_absurd_length,
        "absurd skew": wfdb_of_absurd_skew,
        "flac": wfdb_flac_of_absurd_length,
    },
}
