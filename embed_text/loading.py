"""How transformers loads anything: local files only, no code from the model, quietly."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer
from transformers.utils import logging

from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.errors import ModelError

if TYPE_CHECKING:
    import torch


@contextlib.contextmanager
def loading(files: ModelFiles) -> Iterator[None]:
    """Silence transformers' bars and warnings, and turn any error of its loading, which can be of
    any type, into a `ModelError`.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # GGUF conversion draws its own progress bar.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"The model {files.named} cannot be loaded from {files.folder}: {error}"
        ) from error


def loading_settings(files: ModelFiles) -> dict[str, Any]:
    """Arguments of every from_pretrained call: local files, no remote code."""
    gguf = {} if files.gguf is None else {"gguf_file": files.gguf}
    return {
        "pretrained_model_name_or_path": str(files.folder),
        "local_files_only": True,
        "trust_remote_code": False,
        **gguf,
    }


def load_weights(
    auto: Any, files: ModelFiles, device: "torch.device", **more: Any
) -> tuple[Any, Any]:
    """A model of one of transformers' auto classes on a device, and which weights it lacks, since
    transformers would silently fill those with random ones (`missing_keys` of the second)."""
    loaded: tuple[Any, Any] = auto.from_pretrained(
        **loading_settings(files),
        use_safetensors=True,
        output_loading_info=True,
        device_map={"": device} if device.type != "cpu" else None,
        **more,
    )
    return loaded


def load_tokenizer(files: ModelFiles) -> Any:
    """The model's own tokenizer. Raises ModelError if transformers knows none in the files."""
    # One thread: it runs while a model loads, and would warn at every fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with loading(files):
        return AutoTokenizer.from_pretrained(**loading_settings(files))
