"""How transformers loads anything: local files only, no code from the model, quietly."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from transformers.utils import logging

from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.errors import ModelError


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
