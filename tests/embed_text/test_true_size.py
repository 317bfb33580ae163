"""A model as wide as Llama-3-8B, in shards: its weights stay in their files, and every byte counts.

One layer instead of 32, so 1.3 GiB of weights instead of 16.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig

from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.model_files import MANIFEST, MANIFEST_FORMAT, find_model, fingerprint_of
from ecgpipe.errors import ModelError
from ecgpipe.files import sha256_file

pytestmark = pytest.mark.slow

WIDTH, INNER, KEYS, VOCABULARY = 4096, 14_336, 1024, 128_256
SHARDS: tuple[dict[str, tuple[int, ...]], ...] = (
    {"embed_tokens.weight": (VOCABULARY, WIDTH)},
    {
        "layers.0.self_attn.q_proj.weight": (WIDTH, WIDTH),
        "layers.0.self_attn.k_proj.weight": (KEYS, WIDTH),
        "layers.0.self_attn.v_proj.weight": (KEYS, WIDTH),
        "layers.0.self_attn.o_proj.weight": (WIDTH, WIDTH),
        "layers.0.input_layernorm.weight": (WIDTH,),
    },
    {
        "layers.0.mlp.gate_proj.weight": (INNER, WIDTH),
        "layers.0.mlp.up_proj.weight": (INNER, WIDTH),
        "layers.0.mlp.down_proj.weight": (WIDTH, INNER),
        "layers.0.post_attention_layernorm.weight": (WIDTH,),
        "norm.weight": (WIDTH,),
    },
)
# Loads the model, embeds one text, and prints what the process took of its own and from files.
MEASURED = """
import json, sys
import numpy as np, torch
from pathlib import Path
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.language_model import LanguageModel
from ecgpipe.embed_text.model_files import find_model

def own_bytes():
    status = Path("/proc/self/status").read_text()
    return {key: int(value.split()[0]) * 1024 for key, _, value in
            (line.partition(":") for line in status.splitlines()) if key in ("RssAnon", "RssFile")}

before = own_bytes()
config = TextConfig(model=sys.argv[1])
model = LanguageModel(find_model(config), config, torch.device("cpu"))
vector = model.launch([np.arange(1, 20, dtype=np.int32)], 24, 1).fetch()[0][0]
after = own_bytes()
found = {key: after[key] - before[key] for key in after}
print(json.dumps(found | {"norm": float((vector**2).sum())}))
"""


def shard(number: int) -> str:
    return f"model-{number + 1:05d}-of-{len(SHARDS):05d}.safetensors"


@pytest.fixture(scope="module")
def wide_llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("wide")
    tiny_models.save_llama(folder)
    (folder / "model.safetensors").unlink()
    LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=1,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    places = {}
    for number, shapes in enumerate(SHARDS):
        weights = {
            name: torch.empty(shape, dtype=torch.bfloat16).uniform_(-0.03, 0.03)
            for name, shape in shapes.items()
        }
        save_file(weights, folder / shard(number), {"format": "pt"})
        places |= dict.fromkeys(shapes, shard(number))
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def copied(wide_llama: Path, tmp_path: Path) -> Path:
    """The model under another path: its files are links, to be replaced one by one."""
    folder = tmp_path / "m"
    folder.mkdir()
    for path in wide_llama.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def digest(folder: Path, memo: Path) -> str:
    config = TextConfig(model=str(folder))
    return fingerprint_of(find_model(config), config, config.view, memo).digest


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_the_weights_stay_in_their_files(wide_llama: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(wide_llama)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    layer_bytes = sum((wide_llama / shard(number)).stat().st_size for number in (1, 2))
    assert found["norm"] > 0
    assert found["RssFile"] > layer_bytes  # read where they are
    assert found["RssAnon"] < layer_bytes  # and not copied; the rest is libraries and activations


def test_a_shard_that_is_missing_is_named(copied: Path) -> None:
    (copied / shard(1)).unlink()
    with pytest.raises(ModelError, match=r"lacks 1 of 3 weight files, such as model-00002-of"):
        find_model(TextConfig(model=str(copied)))


def test_one_changed_bit_of_one_shard_is_another_model(copied: Path, tmp_path: Path) -> None:
    memo = tmp_path / "memo.json"
    before = digest(copied, memo)
    change_last_bit(copied / shard(1))
    assert digest(copied, memo) != before


def test_a_shard_that_differs_from_what_was_fetched_is_named(copied: Path, tmp_path: Path) -> None:
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in copied.iterdir()
    }
    manifest = {"format": MANIFEST_FORMAT, "files": files}
    (copied / MANIFEST).write_text(json.dumps(manifest))
    digest(copied, tmp_path / "memo.json")
    change_last_bit(copied / shard(1))
    with pytest.raises(ModelError, match=r"model-00002-of-00003\.safetensors is not the file that"):
        digest(copied, tmp_path / "memo.json")


def change_last_bit(path: Path) -> None:
    """Replace a link by a changed copy."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
