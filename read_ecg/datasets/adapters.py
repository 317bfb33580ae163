"""Which adapter reads which kind of source, and a digest that changes with its rows.

Owns the register, where a new data set is one more line, and which rows of several sources are
planned. See docs/adapters.md.
"""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgpipe.config.data import (
    Cinc2021Source,
    DataConfig,
    EchonextSource,
    MimicIvEcgSource,
    MitbihSource,
    PtbxlSource,
    Source,
    TableSource,
)
from ecgpipe.errors import SourceError, StoreError
from ecgpipe.files import digest_of, read_json_object, sha256_file, write_json_atomic
from ecgpipe.read_ecg.datasets.cinc2021 import cinc2021_headers, read_cinc2021
from ecgpipe.read_ecg.datasets.echonext import TABLE as ECHONEXT_TABLE
from ecgpipe.read_ecg.datasets.echonext import read_echonext
from ecgpipe.read_ecg.datasets.hospital_table import read_hospital_table
from ecgpipe.read_ecg.datasets.mimic_iv_ecg import mimic_iv_ecg_tables, read_mimic_iv_ecg
from ecgpipe.read_ecg.datasets.mitbih import mitbih_annotations, read_mitbih
from ecgpipe.read_ecg.datasets.ptbxl import read_ptbxl
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import SourceRows


@dataclass(frozen=True)
class _Adapter:
    read: Callable[[Any], SourceRows]
    files: Callable[[Any], list[Path]]
    """The files that the rows come from."""

    by_content: bool = True
    """Whether those files are hashed each time; if there are too many, only when a size or a time
    has changed."""


_REMEMBERED = 16
"""Digests kept in the memo."""

_ADAPTERS: dict[type, _Adapter] = {
    PtbxlSource: _Adapter(read_ptbxl, lambda s: [s.root / "ptbxl_database.csv"]),
    TableSource: _Adapter(read_hospital_table, lambda s: [s.table]),
    Cinc2021Source: _Adapter(read_cinc2021, cinc2021_headers, by_content=False),
    MitbihSource: _Adapter(read_mitbih, mitbih_annotations),
    MimicIvEcgSource: _Adapter(read_mimic_iv_ecg, mimic_iv_ecg_tables),
    EchonextSource: _Adapter(read_echonext, lambda s: [s.root / ECHONEXT_TABLE]),
}


def read_source(source: Source) -> SourceRows:
    """All rows of a source.

    Raises:
        SourceError: its table or folder is missing or malformed.
    """
    return _ADAPTERS[type(source)].read(source)


def planned_rows(source: SourceRows, config: DataConfig) -> SourceRows:
    """The source without rows that another source has too, and without those beyond data.limit."""
    kinds = {other.kind for other in config.sources}
    rows, left_out = RowTable.of(source.rows), dict(source.left_out)
    if copies := sum(also_in in kinds for also_in in rows.table["also_in"].to_pylist()):
        rows = RowTable.of(row for row in rows if row.also_in not in kinds)
        left_out[f"records of {source.name} that another source has too"] = copies
    if config.limit is not None and config.limit < len(rows):
        rows = rows[: config.limit]
    return dataclasses.replace(source, rows=rows, left_out=left_out)


def source_roots(config: DataConfig) -> dict[str, Path]:
    """The root of each source, in order, by what tells the sources apart wherever the roots lie: a
    table's name or the kind, numbered where two are alike. Reads nothing."""
    roots: dict[str, Path] = {}
    times: Counter[str] = Counter()
    for source in config.sources:
        if isinstance(source, TableSource):
            name, root = source.table.name, source.root or source.table.parent
        else:
            name, root = source.kind, source.root
        times[name] += 1
        roots[name if times[name] == 1 else f"{name} ({times[name]})"] = root
    return roots


def source_digest(source: Source, memo: Path) -> str:
    """A digest that changes when the rows of a source may have changed; reads no recording.

    Args:
        source: its settings.
        memo: a JSON file of digests by names, sizes and modification times, so that a hundred
            thousand headers are read only once.

    Raises:
        SourceError: a file that the rows come from is missing.
    """
    adapter = _ADAPTERS[type(source)]
    files = adapter.files(source)
    if not adapter.by_content:
        return _remembered_digest(files, source.root, memo)
    states = [_state(file, sha256_file) for file in files]
    return states[0] if len(states) == 1 else digest_of(states)


def _remembered_digest(files: Sequence[Path], root: Path | None, memo: Path) -> str:
    """The digest of the files' names below `root` and their contents."""
    names = [str(file.relative_to(root)) if root else file.name for file in files]
    seen = digest_of([names, [_state(file, _size_and_time) for file in files]])
    known: dict[str, Any] = {}
    with contextlib.suppress(StoreError):
        known = read_json_object(memo, (), "")
    if not isinstance(known.get(seen), str):
        content = digest_of([names, [_state(file, sha256_file) for file in files]])
        known = dict([*known.items(), (seen, content)][-_REMEMBERED:])
        with contextlib.suppress(StoreError):  # a work_dir that may only be read
            write_json_atomic(memo, known)
    return str(known[seen])


def _state(file: Path, state: Callable[[Path], str]) -> str:
    try:
        return state(file)
    except OSError:
        raise SourceError(
            f"The table {file} does not exist or cannot be read. Check data.sources."
        ) from None


def _size_and_time(file: Path) -> str:
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
