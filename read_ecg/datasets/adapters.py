"""Which adapter reads which kind of source, and a digest that changes with its rows.

Owns the register, where a new data set is one more line, and which rows of several sources are
planned. See docs/adapters.md.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgpipe.config.data import (
    Cinc2021Source,
    DataConfig,
    MimicIvEcgSource,
    MitbihSource,
    PtbxlSource,
    Source,
    TableSource,
)
from ecgpipe.errors import SourceError
from ecgpipe.files import digest_of, sha256_file
from ecgpipe.read_ecg.datasets.cinc2021 import cinc2021_headers, read_cinc2021
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
    """Whether those files are hashed; if there are too many, size and time are used."""


_ADAPTERS: dict[type, _Adapter] = {
    PtbxlSource: _Adapter(read_ptbxl, lambda s: [s.root / "ptbxl_database.csv"]),
    TableSource: _Adapter(read_hospital_table, lambda s: [s.table]),
    Cinc2021Source: _Adapter(read_cinc2021, cinc2021_headers, by_content=False),
    MitbihSource: _Adapter(read_mitbih, mitbih_annotations),
    MimicIvEcgSource: _Adapter(read_mimic_iv_ecg, mimic_iv_ecg_tables),
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


def source_digest(source: Source) -> str:
    """A digest that changes when the rows of a source may have changed; reads no recording.

    Raises:
        SourceError: a file that the rows come from is missing.
    """
    adapter = _ADAPTERS[type(source)]
    state = sha256_file if adapter.by_content else _size_and_time
    states = []
    for file in adapter.files(source):
        try:
            states.append(state(file))
        except OSError:
            raise SourceError(
                f"The table {file} does not exist or cannot be read. Check data.sources."
            ) from None
    return states[0] if len(states) == 1 else digest_of(states)


def _size_and_time(file: Path) -> str:
    status = file.stat()
    return f"{file} {status.st_size} {status.st_mtime_ns}"
