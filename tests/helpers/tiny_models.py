"""Language models small enough for a test: real architectures, random weights, a byte tokenizer."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    PreTrainedTokenizerFast,
)

SIZES = {
    "vocab_size": 300,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def save_llama(
    folder: Path,
    seed: int = 0,
    pad_token: bool = False,
    tied: bool = True,
    layers: int = SIZES["num_hidden_layers"],
) -> Path:
    """A Llama whose tokenizer adds a BOS and, like Llama-3's, has no pad token.

    Its head is the table of embeddings; without `tied` the folder holds no head.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        **SIZES | {"num_hidden_layers": layers},
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=256,
        eos_token_id=257,
        tie_word_embeddings=tied,
    )
    LlamaModel(config).save_pretrained(folder)
    _byte_tokenizer(["<bos>", "<eos>"], "<bos> $A", pad_token=pad_token).save_pretrained(folder)
    return folder


def save_causal_llama(folder: Path, **sizes: int) -> Path:
    """A Llama with a head of its own, so that it can write, of other sizes if given."""
    torch.manual_seed(2)
    config = LlamaConfig(
        **SIZES | {"num_key_value_heads": 2, "bos_token_id": 256, "eos_token_id": 257} | sizes,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    _byte_tokenizer(["<bos>", "<eos>"], "<bos> $A").save_pretrained(folder)
    return folder


def save_bert(folder: Path) -> Path:
    """A BERT without the pooler's weights, as masked-language-model checkpoints come."""
    torch.manual_seed(1)
    config = BertConfig(
        **SIZES,
        max_position_embeddings=512,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    _byte_tokenizer(["[CLS]", "[SEP]", "[PAD]"], "[CLS] $A [SEP]").save_pretrained(folder)
    return folder


def _byte_tokenizer(
    special: list[str], template: str, pad_token: bool = False
) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    places = [(token, tokenizer.token_to_id(token)) for token in special]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=places)
    names: dict[str, str] = {}
    if "[PAD]" in special:
        names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    elif pad_token:
        names = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<eos>"}
    else:
        names = {"bos_token": "<bos>", "eos_token": "<eos>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
