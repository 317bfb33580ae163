"""The frozen language model: loading it, and turning batches of token ids into vectors.

Owns transformers' models. They are loaded without their head (AutoModel: no logits, a seventh of
the time), from safetensors or GGUF only, without remote code, from local files only.

R = rows of a batch, T = tokens of the padded length, W = width of the model, V = views.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel
from transformers.utils.import_utils import is_flash_attn_2_available

from ecgpipe.config.text import TextConfig, TextView
from ecgpipe.embed_text.loading import loading, loading_settings
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.embed_text.pooling import pool
from ecgpipe.errors import ModelError

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "final_norm")

Ids = npt.NDArray[np.int32]


@dataclass
class Pending:
    """The vectors of a batch that the device may still be computing."""

    _vectors_VRW: torch.Tensor
    _rows: int
    _done: torch.cuda.Event | None

    def fetch(self) -> npt.NDArray[np.float32]:
        """(V, R, W) float32; waits until they are there."""
        if self._done is not None:
            self._done.synchronize()
        return self._vectors_VRW[:, : self._rows].numpy()


class LanguageModel:
    """A loaded model; every call is without gradients."""

    def __init__(
        self, files: ModelFiles, config: TextConfig, device: torch.device, end_id: int | None
    ) -> None:
        """Load from local files.

        Args:
            files: the model's.
            config: precision, attention and views.
            device: where it runs.
            end_id: the token that ends a text, for views with eos pooling.

        Raises:
            ModelError: the files are damaged, of an unknown architecture, lack weights, hold an
                encoder-decoder, which has no single last hidden layer, or lack a layer, norm or
                end token that a view asks for.
        """
        self.views: Sequence[TextView] = config.all_views
        self.device = device
        self._end_id = end_id
        self._puts_end = any(view.pooling == "eos" for view in self.views)
        with loading(files):
            self._model = _load(files, config, device)
        self._causal = self._is_causal()
        self._check(files)
        self._before_norm: torch.Tensor | None = None
        if not all(view.final_norm for view in self.views):
            self._final_norm(files).register_forward_pre_hook(self._keep_before_norm)

    @property
    def attention(self) -> str:
        """The attention kernel in use."""
        return str(self._model.config._attn_implementation)

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations for one token: two for each weight it meets.

        The table of embeddings is looked up, not multiplied; attention between tokens is left out,
        which for texts of some dozen tokens is below a hundredth.
        """
        table = self._model.get_input_embeddings().weight.numel()
        return float(2 * (sum(weight.numel() for weight in self._model.parameters()) - table))

    def needs(self, row: Ids) -> int:
        """Tokens that a text takes up, with an end-of-text token if one is put behind it."""
        return len(row) + int(self._puts_end and not self._has_end(row))

    @torch.inference_mode()
    def launch(self, ids: Sequence[Ids], padded_length: int, rows: int) -> Pending:
        """Start computing the vectors of a batch, and return without waiting for a GPU.

        Args:
            ids: token ids of each text.
            padded_length: what the rows are padded to, on the right.
            rows: on a GPU the batch is filled up to so many, so that one padded length always has
                one shape, and a text's vector does not depend on how many stand beside it. A CPU
                needs no such care.

        Raises:
            torch.OutOfMemoryError: the batch does not fit on the GPU.
        """
        cuda = self.device.type == "cuda"
        filled = [*ids, *([ids[0]] * (rows - len(ids)))] if cuda else ids
        tokens_RT, lengths_R, ends_R = self._arranged(filled, padded_length)
        tokens_RT, lengths_R, ends_R = (
            (tensor.pin_memory() if cuda else tensor).to(self.device, non_blocking=True)
            for tensor in (tokens_RT, lengths_R, ends_R)
        )
        vectors_VRW = self._views(tokens_RT, lengths_R, ends_R)
        if not cuda:
            return Pending(vectors_VRW, len(ids), None)
        host_VRW = torch.empty(vectors_VRW.shape, dtype=torch.float32, pin_memory=True)
        host_VRW.copy_(vectors_VRW, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch gives it no types
        done.record()
        return Pending(host_VRW, len(ids), done)

    def _arranged(
        self, ids: Sequence[Ids], padded_length: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens (R, T), lengths (R,) of the texts, and where (R,) each one's end token stands."""
        tokens_RT = np.zeros((len(ids), padded_length), np.int64)  # any id does as padding
        lengths_R = np.array([len(row) for row in ids], np.int64)
        ends_R = lengths_R - 1
        for number, row in enumerate(ids):
            tokens_RT[number, : len(row)] = row
            if self._end_id is not None and self._puts_end and not self._has_end(row):
                tokens_RT[number, len(row)] = self._end_id
                ends_R[number] = len(row)
        return torch.from_numpy(tokens_RT), torch.from_numpy(lengths_R), torch.from_numpy(ends_R)

    def _views(
        self, tokens_RT: torch.Tensor, lengths_R: torch.Tensor, ends_R: torch.Tensor
    ) -> torch.Tensor:
        # From the lengths, never from the pad id: many models pad with a token that ends texts.
        places_T = torch.arange(tokens_RT.shape[1], device=tokens_RT.device)
        # Where tokens see only those before them, padding on the right changes nothing. Without a
        # mask the kernel is always one and the same, and the faster; with one, transformers drops
        # it for a batch without padding, and on a GPU last bits would depend on the neighbours.
        mask_RT = None if self._causal else (places_T <= ends_R[:, None]).long()
        inner = any(view.layer != -1 for view in self.views)
        output = self._model(
            input_ids=tokens_RT, attention_mask=mask_RT, output_hidden_states=inner
        )
        return torch.stack(
            [
                pool(self._layer(output, view), lengths_R, view.pooling, ends_R)
                for view in self.views
            ]
        )

    def _layer(self, output: Any, view: TextView) -> torch.Tensor:
        if not view.final_norm:
            assert self._before_norm is not None, "the final norm was not met"
            return self._before_norm
        hidden: torch.Tensor = (
            output.last_hidden_state if view.layer == -1 else output.hidden_states[view.layer]
        )
        return hidden

    def _keep_before_norm(self, module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        self._before_norm = inputs[0]

    def _has_end(self, row: Ids) -> bool:
        return len(row) > 0 and int(row[-1]) == self._end_id

    def _check(self, files: ModelFiles) -> None:
        n_states = int(self._model.config.num_hidden_layers) + 1
        for view in self.views:
            if not -n_states <= view.layer < n_states:
                raise ModelError(
                    f"A view asks for layer {view.layer}, but {files.named} has hidden states 0 to"
                    f" {n_states - 1} (or -{n_states} to -1). Change text.layer or text.views."
                )
        if self._puts_end and self._end_id is None:
            raise ModelError(
                f"The tokenizer of {files.named} has no end-of-text token, so pooling: eos cannot"
                " be had. Use last_token or mean."
            )
        if self._puts_end and len(self.views) > 1 and not self._causal:
            raise ModelError(
                f"In {files.named} every token sees the whole text, so an end-of-text token put"
                " behind it changes the other views. Give pooling: eos an experiment of its own."
            )

    @torch.inference_mode()
    def _is_causal(self) -> bool:
        """Whether a token's state stays the same when another is put behind it; tried out."""
        vocabulary = int(self._model.get_input_embeddings().weight.shape[0])
        tokens_RT = torch.arange(1, 17, device=self.device)[None] % vocabulary
        other_RT = tokens_RT.clone()
        other_RT[0, -1] = (other_RT[0, -1] + 1) % vocabulary
        one, other = (
            self._model(input_ids=t, attention_mask=torch.ones_like(t)).last_hidden_state[0, :-1]
            for t in (tokens_RT, other_RT)
        )
        return torch.equal(one, other)  # where it is not to the bit, a mask does no harm

    def _final_norm(self, files: ModelFiles) -> torch.nn.Module:
        for name in _FINAL_NORMS:
            if isinstance(norm := getattr(self._model, name, None), torch.nn.Module):
                return norm
        raise ModelError(
            f"{files.named} has no norm behind its last layer, so final_norm: false means nothing"
            " there. Leave it out."
        )


def _load(files: ModelFiles, config: TextConfig, device: torch.device) -> Any:
    kernel = _attention(config, device)
    try:
        model, report = _from_files(files, config, device, kernel)
    except (ImportError, ValueError):
        if config.attention != "auto" or kernel != "flash_attention_2":
            raise
        model, report = _from_files(files, config, device, "sdpa")  # it lacks a flash version
    # A checkpoint without its weights would be filled with random ones, and nobody would notice.
    missing = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
    if missing:
        raise ModelError(
            f"The model {files.named} lacks {len(missing)} weights, such as {sorted(missing)[0]}."
        )
    if model.config.is_encoder_decoder:
        raise ModelError(
            f"The model {files.named} is an encoder-decoder; a decoder or an encoder is wanted."
        )
    model.config.use_cache = False  # keys and values of past tokens serve generation only
    return model.eval().requires_grad_(False)


def _from_files(
    files: ModelFiles, config: TextConfig, device: torch.device, kernel: str
) -> tuple[Any, Any]:
    loaded: tuple[Any, Any] = AutoModel.from_pretrained(
        **loading_settings(files),
        dtype=_DTYPES[config.dtype],
        attn_implementation=kernel,
        use_safetensors=True,
        output_loading_info=True,
        device_map={"": device} if device.type != "cpu" else None,
    )
    return loaded


def _attention(config: TextConfig, device: torch.device) -> str:
    if config.attention != "auto":
        return config.attention
    fits = device.type == "cuda" and config.dtype == "bfloat16"
    return "flash_attention_2" if fits and is_flash_attn_2_available() else "sdpa"
