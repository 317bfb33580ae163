"""Where to read signals and the language model from: a copy on this node's disk, or the original.

Owns the names of copies. A name is a digest of the content, so no setting or fingerprint depends on
copies, and a copy of different content is never used.
"""

import dataclasses
from pathlib import Path

from ecgpipe.cache.signals.format import manifest_path
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.files import digest_of, sha256_file
from ecgpipe.local_copy import find_local_copy, local_disk


def signals_name(folder: Path) -> str:
    """Name a copy of a sealed signal store by its manifest, which holds every shard's checksum."""
    return f"signals-{sha256_file(manifest_path(folder))[:16]}"


def model_name(fingerprint: Fingerprint) -> str:
    """Name a copy of a language model by the content of its files."""
    fields = fingerprint.fields
    content = {name: fields[name] for name in ("weights", "config", "tokenizer")}
    return f"model-{digest_of(content)[:16]}"


def local_signals(folder: Path) -> Path:
    """Return the local copy of the signal store in `folder`, or `folder` if there is none."""
    if local_disk() is None or not manifest_path(folder).exists():
        return folder
    return find_local_copy(signals_name(folder), "signals") or folder


def local_model(files: ModelFiles, fingerprint: Fingerprint) -> ModelFiles:
    """Return the local copy of a model's files, or `files`; the model's name does not change."""
    if local_disk() is None or not files.has_files:
        return files
    folder = find_local_copy(model_name(fingerprint), "the language model's files")
    return files if folder is None else dataclasses.replace(files, folder=folder)
