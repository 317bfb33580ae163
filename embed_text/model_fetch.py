"""Fetching a model on a machine with internet, for machines without.

Owns the manifest: name, commit, and the size and SHA-256 of every file. huggingface_hub does the
download.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ecgpipe.embed_text.model_files import BEGUN, HUB_FILES, MANIFEST, MANIFEST_FORMAT, check_folder
from ecgpipe.errors import ConfigError, ModelError, StoreError
from ecgpipe.files import sha256_file, storing, write_json_atomic
from ecgpipe.provenance import provenance

_COMMIT = re.compile(r"^[0-9a-f]{40}$")


def fetch_model(name: str, revision: str, folder: Path) -> tuple[int, int]:
    """Download a model's safetensors, config and tokenizer; returns number of files and bytes.

    An interrupted download continues with the missing files. The manifest is written last, so a
    folder with one is complete.

    Args:
        name: on the hub, such as EQUES/MedLLama3-JP-v2.
        revision: the commit, so that the same command always gives the same files.
        folder: for the files; empty, absent, or begun by the same command.

    Raises:
        ConfigError: `revision` is not a commit.
        ModelError: the model does not exist, is not reachable, or has no safetensors.
        StoreError: the folder has other content, or the disk is full.
    """
    if not _COMMIT.match(revision):
        raise ConfigError(
            f"--revision {revision}: give the commit (40 hex digits, on the model's page under"
            " 'Files'), since a branch or tag may move."
        )
    begun = folder / BEGUN
    mark = f"{name}@{revision}\n"
    if folder.exists() and any(folder.iterdir()) and not _is_ours(begun, mark):
        raise StoreError(f"{folder} has other content. Name a new folder with --to.")
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        begun.write_text(mark, encoding="utf-8")
    expected = _expected(name, revision)
    with storing(folder):
        (folder / MANIFEST).unlink(missing_ok=True)
        for leftover in (folder / ".cache").rglob("*.incomplete"):  # of a killed fetch
            leftover.unlink(missing_ok=True)
    _download(name, revision, folder)
    if _remove_damaged(folder, expected):
        _download(name, revision, folder)
        if damaged := _remove_damaged(folder, expected):
            raise ModelError(f"{name}: {', '.join(damaged)} differs from the hub's. Try again.")
    check_folder(folder, name)
    files = _digests(folder)
    manifest = {
        "format": MANIFEST_FORMAT,
        "model": name,
        "revision": revision,
        "files": files,
        "provenance": provenance(),
    }
    write_json_atomic(folder / MANIFEST, manifest)
    return len(files), sum(entry["bytes"] for entry in files.values())


def _is_ours(begun: Path, mark: str) -> bool:
    return begun.is_file() and begun.read_text(encoding="utf-8") == mark


def _expected(name: str, revision: str) -> dict[str, str]:
    """The hub's digest of every file.

    Read before the download, because snapshot_download takes any non-empty folder for complete if
    the hub does not answer.
    """
    from huggingface_hub import HfApi

    with _hub(name, revision):
        info = HfApi().model_info(name, revision=revision, files_metadata=True)
    return {
        file.rfilename: file.lfs.sha256 if file.lfs else str(file.blob_id)
        for file in info.siblings or []
        if ".." not in PurePosixPath(file.rfilename).parts and not file.rfilename.startswith("/")
    }


def _download(name: str, revision: str, folder: Path) -> None:
    from huggingface_hub import snapshot_download

    with _hub(name, revision):
        snapshot_download(name, revision=revision, local_dir=folder, allow_patterns=HUB_FILES)


@contextlib.contextmanager
def _hub(name: str, revision: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # its HTTP library's errors are no OSError, and change names
        raise ModelError(
            f"{name} at {revision} cannot be downloaded: {' '.join(str(error).split())} Check name,"
            " commit, network and free space; the same command continues where it stopped."
        ) from error


def _remove_damaged(folder: Path, expected: dict[str, str]) -> list[str]:
    """Remove files that differ from the hub's, whose client compares sizes only; returns names."""
    damaged = []
    for name, digest in expected.items():
        path = folder / name
        if path.is_file() and digest != (sha256_file if len(digest) == 64 else _blob_id)(path):
            damaged.append(name)
            with storing(path):
                path.unlink()
    return damaged


def _blob_id(path: Path) -> str:
    """Git's hash of a file's content, which the hub lists for small files."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _digests(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file except our own and the hub's metadata."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    return {
        name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for name, path in zip(names, paths, strict=True)
        if not name.startswith(".") and name != MANIFEST
    }
