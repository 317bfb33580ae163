"""A run's folder: whose it is, and what becomes of it when the settings change.

Owns run.json and config.yaml in it, and when a run is set aside. Nothing is overwritten and nothing
moves in silence: a run of other settings is set aside, and comes back when its settings do. Knows a
run by its key, not what the key is made of.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ecgpipe.config.file import config_as_dict, config_as_yaml, load_yaml
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import StoreError
from ecgpipe.files import fsync_folder, read_json, storing, write_atomic, write_json_atomic
from ecgpipe.progress import say
from ecgpipe.provenance import provenance
from ecgpipe.train_ecg.loop.early_stopping import last_epoch
from ecgpipe.workspace import Workspace

_TOLD = 3
_LONGEST_TOLD = 40


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run of these settings."""

    workspace: Workspace
    config: PipelineConfig
    key: str

    idle: frozenset[str]
    """Dotted names of settings that the key does not depend on."""

    def fits(self, folder: Path | None = None) -> bool:
        """Whether the run in this folder, by default the one in its place, can become this one."""
        folder = folder or self.workspace.run
        same = _key_in(folder) == self.key
        return same and not _lost_its_checkpoints(folder) and not self._went_on(folder)

    def is_longer(self) -> bool:
        """Whether the run in its place is this one, but went on for longer than asked."""
        return _key_in(self.workspace.run) == self.key and self._went_on(self.workspace.run)

    def waiting(self, done_only: bool = False) -> Path | None:
        """A run of these settings that was set aside and is further on than the one in its place.

        Args:
            done_only: whether only one that is trained to its end will do.
        """
        aside = [folder for folder in self.workspace.old_runs() if self.fits(folder)]
        if done_only:
            aside = [folder for folder in aside if self._is_done(folder)]
        if not aside:
            return None
        furthest = max(aside, key=lambda folder: len(self._values(folder)))
        run = self.workspace.run
        here = len(self._values(run)) if self.fits() else -1
        return furthest if len(self._values(furthest)) > here else None

    def take_back(self, done_only: bool = False) -> None:
        """Put the `waiting` run back into its place, if there is one.

        Raises:
            StoreError: a folder cannot be moved.
        """
        if waiting := self.waiting(done_only):
            self._clear_place()
            self._move(waiting, self.workspace.run)
            say(f"train: {waiting.name}, a run of these very settings, is back in its place")

    def begin(self) -> None:
        """Put this run into its place, as far as it ever came, or make the place free; and sign it.

        Raises:
            StoreError: a folder cannot be moved or written.
        """
        self.take_back()
        if not self.fits():
            self._clear_place()
        run = self.workspace.run
        write_atomic(run / "config.yaml", config_as_yaml(self.config).encode())
        about = {"format": "ecgpipe-run/1", "run_key": self.key, "provenance": provenance()}
        write_json_atomic(run / "run.json", about)

    def _went_on(self, folder: Path) -> bool:
        """Whether it went on for longer than these settings would."""
        epochs, last = self._epochs(folder)
        return last is not None and last < epochs

    def _is_done(self, folder: Path) -> bool:
        epochs, last = self._epochs(folder)
        return last == epochs and (folder / "model" / "config.json").exists()

    def _epochs(self, folder: Path) -> tuple[int, int | None]:
        """How many were begun, and with which these settings would end."""
        values, train = self._values(folder), self.config.train
        return len(values), last_epoch(values, train.epochs, train.patience)

    def _values(self, folder: Path) -> list[float | None]:
        """The validation figure of each epoch that was begun, as the newest checkpoint has them;
        None for one that is not validated yet."""
        for path in sorted(folder.glob("checkpoints/step-*/state.json"), reverse=True):
            with suppress(StoreError, KeyError, TypeError, AttributeError):
                state = read_json(path)
                best_by = self.config.train.best_by
                values = [entry["val"].get(best_by) for entry in state["history"]]
                return [*values, None] if state["step_metrics"] else values
        return []

    def _clear_place(self) -> None:
        """Set aside the run in this place, and say why."""
        run = self.workspace.run
        if not any(run.glob("*")):
            return
        old = self.workspace.next_old_run()
        why = self._why_not()
        self._move(run, old)
        say(f"train: the run that was here {why}; it is kept as {old.name}")

    def _why_not(self) -> str:
        """What the run in its place has that this one has not."""
        folder = self.workspace.run
        if _key_in(folder) == self.key:
            if _lost_its_checkpoints(folder):
                return "has lost its checkpoints"
            if self._went_on(folder):
                return "went on for longer than these settings ask for"
            return "is not as far as one of the same settings"
        try:
            before = load_yaml((folder / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            before = None
        if not isinstance(before, Mapping):
            return "has no settings that can be read"
        told = list(_differences(before, config_as_dict(self.config), self.idle))
        if not told:
            return "was of other data, texts or vectors, or of another version of ecgpipe"
        more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        return f"was of other settings ({', '.join(told[:_TOLD])}{more})"

    def _move(self, source: Path, target: Path) -> None:
        with storing(target):
            source.rename(target)
            fsync_folder(self.workspace.runs)


def _key_in(folder: Path) -> str | None:
    with suppress(StoreError, KeyError, TypeError):
        return str(read_json(folder / "run.json")["run_key"])
    return None


def _lost_its_checkpoints(folder: Path) -> bool:
    """A model of which nothing can be gone on with: training would overwrite it."""
    made = (folder / "model" / "config.json").exists()
    return made and not any(folder.glob("checkpoints/step-*"))


def _differences(before: Any, after: Any, idle: frozenset[str], place: str = "") -> Iterator[str]:
    """Each setting of which the values differ, with both where they are short."""
    if place in idle:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            inner = f"{place}.{key}" if place else str(key)
            yield from _differences(before.get(key), after.get(key), idle, inner)
    elif before != after:
        both = f" was {before} and is {after}"
        yield place + (both if len(both) <= 2 * _LONGEST_TOLD else "")
