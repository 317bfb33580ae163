"""A run's folder: which run it holds, and what happens when the settings change.

Owns run.json and config.yaml in it, and when a run is set aside. Nothing is overwritten or moved
without a message: a run with other settings is set aside, and comes back when its settings do.
Identifies a run by its key, and must not know what the key depends on.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ecgpipe.config.file import config_as_dict, config_as_yaml, load_yaml
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.places import without_places
from ecgpipe.errors import StoreError
from ecgpipe.files import fsync_folder, read_json, storing, write_atomic, write_json_atomic
from ecgpipe.progress import say
from ecgpipe.provenance import provenance
from ecgpipe.train_ecg.loop.early_stopping import last_epoch
from ecgpipe.workspace import Workspace, run_config_path, run_key_path

_MOST_SHOWN = 3
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class RunFolder:
    """The folder of the run with these settings."""

    workspace: Workspace
    config: PipelineConfig
    key: str

    not_in_key: frozenset[str]
    """Dotted names of settings that the key does not depend on."""

    contents: Callable[[], Mapping[str, str]]
    """Digests of what else the key depends on, by what is said of a run where one differs."""

    def fits(self, folder: Path | None = None) -> bool:
        """Whether the run in this folder, by default the current one, can become this one."""
        folder = folder or self.workspace.run
        same = _key_in(folder) == self.key
        return same and not _lost_its_checkpoints(folder) and not self._is_too_long(folder)

    def is_longer(self) -> bool:
        """Whether the current run is this one, but trained for longer than the settings say."""
        return _key_in(self.workspace.run) == self.key and self._is_too_long(self.workspace.run)

    def waiting(self, done_only: bool = False) -> Path | None:
        """A run with these settings that was set aside and is further than the current one.

        Args:
            done_only: whether it must be fully trained.
        """
        aside = [folder for folder in self.workspace.old_runs() if self.fits(folder)]
        if done_only:
            aside = [folder for folder in aside if self._is_done(folder)]
        if not aside:
            return None
        furthest = max(aside, key=lambda folder: len(self._values(folder)))
        run = self.workspace.run
        current = len(self._values(run)) if self.fits() else -1
        return furthest if len(self._values(furthest)) > current else None

    def take_back(self, done_only: bool = False) -> None:
        """Move the `waiting` run back, if there is one.

        Raises:
            StoreError: a folder cannot be moved.
        """
        if waiting := self.waiting(done_only):
            self._set_aside()
            self._move(waiting, self.workspace.run)
            say(f"train: {waiting.name}, a run with these settings, was moved back")

    def begin(self) -> None:
        """Make the folder this run's: move it back if it was set aside, or start with an empty one.

        Raises:
            StoreError: a folder cannot be moved or written.
        """
        self.take_back()
        if not self.fits():
            self._set_aside()
        run = self.workspace.run
        write_atomic(run_config_path(run), config_as_yaml(self.config).encode())
        about = {
            "format": "ecgpipe-run/1",
            "run_key": self.key,
            "contents": dict(self.contents()),
            "provenance": provenance(),
        }
        write_json_atomic(run_key_path(run), about)

    def _is_too_long(self, folder: Path) -> bool:
        """Whether it trained for longer than these settings would."""
        epochs, last = self._epochs(folder)
        return last is not None and last < epochs

    def _is_done(self, folder: Path) -> bool:
        epochs, last = self._epochs(folder)
        return last == epochs and (folder / "model" / "config.json").exists()

    def _epochs(self, folder: Path) -> tuple[int, int | None]:
        """How many were started, and after which one these settings would end."""
        values, train = self._values(folder), self.config.train
        return len(values), last_epoch(values, train.epochs, train.patience)

    def _values(self, folder: Path) -> list[float | None]:
        """The validation metric of each epoch that was started, from the newest checkpoint; None
        for one that is not validated yet."""
        for path in sorted(folder.glob("checkpoints/step-*/state.json"), reverse=True):
            with suppress(StoreError, KeyError, TypeError, AttributeError):
                state = read_json(path)
                best_by = self.config.train.best_by
                values = [entry["val"].get(best_by) for entry in state["history"]]
                return [*values, None] if state["step_metrics"] else values
        return []

    def _set_aside(self) -> None:
        """Set the current run aside, if there is one, and say why."""
        run = self.workspace.run
        if not any(run.glob("*")):
            return
        old = self.workspace.next_old_run()
        why = self._why_not()
        self._move(run, old)
        say(f"train: the previous run {why}; it was kept as {old.name}")

    def _why_not(self) -> str:
        """Why the current run cannot be continued as this one."""
        folder = self.workspace.run
        if _key_in(folder) == self.key:
            if _lost_its_checkpoints(folder):
                return "has lost its checkpoints"
            if self._is_too_long(folder):
                return "trained for longer than these settings say"
            return "is not as far as one with the same settings"
        try:
            before = load_yaml(run_config_path(folder).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            before = None
        if not isinstance(before, Mapping):
            return "has no readable settings"
        now = without_places(config_as_dict(self.config))
        changed = list(_differences(without_places(before), now, self.not_in_key))
        if not changed:
            return self._what_else_changed(folder)
        more = f" and {len(changed) - _MOST_SHOWN} more" if len(changed) > _MOST_SHOWN else ""
        return f"had other settings ({', '.join(changed[:_MOST_SHOWN])}{more})"

    def _what_else_changed(self, folder: Path) -> str:
        """What the run of this folder, of the same settings, was made from."""
        try:
            before = read_json(run_key_path(folder))["contents"]
            others = [name for name, digest in self.contents().items() if before[name] != digest]
        except (StoreError, KeyError, TypeError):
            others = []
        if not others:  # a run of an earlier version does not tell them apart
            return "had other data, texts or vectors, or was made by another version of ecgpipe"
        return f"had these settings, but was made from something else ({', '.join(others)})"

    def _move(self, source: Path, target: Path) -> None:
        with storing(target):
            source.rename(target)
            fsync_folder(self.workspace.runs)


def _key_in(folder: Path) -> str | None:
    with suppress(StoreError, KeyError, TypeError):
        return str(read_json(run_key_path(folder))["run_key"])
    return None


def _lost_its_checkpoints(folder: Path) -> bool:
    """Whether there is a model but no checkpoint, so that training would overwrite it."""
    made = (folder / "model" / "config.json").exists()
    return made and not any(folder.glob("checkpoints/step-*"))


def _differences(
    before: Any, after: Any, not_in_key: frozenset[str], place: str = ""
) -> Iterator[str]:
    """Each setting whose values differ, with both values if they are short."""
    if place in not_in_key:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            inner = f"{place}.{key}" if place else str(key)
            yield from _differences(before.get(key), after.get(key), not_in_key, inner)
    elif before != after:
        both = f"{place} was {before} and is {after}"
        yield both if len(both) <= len(place) + 2 * _LONGEST_SHOWN else place
