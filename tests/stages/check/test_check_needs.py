"""What `ecgpipe check` estimates: worked by hand for a model of two layers."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from tiny_models import save_causal_llama

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.config.file import parse_config
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.train import TrainConfig
from ecgpipe.embed_text import processor
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.stages.check import needs
from ecgpipe.stages.check.needs import estimate_needs
from ecgpipe.stages.check.report import Problem, Severity
from ecgpipe.stages.check.times import Tokens
from ecgpipe.stages.check.writing import training_reports
from ecgpipe.train_ecg.loop import processor_time
from ecgpipe.train_ecg.two_towers import ModelShape

# Two layers of 48 x 48 for q and o, 48 x 24 for k and v, three of 48 x 96, two norms; a last norm.
MULTIPLIED = 2 * (2 * 48 * 48 + 2 * 48 * 24 + 3 * 48 * 96 + 2 * 48) + 48
# With BOS 7 and 9 tokens, padded to 8 and 16.
SENTENCES = ["a" * 6, "a" * 8]
DATA = {"sources": [{"kind": "ptbxl", "root": "."}]}


def config(model: Path, dtype: str = "bfloat16", **more: object) -> PipelineConfig:
    settings = {
        "name": "toy",
        "work_dir": "work",
        "data": DATA,
        "text": {"model": str(model), "dtype": dtype},
        **more,
    }
    return parse_config(settings, model, "test")


def fake_processor(monkeypatch: pytest.MonkeyPatch, **flops: float) -> None:
    def product_flops(width: int, inner: int, dtype: str) -> float:
        assert (width, inner) == (48, 96)
        return flops[dtype]

    monkeypatch.setattr(processor, "product_flops", product_flops)


def test_minutes_without_a_gpu_are_worked_out_by_hand(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_processor(monkeypatch, bfloat16=1e3, float32=1e3)
    problems: list[Problem] = []
    lines, numbers = estimate_needs(config(tiny_llama), 0, 0, SENTENCES, problems)
    loading_s = 20 + (tiny_llama / "model.safetensors").stat().st_size / 0.5e9
    expected = loading_s + 2 * MULTIPLIED * (8 + 16) / 1e3
    assert numbers["embed_cpu_s"] == round(expected)
    assert "embed about 33:42 on this machine: 16 tokens (24 with padding)" in lines["CPU time"]
    assert "float32" not in lines["CPU time"]
    assert problems == []


def test_a_processor_slow_in_bfloat16_is_told_what_float32_would_take(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_processor(monkeypatch, bfloat16=1e3, float32=1e4)
    lines, _ = estimate_needs(config(tiny_llama), 0, 0, SENTENCES, [])
    assert "text.dtype float32 takes about 3:40, and twice the memory" in lines["CPU time"]


def test_training_without_a_gpu_is_worked_out_from_timed_steps_and_comes_first(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 ECGs at .02 s are 6 s; 50 epochs of them 5 minutes."""
    fake_processor(monkeypatch, bfloat16=1e9)
    shapes = []

    def seconds_per_ecg(shape: ModelShape, train: TrainConfig) -> float:
        shapes.append((shape.samples, shape.n_leads, train.epochs))
        return 0.02

    monkeypatch.setattr(processor_time, "seconds_per_ecg", seconds_per_ecg)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    lines, numbers = estimate_needs(config(tiny_llama), 0, 300, SENTENCES, [])
    assert numbers["epoch_cpu_s"] == pytest.approx(6)
    assert "train about 5:00 on this machine: 50 epochs of 6.0 s" in lines["CPU time"]
    assert "embed about" in lines["CPU time"]
    assert [name for name in lines if "time" in name] == ["CPU time", "GPU time"]
    assert shapes == [(5000, 12, 50)]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    lines, numbers = estimate_needs(config(tiny_llama), 0, 300, SENTENCES, [])
    assert "epoch_cpu_s" not in numbers
    assert [name for name in lines if "time" in name] == ["GPU time", "CPU time"]


def test_training_is_told_although_the_language_model_is_not_here(tmp_path: Path) -> None:
    lines, numbers = estimate_needs(config(tmp_path / "none"), 0, 10, SENTENCES, [])
    assert numbers["epoch_cpu_s"] > 0
    assert lines["CPU time"].startswith("without a GPU, train about")


def test_a_model_without_a_tokenizer_is_told_before_the_run(
    tiny_llama: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "m"))
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    problems: list[Problem] = []
    lines, _ = estimate_needs(config(folder), 0, 0, SENTENCES, problems)
    assert [(problem.severity, problem.kind) for problem in problems] == [(Severity.STOPS, "model")]
    assert "CPU time" not in lines


def test_the_speed_is_that_of_the_better_of_two_products(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([9.0, 0.5])
    shapes = []

    def timed(states: torch.Tensor, weight: torch.Tensor) -> float:
        shapes.append((*states.shape, *weight.shape, states.dtype))
        return next(seconds)

    monkeypatch.setattr(processor, "_seconds", timed)
    # 256 tokens, each 8 x 32 multiplications and as many additions, in half a second.
    assert processor.product_flops(8, 32, "bfloat16") == 256 * 8 * 32 * 2 / 0.5
    assert shapes == [(256, 8, 32, 8, torch.bfloat16)] * 2


def test_several_gpus_are_asked_for_only_after_a_word_of_what_they_lose(tiny_llama: Path) -> None:
    def said(nodes: int, gpus: int, cuda_graph: bool = True) -> list[str]:
        job = {"train": {"nodes": nodes, "gpus": gpus}}
        settings = config(tiny_llama, cluster=job, train={"cuda_graph": cuda_graph})
        problems: list[Problem] = []
        estimate_needs(settings, 0, 0, [], problems)
        assert {problem.severity for problem in problems} <= {Severity.LOOK}
        return [problem.summary for problem in problems if problem.kind == "several_gpus"]

    assert said(1, 1) == said(2, 0) == said(2, 2, cuda_graph=False) == []
    (found,) = said(2, 2)
    assert "asks for 4 GPUs" in found
    assert "global_batch_size 32 one GPU may be faster" in found


def test_a_gguf_model_without_a_gpu_is_timed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 144 + 4,608 + 144 numbers only the 4,608 are multiplied: 92,160 FLOP for 10 tokens."""
    path = tmp_path / "tiny.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_embedding_length(48)
    writer.add_feed_forward_length(96)
    for name, shape in (
        ("token_embd.weight", (3, 48)),
        ("blk.0.ffn_up.weight", (96, 48)),
        ("output.weight", (3, 48)),
    ):
        writer.add_tensor(name, np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fake_processor(monkeypatch, bfloat16=1e3, float32=1e3)
    monkeypatch.setattr(needs, "_tokenizer", lambda *_: object())  # the file has none
    monkeypatch.setattr(needs, "_count_tokens", lambda *_: Tokens(real=8, padded=10))
    _, numbers = estimate_needs(config(path), 0, 0, SENTENCES, [])
    assert numbers["embed_cpu_s"] == round(20 + path.stat().st_size / 0.5e9 + 92.16)


# Reports that a language model learns to write ---------------------------------------------------


def test_what_writing_takes_is_worked_out_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 reports of 8 bytes, each with BOS, in 100 epochs of 2 steps."""
    fake_processor(monkeypatch, bfloat16=1e8, float32=1e8)
    model = save_causal_llama(tmp_path)
    settings = config(model, train={"precision": "float32"})
    lines, numbers = estimate_needs(settings, 0, 0, SENTENCES, [], ["a" * 8] * 20)
    multiplied = MULTIPLIED + 300 * 48  # the head
    flop = 4 * multiplied * 20 * (9 + 1 + 16) * 100
    connector = (512 + 64 + 1) * 48 + (48 + 1) * 48
    kept = 16 * (16 + 1 + 10) * 2 * (8 * 48 + 4 * (4 * 48 + 3 * 96))
    weights = (multiplied + 300 * 48) * 4
    logits = 16 * 10 * 300 * 12
    assert numbers["writer_bytes"] == weights + 20 * connector + kept + logits
    assert numbers["writer_s"] == pytest.approx(flop / 1e14)
    assert numbers["writer_cpu_s"] == pytest.approx(flop / 1e8)
    assert lines["reports"] == (
        "training the rung `written` of `ecgpipe eval-reports` on 20 reports takes about 3.3 MiB of"
        " memory, and 0.0 s on a GPU that does 100 TFLOP/s; 1:57 on this machine; validation adds"
        " to it, and it may be twice or half"
    )
    half, _ = estimate_needs(
        config(model, train={"precision": "bfloat16"}), 0, 0, SENTENCES, [], ["a"]
    )
    assert "1 reports takes about 1." in half["reports"]


def test_on_a_gpu_the_processor_is_not_timed_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_processor(monkeypatch, bfloat16=1e6)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    model = save_causal_llama(tmp_path)
    lines, numbers = estimate_needs(config(model), 0, 0, SENTENCES, [], ["a" * 8] * 20)
    assert lines["reports"].endswith("on a GPU that does 100 TFLOP/s")
    assert "writer_cpu_s" not in numbers


def test_nothing_is_said_of_writing_where_nothing_can_learn_to_write(
    tiny_llama: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    for model in (tiny_llama, tiny_bert):  # without a head; an encoder
        lines, _ = estimate_needs(config(model), 0, 0, SENTENCES, [], ["a"])
        assert "reports" not in lines
    lines, _ = estimate_needs(config(save_causal_llama(tmp_path)), 0, 0, SENTENCES, [])
    assert "reports" not in lines


@pytest.mark.parametrize(
    ("source", "said"),
    [("report", ["one", "two"]), ("findings", ["所見：正常心電図。"]), ("echo_report", [])],
)
def test_only_reports_of_training_ecgs_are_learned(source: str, said: list[str]) -> None:
    taxonomy = load_taxonomy("findings98")
    finding = taxonomy.resolve_all(["正常心電図"])
    records = [
        Record(
            slot=n, record_id=str(n), patient_id=str(n), source="s", split=split,
            findings=findings, report=report, echo_report="echo",
        )
        for n, (split, findings, report) in enumerate(
            [("train", finding, "one"), ("train", (), "two"), ("val", finding, "three")]
        )
    ]  # fmt: skip
    text = {"model": "random", "source": source}
    settings = config(Path("/"), text=text, data=DATA | {"echo": {"table": "echo.csv"}})
    assert training_reports(RecordsTable(tuple(records)), taxonomy, settings) == said
