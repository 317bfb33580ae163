"""What a data set adapter yields: rows that name a recording, a patient and what is said of it.

Owns the contract between adapters and the preparation. An adapter reads a table, never a signal:
reading all rows of a large data set takes seconds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ecgpipe.errors import RecordError, SourceError
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRow:
    """One planned ECG, before its recording is read."""

    record_id: str
    patient_id: str
    """'' where the source does not say; such a record is rejected."""

    path: str
    """Of the recording, relative to the source's root."""

    findings: tuple[str, ...]
    """As the source writes them: ids, names, synonyms or codes of the taxonomy."""

    public_codes: bool = False
    """The findings are codes of a public list that no taxonomy covers whole: those that ours lacks
    are left out and counted. Otherwise one unknown finding rejects the record."""

    also_in: str | None = None
    """The kind of the data set this recording is a copy from; where that is a source too, the copy
    is left out and counted."""

    start_s: float | None = None
    """Where in a longer recording this ECG begins; None: it is the whole recording."""

    length_s: float | None = None
    """How long it is, where start_s is given."""

    report: str | None = None
    split: str | None = None
    """train, val or test, or None where the source does not say."""

    age: float | None = None
    sex: str | None = None
    site: str | None = None
    recorded_at: str | None = None
    place: str = ""
    """Where the row stands, for messages: 'row 17 of records.csv'."""


@dataclass(frozen=True, kw_only=True)
class SourceRows:
    """All rows of one source."""

    name: str
    """Short, for messages and the records table."""

    root: Path
    table: Path
    """The file or folder whose content decides the rows."""

    rows: Sequence[SourceRow]
    """A `RowTable`: there may be a million."""

    read: Callable[[Path], EcgRecord] | None = None
    """How the recordings are read where they need knowledge of the data set; None: by content."""

    left_out: Mapping[str, int] = field(default_factory=dict)
    """What was left out of the rows on purpose, and how often: for the report."""


def recording_path(root: Path, path: str) -> Path:
    """The recording a row names, which must lie below `root`.

    Raises:
        RecordError: the path is empty, absolute, or climbs out with '..'. Links below the root are
            followed: whoever may place them there may also place files.
    """
    pure = PurePosixPath(path.replace("\\", "/"))
    parts = pure.parts
    if not parts or pure.is_absolute() or ".." in parts or ":" in parts[0] or "\0" in path:
        raise RecordError(
            Reason.OUTSIDE_ROOT,
            f"its path {path!r} is empty, absolute, or leaves the root {root}; write it relative to"
            " the root",
        )
    return root / pure


def parse_split(text: str, place: str) -> str:
    """train, val or test from the spellings people use.

    Raises:
        SourceError: it is none of them.
    """
    known = {
        "train": "train",
        "training": "train",
        "val": "val",
        "valid": "val",
        "validation": "val",
        "dev": "val",
        "test": "test",
    }
    if text.casefold() not in known:
        raise SourceError(f"{place}: split is {text!r}; train, val and test are known.")
    return known[text.casefold()]


def parse_number(text: str) -> float | None:
    """A number, or None where the cell is empty or holds something else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
