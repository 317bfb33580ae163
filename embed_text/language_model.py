"""The frozen language model: loading it, and turning batches of sentences into vectors.

Owns transformers. The model is loaded without its head (AutoModel: no logits, a seventh of the
time), from safetensors or GGUF only, without remote code, from local files only.

R = rows of a batch, T = tokens of the padded length, W = width of the model.
"""

import contextlib
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

# Read when transformers is imported, so set before: no threads of the tokenizer's beside ours.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ecgpipe.config import TextConfig
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.errors import ModelError

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


class LanguageModel:
    """A loaded model with its tokenizer; every call is without gradients."""

    def __init__(self, files: ModelFiles, config: TextConfig, device: torch.device) -> None:
        """Load from local files.

        Raises:
            ModelError: the files are damaged, of an unknown architecture, lack weights, or hold an
                encoder-decoder, which has no single last hidden layer.
        """
        self._config = config
        self._device = device
        _quieten(transformers_logging)
        try:
            # GGUF conversion draws a bar of its own among our progress lines; logs still show.
            with contextlib.redirect_stderr(io.StringIO()):
                self._tokenizer = _load_tokenizer(files)
                self._model = _load_model(files, _DTYPES[config.dtype], device)
        except ModelError:
            raise
        except Exception as error:  # transformers raises whatever its loading runs into
            raise ModelError(
                f"The model {files.named} cannot be loaded from {files.folder}: {error}"
            ) from error
        self._check_layer(files)

    @property
    def parameters(self) -> int:
        """Weights of the model."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def tokenize(self, sentences: Sequence[str]) -> tuple[list[list[int]], npt.NDArray[np.bool_]]:
        """Token ids of each sentence, with the tokenizer's own special tokens.

        Returns:
            The ids, at most text.max_tokens each; and which sentences were cut.
        """
        limit = self._config.max_tokens
        ids = self._tokenizer(list(sentences), truncation=True, max_length=limit)["input_ids"]
        full = [place for place, tokens in enumerate(ids) if len(tokens) >= limit]
        cut = np.zeros(len(ids), np.bool_)
        for place in full:
            cut[place] = len(self._tokenizer(sentences[place])["input_ids"]) > limit
        return ids, cut

    @torch.inference_mode()
    def vectors(
        self, ids: Sequence[Sequence[int]], padded_length: int
    ) -> npt.NDArray[np.uint16] | npt.NDArray[np.float32]:
        """The vector of each sentence of a batch.

        Args:
            ids: token ids of each row.
            padded_length: what the rows are padded to, on the right.

        Returns:
            (R, W): bfloat16 bit patterns or float32, as text.dtype says.
        """
        lengths_R = torch.tensor([len(row) for row in ids], device=self._device)
        ids_RT = torch.full((len(ids), padded_length), self._pad_id, device=self._device)
        for row, tokens in enumerate(ids):
            ids_RT[row, : len(tokens)] = torch.tensor(tokens, device=self._device)
        # From the lengths, never from the pad id: many models pad with a token that ends texts.
        mask_RT = torch.arange(padded_length, device=self._device) < lengths_R[:, None]
        hidden_RTW = self._hidden(ids_RT, mask_RT.long())
        pooled_RW = pool(hidden_RTW, mask_RT, self._config.pooling)
        return as_stored(pooled_RW, self._config.dtype)

    @property
    def _pad_id(self) -> int:
        for token in (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        return 0

    def _hidden(self, ids_RT: torch.Tensor, mask_RT: torch.Tensor) -> torch.Tensor:
        last = self._config.layer == -1
        output = self._model(
            input_ids=ids_RT, attention_mask=mask_RT, output_hidden_states=not last
        )
        hidden: torch.Tensor = (
            output.last_hidden_state if last else output.hidden_states[self._config.layer]
        )
        return hidden

    def _check_layer(self, files: ModelFiles) -> None:
        n_states = int(self._model.config.num_hidden_layers) + 1
        if not -n_states <= self._config.layer < n_states:
            raise ModelError(
                f"text.layer is {self._config.layer}, but {files.named} has hidden states 0 to"
                f" {n_states - 1} (or -{n_states} to -1)."
            )


def pool(hidden_RTW: torch.Tensor, mask_RT: torch.Tensor, pooling: str) -> torch.Tensor:
    """One float32 vector (R, W) per row.

    last_token: the last real token's. mean: the mean over the real tokens, summed in float32.
    Rows are padded on the right, so the last real token stands at length - 1.
    """
    lengths_R = mask_RT.sum(dim=1)
    if pooling == "last_token":
        rows_R = torch.arange(len(hidden_RTW), device=hidden_RTW.device)
        return hidden_RTW[rows_R, lengths_R - 1].float()
    masked_RTW = hidden_RTW.float() * mask_RT[:, :, None]
    return masked_RTW.sum(dim=1) / lengths_R[:, None]


def as_stored(
    vectors_RW: torch.Tensor, dtype: str
) -> npt.NDArray[np.uint16] | npt.NDArray[np.float32]:
    """float32 vectors as they are kept: bfloat16 bits, rounded to nearest even, or float32."""
    if dtype == "float32":
        return vectors_RW.cpu().numpy()
    bits: npt.NDArray[np.uint16] = (
        vectors_RW.to(torch.bfloat16).cpu().view(torch.int16).numpy().view(np.uint16)
    )
    return bits


def _quieten(logging: Any) -> None:
    """transformers' own bars and remarks would stand among ours."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _load_tokenizer(files: ModelFiles) -> Any:
    return AutoTokenizer.from_pretrained(
        files.folder, local_files_only=True, trust_remote_code=False, **_gguf(files)
    )


def _load_model(files: ModelFiles, dtype: torch.dtype, device: torch.device) -> Any:
    model, report = AutoModel.from_pretrained(
        files.folder,
        dtype=dtype,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        device_map={"": device} if device.type != "cpu" else None,
        **_gguf(files),
    )
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


def _gguf(files: ModelFiles) -> dict[str, str]:
    return {} if files.gguf is None else {"gguf_file": files.gguf}
