"""stage-in: copy signals and the language model to a node's own disk, once for all its processes.

Owns which files belong to a copy. `ecgpipe.stages.local_inputs` finds copies, and
`ecgpipe.local_copy` makes them.
"""

import shlex
from pathlib import Path

from ecgpipe.cache.signals import format as fmt
from ecgpipe.cache.signals.reader import read_manifest
from ecgpipe.errors import ConfigError, StoreError
from ecgpipe.local_copy import (
    VARIABLE,
    Original,
    local_disk,
    make_local_copy,
    remove_local_copies,
)
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.local_inputs import model_name, signals_name
from ecgpipe.stages.stage_result import StageResult

# Files that can run code when loaded, and the same weights in other formats.
_NOT_COPIED = (".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".py")


def run_stage_in(
    experiment: Experiment, to: Path | None, *, signals: bool, model: bool
) -> StageResult:
    """Copy the signals, the model or both to the disk `to`, unless the copies exist.

    Raises:
        ConfigError: no disk was named.
        StoreError: nothing is prepared, the disk is too small, or a file is damaged.
        ModelError: there is no such model.
    """
    disk = _find_disk(to)
    originals: dict[str, Original] = {}
    if signals:
        originals["signals"] = signals_original(experiment)
    if model and experiment.model_files.has_files:
        originals["model"] = model_original(experiment)
    parts, summary, did_work = [], {}, False
    for what, original in originals.items():
        copy, copied = make_local_copy(original, disk)
        place = f"copied to {copy}" if copied else f"already in {copy}"
        parts.append(f"{what}: {original.n_bytes / 1e9:,.2f} GB {place}")
        summary[what] = str(copy)
        did_work |= copied
    summary["scratch"] = str(disk.resolve())
    return StageResult("stage-in", did_work, "; ".join(parts) or "nothing to copy", summary)


def run_clean(to: Path | None) -> StageResult:
    """Remove this user's copies from the disk `to`. Raises as `remove_local_copies` does."""
    disk = _find_disk(to)
    n_bytes = remove_local_copies(disk)
    line = f"{n_bytes / 1e9:,.2f} GB of copies removed from {disk}"
    return StageResult("stage-in", n_bytes > 0, line, {"scratch": str(disk), "bytes": n_bytes})


def export_line(result: StageResult) -> str:
    """Return the shell line that makes the following commands use the copies."""
    return f"export {VARIABLE}={shlex.quote(result.summary['scratch'])}"


def signals_original(experiment: Experiment) -> Original:
    """List the files of the signal store, with the shards' checksums from its manifest."""
    folder = experiment.workspace.signals(experiment.prepared.signals_digest)
    entries = read_manifest(folder)["shards"]
    shards = {fmt.shard_path(folder, entry["shard"]): entry["xxh3_128"] for entry in entries}
    described = [f(folder) for f in (fmt.manifest_path, fmt.group_path, fmt.array_path)]
    for path in (*described, *shards):
        if not path.is_file():
            raise StoreError(f"{path} is missing. Run `ecgpipe verify`.")
    files = {str(path.relative_to(folder)): path for path in (*described, *shards)}
    digests = {str(path.relative_to(folder)): digest for path, digest in shards.items()}
    return Original(signals_name(folder), files, digests)


def model_original(experiment: Experiment) -> Original:
    """List the language model's files, under the names that transformers looks for."""
    found = experiment.model_files
    if found.gguf is not None:
        files = {found.gguf: found.folder / found.gguf}
    else:
        files = {
            path.name: path
            for path in sorted(found.folder.iterdir())
            if path.is_file() and path.suffix not in _NOT_COPIED and not path.name.startswith(".")
        }
    return Original(model_name(experiment.fingerprint), files)


def _find_disk(to: Path | None) -> Path:
    disk = to or local_disk()
    if disk is None:
        raise ConfigError(f"Name a folder on this node's own disk with --to or {VARIABLE}.")
    return disk
