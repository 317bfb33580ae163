"""The model that `train.init_from` names, and whom it has seen.

Owns which folders can be named, and the guard: no patient may be learnt from by one of the two
models and be what the other is judged by. Loads no weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgpipe.apply_model.export.model_folder import CONFIG, MANIFEST, PATIENTS, WEIGHTS, check_files
from ecgpipe.apply_model.export.patients import PatientDigests
from ecgpipe.apply_model.export.patients import read as read_patients
from ecgpipe.errors import CheckpointError, SourceError, StoreError
from ecgpipe.files import read_json_object, sha256_file

_HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class SourceModel:
    """A trained model to begin with."""

    folder: Path
    """As `train.init_from` names it."""

    weights: Path
    sha256: str
    """Of the weights, as its config.json states it."""

    shape: dict[str, Any]
    """The fields of its `ModelShape`."""

    vectors: str
    """Digest of the fingerprint of its text vectors."""

    def check_files(self) -> None:
        """Compare the files with their digests.

        Raises:
            CheckpointError: one is damaged or missing.
        """
        if (self.folder / MANIFEST).is_file():
            check_files(self.folder)
        elif not self.weights.is_file() or sha256_file(self.weights) != self.sha256:
            raise CheckpointError(
                f"train.init_from: {self.weights} does not match its config.json: it is damaged, or"
                " was being written. Run `ecgpipe train` for that run."
            )

    def patients(self) -> PatientDigests:
        """Whom it was trained, validated and tested on, and the models that it began with.

        Raises:
            CheckpointError: its folder does not say, or is damaged.
        """
        path = self.folder / PATIENTS
        if not path.exists():
            raise CheckpointError(
                f"train.init_from: {self.folder} has no {PATIENTS}, so nobody can tell whether this"
                " run would learn from patients that the model was tested on, or be tested on"
                " patients that it has learnt from. Export the model with its patients' digests."
            )
        return read_patients(path)


def find_source(folder: Path) -> SourceModel:
    """Find the model in an exported folder or in a run's.

    Raises:
        CheckpointError: there is none, or its config.json is damaged.
    """
    if (folder / MANIFEST).is_file():
        inner, sha256 = folder, "weights_sha256"
    elif (folder / "model" / CONFIG).is_file():
        inner, sha256 = folder / "model", "sha256"
    else:
        raise CheckpointError(
            f"train.init_from: {folder} holds no model. Name a folder that `ecgpipe export` wrote,"
            " or that of a trained run (work/runs/NAME)."
        )
    try:
        names = (sha256, "shape", "vectors")
        config = read_json_object(inner / CONFIG, names, "Export or train the model again.")
    except StoreError as error:
        raise CheckpointError(f"train.init_from: {error}") from error
    weights = inner / WEIGHTS
    return SourceModel(folder, weights, config[sha256], config["shape"], config["vectors"])


@dataclass(frozen=True)
class Leaks:
    """Patients whom one model learns from and the other is judged by: their ids, never shown."""

    judge_the_source: frozenset[str]
    """In this run's training part, and in a validation or test part of the source."""

    taught_the_source: frozenset[str]
    """In this run's validation or test part, and in a training part of the source."""


def find_leaks(patients: Iterable[tuple[str, str]], seen: PatientDigests) -> Leaks:
    """Find them.

    Args:
        patients: the patient id and the split of every record of this run.
        seen: whom the source has seen.
    """
    by_split: dict[str, set[str]] = {}
    for patient, split in patients:
        by_split.setdefault(split, set()).add(patient)
    held_out = set[str]().union(*(by_split.get(split, ()) for split in _HELD_OUT))
    return Leaks(
        judge_the_source=seen.contains(by_split.get("train", ()), _HELD_OUT),
        taught_the_source=seen.contains(held_out, ("train",)),
    )


def leaks_in_words(leaks: Leaks) -> list[tuple[frozenset[str], str, str]]:
    """For each kind of leak that there is: the patients, what is wrong, and what to do."""
    found = (
        (
            leaks.judge_the_source,
            "in the training part, but in the validation or test part of the model in"
            " train.init_from, whose figures would then be of patients that were learnt from",
            "Put all their ECGs into val or test with the column `split`, or leave them out.",
        ),
        (
            leaks.taught_the_source,
            "in the validation or test part, but the model in train.init_from has learnt from"
            " them, which would flatter this run's figures",
            "Put all their ECGs into train with the column `split`, or leave them out.",
        ),
    )
    return [each for each in found if each[0]]


def refuse_leaks(patients: Iterable[tuple[str, str]], source: SourceModel) -> None:
    """Refuse to train on patients that the source is judged by, or to be judged by its own.

    Args:
        patients: the patient id and the split of every record of this run.
        source: the model to begin with.

    Raises:
        SourceError: saying how many patients there are, and naming none.
        CheckpointError: the source does not say whom it has seen.
    """
    words = leaks_in_words(find_leaks(patients, source.patients()))
    if words:
        parts = " ".join(f"{_patients(len(who))} {what}. {fix}" for who, what, fix in words)
        raise SourceError(
            f"train.init_from {source.folder}: {parts} `ecgpipe check --list FILE` lists their"
            " rows."
        )


def _patients(n: int) -> str:
    return "1 patient is" if n == 1 else f"{n:,} patients are"
