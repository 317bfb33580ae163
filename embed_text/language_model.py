"""The frozen language model: loading it, and turning batches of token ids into vectors.

Owns transformers' models. They are loaded without their head (AutoModel: no logits, a seventh of
the time), from local safetensors or GGUF files only, and without remote code.

R = rows of a batch, T = tokens of the padded length, W = width of the model or, of a joined view,
of all that is joined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel
from transformers.utils.import_utils import is_flash_attn_2_available

from ecgpipe.config.text import TextConfig, TextView
from ecgpipe.embed_text.attention import attention_name, can_drop_mask, drop_mask, restore_mask
from ecgpipe.embed_text.loading import load_weights, loading
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.embed_text.pooling import join, joined_layers, pool
from ecgpipe.errors import ModelError

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}

_FUSED = "_scaled_dot_product_"  # how torch's operations of fused attention begin

Ids = npt.NDArray[np.int32]


@dataclass
class Pending:
    """The vectors of a batch that the device may still be computing."""

    _vectors: Sequence[torch.Tensor]
    _rows: int
    _done: torch.cuda.Event | None

    def fetch(self) -> list[npt.NDArray[np.float32]]:
        """Wait for the vectors of each view (R, W), float32."""
        if self._done is not None:
            self._done.synchronize()
        return [vectors_RW[: self._rows].numpy() for vectors_RW in self._vectors]


class LanguageModel:
    """A loaded model; every call is without gradients."""

    def __init__(self, files: ModelFiles, config: TextConfig, device: torch.device) -> None:
        """Load from local files.

        Args:
            files: of the model.
            config: precision, attention and views.
            device: where it runs.

        Raises:
            ModelError: the files are damaged, of an unknown architecture, lack weights or a view's
                layer, or hold an encoder-decoder, which has no single last hidden layer.
        """
        self.views: Sequence[TextView] = config.all_views
        self.device = device
        with loading(files):
            self._model = _load(files, config, device)
        self._causal = self._is_causal(config.max_tokens)
        self._check_layers(files)
        self.attention_kernel = self._find_kernel()
        """What torch takes for `sdpa` on this device, such as "flash_attention"."""

    @property
    def attention(self) -> str:
        """How attention is computed: sdpa, flash_attention_2 or eager."""
        return attention_name(self._model)

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations per token: two for each weight.

        Embeddings are looked up, not multiplied, and so not counted; nor is attention between
        tokens, which is below 1 % for texts of a few dozen tokens.
        """
        table = self._model.get_input_embeddings().weight.numel()
        return float(2 * (sum(weight.numel() for weight in self._model.parameters()) - table))

    @torch.inference_mode()
    def launch(self, ids: Sequence[Ids], padded_length: int, rows: int) -> Pending:
        """Start computing the vectors of a batch, and return without waiting for a GPU.

        Args:
            ids: token ids of each text.
            padded_length: length to pad the rows to, on the right.
            rows: on a GPU the batch is filled up to this number of rows, so that a padded length
                has few shapes. Not needed on a CPU.

        Raises:
            torch.OutOfMemoryError: the batch does not fit on the GPU.
        """
        cuda = self.device.type == "cuda"
        filled = [*ids, *([ids[0]] * (rows - len(ids)))] if cuda else ids
        tokens_RT, lengths_R = (
            (tensor.pin_memory() if cuda else tensor).to(self.device, non_blocking=True)
            for tensor in _padded(filled, padded_length)
        )
        vectors = self._compute_views(tokens_RT, lengths_R)
        if not cuda:
            return Pending(vectors, len(ids), None)
        on_host = []
        for vectors_RW in vectors:
            host_RW = torch.empty(vectors_RW.shape, dtype=torch.float32, pin_memory=True)
            on_host.append(host_RW.copy_(vectors_RW, non_blocking=True))
        done = torch.cuda.Event()
        done.record()
        return Pending(on_host, len(ids), done)

    def _compute_views(
        self, tokens_RT: torch.Tensor, lengths_R: torch.Tensor
    ) -> list[torch.Tensor]:
        # From the lengths, not from the pad id: many models pad with their end-of-text token.
        places_T = torch.arange(tokens_RT.shape[1], device=tokens_RT.device)
        # In a causal model padding on the right changes nothing. Without a mask the kernel is
        # always the same, and faster; transformers drops a mask for a batch without padding, so on
        # a GPU the last bits would depend on the neighbours.
        mask_RT = None if self._causal else (places_T < lengths_R[:, None]).long()
        inner = any(view.layer != -1 or view.pooling == "joined" for view in self.views)
        output = self._model(
            input_ids=tokens_RT, attention_mask=mask_RT, output_hidden_states=inner
        )
        return [_read(output, lengths_R, view) for view in self.views]

    def _check_layers(self, files: ModelFiles) -> None:
        n_states = int(self._model.config.num_hidden_layers) + 1
        for view in self.views:
            if not -n_states <= view.layer < n_states:
                raise ModelError(
                    f"A view has layer {view.layer}, but {files.named} has hidden states 0 to"
                    f" {n_states - 1} (or -{n_states} to -1). Change text.layer or text.views."
                )

    @torch.no_grad()  # in inference mode torch shows the operation before it chooses a kernel
    def _find_kernel(self) -> str:
        """Which operation computes attention, by watching a batch of two texts."""
        if self.attention != "sdpa":
            return self.attention
        with _Kernels() as kernels:
            tokens_RT = torch.ones((2, 16), dtype=torch.int64, device=self.device)
            self._compute_views(tokens_RT, torch.tensor([16, 9], device=self.device))
        return ", ".join(sorted(kernels.seen)) or "math"

    @torch.inference_mode()
    def _is_causal(self, max_tokens: int) -> bool:
        """Whether a token's state stays the same when a later token changes, by trying it.

        If it does without a mask too, none is prepared from here on.
        """
        vocabulary = int(self._model.get_input_embeddings().weight.shape[0])
        tokens_RT = torch.arange(1, 17, device=self.device)[None] % vocabulary
        other_RT = tokens_RT.clone()
        other_RT[0, -1] = (other_RT[0, -1] + 1) % vocabulary
        states = self._states_but_last(tokens_RT)
        # If the bits differ, a mask does no harm.
        if can_drop_mask(self._model, max_tokens):
            drop_mask(self._model)
            if torch.equal(states, self._states_but_last(other_RT)):
                return True
            restore_mask(self._model)
        return torch.equal(states, self._states_but_last(other_RT))

    def _states_but_last(self, tokens_RT: torch.Tensor) -> torch.Tensor:
        mask_RT = torch.ones_like(tokens_RT)
        output = self._model(input_ids=tokens_RT, attention_mask=mask_RT)
        states_TW: torch.Tensor = output.last_hidden_state[0, :-1]
        return states_TW


class _Kernels(TorchDispatchMode):
    """Notes the attention operations that torch calls; one made of plain products has none."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, given: Any = (), named: Any = None
    ) -> Any:
        name = str(operation).split(".")[1]
        if name.startswith(_FUSED):
            self.seen.add(name.removeprefix(_FUSED))
        return operation(*given, **(named or {}))


def _read(output: Any, lengths_R: torch.Tensor, view: TextView) -> torch.Tensor:
    """The vectors (R, W) of a view."""
    if view.pooling == "joined":
        states = [*output.hidden_states[:-1], output.last_hidden_state]
        return join([states[layer] for layer in joined_layers(len(states) - 1)], lengths_R)
    states_RTW: torch.Tensor = (
        output.last_hidden_state if view.layer == -1 else output.hidden_states[view.layer]
    )
    return pool(states_RTW, lengths_R, view.pooling)


def _padded(ids: Sequence[Ids], padded_length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (R, T), padded with 0, since any id will do; and lengths (R,) of the texts."""
    tokens_RT = np.zeros((len(ids), padded_length), np.int64)
    for number, row in enumerate(ids):
        tokens_RT[number, : len(row)] = row
    return torch.from_numpy(tokens_RT), torch.tensor([len(row) for row in ids])


def _load(files: ModelFiles, config: TextConfig, device: torch.device) -> Any:
    kernel = _attention(config, device)
    try:
        model, report = _from_files(files, config, device, kernel)
    except (ImportError, ValueError):
        if config.attention != "auto" or kernel != "flash_attention_2":
            raise
        model, report = _from_files(files, config, device, "sdpa")  # no flash attention for it
    missing = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
    if missing:
        raise ModelError(
            f"The model {files.named} lacks {len(missing)} weights, such as {sorted(missing)[0]}."
        )
    if model.config.is_encoder_decoder:
        raise ModelError(
            f"The model {files.named} is an encoder-decoder. Choose a decoder or an encoder."
        )
    model.config.use_cache = False  # only generation needs the keys and values of past tokens
    return model.eval().requires_grad_(False)


def _from_files(
    files: ModelFiles, config: TextConfig, device: torch.device, kernel: str
) -> tuple[Any, Any]:
    dtype = _DTYPES[config.dtype]
    return load_weights(AutoModel, files, device, dtype=dtype, attn_implementation=kernel)


def _attention(config: TextConfig, device: torch.device) -> str:
    if config.attention != "auto":
        return config.attention
    fits = device.type == "cuda" and config.dtype == "bfloat16"
    return "flash_attention_2" if fits and is_flash_attn_2_available() else "sdpa"
