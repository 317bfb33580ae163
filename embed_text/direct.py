"""Vectors of a few sentences at once, which are not kept.

Owns the order tokenise, batch, compute, for a question somebody asks of a trained model.
`embedding` does the same for whole data sets; on a CPU a vector is the same to the last bit.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.vectors.part import as_float32, as_stored
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.batches import plan_batches
from ecgpipe.embed_text.language_model import LanguageModel
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.embed_text.tokens import TextTokenizer
from ecgpipe.torch_device import own_device

_BUDGET = 1024  # padded tokens at a time: a question is short


class SentenceEncoder:
    """A loaded language model."""

    def __init__(self, files: ModelFiles, config: TextConfig) -> None:
        """Load from local files. Raises ModelError as `LanguageModel`."""
        self._tokenizer = TextTokenizer(files, config.max_tokens)
        self._model = LanguageModel(files, config, own_device())
        self._dtype = config.dtype

    def vectors(self, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, W) of the first view, rounded as the stored ones are; at least one sentence."""
        table = self._tokenizer.tokenize(sentences)
        found: dict[int, npt.NDArray[np.float32]] = {}
        for batch in plan_batches(table.lengths, _BUDGET):
            rows = [table.row(place) for place in batch.places]
            vectors_RW = self._model.launch(rows, batch.padded_length, batch.rows).fetch()[0]
            found |= dict(zip(batch.places.tolist(), vectors_RW, strict=True))
        stacked = np.stack([found[place] for place in range(len(sentences))])
        return as_float32(as_stored(stacked, self._dtype))
