"""Exported models on the Hugging Face hub: NAME@COMMIT -> a folder on this machine.

Owns how such a model is named: with its commit, so that nobody can change it under the reader.
huggingface_hub downloads and keeps it; whoever opens the folder checks its digests.
"""

import re
from pathlib import Path

from ecgpipe.apply_model.export.model_folder import FILES
from ecgpipe.embed_text.model_files import is_offline
from ecgpipe.errors import CheckpointError, ConfigError

_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)@([^@/]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_name(model: str) -> bool:
    """Whether this names a model on the hub, and no folder here: hospital/model@COMMIT."""
    return _HUB_NAME.fullmatch(model) is not None and not Path(model).exists()


def hub_folder(model: str) -> Path:
    """The folder of a hub model; downloaded once, then taken from the hub's cache.

    Args:
        model: hospital/model@COMMIT, with the 40 hex digits of its commit.

    Raises:
        ConfigError: it has a branch or tag instead of a commit.
        CheckpointError: it is not on this machine, and cannot be downloaded.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    found = _HUB_NAME.fullmatch(model)
    assert found is not None, model
    name, revision = found.groups()
    if not _COMMIT.fullmatch(revision):
        raise ConfigError(
            f"{model}: give the commit (40 hex digits, on the model's page under 'Files') behind @,"
            " since a branch or tag may move."
        )
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(FILES),
                local_files_only=is_offline(),
            )
        )
    except LocalEntryNotFoundError as error:
        offline = "HF_HUB_OFFLINE is set" if is_offline() else "the hub does not answer"
        raise CheckpointError(
            f"{model} is not on this machine, and {offline}. Load it once with internet, or copy"
            " its folder here and name that."
        ) from error
    except Exception as error:  # its HTTP library's errors are no OSError, and change names
        raise CheckpointError(
            f"{model} cannot be downloaded: {' '.join(str(error).split())} Check name, commit and"
            " network, or copy its folder here and name that."
        ) from error
