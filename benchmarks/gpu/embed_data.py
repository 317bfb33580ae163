"""What the embed stage is measured with on a GPU: a model of random weights, and texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel, LlamaConfig

from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text import language_model
from ecgpipe.embed_text.language_model import LanguageModel
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.embed_text.tokens import TokenTable

Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sizes:
    """Sizes of the model and of the work."""

    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    texts: int
    tokens_a_budget: int
    """Padded tokens for each budget that is tried: whole batches of each."""

    texts_compared: int
    budgets: tuple[int, ...]
    matrices: tuple[int, ...]


FULL = Sizes(
    width=4096,
    inner=14336,
    layers=32,
    heads=32,
    key_heads=8,
    vocabulary=128_256,
    texts=40_000,
    tokens_a_budget=262_144,
    texts_compared=1_000,
    budgets=(2048, 4096, 8192, 16_384, 32_768, 65_536),
    matrices=(4096, 8192, 16_384),
)
MINIATURE = Sizes(
    width=64,
    inner=128,
    layers=4,
    heads=4,
    key_heads=2,
    vocabulary=1000,
    texts=300,
    tokens_a_budget=2_048,
    texts_compared=40,
    budgets=(256, 512),
    matrices=(128, 256),
)


def build_model(sizes: Sizes, device: torch.device) -> Any:
    """A Llama with random bfloat16 weights, made where it runs."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        intermediate_size=sizes.inner,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.key_heads,
        max_position_embeddings=8192,
        rope_theta=500_000.0,
        use_cache=False,
    )
    with device:
        model = AutoModel.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    return model.eval().requires_grad_(False)


def wrapped(model: Any, attention: str, device: torch.device) -> LanguageModel:
    """Our LanguageModel around a model made in memory."""
    model.set_attn_implementation(attention)
    files = ModelFiles(Path(), None, "random weights")
    config = TextConfig(model=files.named, dtype="bfloat16", attention=attention)
    with patch.object(language_model, "_load", lambda *_: model):
        return LanguageModel(files, config, device)


def texts_of(lengths: Lengths, vocabulary: int, seed: int) -> TokenTable:
    """Random token ids."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.random.default_rng(seed).integers(1, vocabulary, starts[-1], dtype=np.int32)
    return TokenTable(ids, starts, np.zeros(len(lengths), np.bool_))


def some(texts: TokenTable, places: Lengths) -> TokenTable:
    """Some of the texts, in this order."""
    rows = [texts.row(int(place)) for place in places]
    starts = np.cumsum([0, *map(len, rows)])
    return TokenTable(np.concatenate(rows), starts, texts.was_cut[places])


def realistic_lengths(n_texts: int) -> Lengths:
    """Lengths as of prompts with 1 to 6 Japanese findings: median 29, 95 % below 58."""
    drawn = np.random.default_rng(1).lognormal(np.log(29), np.log(2) / 1.645, n_texts)
    return np.clip(drawn, 8, 96).astype(np.int64)


def joined(first: TokenTable, second: TokenTable) -> TokenTable:
    """Both, one after the other."""
    return TokenTable(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.starts, first.starts[-1] + second.starts[1:]]),
        np.concatenate([first.was_cut, second.was_cut]),
    )
