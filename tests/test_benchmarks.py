"""Each benchmark runs in miniature and prints its tables. Its figures mean nothing here."""

import contextlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from benchmarks import rehearse
from benchmarks.echo import ARMS
from benchmarks.gpu.train_checks import FAILED, tried
from benchmarks.measured_process import measured
from ecgpipe.evaluate.analyses.registry import ANALYSES

ROOT = Path(__file__).resolve().parents[1]


def printed(module: str, *options: str) -> str:
    """What `python -m benchmarks...` prints."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", "--miniature", *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed_here(module: str, *options: str) -> str:
    """The same from this process, which has imported torch and transformers already."""
    out = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [module, "--miniature", *options]),
        contextlib.redirect_stdout(out),
        warnings.catch_warnings(action="ignore"),
    ):
        importlib.import_module(f"benchmarks.{module}").main()
    torch.set_num_threads(1)
    return out.getvalue()


@pytest.fixture(scope="module")
def embed_table() -> str:
    return printed_here("embed")


def test_the_stage_is_compared_with_the_loop_and_random_batches(embed_table: str) -> None:
    rows = [line.split("|")[1].strip() for line in embed_table.splitlines() if line[:1] == "|"]
    assert rows[2:5] == ["ours", "loop", "random batches of 32"]
    assert "60 texts" in embed_table
    assert "bytes, three for a Japanese character" in embed_table


def test_all_ways_of_embedding_give_the_same_vectors(embed_table: str) -> None:
    differences = [float(line.split("|")[6]) for line in embed_table.splitlines() if "x |" in line]
    assert len(differences) >= 3
    assert max(differences) < 1e-4


def test_opening_and_gathering_are_measured_for_both_part_sizes() -> None:
    table = printed("vectors")
    assert "5,000 rows of 64 bfloat16 values" in table
    for part_rows in ("4,096", "65,536"):
        assert f"parts of {part_rows}: seconds to open" in table
        assert f"parts of {part_rows}: gather of 4,096, rows/s" in table


def test_preparing_and_batches_are_measured_against_each_peer() -> None:
    table = printed("signals")
    for row in ("read only", "prepare, 1 process ", "prepare, 2 processes"):
        assert f"| {row}" in table
    for batch in (32, 256):
        for peer in ("plain memory map", "wfdb.rdsamp", "zarr-python"):
            assert f"batches of {batch}: ours to {peer}: " in table


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads Linux's /proc")
def test_the_memory_of_parent_and_workers_is_measured() -> None:
    table = printed("prepare_memory")
    for who in ("parent", "worker", "all"):
        assert f"{who}: growth in %: " in table


def test_the_gpu_benchmark_runs_on_a_cpu(tmp_path: Path) -> None:
    table = printed_here("gpu.embed", "--out", str(tmp_path))
    assert "tokens/s" in table
    (written,) = tmp_path.glob("gpu-embed-*-cpu.json")
    found = json.loads(written.read_text(encoding="utf-8"))
    halving = found["halving"]
    assert halving["texts_done"] == halving["texts"]
    assert halving["largest_batch_that_fitted"] < halving["asked_budget"]
    assert all(each["bit_equal"] == 1 for each in found["moved"]["sdpa"])
    # Texts of one length fill every batch, so a budget is not judged by its last one.
    of_30 = [s for s in found["speeds"] if s["lengths"] == "all 30" and s["way"] == "as it is"]
    assert {speed["budget"] for speed in of_30} == {256, 512}
    assert all(speed["padding"] == pytest.approx(1 - 30 / 32) for speed in of_30)
    # All layers share what is compiled: for the first shape, for more rows, and for one row.
    assert found["graphs"] <= 3 < found["model"]["layers"]
    assert found["moved"]["compiled layers"][0]["bit_equal"] == 1
    assert found["moved"]["padded to 4"][0]["smallest_cosine"] > 0.999


def test_the_training_benchmark_runs_on_a_cpu_and_its_checks_hold(tmp_path: Path) -> None:
    # No time at all: every epoch is cut to two steps of eight, and scaled up.
    text = printed_here("gpu.train", "--out", str(tmp_path), "--most-seconds", "0")
    (written,) = tmp_path.glob("gpu-train-*.json")
    found = json.loads(written.read_text(encoding="utf-8"))
    assert {(t["steps"], t["steps_an_epoch"]) for t in found["timings"]} == {(2, 8)}
    for timing in found["timings"]:
        assert timing["flops_per_s"] == pytest.approx(
            timing["step_flops"] * timing["records_per_s"] / timing["case"]["batch"]
        )
    assert len(found["checks"]) >= 8
    assert all(check["holds"] for check in found["checks"])
    if found["device"] == "cpu":
        assert "CUDA graph to plain steps: skipped, no CUDA" in text
    assert written.with_suffix(".md").read_text(encoding="utf-8").startswith("# Training on a GPU")


def test_choices_for_a_gpus_step_run_on_a_cpu_and_each_is_compared() -> None:
    rows = [line.split("|")[1:] for line in printed_here("gpu.step_choices").splitlines()]
    found = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows if len(row) > 4}
    assert {"as it is", "cudnn.benchmark", "16 leads", "cudnn.benchmark + 16 leads"} <= set(found)
    assert found["as it is"][2] == "1.00"
    assert all(float(found[name][2]) > 0 for name in ("cudnn.benchmark", "16 leads"))


def test_what_fails_on_a_gpu_does_not_cost_what_was_measured() -> None:
    def measure(n: int) -> Iterator[int]:
        yield n
        raise RuntimeError("out of luck")

    assert list(tried("two things", measure, 3)) == [
        3,
        f"two things: {FAILED} with RuntimeError: out of luck",
    ]


def test_the_engine_is_measured_against_the_bare_loop_and_a_text_model_in_every_step() -> None:
    text = printed_here("train")
    for row in (
        "bare loop",
        "engine, memory",
        "engine, stream",
        "bare loop and BERT in every step",
    ):
        assert f"| {row} " in text
    assert text.count("(target") == 5
    assert "records | s an epoch" in text


def test_both_layouts_are_timed_in_both_precisions() -> None:
    text = printed_here("layouts")
    for precision in ("float32", "bfloat16"):
        assert f"{precision}, 12 x 64: one dimension to images: " in text
    assert text.count("| the encoder ") == 2


@pytest.mark.slow
def test_choices_are_trained_and_scored_side_by_side(tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    text = printed_here("choices", "--out", str(out))
    runs = json.loads(out.read_text(encoding="utf-8"))
    assert {name: len(each) for name, each in runs.items()} == {
        "sentence, clip (the paper)": 1,
        "all_findings, siglip": 1,
    }
    for each in runs.values():
        assert 0 <= each[0]["test"]["hit@1_any"]["value"] <= 1
    assert text.count("| sentence, clip (the paper) ") == 1


def test_the_figures_are_timed_and_equal_scikit_learns() -> None:
    text = printed("evaluation")
    assert "| loop over scikit-learn" in text
    assert "memory beyond the scores: " in text
    for name in ("auroc", "auprc", "f1"):
        line = next(line for line in text.splitlines() if line.startswith(f"{name}: differs"))
        assert float(line.split()[5]) < 1e-12


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    folder, out = tmp_path_factory.mktemp("rehearsal"), tmp_path_factory.mktemp("results")
    text = printed("rehearse", "--folder", str(folder), "--out", str(out))
    assert not any(folder.iterdir())  # all is removed
    (written,) = out.glob("rehearsal-*-400.json")
    return text, json.loads(written.read_text(encoding="utf-8"))


def test_every_stage_and_every_analysis_is_rehearsed(
    rehearsal: tuple[str, dict[str, Any]],
) -> None:
    text, found = rehearsal
    (size,) = found["sizes"]
    assert size["records"] == 400
    assert list(size["stages"]) == list(rehearse.STAGES)
    analyses = {part.removeprefix("eval: ") for part in size["stages"]["eval"]["parts"]}
    assert set(ANALYSES) == analyses
    for name in rehearse.STAGES:
        assert f"| {name} " in text
        assert f"{name}: MB at 400: " in text
    assert found["conditions"]["git_commit"]


def test_time_and_memory_of_a_stage_are_those_of_its_processes(
    rehearsal: tuple[str, dict[str, Any]],
) -> None:
    for stage in rehearsal[1]["sizes"][0]["stages"].values():
        assert 0 < stage["use"]["cpu_s"] < os.cpu_count() * stage["use"]["wall_s"]
        assert 20 < stage["use"]["memory_mb"] < stage["use"]["resident_mb"] < 4000


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = rehearse.needed_bytes(800_000, 10)
    assert needed > 2 * 800_000 * 12 * 1000 * 2  # the recordings, and the store
    usage = shutil.disk_usage(tmp_path)._replace(free=needed - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(SystemExit, match=r"39\.9 GB free, but 800,000 .* need 39\.9 GB .* Nothing"):
        rehearse.main(["--records", "800000", "--seconds", "10", "--folder", str(tmp_path)])
    assert not any(tmp_path.iterdir())


def test_exponents_of_a_fixed_cost_and_what_grows_with_the_records() -> None:
    linear = [5 + 0.01 * n for n in (800, 8_000, 80_000)]
    quadratic = [5 + 1e-6 * n * n for n in (800, 8_000, 80_000)]
    assert rehearse.growth_exponent(linear, 1) == pytest.approx(1)
    assert rehearse.growth_exponent(quadratic, 1) == pytest.approx(2)
    assert rehearse.exponent(linear, 1) == pytest.approx(0.976, abs=1e-3)
    assert rehearse.growth_exponent([5, 5.1, 5.2], 1) is None  # it hardly grows
    assert rehearse.exponent([0.1, 0.5], 1) is None  # too short to tell
    assert rehearse.growth_exponent([6, 5, 15], 1) == pytest.approx(2)  # noise at the beginning


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads Linux's /proc")
def test_memory_and_time_of_children_count_and_mapped_files_are_apart(tmp_path: Path) -> None:
    mapped = tmp_path / "mapped"
    mapped.write_bytes(bytes(200_000_000))
    child = "import time; held = bytearray(b'x') * 100_000_000; time.sleep(0.5)"
    parent = (
        "import mmap, subprocess, sys, time\n"
        "held = bytearray(b'x') * 100_000_000\n"
        "file = open(sys.argv[1], 'rb')\n"
        "seen = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "sum(seen[::4096])\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)\n"
        "print('step: 1 of 1 steps (100 %) · done', flush=True)\n"
        "began = time.process_time()\n"
        "while time.process_time() - began < 0.3: pass\n"
        "print('spin: 1 of 1 turns (100 %) · done', flush=True)\n"
    )
    found = measured([sys.executable, "-c", parent, str(mapped)], os.environ)
    assert 200 < found.use.memory_mb < 290
    assert found.use.resident_mb > found.use.memory_mb + 180
    assert list(found.parts) == ["step", "spin"]
    assert found.parts["step"].memory_mb > 200 > 140 > found.parts["spin"].memory_mb
    assert 0.15 < found.parts["spin"].cpu_s < 0.5


def test_a_stage_that_fails_ends_the_rehearsal_with_its_message() -> None:
    with pytest.raises(SystemExit, match="ended with 3:\nno such"):
        measured([sys.executable, "-c", "print('no such table'); exit(3)"], os.environ)


def test_predict_is_measured_beside_what_it_is_made_of(exported: Path) -> None:
    table = printed("predict", str(exported))
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line[:1] == "|"]
    assert rows[2:] == ["prepare", "encode", "predict"]
    assert "predict / (prepare, then encode)" in table
    assert "memory, ten times / once" in table


@pytest.mark.slow  # trains four models
def test_models_with_and_without_echocardiograms_are_compared() -> None:
    told = printed("echo")
    first = [line.split("|")[1].strip() for line in told.splitlines() if line[:1] == "|"]
    assert first[2:6] == list(ARMS.values())
    assert "held-out patients" in told
