"""The embed stage: sentences without a vector become sealed part files.

Owns the order of the work: find out what the caches lack, load a model only if needed, and keep the
device busy: texts are tokenised while the model loads, a batch is computed while the previous one
is fetched, and another thread seals parts. Workers divide the texts by their keys without any
coordination; a vector that any of them has sealed is not computed again.
"""

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import VectorRows, as_stored
from ecgpipe.cache.vectors.reader import Keys, VectorCache
from ecgpipe.cache.vectors.writer import SEAL_ROWS, BackgroundWriter, VectorWriter
from ecgpipe.config.text import Control, TextConfig
from ecgpipe.embed_text.batches import Batch, plan_batches
from ecgpipe.embed_text.controls import control_vectors
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.embed_text.throughput import Throughput, peak_flops
from ecgpipe.errors import ModelError, StoppedEarly, StoreError
from ecgpipe.files import canonical_json
from ecgpipe.processes import Share
from ecgpipe.progress import progress
from ecgpipe.provenance import provenance
from ecgpipe.stopping import Stop

if TYPE_CHECKING:
    import torch

    from ecgpipe.embed_text.language_model import LanguageModel, Pending
    from ecgpipe.embed_text.tokens import TokenTable

_BUDGET = {"cuda": 16_384, "cpu": 1_024}


@dataclass(frozen=True, kw_only=True)
class EmbedJob:
    """Which model embeds into which caches."""

    files: ModelFiles
    config: TextConfig
    root: Path
    """The folder of all caches."""

    fingerprints: tuple[Fingerprint, ...]
    """One for each of config.all_views; the first is that of the view used in training."""

    share: Share = field(default_factory=Share)


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What the stage did."""

    distinct: int
    embedded: int
    """Texts that this process computed."""

    left_to_others: int
    """Texts of other shares that have no vector yet."""

    cut: Keys
    """(texts, 32) keys of the texts with a vector that were cut at text.max_tokens."""

    @property
    def already_there(self) -> int:
        """Texts that had a vector before."""
        return self.distinct - self.embedded - self.left_to_others


def missing_texts(sentences: Sequence[str], job: EmbedJob) -> list[str]:
    """The distinct sentences that lack a vector in some view, in order of first appearance."""
    distinct = list(dict.fromkeys(sentences))
    keys = keys_of(distinct)
    lacking = np.zeros(len(distinct), np.bool_)
    for fingerprint in job.fingerprints:
        lacking[VectorCache.open(job.root, fingerprint).missing(keys)] = True
    return [distinct[place] for place in np.flatnonzero(lacking)]


def embed(sentences: Sequence[str], job: EmbedJob, stop: Stop) -> Embedded:
    """Compute a vector for every distinct sentence of this share that has none.

    Raises:
        ModelError: the model cannot be loaded, or imported vectors are incomplete.
        StoreError: a vector is not finite (only the others are stored), or the cache cannot be
            written.
        StoppedEarly: a stop was requested; everything computed is sealed.
    """
    distinct = list(dict.fromkeys(sentences))
    todo = missing_texts(distinct, job)
    mine = [todo[place] for place in np.flatnonzero(owners(keys_of(todo), job.share))]
    if mine and job.files.imported:
        raise ModelError(
            f"{len(mine):,} texts have no vector of {job.files.named}. Compute them with the model"
            " that made the others, and add them with `ecgpipe vectors import`."
        )
    if mine and job.files.control is not None:
        _make_control(job.files.control, mine, distinct, job)
    elif mine:
        _embed_all(mine, job, stop)
    cut = VectorCache.open(job.root, job.fingerprints[0]).was_cut(keys_of(distinct))
    return Embedded(
        distinct=len(distinct),
        embedded=len(mine),
        left_to_others=len(todo) - len(mine) if job.share.count > 1 else 0,
        cut=keys_of(distinct)[cut],
    )


def owners(keys: Keys, share: Share) -> npt.NDArray[np.bool_]:
    """(n,) which of `keys` (n, 32) belong to a share. A text's owner depends on its key alone."""
    first = np.ascontiguousarray(keys[:, :8]).view(">u8").reshape(-1)
    mine: npt.NDArray[np.bool_] = first % np.uint64(share.count) == np.uint64(share.index)
    return mine


def _make_control(
    control: Control, sentences: Sequence[str], distinct: Sequence[str], job: EmbedJob
) -> None:
    made_by = {"model": control, "provenance": canonical_json(provenance())}
    writer = VectorWriter(job.root, job.fingerprints[0], made_by)
    for start in range(0, len(sentences), SEAL_ROWS):
        some = sentences[start : start + SEAL_ROWS]
        vectors = as_stored(control_vectors(control, some, distinct), job.config.dtype)
        none_read = np.zeros(len(some), np.uint32)
        writer.add(VectorRows(vectors, keys_of(some), none_read, none_read > 0))
    writer.seal()


def _embed_all(sentences: Sequence[str], job: EmbedJob, stop: Stop) -> None:
    # An 8B model loads for minutes, without a safe point.
    with stop.at_once("the language model was loading"):
        # Imported here because transformers takes seconds to import, and most runs embed nothing.
        from ecgpipe.embed_text.language_model import LanguageModel
        from ecgpipe.embed_text.tokens import TextTokenizer
        from ecgpipe.torch_device import own_device

        device = own_device()
        tokenizer = TextTokenizer(job.files, job.config.max_tokens)
        with ThreadPoolExecutor(1) as beside:
            tokens = beside.submit(tokenizer.tokenize, sentences)
            model = LanguageModel(job.files, job.config, device)
            table = tokens.result()
    budget = job.config.max_tokens_per_batch or _BUDGET[device.type]
    made_by = _made_by(job, model, budget)
    writers = [VectorWriter(job.root, f, made_by) for f in job.fingerprints]
    views = _ViewWriter.of(job, keys_of(sentences), table, writers)
    meter = Throughput(model.flops_per_token, peak_flops(_device_name(device), job.config.dtype))
    label = "embed" if job.share.count == 1 else f"embed {job.share}"
    started = time.monotonic()
    with (
        progress(label, int(table.lengths.sum()), "tokens", everyone=True) as tick,
        BackgroundWriter(writers) as background,
    ):
        for batch, pending in _computed(model, table, budget, stop):
            views.put(background, batch, pending.fetch())
            tokens_done = int(table.lengths[batch.places].sum())
            rows = batch.rows if device.type == "cuda" else len(batch.places)
            meter.add(len(batch.places), tokens_done, rows * batch.padded_length)
            tick(tokens_done, meter.note(time.monotonic() - started))
    _check_refused(writers)
    if meter.texts < len(sentences):
        raise StoppedEarly(
            f"Stopped by {stop.cause} while embedding: {meter.texts:,} of {len(sentences):,} texts"
            " are done and saved. Run the same command again to go on."
        )


def _computed(
    model: "LanguageModel", table: "TokenTable", budget: int, stop: Stop
) -> "Iterator[tuple[Batch, Pending]]":
    """Batches and their vectors, one batch behind, so that the device computes the next meanwhile.

    If a batch does not fit on the GPU, it and the rest are planned again with half the budget.
    """
    import torch

    left = deque(plan_batches(table.lengths, budget))
    before: tuple[Batch, Pending] | None = None
    while left and not stop:
        batch = left.popleft()
        rows = [table.row(text) for text in batch.places]
        launched = None
        with contextlib.suppress(torch.OutOfMemoryError):
            launched = model.launch(rows, batch.padded_length, batch.rows)
        if launched is None:
            budget = _halved(batch)
            # Out here: while an error is handled, its traceback holds what the batch allocated.
            torch.cuda.empty_cache()
            rest = np.concatenate([batch.places, *(other.places for other in left)])
            left = deque(_plan_again(rest, table.lengths, budget))
            continue
        if before is not None:
            yield before
        before = batch, launched
    if before is not None:
        yield before


def _plan_again(
    places: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], budget: int
) -> list[Batch]:
    planned = plan_batches(lengths[places], budget)
    return [Batch(places[batch.places], batch.padded_length, batch.rows) for batch in planned]


def _halved(batch: Batch) -> int:
    if batch.rows == 1:
        raise ModelError(
            f"One text of {batch.padded_length} tokens and the model do not fit into the GPU's"
            " memory. Lower text.max_tokens, or use a larger GPU."
        )
    return batch.rows * batch.padded_length // 2


@dataclass(frozen=True)
class _ViewWriter:
    """Writes the vectors of a batch into the caches of all views that lack them."""

    keys: Keys
    table: "TokenTable"
    dtype: str
    views: list[tuple[VectorWriter, npt.NDArray[np.bool_]]]
    """The writer of each view, and (texts,) which texts its cache lacks."""

    @classmethod
    def of(
        cls, job: EmbedJob, keys: Keys, table: "TokenTable", writers: Sequence[VectorWriter]
    ) -> "_ViewWriter":
        caches = [VectorCache.open(job.root, fingerprint) for fingerprint in job.fingerprints]
        lacking = [cache.rows(keys) < 0 for cache in caches]
        return cls(keys, table, job.config.dtype, list(zip(writers, lacking, strict=True)))

    def put(
        self,
        background: BackgroundWriter,
        batch: Batch,
        vectors: Sequence[npt.NDArray[np.float32]],
    ) -> None:
        for (writer, lacking), vectors_RW in zip(self.views, vectors, strict=True):
            rows = VectorRows(
                as_stored(vectors_RW, self.dtype),
                self.keys[batch.places],
                self.table.lengths[batch.places].astype(np.uint32),
                self.table.was_cut[batch.places],
            )
            chosen = lacking[batch.places]
            if chosen.any():
                background.add(writer, rows.chosen(chosen))


def _check_refused(writers: Sequence[VectorWriter]) -> None:
    refused = sorted({key for writer in writers for key in writer.refused})
    if refused:
        names = ", ".join(key.hex()[:12] for key in refused[:3])
        raise StoreError(
            f"{len(refused):,} texts have vectors with NaN or infinity, which are not stored (keys"
            f" {names}...); all others are. Try text.dtype: float32, or another model."
        )


def _device_name(device: "torch.device") -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _made_by(job: EmbedJob, model: "LanguageModel", budget: int) -> dict[str, str | int]:
    return {
        "model": job.files.named,
        "device": _device_name(model.device),
        "attention": model.attention,
        "attention_kernel": model.attention_kernel,
        "max_tokens_per_batch": budget,
        "shard": str(job.share),
        "provenance": canonical_json(provenance()),
    }
