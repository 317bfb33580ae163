"""What ecgpipe made in a work_dir, piece by piece.

Owns how a piece is recognised: by the name and the content that ecgpipe gives it. A folder that
also holds something else is left alone, and no link is followed. Text vectors are no piece.
"""

import contextlib
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ecgpipe.cache.signals import format as fmt
from ecgpipe.errors import StoreError
from ecgpipe.files import LEFTOVER_AFTER_S, TEMPORARY, read_json
from ecgpipe.workspace import Workspace, evaluations_of, run_key_path

Kind = Literal["signals", "records", "run", "evaluation", "leftovers"]

_STORE = re.compile(r"[0-9a-f]{16}\.zarr")
_TABLE = re.compile(r"([0-9a-f]{16})\.(json|parquet|rejected\.csv)")
_EVALUATION = re.compile(r"[0-9a-f]{12}")

_IN_STORE = {"zarr.json", "signal", "done", "manifest.json", "roots.json"}
_IN_RUN = {
    *("run.json", "config.yaml", "log.jsonl", "steps.jsonl", "tensorboard", "checkpoints"),
    *("model", "patients.json", "eval", "evals", "writers", "report-scores"),
}
_IN_EVALUATION = {"results.json", "scores.h5", "report.md", "report.html", "tables", "figures"}


@dataclass(frozen=True)
class Piece:
    """Files that are needed, or not, together."""

    kind: Kind
    name: str
    """Its place below work_dir."""

    paths: tuple[Path, ...]
    """Its folders and files; what makes the others count comes first."""


class Contents:
    """The pieces in one work_dir, and remarks on what had to be left out of them."""

    def __init__(self, workspace: Workspace) -> None:
        """Look into the work_dir of a workspace, which may be a link itself."""
        self.root = workspace.work_dir.resolve()
        self.remarks: list[str] = []
        self._places = Workspace(self.root, workspace.name)

    def signals(self) -> list[Piece]:
        """All signal stores, also unfinished ones."""
        return [
            self._piece("signals", path)
            for path in self._folders(self._places.all_signals)
            if _STORE.fullmatch(path.name)
            and _value(fmt.group_path(path), "attributes", "format") == fmt.FORMAT
            and self._has_only(path, _IN_STORE)
        ]

    def records(self) -> list[Piece]:
        """All records tables, each with its list of rejected records."""
        found: dict[str, list[Path]] = defaultdict(list)
        for path in self._entries(self._places.all_records):
            if (match := _TABLE.fullmatch(path.name)) and _is_own_file(path):
                found[match[1]].append(path)  # sorted: the JSON file comes first
        folder = self._places.all_records.name
        return [Piece("records", f"{folder}/{name}", tuple(found[name])) for name in found]

    def runs(self) -> list[Piece]:
        """All runs, also those that were set aside."""
        return [
            self._piece("run", path)
            for path in self._folders(self._places.runs)
            if _value(run_key_path(path), "format") == "ecgpipe-run/1"
        ]

    def is_pure(self, run: Piece) -> bool:
        """Whether a run's folder holds only what ecgpipe wrote; remarks on it if not."""
        return self._has_only(run.paths[0], _IN_RUN)

    def evaluations(self, run: Piece) -> list[Piece]:
        """The evaluations of a run that its `eval` does not lead to."""
        (folder,) = run.paths
        linked = (folder / "eval").resolve()
        return [
            self._piece("evaluation", path)
            for path in self._folders(evaluations_of(folder))
            if _EVALUATION.fullmatch(path.name)
            and path != linked
            and self._has_only(path, _IN_EVALUATION)
        ]

    def leftovers(self) -> Iterator[Piece]:
        """What killed processes left, if there is any: temporary files older than a day."""
        places = self._places
        folders = [places.all_signals, places.all_records, places.embeddings, places.runs]
        folders += [places.status.parent, places.jobs.parent]
        found = [path for folder in folders for path in self._temporary_below(folder)]
        if found:
            things = "1 temporary file" if len(found) == 1 else f"{len(found):,} temporary files"
            yield Piece("leftovers", f"{things} of killed processes", tuple(found))

    def _piece(self, kind: Kind, path: Path) -> Piece:
        return Piece(kind, str(path.relative_to(self.root)), (path,))

    def _folders(self, parent: Path) -> list[Path]:
        return [p for p in self._entries(parent) if p.is_dir() and not p.is_symlink()]

    def _entries(self, folder: Path) -> list[Path]:
        if folder.is_symlink():
            self.remarks.append(f"{folder} is a link, which is not followed.")
            return []
        try:
            return sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.remarks.append(f"{folder} is left alone: it cannot be read ({error.strerror}).")
            return []

    def _has_only(self, folder: Path, names: set[str]) -> bool:
        others = [
            path
            for path in self._entries(folder)
            if path.name not in names and not TEMPORARY.fullmatch(path.name)
        ]
        if others:  # unnamed: a file of a user's may be called after a patient
            self.remarks.append(
                f"{folder} is left alone: it also holds {len(others)} files or folders that ecgpipe"
                " did not write."
            )
        return not others

    def _temporary_below(self, folder: Path) -> Iterator[Path]:
        if folder.is_symlink():
            return
        for parent, folders, files in os.walk(folder):
            for name in [name for name in (*folders, *files) if TEMPORARY.fullmatch(name)]:
                path = Path(parent, name)
                with contextlib.suppress(OSError):
                    if time.time() - path.lstat().st_mtime > LEFTOVER_AFTER_S:
                        yield path
            folders[:] = [name for name in folders if not TEMPORARY.fullmatch(name)]


def _is_own_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _value(path: Path, *keys: str) -> Any:
    """A value in a JSON file; None if it is not there."""
    with contextlib.suppress(StoreError, LookupError, TypeError):
        value = read_json(path)
        for key in keys:
            value = value[key]
        return value
    return None
