"""The embed stage: sentences without a vector become sealed parts.

Owns the order of the work: ask the cache what is missing, and only then load a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.fingerprint import Fingerprint
from ecgpipe.cache.vector_cache import VectorCache, VectorWriter
from ecgpipe.cache.vector_part import VectorRows
from ecgpipe.config import TextConfig
from ecgpipe.embed_text.batches import plan_batches
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import StoppedEarly
from ecgpipe.files import canonical_json
from ecgpipe.progress import progress
from ecgpipe.provenance import provenance
from ecgpipe.stopping import Stop


@dataclass(frozen=True)
class Embedded:
    """What the stage did; `distinct` texts now all have a vector."""

    distinct: int
    already_there: int
    embedded: int
    cut: int
    """Of the distinct texts, how many were cut at text.max_tokens."""


def missing_texts(
    sentences: Sequence[str], root: Path, fingerprint: Fingerprint
) -> tuple[list[str], VectorCache]:
    """The distinct sentences without a vector, in order of first appearance, and the cache."""
    distinct = list(dict.fromkeys(sentences))
    cache = VectorCache.open(root, fingerprint)
    return [distinct[place] for place in cache.missing(keys_of(distinct))], cache


def embed(
    sentences: Sequence[str],
    files: ModelFiles,
    config: TextConfig,
    root: Path,
    fingerprint: Fingerprint,
    stop: Stop,
) -> Embedded:
    """Give every distinct sentence a vector; those that have one are not computed again.

    Raises:
        ModelError: the model cannot be loaded.
        StoreError: a vector is not finite, or the cache cannot be written.
        StoppedEarly: a signal came; everything computed is sealed.
    """
    todo, cache = missing_texts(sentences, root, fingerprint)
    distinct = list(dict.fromkeys(sentences))
    if todo:
        _embed_all(todo, files, config, root, fingerprint, stop)
        cache = VectorCache.open(root, fingerprint)
    return Embedded(
        distinct=len(distinct),
        already_there=len(distinct) - len(todo),
        embedded=len(todo),
        cut=cache.n_cut(keys_of(distinct)),
    )


def _embed_all(
    sentences: Sequence[str],
    files: ModelFiles,
    config: TextConfig,
    root: Path,
    fingerprint: Fingerprint,
    stop: Stop,
) -> None:
    # Imported here because transformers takes seconds, and most runs find nothing to embed.
    import torch

    from ecgpipe.embed_text.language_model import LanguageModel

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = LanguageModel(files, config, device)
    ids, cut = model.tokenize(sentences)
    batches = plan_batches([len(tokens) for tokens in ids], config.max_tokens_per_batch)
    keys = keys_of(sentences)
    writer = VectorWriter(root, fingerprint, _made_by(files, device))
    with progress("embed", len(sentences), "texts") as tick:
        try:
            for batch in batches:
                if stop:
                    break
                chosen = np.array(batch.places, np.int64)
                vectors = model.vectors([ids[place] for place in chosen], batch.padded_length)
                writer.add(VectorRows(vectors, keys[chosen], _lengths(ids, chosen), cut[chosen]))
                tick(len(chosen))
        finally:
            writer.seal()  # what was computed is kept, whatever ended the loop
    if writer.sealed_rows < len(sentences):
        raise StoppedEarly(
            f"Stopped by {stop.cause} while embedding: {writer.sealed_rows:,} of"
            f" {len(sentences):,} texts are done and kept. Run the same command again to go on."
        )


def _lengths(ids: Sequence[Sequence[int]], chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    return np.array([len(ids[place]) for place in chosen], np.uint32)


def _made_by(files: ModelFiles, device: object) -> dict[str, str]:
    return {
        "model": files.named,
        "device": str(device),
        "provenance": canonical_json(provenance()),
    }
