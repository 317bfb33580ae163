"""fetch-model: download a language model for machines without internet access."""

from pathlib import Path

from ecgpipe.embed_text.model_fetch import fetch_model
from ecgpipe.stages.stage_result import StageResult


def run_fetch(name: str, revision: str, folder: Path) -> StageResult:
    """Download a model. Raises as `ecgpipe.embed_text.model_fetch.fetch_model`."""
    n_files, n_bytes = fetch_model(name, revision, folder)
    line = f"{n_files} files, {n_bytes / 1e9:,.2f} GB. Set text.model: {folder.resolve()}"
    return StageResult("fetch-model", True, line, {"files": n_files, "bytes": n_bytes})
