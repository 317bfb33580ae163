"""Attention of a causal model without a mask.

Owns one kernel, transformers' own for SDPA under a name for which transformers prepares no mask.
Under its usual name transformers asks in every batch without a mask whether several texts were
packed into a row, and a GPU has to finish the previous batch before it can answer.
"""

from typing import Any

from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

_SDPA = "sdpa"
_UNMASKED = "sdpa_unmasked"
# What configurations call the number of tokens that a layer looks back. It is part of the mask.
_WINDOWS = ("sliding_window", "attention_chunk_size")

AttentionInterface.register(_UNMASKED, sdpa_attention_forward)


def can_drop_mask(model: Any, max_tokens: int) -> bool:
    """Whether a model uses SDPA, and every layer sees the whole of a text of `max_tokens`."""
    config = model.config.get_text_config()
    windows = [getattr(config, name, None) for name in _WINDOWS]
    sees_all = all(window is None or window >= max_tokens for window in windows)
    return bool(model.config._attn_implementation == _SDPA and sees_all)


def drop_mask(model: Any) -> None:
    """Compute without a mask from here on: right for a causal model only."""
    model.set_attn_implementation(_UNMASKED)


def restore_mask(model: Any) -> None:
    """Undo `drop_mask`."""
    model.set_attn_implementation(_SDPA)


def attention_name(model: Any) -> str:
    """How attention is computed: sdpa, with a mask or without; flash_attention_2; or eager."""
    name = str(model.config._attn_implementation)
    return _SDPA if name == _UNMASKED else name
