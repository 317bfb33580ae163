"""The language model behind a trained model, if this machine has it.

Owns where it is looked for, and the refusal of any other: vectors of another model would score
nonsense without a word. Never downloads.
"""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.model_files import find_model, fingerprint_of
from ecgpipe.errors import ModelError

if TYPE_CHECKING:
    from ecgpipe.embed_text.direct import SentenceEncoder


def load_language_model(
    text: TextConfig, vectors: str, place: str | None = None
) -> "SentenceEncoder":
    """Load the language model that a trained model's prompts were read by.

    Args:
        text: the model's name, prompts and view.
        vectors: digest of the fingerprint of its vectors.
        place: a folder or file that holds it; None: where its name leads.

    Raises:
        ModelError: it is not on this machine, or its files are of another model.
    """
    config = text if place is None else dataclasses.replace(text, model=place)
    try:
        files = find_model(config, download=False)
    except ModelError as error:
        raise ModelError(
            f"This text has no kept vector, and the language model that would read it,"
            f" {text.model}, is not on this machine: {error} Fetch it with `ecgpipe fetch-model`,"
            " then name its folder as the text model (text_model=FOLDER, or --text-model FOLDER)."
        ) from error
    if files.control is not None:
        raise ModelError(
            f"This text has no kept vector, and text.model {text.model} is a control, whose vectors"
            " know no language. Ask in a wording of the model's own classes."
        )
    if files.imported:
        raise ModelError(
            f"This text has no kept vector, and {text.model} only names vectors that were imported,"
            " so no language model can read it. Ask in a wording of the model's own classes, or"
            " name the folder of the language model (text_model=FOLDER, or --text-model FOLDER)."
        )
    found = fingerprint_of(files, config, config.view, _memo())
    if found.digest != vectors:
        raise ModelError(
            f"The language model {files.named} is not the one whose vectors this model was trained"
            f" on ({text.model}): its files or settings differ, so its answers would mean nothing."
            " Name the folder of the right one (text_model=FOLDER, or --text-model FOLDER)."
        )
    # Imported here because transformers takes seconds, and kept prompts need none.
    from ecgpipe.embed_text.direct import SentenceEncoder

    return SentenceEncoder(files, config)


def _memo() -> Path:
    """Where digests of the model's files are remembered, so that 16 GB are read once."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ecgpipe" / "file-digests.json"
