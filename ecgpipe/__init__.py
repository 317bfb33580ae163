"""ecgpipe: teach an ECG encoder the report language of a hospital.

A frozen medical language model reads every distinct report and label prompt once and its vectors
are stored; then only a ResNet1d-18 and two linear projections are trained against them (arXiv
2504.09302). From Python, `load_model` puts an exported model to use (docs/using.md).

This folder holds what connects the rooms (command line, settings, the order of the stages) and what
all of them use (errors, files, progress). The rooms `read_ecg`, `cache`, `embed_text`, `train_ecg`,
`evaluate` and `apply_model` are links to the folders of that name at the repository's root.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ecgpipe.apply_model.applied_model import AppliedModel

__version__ = "0.1.0"


def load_model(folder: "str | Path", *, text_model: str | None = None) -> "AppliedModel":
    """Load a model that `ecgpipe export` wrote.

    Args:
        folder: checked against its manifest before anything is read; or a model on the Hugging
            Face hub with its commit, such as hospital/model@0123..., downloaded once.
        text_model: a folder or file of its language model, for texts without a kept vector.

    Raises:
        CheckpointError: it is no exported folder, damaged, or of another format or contract; or it
            cannot be downloaded.
        ConfigError: a hub model without a commit.
    """
    # Imported here because torch takes seconds, and `import ecgpipe` must not.
    from ecgpipe.apply_model import applied_model

    return applied_model.load_model(folder, text_model=text_model)
