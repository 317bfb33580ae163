"""Which patients a model has seen, without their ids: patients.json.

Owns its format, `ecgpipe-patients/1`. A patient is an HMAC-SHA256 of the id under a random salt
that lies in the file, so two exports of one patient cannot be matched by their digests, and nobody
reads an id from the file. But whoever can guess an id (a short number) can test it: the file is as
confidential as the question who was examined. docs/decisions.md says so, and an export can leave it
out.

A model that began with another's weights (`train.init_from`) has seen that one's patients too, so
its file also holds theirs, each under its own salt.
"""

import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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

    earlier: tuple["PatientDigests", ...] = ()
    """Those of the models that it began with; they have no earlier ones of their own."""

    def contains(
        self, ids: Iterable[str], splits: Iterable[str] = ("val", "test")
    ) -> frozenset[str]:
        """Those of these patient ids that are in one of the splits.

        Args:
            ids: patient ids as the data name them; repeated ones cost nothing.
            splits: by default those that a model must never be trained on.
        """
        asked, wanted = frozenset(ids), tuple(splits)
        known = frozenset[str]().union(*(self.by_split[split] for split in wanted))
        own = (one for one in asked if digest_of_patient(self.salt, one) in known)
        return frozenset(own).union(*(each.contains(asked, wanted) for each in self.earlier))


def digest_of_patient(salt: bytes, patient_id: str) -> str:
    """The digest of one patient id, 64 hex digits."""
    return hmac.digest(salt, patient_id.encode(), "sha256").hex()


def patients_json(
    patients: Mapping[str, Iterable[str]], source: PatientDigests | None = None
) -> bytes:
    """The content of patients.json, under a new salt.

    Args:
        patients: the patient ids of each split.
        source: of the model that this one began with.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    digests = {
        split: sorted({digest_of_patient(salt, one) for one in patients.get(split, ())})
        for split in SPLITS
    }
    earlier = [_as_json(each) for each in (source, *source.earlier)] if source else []
    entry = {"format": FORMAT, "salt": salt.hex(), "splits": digests, "earlier": earlier}
    return json.dumps(entry, indent=1).encode()


def write(
    path: Path, patients: Mapping[str, Iterable[str]], source: PatientDigests | None = None
) -> None:
    """Write patients.json, whole or not at all; the rest as for `patients_json`.

    Raises:
        StoreError: it cannot be written.
    """
    write_atomic(path, patients_json(patients, source))


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
        earlier = tuple(_of_json(entry) for entry in content.get("earlier", ()))
        return replace(_of_json(content), earlier=earlier)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}). Export the model again.") from error


def _as_json(one: PatientDigests) -> dict[str, object]:
    splits = {split: sorted(digests) for split, digests in one.by_split.items()}
    return {"salt": one.salt.hex(), "splits": splits}


def _of_json(entry: Mapping[str, Any]) -> PatientDigests:
    by_split = {split: frozenset(map(str, entry["splits"][split])) for split in SPLITS}
    return PatientDigests(bytes.fromhex(entry["salt"]), by_split)
