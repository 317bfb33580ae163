"""The paths and bytes of the signal store `ecgpipe-signal/1`: pure functions, no disk.

    <store>/zarr.json              Zarr v3 group; its attributes say how the signals were made
    <store>/signal/zarr.json       int16 (records, 12, samples), 1 µV a step, -32768 = no reading
    <store>/signal/c/<shard>/0/0   1,024 records, one chunk a record: bytes (little) + crc32c
    <store>/done/<shard>.json      written after its shard: what became of each record
    <store>/manifest.json          written last: the store is complete

It is ordinary Zarr v3 that any Zarr library reads, uncompressed, with one chunk per record, so that
a random record is one read at the offset in the shard's index: at memory-map speed, where
zarr-python is 20 to 50 times slower. No ECG sample has the fill value, so a record that was never
written cannot pass for a flat line.

Zarr's own checksums cover samples and index. Done files and manifest carry a checksum of their
other entries (`sum`), and the manifest those of both zarr.json (`zarr_sums`): otherwise a flipped
bit in a lead's name or in the number of records would go unnoticed.

Source: Zarr v3 core specification; codecs `sharding_indexed`, `bytes`, `crc32c`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import crc32c
import numpy as np
import numpy.typing as npt
import xxhash

from ecgpipe.files import canonical_json

FORMAT = "ecgpipe-signal/1"
RECORDS_PER_SHARD = 1024
NO_READING = np.int16(-32768)
LEAST_SIGNIFICANT_BIT_UV = 1.0
CRC_BYTES = 4

_ABSENT = np.uint64(2**64 - 1)
_INDEX_BYTES = RECORDS_PER_SHARD * 16 + CRC_BYTES

Index = npt.NDArray[np.uint64]


def group_path(folder: Path) -> Path:
    """The root zarr.json of the store in `folder`."""
    return folder / "zarr.json"


def array_path(folder: Path) -> Path:
    """The zarr.json of the samples."""
    return folder / "signal" / "zarr.json"


def shard_path(folder: Path, shard: int) -> Path:
    """One shard's file."""
    return folder / "signal" / "c" / str(shard) / "0" / "0"


def done_path(folder: Path, shard: int) -> Path:
    """The file that says that a shard is complete, and what became of each record."""
    return folder / "done" / f"{shard}.json"


def manifest_path(folder: Path) -> Path:
    """The file that says that the store is complete."""
    return folder / "manifest.json"


def remake_hint(path: Path) -> str:
    """What to do about a damaged store or table, as the last sentence of an error message."""
    return f"Remove {path} and run `ecgpipe prepare`."


def n_shards(n_records: int) -> int:
    """How many shards hold `n_records` slots."""
    return -(-n_records // RECORDS_PER_SHARD)


def slots_of(shard: int, n_records: int) -> range:
    """The slots of one shard of a store of `n_records` slots."""
    first = shard * RECORDS_PER_SHARD
    return range(first, min(first + RECORDS_PER_SHARD, n_records))


def group_metadata(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The root zarr.json."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def array_metadata(n_records: int, leads: tuple[str, ...], samples: int) -> dict[str, Any]:
    """signal/zarr.json: the only codec chain our reader serves."""
    plain_bytes = {"name": "bytes", "configuration": {"endian": "little"}}
    checked = [plain_bytes, {"name": "crc32c"}]
    sharding = {
        "chunk_shape": [1, len(leads), samples],
        "codecs": checked,
        "index_codecs": checked,
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [n_records, len(leads), samples],
        "data_type": "int16",
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [RECORDS_PER_SHARD, len(leads), samples]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": int(NO_READING),
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": ["record", "lead", "sample"],
        "attributes": {
            "leads": list(leads),
            "units": "uV",
            "lsb_uv": LEAST_SIGNIFICANT_BIT_UV,
            "no_reading": int(NO_READING),
        },
        "storage_transformers": [],
    }


def checksum_of(value: Any) -> str:
    """xxh3-128 of a JSON value, as 32 hex digits, regardless of the file's spacing."""
    return str(xxhash.xxh3_128(canonical_json(value).encode()).hexdigest())


def with_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with a checksum of itself, under `sum`."""
    return {**value, "sum": checksum_of(value)}


def matches_checksum(value: Mapping[str, Any]) -> bool:
    """Whether an object is as `with_checksum` made it."""
    rest = {key: entry for key, entry in value.items() if key != "sum"}
    return value.get("sum") == checksum_of(rest)


def chunk_bytes(signal: npt.NDArray[np.int16]) -> bytes:
    """One record (12, samples) as stored in a shard: little-endian samples, then their CRC."""
    payload = signal.astype("<i2", copy=False).tobytes()
    return payload + crc32c.crc32c(payload).to_bytes(CRC_BYTES, "little")


def empty_index() -> Index:
    """The index (1024, 2) of a shard without records: offset and length, all absent."""
    return np.full((RECORDS_PER_SHARD, 2), _ABSENT, np.uint64)


def index_bytes(index: Index) -> bytes:
    """A shard's index as stored at its end."""
    payload = index.astype("<u8").tobytes()
    return payload + crc32c.crc32c(payload).to_bytes(CRC_BYTES, "little")


def parse_index(shard: npt.NDArray[np.uint8], chunk_length: int) -> Index:
    """The index (1024, 2) at the end of a shard's bytes; its rows are offset and length.

    Raises:
        ValueError: the shard is too short, its index is damaged, or an entry points outside it.
    """
    if len(shard) < _INDEX_BYTES:
        raise ValueError(f"its {len(shard):,} bytes are too few to hold an index")
    tail = shard[-_INDEX_BYTES:]
    payload, stored = tail[:-CRC_BYTES].tobytes(), tail[-CRC_BYTES:].tobytes()
    if crc32c.crc32c(payload) != int.from_bytes(stored, "little"):
        raise ValueError("its index does not match its checksum")
    index: Index = np.frombuffer(payload, "<u8").reshape(-1, 2).astype(np.uint64)
    offsets, lengths = index[present(index)].T
    end = len(shard) - _INDEX_BYTES
    if (lengths != chunk_length).any() or (offsets > max(end - chunk_length, 0)).any():
        raise ValueError("its index points outside the shard")
    return index


def present(index: Index) -> npt.NDArray[np.bool_]:
    """Which of the 1,024 places hold a record."""
    held: npt.NDArray[np.bool_] = index[:, 0] != _ABSENT
    return held


def matches_crc(samples: memoryview, stored: memoryview) -> bool:
    """Whether the bytes of a record's samples match the CRC stored after them."""
    return bool(crc32c.crc32c(samples) == int.from_bytes(stored, "little"))
