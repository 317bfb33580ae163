"""Sentences to token ids, kept compactly.

Owns the tokenizer and the length limit. The ids of millions of texts are stored in one flat array:
Python lists would take ten times the memory.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.embed_text.loading import load_tokenizer
from ecgpipe.embed_text.model_files import ModelFiles

_TEXTS_AT_ONCE = 4096

Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenTable:
    """The token ids of many texts."""

    ids: npt.NDArray[np.int32]
    """(all tokens,) one text after the other."""

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
        self._tokenizer = load_tokenizer(files)

    def cutting_at(self, max_tokens: int) -> "TextTokenizer":
        """The same, which takes seconds to load, with another limit."""
        other = copy.copy(self)
        other._max_tokens = max_tokens
        return other

    def tokenize(self, sentences: Sequence[str]) -> TokenTable:
        """Token ids of each sentence, cut at max_tokens."""
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
        # A special token written in a report is plain text, so that no report can end itself.
        return self._tokenizer(text, split_special_tokens=True, **settings)["input_ids"]
