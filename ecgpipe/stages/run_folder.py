"""A run's folder: whose it is, and what becomes of it when the settings change.

Owns run.json and config.yaml in it, and the folders beside it that were set aside (`<name>.old-1`).
Nothing is overwritten and nothing moves in silence: a run of other settings is set aside, and comes
back when its settings do. Knows a run by its key, not what the key is made of.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ecgpipe.config import PipelineConfig
from ecgpipe.config_file import config_as_dict, config_as_yaml, load_yaml
from ecgpipe.errors import StoreError
from ecgpipe.files import read_json, storing, write_atomic, write_json_atomic
from ecgpipe.progress import say
from ecgpipe.provenance import provenance
from ecgpipe.train_ecg.kept_epoch import last_epoch
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
        return _key_in(folder) == self.key and not self._went_on(folder)

    def is_longer(self) -> bool:
        """Whether the run in its place is this one, but went on for longer than asked."""
        return _key_in(self.workspace.run) == self.key and self._went_on(self.workspace.run)

    def take_back(self) -> None:
        """Put a run of these settings that was set aside back into its place, if there is one, and
        it is further on than the one there.

        Raises:
            StoreError: a folder cannot be moved.
        """
        aside = [folder for folder in self._set_aside() if self.fits(folder)]
        if not aside:
            return
        furthest = max(aside, key=lambda folder: len(self._values(folder)))
        run = self.workspace.run
        if self.fits() and len(self._values(run)) >= len(self._values(furthest)):
            return
        self._clear_place()
        _move(furthest, run)
        say(f"train: {furthest.name}, a run of these very settings, is back in its place")

    def begin(self) -> None:
        """Make the place free for this run, unless it lies there already, and sign it.

        Raises:
            StoreError: a folder cannot be moved or written.
        """
        run = self.workspace.run
        if not self.fits():
            self._clear_place()
        write_atomic(run / "config.yaml", config_as_yaml(self.config).encode())
        about = {"format": "ecgpipe-run/1", "run_key": self.key, "provenance": provenance()}
        write_json_atomic(run / "run.json", about)

    def _went_on(self, folder: Path) -> bool:
        """Whether it went on for longer than these settings would."""
        values = self._values(folder)
        over = last_epoch(values, self.config.train.epochs, self.config.train.patience)
        return over is not None and over < len(values)

    def _values(self, folder: Path) -> list[float | None]:
        """The validation figure of each epoch that was begun, as the newest checkpoint has them;
        None for one that is not validated yet."""
        for path in sorted(folder.glob("checkpoints/step-*/state.json"), reverse=True):
            with suppress(StoreError, KeyError, TypeError, AttributeError):
                state = read_json(path)
                best_by = self.config.train.best_by
                values = [entry["val"].get(best_by) for entry in state["history"]]
                return [*values, None] if state["figures"] else values
        return []

    def _set_aside(self) -> list[Path]:
        """In the order in which they were set aside."""
        name = self.workspace.run.name
        numbered = []
        for folder in self.workspace.runs.glob("*.old-*"):
            number = folder.name.removeprefix(f"{name}.old-")
            if number != folder.name and number.isdecimal():
                numbered.append((int(number), folder))
        return [folder for _, folder in sorted(numbered)]

    def _clear_place(self) -> None:
        """Set aside what is there, and say why; a scheduler's jobs/ stays where it is."""
        run = self.workspace.run
        if not any(path != self.workspace.jobs for path in run.glob("*")):
            return
        taken = [int(folder.suffix.removeprefix(".old-")) for folder in self._set_aside()]
        old = run.with_name(f"{run.name}.old-{max(taken, default=0) + 1}")
        why = self._why_not()
        _move(run, old, leaving=self.workspace.jobs)
        say(f"train: the run that was here {why}; it is kept as {old.name}")

    def _why_not(self) -> str:
        """What the run in its place has that this one has not."""
        folder = self.workspace.run
        if self.is_longer():
            return "went on for longer than these settings ask for"
        if self.fits():
            return "is not as far as one of the same settings"
        try:
            before = load_yaml((folder / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return "has no settings that can be read"
        told = list(_differences(before, config_as_dict(self.config), self.idle))
        if not told:
            return "was of other data, texts or vectors"
        more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        return f"was of other settings ({', '.join(told[:_TOLD])}{more})"


def _key_in(folder: Path) -> str | None:
    with suppress(StoreError, KeyError, TypeError):
        return str(read_json(folder / "run.json")["run_key"])
    return None


def _move(source: Path, target: Path, leaving: Path | None = None) -> None:
    """A run's folder to another place; piece by piece where something must stay, or is there."""
    with storing(target):
        stays = leaving is not None and leaving.exists()
        if not stays and not target.exists():
            source.rename(target)
            return
        # run.json goes last: until then the pieces belong to no run of this key.
        target.mkdir(exist_ok=True)
        pieces = [path for path in source.iterdir() if path != leaving]
        for path in sorted(pieces, key=lambda path: path.name == "run.json"):
            path.rename(target / path.name)
        if not stays:
            source.rmdir()


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
