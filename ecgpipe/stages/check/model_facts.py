"""What the files of a language model say of its size, without loading it."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from ecgpipe.embed_text.gguf_header import read_gguf_header
from ecgpipe.embed_text.model_files import ModelFiles

# In the names of tables with a row for each token of the vocabulary, looked up or not used here.
_TABLES = ("embed", "lm_head", "wte")


@dataclass(frozen=True)
class CausalHead:
    """What only a model that can write has."""

    layers: int
    vocabulary: int


@dataclass(frozen=True)
class ModelFacts:
    """What can be known about the language model without loading it."""

    parameters: int | None
    """None if its files do not say."""

    multiplied: int
    """Parameters that every token is multiplied with: without tables of tokens. 0 if unknown."""

    width: int | None
    inner: int | None
    """Width of the feed-forward layers."""

    file_bytes: int
    causal: CausalHead | None = None
    """None if it cannot write, as an encoder, or its files do not say."""


def model_facts(files: ModelFiles) -> ModelFacts:
    """The size of a model.

    Raises:
        OSError, ValueError, SafetensorError: its files cannot be read.
    """
    if not files.has_files:
        return ModelFacts(None, 0, None, None, 0)
    weights = files.weight_files()
    file_bytes = sum(path.stat().st_size for path in weights)
    if files.gguf is not None:
        return _gguf_facts(weights[0], file_bytes)
    config = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
    config = (config.get("text_config") or {}) | config
    counts = [pair for path in weights for pair in _numbers_in(path)]
    layers, vocabulary = config.get("num_hidden_layers"), config.get("vocab_size")
    writes = any(name.endswith("ForCausalLM") for name in config.get("architectures") or ())
    return ModelFacts(
        parameters=sum(n for _, n in counts),
        multiplied=sum(n for name, n in counts if not any(word in name for word in _TABLES)),
        width=config.get("hidden_size"),
        inner=config.get("intermediate_size"),
        file_bytes=file_bytes,
        causal=CausalHead(layers, vocabulary) if writes and layers and vocabulary else None,
    )


def _gguf_facts(path: Path, file_bytes: int) -> ModelFacts:
    if (header := read_gguf_header(path)) is None:
        return ModelFacts(None, 0, None, None, file_bytes)
    tables = [name for name in header.tensors if name.startswith(("token_embd.", "output."))]
    parameters = sum(header.tensors.values())
    width, layers = (
        header.of_architecture("embedding_length"),
        header.of_architecture("block_count"),
    )
    is_causal = header.of_architecture("attention.causal") is not False
    words = header.tensors.get("token_embd.weight", 0)
    return ModelFacts(
        parameters=parameters,
        multiplied=parameters - sum(header.tensors[name] for name in tables),
        width=width,
        inner=header.of_architecture("feed_forward_length"),
        file_bytes=file_bytes,
        causal=CausalHead(layers, words // width) if is_causal and layers and width else None,
    )


def _numbers_in(path: Path) -> Iterator[tuple[str, int]]:
    """Each tensor of a safetensors file and how many numbers it holds, read from its header."""
    with safe_open(path, "numpy") as file:
        for name in file.keys():
            yield name, math.prod(file.get_slice(name).get_shape())
