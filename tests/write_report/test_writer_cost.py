"""What training a writer is said to take, beside what it takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ecgpipe.embed_text.causal_model import CausalModel
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.stopping import Stop
from ecgpipe.write_report import writer_training
from ecgpipe.write_report.connector import Connector
from ecgpipe.write_report.writer_cost import ReportTokens, Writer, memory_bytes, operations
from ecgpipe.write_report.writer_training import Examples, train_connector

LLAMA_3_8B = {
    "parameters": 8_030_261_248, "multiplied": 8_030_261_248 - 128_256 * 4096, "width": 4096,
    "inner": 14_336, "layers": 32, "vocabulary": 128_256, "bytes_each": 2, "features": 512,
}  # fmt: skip


class Held(TorchDispatchMode):
    """Bytes of all tensors that exist at once, at most, as operations make them."""

    def __init__(self, *before: torch.Tensor) -> None:
        super().__init__()
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = 0
        self._see(before)

    def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = f(*args, **(kwargs or {}))
        self._see([each for each in tree_leaves(made) if isinstance(each, torch.Tensor)])
        return made

    def _see(self, tensors: Any) -> None:
        for storage in (each.untyped_storage() for each in tensors):
            self._held.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self._held = {k: v for k, v in self._held.items() if not v[0].expired()}
        self.most = max(self.most, sum(n for _, n in self._held.values()))


def model(folder: Path, dtype: torch.dtype) -> CausalModel:
    """Shaped like Llama-3: fewer heads for keys, feed-forward layers 3.5 times as wide."""
    tiny_models.save_causal_llama(
        folder, vocab_size=4000, hidden_size=256, intermediate_size=896, num_hidden_layers=8,
        num_attention_heads=8,
    )  # fmt: skip
    return CausalModel(ModelFiles(folder, None, "small"), dtype, torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_is_what_a_small_model_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(writer_training, "_MIN_STEPS", 2)
    writing = model(tmp_path, dtype)
    ids = [[1] * 60] * 16
    examples = Examples(np.zeros((16, 16, 512), np.float16), ids)
    with Held(*writing._model.parameters()) as held:
        train_connector(writing, examples, examples, tmp_path / "checkpoint", "key", Stop())
    facts = writing.facts
    writer = Writer(**vars(facts), features=512)
    said = memory_bytes(writer, ReportTokens(reports=16, tokens=960, longest=60))
    assert 0.95 * held.most < said < 1.15 * held.most
    assert writer.trained == sum(each.numel() for each in Connector(512, 256).parameters())


def test_an_8b_model_is_worked_out_by_hand() -> None:
    writer = Writer(**LLAMA_3_8B)
    learned = ReportTokens(reports=3200, tokens=3200 * 60, longest=60)
    # 16 of 16 + 1 + 61 tokens; 37 x 4096 bytes each in each layer; 61 of them with logits.
    kept = 16 * 78 * 32 * (8 * 4096 + 2 * (4 * 4096 + 3 * 14_336))
    assert kept == pytest.approx(16 * 78 * 32 * 37 * 4096, rel=0.01)
    weights = 16_060_522_496 + 20 * (513 * 4096 + 4097 * 4096)
    assert memory_bytes(writer, learned) == weights + kept + 16 * 61 * 128_256 * 10
    assert memory_bytes(writer, learned) / 2**30 == pytest.approx(22.1, abs=0.1)
    # One epoch of 200 steps.
    assert operations(writer, learned) == 4 * LLAMA_3_8B["multiplied"] * 3200 * (60 + 17)
