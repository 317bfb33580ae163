"""The frozen language model with its head: loss, greedy text, and models that cannot write."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_models
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.causal_model import CausalModel
from ecgpipe.embed_text.model_files import find_model
from ecgpipe.errors import ModelError

CPU = torch.device("cpu")
TEXTS = ["sinus rhythm", "AF"]


def load(name: str | Path) -> CausalModel:
    return CausalModel(find_model(TextConfig(model=str(name))), torch.float32, CPU)


@pytest.fixture(scope="module")
def writing(tiny_llama: Path) -> CausalModel:
    return load(tiny_llama)


@pytest.fixture(scope="module")
def prefix(writing: CausalModel) -> torch.Tensor:
    return torch.randn((2, 3, writing.width), generator=torch.Generator().manual_seed(0))


def test_the_loss_is_that_of_each_text_alone(
    writing: CausalModel, prefix: torch.Tensor, tiny_llama: Path
) -> None:
    # By transformers' own loss, one text at a time and without padding.
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    total, n = 0.0, 0
    for row, text in enumerate(TEXTS):
        ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        tokens = torch.tensor([[tokenizer.bos_token_id, *ids]])
        words = model.get_input_embeddings()(tokens)
        inputs = torch.cat([words[:, :1], prefix[row][None], words[:, 1:]], dim=1)
        labels = torch.tensor([[-100] * 4 + ids])
        total += float(model(inputs_embeds=inputs, labels=labels).loss.detach()) * len(ids)
        n += len(ids)
    ours = writing.loss(prefix, writing.token_ids(TEXTS))
    assert float(ours) == pytest.approx(total / n, abs=1e-5)


def test_a_gradient_reaches_the_prefix_and_no_weight(
    writing: CausalModel, prefix: torch.Tensor
) -> None:
    given = prefix.clone().requires_grad_()
    writing.loss(given, writing.token_ids(TEXTS)).backward()
    assert given.grad is not None
    assert bool((given.grad.abs().sum(dim=(1, 2)) > 0).all())
    assert all(weight.grad is None for weight in writing._model.parameters())


def test_the_text_is_the_greedy_one_of_transformers(
    writing: CausalModel, prefix: torch.Tensor, tiny_llama: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    begin = model.get_input_embeddings()(torch.full((2, 1), tokenizer.bos_token_id))
    ids = model.generate(
        inputs_embeds=torch.cat([begin, prefix], dim=1).detach(),
        attention_mask=torch.ones((2, 4), dtype=torch.long),
        max_new_tokens=9, do_sample=False, pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    theirs = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in ids]
    assert [text for text, _ in writing.write(prefix, 9)] == theirs


def test_a_text_that_does_not_end_is_cut_and_says_so(
    writing: CausalModel, prefix: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_end", -1)
    found = writing.write(prefix, 5)
    assert [ended for _, ended in found] == [False, False]
    monkeypatch.undo()
    first = int(writing._model(inputs_embeds=writing._begun(prefix)).logits[0, -1].argmax())
    monkeypatch.setattr(writing, "_end", first)
    assert writing.write(prefix[:1], 5) == [("", True)]


@pytest.mark.parametrize("name", ["random", "imported:EQUES/MedLLama3-JP-v2"])
def test_what_is_no_language_model_cannot_write(name: str) -> None:
    with pytest.raises(ModelError, match="is no language model that could write a report"):
        load(name)


def test_a_model_without_its_head_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its files lack the causal head"):
        load(tiny_models.save_llama(tmp_path, tied=False))


def test_an_encoder_cannot_write(tiny_bert: Path) -> None:
    with pytest.raises(ModelError, match="cannot write a report"):
        load(tiny_bert)


def test_a_tokenizer_without_an_end_cannot_write(tiny_llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "endless")
    settings = folder / "tokenizer_config.json"
    said = json.loads(settings.read_text())
    del said["eos_token"]
    settings.write_text(json.dumps(said))
    with pytest.raises(ModelError, match="it has no token that ends a text"):
        load(folder)
