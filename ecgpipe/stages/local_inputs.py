"""The nearest place to read from: this node's copy where it has one, else work_dir.

Owns the names of copies. They are digests of content, so settings and fingerprints know nothing of
copies, and a copy of other content is never found.
"""

import dataclasses
from pathlib import Path

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.files import digest_of, sha256_file
from ecgpipe.local_copy import find_local_copy, local_disk


def signals_name(folder: Path) -> str:
    """Of a copy of the sealed signal store in `folder`: its manifest holds the sums of the rest."""
    return f"signals-{sha256_file(folder / 'manifest.json')[:16]}"


def model_name(fingerprint: Fingerprint) -> str:
    """Of a copy of a language model, by the content of its files."""
    fields = fingerprint.fields
    content = {name: fields[name] for name in ("weights", "config", "tokenizer")}
    return f"model-{digest_of(content)[:16]}"


def nearest_signals(folder: Path) -> Path:
    """Where to read the signal store in `folder` from."""
    if local_disk() is None or not (folder / "manifest.json").exists():
        return folder
    return find_local_copy(signals_name(folder), "signals") or folder


def nearest_model(files: ModelFiles, fingerprint: Fingerprint) -> ModelFiles:
    """Where to load a language model from; its name stays what it is."""
    if local_disk() is None or files.imported:
        return files
    folder = find_local_copy(model_name(fingerprint), "the language model's files")
    return files if folder is None else dataclasses.replace(files, folder=folder)
