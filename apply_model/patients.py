"""Which patients a model has seen, without their ids: patients.json.

Owns its format, `ecgpipe-patients/1`. A patient is an HMAC-SHA256 of the id under a random salt
that lies in the file, so two exports of one patient cannot be matched by their digests, and nobody
reads an id from the file. But whoever can guess an id (a short number) can test it: the file is as
confidential as the question who was examined. docs/decisions.md says so, and an export can leave it
out.
"""

import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecgpipe.errors import CheckpointError, StoreError
from ecgpipe.files import read_json_object, write_atomic

FORMAT = "ecgpipe-patients/1"
SPLITS = ("train", "val", "test")

_SALT_BYTES = 16


@dataclass(frozen=True)
class PatientDigests:
    """The patients of each split of a model's data."""

    salt: bytes
    by_split: Mapping[str, frozenset[str]]
    """64 hex digits for each patient, by split."""

    def contains(
        self, ids: Iterable[str], splits: Iterable[str] = ("val", "test")
    ) -> frozenset[str]:
        """Those of these patient ids that are in one of the splits.

        Args:
            ids: patient ids as the data name them; repeated ones cost nothing.
            splits: by default those that a model must never be trained on.
        """
        known = frozenset[str]().union(*(self.by_split[split] for split in splits))
        return frozenset(one for one in set(ids) if digest_of_patient(self.salt, one) in known)


def digest_of_patient(salt: bytes, patient_id: str) -> str:
    """The digest of one patient id, 64 hex digits."""
    return hmac.digest(salt, patient_id.encode(), "sha256").hex()


def patients_json(patients: Mapping[str, Iterable[str]]) -> bytes:
    """The content of patients.json, under a new salt.

    Args:
        patients: the patient ids of each split.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    digests = {
        split: sorted({digest_of_patient(salt, one) for one in patients.get(split, ())})
        for split in SPLITS
    }
    return json.dumps({"format": FORMAT, "salt": salt.hex(), "splits": digests}, indent=1).encode()


def write(path: Path, patients: Mapping[str, Iterable[str]]) -> None:
    """Write patients.json, whole or not at all; `patients` as for `patients_json`.

    Raises:
        StoreError: it cannot be written.
    """
    write_atomic(path, patients_json(patients))


def read(path: Path) -> PatientDigests:
    """Read patients.json.

    Raises:
        CheckpointError: it is missing, damaged, or of another format.
    """
    try:
        content = read_json_object(path, ("format", "salt", "splits"), "Export the model again.")
    except StoreError as error:
        raise CheckpointError(str(error)) from error
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has the format {content['format']!r}; this version reads {FORMAT}. Export the"
            " model again."
        )
    try:
        by_split = {split: frozenset(map(str, content["splits"][split])) for split in SPLITS}
        return PatientDigests(bytes.fromhex(content["salt"]), by_split)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}). Export the model again.") from error
