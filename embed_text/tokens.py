"""Sentences to token ids, kept compactly.

Owns the tokenizer and the length limit. Ids of millions of texts lie in one flat array: Python
lists of them would take ten times the memory.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import AutoTokenizer

from ecgpipe.embed_text.loading import loading, loading_settings
from ecgpipe.embed_text.model_files import ModelFiles

_TEXTS_AT_ONCE = 4096

Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenTable:
    """The token ids of many texts."""

    ids: npt.NDArray[np.int32]
    """(all tokens,) of one text after the other."""

    starts: Lengths
    """(texts + 1,) where each begins."""

    was_cut: npt.NDArray[np.bool_]
    """(texts,) whether it was longer than the limit."""

    @property
    def lengths(self) -> Lengths:
        """(texts,) tokens of each."""
        return np.diff(self.starts)

    def row(self, text: int) -> npt.NDArray[np.int32]:
        """The ids of one text."""
        return self.ids[self.starts[text] : self.starts[text + 1]]


class TextTokenizer:
    """The model's own tokenizer, with its own special tokens."""

    def __init__(self, files: ModelFiles, max_tokens: int) -> None:
        """Load from local files.

        Raises:
            ModelError: the files are damaged or hold no tokenizer that transformers knows.
        """
        self._max_tokens = max_tokens
        # One thread: it runs beside the loading of the model, and warns at every fork otherwise.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        with loading(files):
            self._tokenizer: Any = AutoTokenizer.from_pretrained(**loading_settings(files))

    @property
    def end_id(self) -> int | None:
        """The token that ends a text, if the tokenizer has one."""
        for token in (self._tokenizer.sep_token_id, self._tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        return None

    def tokenize(self, sentences: Sequence[str]) -> TokenTable:
        """Token ids of each sentence, at most max_tokens of each."""
        blocks = [
            self._block(sentences[start : start + _TEXTS_AT_ONCE])
            for start in range(0, len(sentences), _TEXTS_AT_ONCE)
        ]
        ids = np.concatenate([np.empty(0, np.int32), *(block.ids for block in blocks)])
        lengths = np.concatenate([np.empty(0, np.int64), *(block.lengths for block in blocks)])
        cut = np.concatenate([np.empty(0, np.bool_), *(block.was_cut for block in blocks)])
        return TokenTable(ids, np.concatenate([[0], np.cumsum(lengths)]), cut)

    def _block(self, sentences: Sequence[str]) -> TokenTable:
        limit = self._max_tokens
        rows = self._ids(list(sentences), truncation=True, max_length=limit)
        cut = np.zeros(len(rows), np.bool_)
        for place in (place for place, tokens in enumerate(rows) if len(tokens) >= limit):
            cut[place] = len(self._ids(sentences[place])) > limit
        starts = np.cumsum([0, *map(len, rows)])
        return TokenTable(np.concatenate([np.array(row, np.int32) for row in rows]), starts, cut)

    def _ids(self, text: Any, **settings: Any) -> Any:
        # A special token that is written in a report is text: no report can end itself.
        return self._tokenizer(text, split_special_tokens=True, **settings)["input_ids"]
