"""The exported folder of a trained model, `ecgpipe-export/1`.

Owns the names and formats of its files, and the manifest. The folder is written whole or not at
all; nothing in it is ever unpickled. Every file that an answer depends on is in the manifest with
its SHA-256, and is checked before it is read; the card (README.md) is for people, who may edit it.

config.json          what `ModelContent` holds besides arrays
model.safetensors    the weights, as training wrote them
prompts.safetensors  float32 unit vectors (wordings, D) of the classes' and members' prompts, named
                     TASK/LANGUAGE/classes and TASK/LANGUAGE/members
texts.safetensors    texts: float16 (n, W or K), see `ModelContent.trained_texts`; and the nearness
                     of each prompt to them, named nearness/TASK/LANGUAGE/...
taxonomy.csv         the list of findings
patients.json        see `patients`; an export may leave it out
encoder.onnx         see `onnx_encoder`
README.md            the model's card
manifest.json        size and SHA-256 of each other file but the card; written last
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import load, save

from ecgpipe.apply_model.applied_task import AppliedTask
from ecgpipe.apply_model.contract import read_contract
from ecgpipe.apply_model.model_content import ModelContent
from ecgpipe.config.text import TextConfig
from ecgpipe.errors import CheckpointError, StoreError
from ecgpipe.files import (
    fsync_file,
    fsync_folder,
    make_folder,
    read_json_object,
    sha256_file,
    storing,
    temporary_beside,
    write_json_atomic,
)

FORMAT = "ecgpipe-export/1"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PROMPTS = "prompts.safetensors"
TEXTS = "texts.safetensors"
TAXONOMY = "taxonomy.csv"
PATIENTS = "patients.json"
ENCODER = "encoder.onnx"
CARD = "README.md"
MANIFEST = "manifest.json"

FILES = {CONFIG, WEIGHTS, PROMPTS, TEXTS, TAXONOMY, PATIENTS, ENCODER, CARD, MANIFEST}
_NEEDED = (CONFIG, WEIGHTS, PROMPTS, TEXTS, TAXONOMY, ENCODER)
_PLAIN = ("name", "notice", "shape", "weights_sha256", "vectors", "about")
_NEARNESS = "nearness/"
_AGAIN = "Copy it again, or export the model again."

Files = Mapping[str, bytes | Path]
"""By name: the content, or a file to copy."""


def content_files(content: ModelContent) -> dict[str, bytes]:
    """The files that hold a model's content, all but weights, patients, encoder and card."""
    config = {
        "format": FORMAT,
        "library_name": "ecgpipe",
        **{name: getattr(content, name) for name in _PLAIN},
        "contract": content.contract.as_dict(),
        "text": asdict(content.text),
        "tasks": [asdict(task) for task in content.tasks.values()],
    }
    return {
        CONFIG: (json.dumps(config, ensure_ascii=False, indent=1) + "\n").encode(),
        PROMPTS: save({name: np.ascontiguousarray(v) for name, v in content.prompts.items()}),
        TEXTS: save(
            {
                "texts": content.trained_texts,
                **{_NEARNESS + name: near for name, near in content.prompt_nearness.items()},
            }
        ),
        TAXONOMY: content.taxonomy,
    }


def check_target(folder: Path) -> None:
    """Refuse to export into a folder that holds anything but an older export.

    Raises:
        StoreError: it holds other files, is a file, or is the folder that the command runs in.
    """
    if folder.resolve() == Path.cwd():
        raise StoreError(
            f"{folder} is the folder you are in, and the export replaces it as a whole; nothing was"
            " written. Name another one with --to."
        )
    if folder.is_dir():
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
        foreign += [] if foreign or not any(folder.iterdir()) or _is_ours(folder) else [CONFIG]
        if foreign:
            raise StoreError(
                f"{folder} holds other files ({', '.join(foreign[:3])}); nothing was written. Name"
                " a new or an empty folder with --to."
            )
    elif folder.exists():
        raise StoreError(f"{folder} is a file; nothing was written. Name a folder with --to.")


def write_folder(folder: Path, files: Files) -> None:
    """Write an exported folder, whole or not at all; an older export there is replaced.

    Args:
        folder: checked with `check_target`.
        files: all but the manifest.

    Raises:
        StoreError: the folder cannot be written, or the disk is full. Nothing is left.
    """
    folder = folder.resolve()  # a link is kept, and what it leads to replaced
    check_target(folder)
    staging = temporary_beside(folder)
    with storing(folder):
        make_folder(staging)
        try:
            for name, content in files.items():
                _put(staging / name, content)
            listed = {
                name: {
                    "bytes": (staging / name).stat().st_size,
                    "sha256": sha256_file(staging / name),
                }
                for name in sorted(files)
                if name != CARD
            }
            write_json_atomic(staging / MANIFEST, {"format": FORMAT, "files": listed})
            _move_into_place(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _put(path: Path, content: bytes | Path) -> None:
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)
    fsync_file(path)


def _move_into_place(staging: Path, folder: Path) -> None:
    """Rename the finished folder; an older one is first renamed, then removed."""
    old = temporary_beside(folder)
    replaces = folder.is_dir() and any(folder.iterdir())
    if replaces:
        folder.rename(old)
    staging.rename(folder)
    fsync_folder(folder.parent)
    if replaces:
        shutil.rmtree(old)


def read_folder(folder: Path) -> ModelContent:
    """Read an exported folder; every file but the card is checked against the manifest first.

    Raises:
        CheckpointError: it is not an exported folder or of another format, a file is missing or
            damaged, or it demands preprocessing that this version cannot do.
    """
    if not (folder / MANIFEST).is_file():
        hint = (
            "It is a run; export it with `ecgpipe export`."
            if (folder / "model" / CONFIG).is_file()
            else "Name a folder that `ecgpipe export` wrote."
        )
        raise CheckpointError(f"{folder} is no exported model: it has no {MANIFEST}. {hint}")
    check_files(folder)
    config = _config(folder)
    path = folder / CONFIG
    contract = read_contract(config["contract"], str(path))
    try:
        tasks = TypeAdapter(tuple[AppliedTask, ...]).validate_python(config["tasks"])
        text = TypeAdapter(TextConfig).validate_python(config["text"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path} is not usable: {place}: {first['msg']}. {_AGAIN}") from error
    texts = load((folder / TEXTS).read_bytes())
    return ModelContent(
        **{name: config[name] for name in _PLAIN},
        contract=contract,
        text=text,
        tasks={task.name: task for task in tasks},
        prompts=load((folder / PROMPTS).read_bytes()),
        prompt_nearness={
            name.removeprefix(_NEARNESS): near
            for name, near in texts.items()
            if name.startswith(_NEARNESS)
        },
        trained_texts=texts["texts"],
        taxonomy=(folder / TAXONOMY).read_bytes(),
    )


def check_files(folder: Path) -> None:
    """Compare every file in the manifest with its size and SHA-256.

    Raises:
        CheckpointError: one is missing, or differs; or the manifest is damaged.
    """
    listed = _manifest(folder)
    if missing := [name for name in _NEEDED if name not in listed]:
        raise CheckpointError(
            f"{folder / MANIFEST} is damaged: it lacks {', '.join(missing)}. {_AGAIN}"
        )
    for name, stated in listed.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise CheckpointError(f"{path} is missing, but {MANIFEST} lists it. {_AGAIN}")
        size = path.stat().st_size
        if size != stated["bytes"]:
            raise CheckpointError(
                f"{path} has {size:,} bytes instead of {stated['bytes']:,}: the copy is"
                f" incomplete, or the file was changed. {_AGAIN}"
            )
        if sha256_file(path) != stated["sha256"]:
            raise CheckpointError(
                f"{path} is not the file that was exported: its SHA-256 is not that in {MANIFEST}."
                f" {_AGAIN}"
            )


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    manifest = _json(path, ("format", "files"))
    _check_format(manifest["format"], path)
    files = manifest["files"]
    good = isinstance(files, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("sha256"), str)
        for entry in files.values()
    )
    if not good:
        raise CheckpointError(f"{path} is damaged. {_AGAIN}")
    return dict(files)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    config = _json(path, ("format", *_PLAIN, "contract", "text", "tasks"))
    _check_format(config["format"], path)
    return config


def _json(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        return read_json_object(path, names, _AGAIN)
    except StoreError as error:
        raise CheckpointError(str(error)) from error


def _check_format(found: Any, path: Path) -> None:
    if found != FORMAT:
        raise CheckpointError(
            f"{path} has the format {found!r}; this version reads {FORMAT}. Use the ecgpipe that"
            " exported the model, or export it again."
        )


def _is_ours(folder: Path) -> bool:
    try:
        return str(_json(folder / MANIFEST, ("format",))["format"]).startswith("ecgpipe-export/")
    except CheckpointError:
        return False
