"""stage: signals and the language model onto a node's own disk, once for all its processes.

Owns which files belong to a copy. Where copies are looked for is `nearest`'s, how they are made
`ecgpipe.local_copy`'s.
"""

import shlex
from pathlib import Path

from ecgpipe.cache.signals.reader import read_manifest
from ecgpipe.errors import ConfigError, StoreError
from ecgpipe.local_copy import (
    VARIABLE,
    LocalCopy,
    Original,
    local_disk,
    make_local_copy,
    remove_local_copies,
)
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.local_inputs import model_name, signals_name
from ecgpipe.stages.stage_result import StageResult

# What could run code when loaded, and other forms of the same weights.
_NOT_COPIED = (".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".py")


def run_stage(experiment: Experiment, to: Path | None, signals: bool, model: bool) -> StageResult:
    """Copy what was asked for onto the disk `to`, unless it is there.

    Raises:
        ConfigError: no disk was named.
        StoreError: nothing is prepared, the disk is too small, or a file is damaged.
        ModelError: there is no such model.
    """
    scratch = _scratch(to)
    done: dict[str, LocalCopy] = {}
    if signals:
        done["signals"] = make_local_copy(signals_original(experiment), scratch)
    if model and not experiment.model_files.imported:
        done["model"] = make_local_copy(model_original(experiment), scratch)
    parts = [
        f"{what}: {found.n_bytes / 1e9:,.2f} GB"
        f" {'copied to' if found.copied else 'were in'} {found.folder}"
        for what, found in done.items()
    ]
    summary = {what: str(found.folder) for what, found in done.items()}
    summary["scratch"] = str(scratch.resolve())
    did_work = any(found.copied for found in done.values())
    return StageResult("stage", did_work, "; ".join(parts) or "nothing to copy", summary)


def run_clean(to: Path | None) -> StageResult:
    """Remove this user's copies from the disk `to`. Raises as `remove_local_copies` does."""
    scratch = _scratch(to)
    n_bytes = remove_local_copies(scratch)
    line = f"{n_bytes / 1e9:,.2f} GB of copies removed from {scratch}"
    return StageResult("stage", n_bytes > 0, line, {"scratch": str(scratch), "bytes": n_bytes})


def export_line(result: StageResult) -> str:
    """What a shell must be told so that the following commands use the copies."""
    return f"export {VARIABLE}={shlex.quote(result.summary['scratch'])}"


def signals_original(experiment: Experiment) -> Original:
    """The files of the signal store, with the sums that its manifest has of the shards."""
    folder = experiment.workspace.signals(experiment.prepared.signals_digest)
    shards = {
        f"signal/c/{entry['shard']}/0/0": entry["xxh3_128"]
        for entry in read_manifest(folder)["shards"]
    }
    names = ["manifest.json", "zarr.json", "signal/zarr.json", *shards]
    files = {name: folder / name for name in names}
    for path in files.values():
        if not path.is_file():
            raise StoreError(f"{path} is missing. Run `ecgpipe verify`.")
    return Original(signals_name(folder), files, shards)


def model_original(experiment: Experiment) -> Original:
    """The files of the language model, as transformers would look for them."""
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


def _scratch(to: Path | None) -> Path:
    scratch = to or local_disk()
    if scratch is None:
        raise ConfigError(
            f"Where to? Name a folder on this node's own disk with --to, or in {VARIABLE}."
        )
    return scratch
