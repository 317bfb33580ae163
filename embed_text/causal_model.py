"""The frozen language model with its head: what it would write behind vectors in place of words.

Owns transformers' causal models. Its weights never change, but gradients flow through it to the
vectors it is given. B = rows of a batch, P = vectors in front of a text, T = tokens of the longest
text, W = width of the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from ecgpipe.embed_text.loading import load_tokenizer, load_weights, loading
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.errors import ModelError

_IGNORED = -100  # torch's cross-entropy leaves it out


@dataclass(frozen=True)
class CausalFacts:
    """The size of a model, for estimates."""

    parameters: int
    multiplied: int
    """Without the table of embeddings, unless the head uses it."""

    width: int
    inner: int
    """Width of the feed-forward layers."""

    layers: int
    vocabulary: int
    bytes_each: int
    """Of a weight."""


class CausalModel:
    """A loaded model that continues vectors with text."""

    def __init__(self, files: ModelFiles, dtype: torch.dtype, device: torch.device) -> None:
        """Load from local files.

        Args:
            files: of the model.
            dtype: of its weights.
            device: where it runs.

        Raises:
            ModelError: there are no files, they are damaged, or the model cannot write: it has no
                causal head, its tokens see later ones, or it knows no end of a text.
        """
        if not files.has_files:
            raise ModelError(
                f"text.model {files.named} is no language model that could write a report."
            )
        self._named, self.device = files.named, device
        with loading(files):
            self._model = _load(files, dtype, device)
        self._tokenizer = load_tokenizer(files)
        if self._tokenizer.eos_token_id is None:
            raise ModelError(
                f"The language model {files.named} cannot write a report: it has no token that"
                " ends a text."
            )
        self._end = int(self._tokenizer.eos_token_id)
        # The states of the last tokens are a slice, for which torch would copy the head's weights
        # once for every row: more than half of a step on a CPU.
        self._model.get_output_embeddings().register_forward_pre_hook(_contiguous)
        self._check_causal()

    @property
    def facts(self) -> CausalFacts:
        """Its size."""
        table, head = (
            self._model.get_input_embeddings().weight,
            self._model.get_output_embeddings().weight,
        )
        parameters = sum(weight.numel() for weight in self._model.parameters())
        looked_up = 0 if table is head else table.numel()
        config = self._model.config.get_text_config()
        return CausalFacts(
            parameters=parameters,
            multiplied=parameters - looked_up,
            width=self.width,
            inner=int(getattr(config, "intermediate_size", None) or 4 * self.width),
            layers=int(config.num_hidden_layers),
            vocabulary=int(head.shape[0]),
            bytes_each=head.element_size(),
        )

    @property
    def width(self) -> int:
        """W."""
        return int(self._model.get_input_embeddings().weight.shape[1])

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of texts; a special token written in one is text."""
        ids: list[list[int]] = self._tokenizer(
            list(texts), add_special_tokens=False, split_special_tokens=True
        )["input_ids"]
        return ids

    def loss(self, prefix_BPW: torch.Tensor, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """The mean cross-entropy of a token of these texts and of their end, in nats.

        Args:
            prefix_BPW: in place of words before each text.
            ids: (B,) the tokens of each text.
        """
        longest = max(map(len, ids))
        tokens_BT = torch.full((len(ids), longest), self._end)
        target_Bt = torch.full((len(ids), longest + 1), _IGNORED)
        for row, text in enumerate(ids):
            tokens_BT[row, : len(text)] = torch.tensor(text, dtype=torch.long)
            target_Bt[row, : len(text) + 1] = torch.tensor([*text, self._end])
        # Padding stands on the right, where no token of a causal model sees it.
        words_BTW = self._model.get_input_embeddings()(tokens_BT.to(self.device))
        inputs = torch.cat([self._begun(prefix_BPW), words_BTW], dim=1)
        output = self._model(inputs_embeds=inputs, use_cache=False, logits_to_keep=longest + 1)
        logits_BtV = output.logits.float()
        loss: torch.Tensor = functional.cross_entropy(
            logits_BtV.flatten(0, 1), target_Bt.to(self.device).flatten(), ignore_index=_IGNORED
        )
        return loss

    @torch.inference_mode()
    def write(self, prefix_BPW: torch.Tensor, limit: int) -> list[tuple[str, bool]]:
        """The likeliest next token, again and again, until the end of the text.

        Args:
            prefix_BPW: in place of words before each text.
            limit: the most tokens.

        Returns:
            (B,) each text, and whether it ended within the limit.
        """
        output = self._model(
            inputs_embeds=self._begun(prefix_BPW), use_cache=True, logits_to_keep=1
        )
        rows: list[list[int]] = [[] for _ in range(len(prefix_BPW))]
        ended = [False] * len(rows)
        for _ in range(limit + 1):  # the end is a token too
            next_B = output.logits[:, -1].argmax(dim=-1)
            for row, token in enumerate(next_B.tolist()):
                ended[row] = ended[row] or token == self._end
                if not ended[row]:
                    rows[row].append(token)
            if all(ended):
                break
            output = self._model(
                input_ids=next_B[:, None],
                past_key_values=output.past_key_values,
                use_cache=True,
                logits_to_keep=1,
            )
        texts = self._tokenizer.batch_decode(
            [row[:limit] for row in rows], skip_special_tokens=True
        )
        return [(text.strip(), end) for text, end in zip(texts, ended, strict=True)]

    def _begun(self, prefix_BPW: torch.Tensor) -> torch.Tensor:
        """The prefix behind the token that begins a text, if the model has one."""
        prefix = prefix_BPW.to(self._model.dtype)
        begin = self._tokenizer.bos_token_id
        if begin is None:
            return prefix
        token = torch.full((len(prefix), 1), int(begin), device=self.device)
        return torch.cat([self._model.get_input_embeddings()(token), prefix], dim=1)

    @torch.inference_mode()
    def _check_causal(self) -> None:
        """Refuse a model in which a token sees later ones: it was not made to write."""
        tokens = torch.arange(1, 9, device=self.device)[None] % len(self._tokenizer)
        other = tokens.clone()
        other[0, -1] += 1
        one, two = (self._model(input_ids=each).logits[0, :-1].float() for each in (tokens, other))
        if not torch.allclose(one, two, atol=1e-3, rtol=1e-2):
            raise ModelError(
                f"The language model {self._named} cannot write a report: its tokens see later"
                " ones, as in an encoder. The rung `written` needs a causal one, such as Llama."
            )


def _contiguous(_: torch.nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (given[0].contiguous(),)


def _load(files: ModelFiles, dtype: torch.dtype, device: torch.device) -> Any:
    try:
        model, report = load_weights(AutoModelForCausalLM, files, device, dtype=dtype)
    except ValueError as error:  # transformers knows no causal model of this kind
        raise ModelError(
            f"The language model {files.named} cannot write a report: it has no causal head"
            f" ({error})."
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"The language model {files.named} cannot write a report: its files lack the causal"
            f" head, or other weights, such as {missing[0]}. The rung `written` needs a model with"
            " its head."
        )
    return model.eval().requires_grad_(False)
