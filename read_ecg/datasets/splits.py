"""Train, val and test, always by patient.

Owns how splits are drawn, and the refusal of a patient in two splits.
"""

import hashlib
from collections.abc import Iterable, Sequence

from ecgpipe.config.data import SplitConfig
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.source import SourceRow

_NAMES = ("train", "val", "test")


def draw_split(patient_id: str, config: SplitConfig) -> str:
    """The split of a patient.

    A hash of seed and patient decides, so it does not depend on which other patients there are.
    """
    digest = hashlib.sha256(f"{config.seed}\0{patient_id}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    train, val, _ = config.fractions
    return _NAMES[(place >= train) + (place >= train + val)]


def assign_splits(rows: Sequence[SourceRow], config: SplitConfig) -> list[str]:
    """The split of each row: the one the source states, otherwise drawn by patient.

    Raises:
        SourceError: a source states a split for some of its rows only.
    """
    stated = sum(row.split is not None for row in rows)
    if 0 < stated < len(rows):
        row = next(row for row in rows if row.split is None)
        raise SourceError(
            f"{row.place} states no split, but {stated:,} other rows do. Fill the column, or"
            " remove it to have the split drawn by patient."
        )
    return [row.split or draw_split(row.patient_id, config) for row in rows]


Leak = tuple[SourceRow, str, SourceRow, str]


def patients_in_two_splits(rows: Iterable[tuple[SourceRow, str]]) -> list[Leak]:
    """Rows whose patient has an earlier row in another split: that row and its split, then this row
    and its split."""
    first: dict[str, tuple[SourceRow, str]] = {}
    leaks = []
    for row, split in rows:
        other, other_split = first.setdefault(row.patient_id, (row, split))
        if other_split != split:
            leaks.append((other, other_split, row, split))
    return leaks


def check_patients(rows: Iterable[tuple[SourceRow, str]]) -> None:
    """Refuse a patient in two splits: the model would be tested on people it was trained on.

    Raises:
        SourceError: naming two rows of one such patient, without ids.
    """
    leaks = patients_in_two_splits(rows)
    if leaks:
        other, other_split, row, split = leaks[0]
        raise SourceError(
            f"{len(leaks):,} records are of a patient who also has records in another split, so the"
            f" test would be on people the model was trained on. For one, {other.place} is in"
            f" {other_split} and {row.place}, of the same patient, in {split}. Put all ECGs of a"
            " patient into one split."
        )
