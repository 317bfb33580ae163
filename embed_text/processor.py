"""How fast this machine's processor is at a language model's matrix products.

Measured, not looked up: with or without AMX or AVX512-BF16 the same clock differs tenfold, and what
else runs here counts too.
"""

import time

import torch

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_TOKENS = 256


def product_flops(width: int, inner: int, dtype: str) -> float:
    """FLOP/s of the states of 256 tokens (256, width) times one weight matrix (width, inner).

    The better of two calls, since the first chooses its kernel.
    """
    states_TW = torch.ones(_TOKENS, width, dtype=_DTYPES[dtype])
    weight_IW = torch.ones(inner, width, dtype=_DTYPES[dtype])
    seconds = min(_seconds(states_TW, weight_IW) for _ in range(2))
    return 2 * _TOKENS * width * inner / seconds


def _seconds(states_TW: torch.Tensor, weight_IW: torch.Tensor) -> float:
    started = time.perf_counter()
    torch.nn.functional.linear(states_TW, weight_IW)
    return time.perf_counter() - started
