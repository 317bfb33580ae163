"""The loop: it learns, it resumes exactly, it refuses what it must."""

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ecgpipe.config import TrainConfig
from ecgpipe.errors import CheckpointError, ConfigError, EcgpipeError, StoppedEarly
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg import training
from ecgpipe.train_ecg.trained_model import ModelEncoder, load_model
from ecgpipe.train_ecg.training import Trained, TrainingData, make_optimizer, train
from ecgpipe.train_ecg.two_towers import ModelShape, initialised

CONFIG = TrainConfig(epochs=3, global_batch_size=8, projection_dim=16)
SHAPE = ModelShape(
    encoder="resnet1d18",
    n_leads=12,
    samples=64,
    rate_hz=100,
    normalisation="fixed",
    text_width=10,
    projection_dim=16,
    temperature=0.07,
    learn_temperature=True,
)
N_CLASSES = 4


def toy_data(n: int = 40) -> tuple[TrainingData, np.ndarray]:
    """ECGs whose class is the lead that moves; one text vector a class."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, N_CLASSES, n)
    signals = rng.normal(0, 50, (n, 12, 64))
    signals[np.arange(n), classes * 3] += 900 * np.sin(np.arange(64) / 3)
    stored = signals.astype(np.int16)
    data = TrainingData(
        read_signals=lambda slots: stored[slots],
        slots=np.arange(n),
        text_rows=classes,
        text_vectors=rng.normal(5, 1, (N_CLASSES, 10)).astype(np.float32),
    )
    return data, classes


DATA, CLASSES = toy_data()


def accuracy(encoder: ModelEncoder) -> Mapping[str, float]:
    scores = encoder.encode_ecg(DATA.slots) @ encoder.encode_vectors(DATA.text_vectors).T
    return {"macro_auroc": float((scores.argmax(axis=1) == CLASSES).mean())}


def run(folder: Path, stop: Stop | None = None, key: str = "k", **settings: Any) -> Trained:
    config = dataclasses.replace(CONFIG, **settings)
    stop = Stop() if stop is None else stop
    return train(config, SHAPE, DATA, folder, key, {"vectors": "f"}, accuracy, stop)


def weights_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_toy_problem_is_learnt(tmp_path: Path) -> None:
    trained = run(tmp_path, epochs=8)
    assert trained.best_value is not None
    assert trained.best_value >= 0.95
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert accuracy(ModelEncoder(load_model(tmp_path / "model")[0], DATA.read_signals))[
        "macro_auroc"
    ] == pytest.approx(trained.best_value)


def test_the_log_has_a_line_an_epoch(tmp_path: Path) -> None:
    run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert set(lines[0]) == {"epoch", "loss", "temperature", "val", "processes", "seconds"}
    assert lines[0]["temperature"] == pytest.approx(0.07, rel=0.1)


def test_a_longer_run_continues_a_shorter_one_to_the_bit(tmp_path: Path) -> None:
    run(tmp_path / "whole", epochs=4)
    run(tmp_path / "parts", epochs=2)
    continued = run(tmp_path / "parts", epochs=4)
    assert continued.resumed_from == 2
    assert weights_hash(tmp_path / "parts") == weights_hash(tmp_path / "whole")
    losses = [
        [
            json.loads(line)["loss"]
            for line in (tmp_path / name / "log.jsonl").read_text().split("\n")[:-1]
        ]
        for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]


def test_a_stop_within_an_epoch_loses_only_that_epoch(tmp_path: Path) -> None:
    run(tmp_path / "whole", epochs=3)
    run(tmp_path / "stopped", epochs=2)
    stop = Stop()
    stop.request("SIGTERM")
    with pytest.raises(StoppedEarly, match="Stopped by SIGTERM in epoch 3"):
        run(tmp_path / "stopped", stop, epochs=3)
    assert run(tmp_path / "stopped", epochs=3).resumed_from == 2
    assert weights_hash(tmp_path / "stopped") == weights_hash(tmp_path / "whole")


def test_killed_again_and_again_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    run(tmp_path / "whole", epochs=4)
    program = (
        "import sys; sys.path[:0] = ['tests']\n"
        "import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path; from test_training import run\n"
        f"run(Path({str(tmp_path / 'killed')!r}), epochs=4)\n"
    )
    rng = np.random.default_rng(0)
    for _ in range(40):
        process = subprocess.Popen(
            [sys.executable, "-c", program], stderr=subprocess.DEVNULL, env=os.environ
        )
        try:
            if process.wait(timeout=4 + 3 * rng.random()) == 0:
                break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert process.returncode == 0
    assert weights_hash(tmp_path / "killed") == weights_hash(tmp_path / "whole")
    assert not list((tmp_path / "killed" / "checkpoints").glob(".*"))


def test_checkpoints_of_another_run_are_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(CheckpointError, match="other data or settings"):
        run(tmp_path, key="other", epochs=5)


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    run(tmp_path / "whole", epochs=3)
    run(tmp_path / "damaged", epochs=2)
    weights = tmp_path / "damaged" / "checkpoints" / "epoch-0002" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert run(tmp_path / "damaged", epochs=3).resumed_from == 1
    assert weights_hash(tmp_path / "damaged") == weights_hash(tmp_path / "whole")


def test_checkpoints_that_are_all_damaged_are_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    (tmp_path / "checkpoints" / "epoch-0001" / "state.json").unlink()
    with pytest.raises(CheckpointError, match=r"No checkpoint .* is whole"):
        run(tmp_path, epochs=2)


def test_the_best_epoch_is_kept_not_the_last(tmp_path: Path) -> None:
    values = iter([0.3, 0.9, 0.9, 0.1])

    def validate(encoder: ModelEncoder) -> dict[str, float]:
        return {"macro_auroc": next(values)}

    config = dataclasses.replace(CONFIG, epochs=4)
    trained = train(config, SHAPE, DATA, tmp_path, "k", {}, validate, Stop())
    assert (trained.best_epoch, trained.best_value) == (2, 0.9)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["epoch-0002", "epoch-0003", "epoch-0004"]
    _, card = load_model(tmp_path / "model")
    assert card.about["training"]["best_epoch"] == 2


def test_an_undefined_validation_figure_is_never_the_best(tmp_path: Path) -> None:
    values = iter([float("nan"), 0.2, float("nan")])

    def validate(encoder: ModelEncoder) -> dict[str, float]:
        return {"macro_auroc": next(values)}

    trained = train(CONFIG, SHAPE, DATA, tmp_path, "k", {}, validate, Stop())
    assert trained.best_epoch == 2
    lines = (tmp_path / "log.jsonl").read_text()
    assert "NaN" not in lines  # not JSON


def test_without_any_validation_figure_the_last_epoch_is_kept(tmp_path: Path) -> None:
    def validate(encoder: ModelEncoder) -> dict[str, float]:
        return {"macro_auroc": float("nan")}

    trained = train(CONFIG, SHAPE, DATA, tmp_path, "k", {}, validate, Stop())
    assert (trained.best_epoch, trained.best_value) == (3, None)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    broken = dataclasses.replace(DATA, text_vectors=np.full((4, 10), np.nan, np.float32))
    with pytest.raises(EcgpipeError, match="loss of epoch 1 is not finite"):
        train(CONFIG, SHAPE, broken, tmp_path, "k", {}, accuracy, Stop())
    assert not (tmp_path / "model").exists()


def test_fewer_records_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"40 records, fewer than train\.global_batch_size 64"):
        run(tmp_path, global_batch_size=64)


def test_norms_biases_and_the_temperature_are_not_decayed() -> None:
    model = initialised(SHAPE, 0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, plain = (
        {names[id(parameter)] for parameter in group["params"]}
        for group in make_optimizer(model, CONFIG).param_groups
    )
    assert "encoder.stem.0.weight" in decayed
    assert "text_projection.weight" in decayed
    assert {"encoder.stem.1.weight", "ecg_projection.bias", "log_scale"} <= plain
    assert len(decayed) + len(plain) == len(names)


def test_a_fixed_temperature_stays_fixed(tmp_path: Path) -> None:
    shape = dataclasses.replace(SHAPE, learn_temperature=False)
    train(CONFIG, shape, DATA, tmp_path, "k", {}, accuracy, Stop())
    model, _ = load_model(tmp_path / "model")
    assert model.log_scale.exp().item() == pytest.approx(1 / 0.07)


def test_the_text_mean_is_that_of_the_training_records(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    model, _ = load_model(tmp_path / "model")
    expected = DATA.text_vectors[DATA.text_rows].mean(axis=0)
    np.testing.assert_allclose(model.text_mean_W.numpy(), expected, rtol=1e-5)


def test_an_epoch_is_timed(tmp_path: Path) -> None:
    started = time.monotonic()
    trained = run(tmp_path, epochs=1)
    assert 0 < trained.history[0]["seconds"] < time.monotonic() - started


def test_the_norms_learn_their_statistics(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    trained, fresh = load_model(tmp_path / "model")[0], initialised(SHAPE, CONFIG.seed)
    for name, statistics in trained.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            assert not torch.equal(statistics, dict(fresh.named_buffers())[name]), name


def test_each_process_compares_its_rows_with_their_own_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def spy(ecg: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append(rest[-1])
        return ecg.sum()

    monkeypatch.setattr(training, "clip_loss", spy)
    living = training._Run(CONFIG, SHAPE, DATA, training.Accelerator(cpu=True))
    living._accelerator = SimpleNamespace(  # the third of four processes
        process_index=2, device=torch.device("cpu"), backward=lambda loss: loss.backward()
    )
    living._step(np.arange(4))
    assert seen == [8]


def test_the_best_epoch_survives_a_newer_best_that_proves_damaged(tmp_path: Path) -> None:
    figures = iter([0.9, 0.1, 0.1, 0.95])

    def validate(encoder: ModelEncoder) -> Mapping[str, float]:
        return {"macro_auroc": next(figures)}

    def go(epochs: int) -> Trained:
        config = dataclasses.replace(CONFIG, epochs=epochs)
        return train(config, SHAPE, DATA, tmp_path, "k", {"vectors": "f"}, validate, Stop())

    go(4)
    newest = tmp_path / "checkpoints" / "epoch-0004" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-8])
    figures = iter([0.8])
    assert go(4).best_epoch == 1
    assert load_model(tmp_path / "model")[1].about["training"]["best_epoch"] == 1


def test_a_lost_best_epoch_says_what_to_do(tmp_path: Path) -> None:
    best = run(tmp_path).best_epoch
    for other in (tmp_path / "checkpoints").glob(f"epoch-{best:04d}"):
        (other / "state.json").write_text("{")
    if best == 3:  # then the run goes on from epoch 2, and nothing is lost
        assert run(tmp_path).epochs == 3
    else:
        with pytest.raises(CheckpointError, match="It held the best epoch"):
            run(tmp_path)
