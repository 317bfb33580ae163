"""Checkpoints and model folders: whole, or refused."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_training

from ecgpipe.config.train import TrainConfig
from ecgpipe.errors import CheckpointError, StoreError
from ecgpipe.train_ecg.loop import checkpoint
from ecgpipe.train_ecg.loop.checkpoint import (
    newest_checkpoint,
    prune,
    read_checkpoint,
    save_checkpoint,
)
from ecgpipe.train_ecg.loop.step import make_optimizer, optimizer_tensors, restore_optimizer
from ecgpipe.train_ecg.trained_model import ModelEncoder, load_model, read_card, save_model
from ecgpipe.train_ecg.two_towers import initialised

CPU = torch.device("cpu")
SHAPE = dataclasses.replace(toy_training.SHAPE, samples=100, text_width=6, projection_dim=4)


def save(folder: Path, steps_done: int, value: float = 1.0, best_step: int = 0) -> Path:
    tensors = {"weight": torch.full((3, 4), value), "step": torch.tensor(7)}
    return save_checkpoint(
        folder, steps_done, {"model": tensors}, {"run_key": "k", "best_step": best_step}
    )


def test_a_checkpoint_reads_back_as_it_was(tmp_path: Path) -> None:
    found = read_checkpoint(save(tmp_path, 3, 2.5))
    assert found.state["steps_done"] == 3
    assert found.state["run_key"] == "k"
    assert torch.equal(found.tensors("model")["weight"], torch.full((3, 4), 2.5))
    assert found.tensors("model")["step"].item() == 7


def test_the_newest_is_found_by_number_not_by_name(tmp_path: Path) -> None:
    for epoch in (9, 10, 9999, 10000):
        save(tmp_path, epoch)
    found, problems = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.state["steps_done"] == 10000
    assert problems == []
    assert newest_checkpoint(tmp_path / "none") == (None, [])


@pytest.mark.parametrize("damage", ["flip", "truncate", "no state", "no weights", "foreign"])
def test_a_damaged_checkpoint_is_passed_over_for_the_last_good_one(
    tmp_path: Path, damage: str
) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    weights, state = path / "model.safetensors", path / "state.json"
    if damage == "flip":
        content = weights.read_bytes()
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncate":
        weights.write_bytes(weights.read_bytes()[:-5])
    elif damage == "no state":
        state.unlink()
    elif damage == "no weights":
        weights.unlink()
    else:
        state.write_text(json.dumps({"format": "other/1"}))
    found, problems = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.state["steps_done"] == 1
    assert len(problems) == 1
    assert "step-00000002" in problems[0]


def test_what_a_checkpoint_says_of_itself_is_checked_too(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2) / "state.json"
    whole = json.loads(path.read_text())
    for change in ({"best_step": 1}, {"files": {}}, {"steps_done": "x"}, {"run_key": "other"}):
        path.write_text(json.dumps({**whole, **change}))
        found, problems = newest_checkpoint(tmp_path)
        assert found is not None
        assert found.state["steps_done"] == 1
        assert "does not match its digest" in problems[0]
    path.write_text(json.dumps(whole))
    assert newest_checkpoint(tmp_path)[1] == []


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 1) / "state.json"
    path.write_text(path.read_text().replace("ecgpipe-checkpoint/2", "ecgpipe-checkpoint/3"))
    with pytest.raises(CheckpointError, match="is not a checkpoint of format"):
        read_checkpoint(tmp_path / "step-00000001")


def test_an_optimiser_of_another_model_is_refused_before_it_writes_beyond_its_memory() -> None:
    config = TrainConfig()
    optimizer = make_optimizer(initialised(SHAPE, 0), config, torch.device("cpu"))
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight)
    optimizer.step()
    kept = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    restore_optimizer(optimizer, kept)
    name = next(name for name, tensor in kept.items() if tensor.ndim == 3)
    for change in ({name: kept[name][:1]}, {"999/step": torch.tensor(1.0)}):
        with pytest.raises((ValueError, IndexError)):
            restore_optimizer(optimizer, {**kept, **change})


def test_an_optimiser_restored_from_a_file_goes_on_as_one_that_never_stopped(
    tmp_path: Path,
) -> None:
    """Files hold kernels in another order than memory, and a fused step takes no other strides."""
    whole, restored = initialised(SHAPE, 0), initialised(SHAPE, 0)
    optimizers = [make_optimizer(model, TrainConfig(), CPU) for model in (whole, restored)]

    def take(number: int, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        for weight in (whole, restored)[number].parameters():
            weight.grad = torch.empty_like(weight).copy_(
                torch.randn(weight.shape, generator=random)
            )
        optimizers[number].step()

    take(0, 1)
    save_checkpoint(
        tmp_path,
        1,
        {"model": whole.state_dict(), "optimizer": optimizer_tensors(optimizers[0])},
        {"run_key": "k", "best_step": 0},
    )
    found = read_checkpoint(tmp_path / "step-00000001")
    assert all(tensor.is_contiguous() for tensor in found.tensors("model").values())
    restored.load_state_dict(found.tensors("model"))
    restore_optimizer(optimizers[1], found.tensors("optimizer"))
    for weight, state in optimizers[1].state.items():
        assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == weight.stride()
    take(0, 2)
    take(1, 2)
    for name, weight in whole.state_dict().items():
        assert torch.equal(restored.state_dict()[name], weight), name


def test_a_full_disk_leaves_the_earlier_checkpoint_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        save(tmp_path, 2)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_a_half_written_checkpoint_is_never_taken_for_one(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / ".step-00000002.123.tmp").mkdir()
    found, _ = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.state["steps_done"] == 1
    prune(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_pruning_keeps_the_last_and_what_each_of_them_calls_the_best(tmp_path: Path) -> None:
    for steps, best in ((1, 0), (2, 1), (3, 3), (4, 3), (5, 2), (6, 3)):
        save(tmp_path, steps, best_step=best)
    prune(tmp_path, 2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"step-{steps:08d}" for steps in (2, 3, 5, 6)]


def test_a_model_folder_reads_back_with_everything_inference_needs(tmp_path: Path) -> None:
    model = initialised(SHAPE, seed=3)
    save_model(tmp_path, model.state_dict(), SHAPE, {"vectors": "fingerprint"})
    loaded, card = load_model(tmp_path)
    assert card.shape == SHAPE
    assert card.about["vectors"] == "fingerprint"
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_a_damaged_or_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no finished model"):
        load_model(tmp_path)
    assert read_card(tmp_path) is None
    save_model(tmp_path, initialised(SHAPE, 0).state_dict(), SHAPE, {})
    weights = tmp_path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"does not match its config\.json"):
        load_model(tmp_path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"does not match its config\.json"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load_model(tmp_path)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(123)
    first = initialised(SHAPE, 5).state_dict()
    state = torch.get_rng_state()
    second = initialised(SHAPE, 5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = initialised(SHAPE, 6).state_dict()
    assert not torch.equal(first["ecg_projection.weight"], other["ecg_projection.weight"])


def test_encoding_in_batches_gives_unit_vectors_in_order() -> None:
    signals = np.random.default_rng(0).integers(-999, 999, (300, 12, 100)).astype(np.int16)
    encoder = ModelEncoder(initialised(SHAPE, 0), lambda slots: signals[slots])
    vectors = encoder.encode_ecg(np.arange(300))
    assert vectors.shape == (300, 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = encoder.encode_ecg(np.array([299, 7]))
    np.testing.assert_allclose(alone, vectors[[299, 7]], atol=1e-5)
    assert encoder.encode_ecg(np.empty(0, np.int64)).shape == (0, 4)


def test_text_is_centred_by_the_mean_that_is_part_of_the_model() -> None:
    model = initialised(SHAPE, 0)
    mean = torch.randn(6) * 50
    text = torch.randn(5, 6)
    before = model.encode_text(text)
    model.text_mean_W.copy_(mean)
    torch.testing.assert_close(model.encode_text(text + mean), before, rtol=1e-4, atol=1e-4)


def test_the_temperature_stays_in_its_bounds() -> None:
    model = initialised(SHAPE, 0)
    assert model.log_scale.exp().item() == pytest.approx(1 / 0.07)
    for value, bounded in ((9.0, 100.0), (-3.0, 1.0)):
        with torch.no_grad():
            model.log_scale.fill_(value)
        model.clamp_temperature()
        assert model.log_scale.exp().item() == pytest.approx(bounded)


def test_a_full_disk_leaves_the_checkpoints_before_and_a_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="No space left"):
        save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_weights_are_on_the_disk_before_the_checkpoint_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_rename = checkpoint.fsync_file, Path.rename

    def sync(path: Path) -> None:
        done.append(f"sync {path.suffix or 'folder'}")
        real_sync(path)

    def rename(self: Path, target: Path) -> Path:
        done.append(f"rename to {target.name}")
        return real_rename(self, target)

    monkeypatch.setattr(checkpoint, "fsync_file", sync)
    monkeypatch.setattr(checkpoint, "fsync_folder", lambda path: done.append("sync folder"))
    monkeypatch.setattr(Path, "rename", rename)
    save(tmp_path, 1)
    assert done == ["sync .safetensors", "rename to step-00000001", "sync folder"]
