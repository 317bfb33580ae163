"""Checkpoints of a training run: complete, or absent.

Owns the checkpoint folder: `step-00000217/` holds the weights and the optimiser's state in
safetensors, and `state.json`, written last, with the SHA-256 of each file and of itself. A folder
is built under a temporary name and renamed, so a kill leaves the previous one. Nothing here is ever
unpickled.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ecgpipe.errors import CheckpointError, StoreError
from ecgpipe.files import (
    digest_of,
    fsync_file,
    fsync_folder,
    make_folder,
    read_json,
    sha256_bytes,
    sha256_file,
    storing,
    write_json_atomic,
)
from ecgpipe.train_ecg.trained_model import Tensors, load_tensors

FORMAT = "ecgpipe-checkpoint/2"
_NAME = re.compile(r"^step-(\d{8,})$")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files match their digests."""

    path: Path
    state: dict[str, Any]
    """Steps done, history, the best epoch's step, and the run's key."""

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """One of its files, `model` or `optimizer`, on the CPU."""
        return load_tensors(self.path / f"{name}.safetensors")


def save_checkpoint(
    folder: Path, steps_done: int, files: Mapping[str, Tensors], state: Mapping[str, Any]
) -> Path:
    """Save the state after `steps_done` steps.

    Args:
        folder: of all checkpoints of the run.
        steps_done: names the checkpoint.
        files: tensors by file name without suffix.
        state: JSON values to keep with them.

    Raises:
        StoreError: the disk is full or not writable; the earlier checkpoints are untouched.
    """
    final = checkpoint_path(folder, steps_done)
    temporary = folder / f".{final.name}.{os.getpid()}.tmp"
    with storing(final):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            make_folder(folder)
            temporary.mkdir()
            digests = {}
            for name, tensors in files.items():
                # Written here, not by safetensors: a full disk is then an OSError like any other.
                content = save({key: value.contiguous() for key, value in tensors.items()})
                path = temporary / f"{name}.safetensors"
                path.write_bytes(content)
                fsync_file(path)
                digests[path.name] = sha256_bytes(content)
            kept = {"format": FORMAT, "steps_done": steps_done, "files": digests, **state}
            write_json_atomic(temporary / "state.json", {**kept, "digest": digest_of(kept)})
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            fsync_folder(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return final


def read_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint and check every file against its digest.

    Raises:
        CheckpointError: a file is missing, damaged or of another format.
    """
    try:
        state = read_json(path / "state.json")
        _check_state(path, state)
        for name, digest in state["files"].items():
            if Path(name).name != name or sha256_file(path / name) != digest:
                raise CheckpointError(f"{path / name} does not match its digest: it is damaged.")
    except CheckpointError:
        raise
    except (StoreError, OSError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a complete checkpoint: {error}") from error
    return Checkpoint(path, state)


def _check_state(path: Path, state: object) -> None:
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of format {FORMAT}.")
    if missing := {"files", "steps_done", "best_step"} - set(state):
        raise CheckpointError(f"{path}/state.json lacks {', '.join(sorted(missing))}.")
    if state.pop("digest", None) != digest_of(state):
        raise CheckpointError(f"{path}/state.json does not match its digest: it is damaged.")


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest intact checkpoint, and what is wrong with newer ones."""
    problems: list[str] = []
    for path in reversed(_all(folder)):
        try:
            return read_checkpoint(path), problems
        except CheckpointError as error:
            problems.append(str(error))
    return None, problems


def prune(folder: Path, keep: int) -> None:
    """Keep the last `keep` checkpoints and the best epoch's that each of them names; remove the
    rest, and what killed runs left half-written."""
    last = _all(folder)[-keep:]
    kept = set(last)
    for path in last:
        with contextlib.suppress(StoreError, KeyError, TypeError, ValueError):
            kept.add(checkpoint_path(folder, int(read_json(path / "state.json")["best_step"])))
    for path in set(_all(folder)) - kept:
        shutil.rmtree(path, ignore_errors=True)
    for leftover in folder.glob(".step-*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def checkpoint_path(folder: Path, steps_done: int) -> Path:
    """The folder of the state after this many steps, whether it exists or not."""
    return folder / f"step-{steps_done:08d}"


def _all(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        names = [entry.name for entry in folder.iterdir() if _NAME.match(entry.name)]
        return [folder / name for name in sorted(names, key=lambda n: int(n.split("-")[1]))]
    return []
