"""What a data set adapter returns: rows with a recording, a patient, and what is known of the ECG.

Owns the contract between adapters and `prepare`. An adapter reads tables, never signals, so all
rows of a large data set take seconds.
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
    """'' if the source does not say; such a record is rejected."""

    path: str
    """The recording, relative to the source's root."""

    findings: tuple[str, ...]
    """As the source writes them: ids, names, synonyms or codes of the taxonomy."""

    public_codes: bool = False
    """Whether the findings are codes of a public list, which no taxonomy covers completely: unknown
    ones are left out and counted. Otherwise one unknown finding rejects the record."""

    also_in: str | None = None
    """The kind of data set this recording was copied from; if that is also a source, the copy is
    left out and counted."""

    start_s: float | None = None
    """Where this ECG begins in a longer recording; None if it is the whole recording."""

    length_s: float | None = None
    """Its length, if start_s is given."""

    report: str | None = None
    echo: tuple[tuple[str, str], ...] | None = None
    """What an echocardiogram of this ECG measured: a column of data.echo that states its unit, and
    the cell. None if the source knows of no echocardiogram."""

    split: str | None = None
    """train, val or test; None if the source does not say."""

    age: float | None = None
    """In years."""

    sex: str | None = None
    """male, female or other; None if the source does not say."""

    site: str | None = None
    recorded_at: str | None = None
    place: str = ""
    """The place of the row, for messages, with the source's name: 'row 17 of records'."""


@dataclass(frozen=True, kw_only=True)
class SourceRows:
    """All rows of one source."""

    name: str
    """What the source is called, in messages and the records table."""

    kind: str
    """Which adapter read it."""

    root: Path
    table: Path
    """The file or folder the rows come from."""

    rows: Sequence[SourceRow]
    """A `RowTable`: there may be a million."""

    read: Callable[[Path], EcgRecord] | None = None
    """The data set's own reader of recordings; None reads them by their content."""

    label: str = ""
    """Its key in `source_roots`: what tells it from the other sources, wherever its root lies."""

    left_out: Mapping[str, int] = field(default_factory=dict)
    """What was left out of the rows on purpose, and how often; for the report."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A row, with its source."""

    row: SourceRow
    source: SourceRows
    """Without its rows."""

    @property
    def split(self) -> str:
        """The split that was stated or drawn."""
        assert self.row.split is not None, self.row.place
        return self.row.split


def recording_path(root: Path, path: str) -> Path:
    """The recording a row names, which must be below `root`.

    Raises:
        RecordError: the path is empty, absolute, or leaves the root with '..'. Links below the root
            are followed: whoever can place them there can also place files.
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
    """train, val or test, from the usual spellings.

    Raises:
        SourceError: the text is not one of them.
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
        raise SourceError(f"{place}: split is {text!r}, but must be train, val or test.")
    return known[text.casefold()]


def parse_number(text: str) -> float | None:
    """A finite number; None if the cell is empty or holds anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
