"""Several processes compute the gradients of one: what each sends, and what comes of it."""

import os
import subprocess
import sys

import pytest
import torch
from gradient_worker import SETTINGS, toy
from paths import HELPERS, REPOSITORY

from ecgpipe.train_ecg.data.inputs import to_model_input
from ecgpipe.train_ecg.loop.ranks import Ranks
from ecgpipe.train_ecg.losses.loss import clip_loss

Gradients = dict[int, list[dict[str, torch.Tensor]]]
"""For each number of processes, those of each process."""


@pytest.fixture(scope="module")
def gradients(tmp_path_factory: pytest.TempPathFactory) -> Gradients:
    folder = tmp_path_factory.mktemp("gradients")
    found = {}
    for world in (1, 2, 4):
        running = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-W",
                    "error::FutureWarning",
                    HELPERS / "gradient_worker.py",
                    folder,
                ],
                cwd=REPOSITORY,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{HELPERS}{os.pathsep}{REPOSITORY}",
                    "WORLD_SIZE": str(world),
                    "RANK": str(rank),
                    "OMP_NUM_THREADS": "1",
                },
            )
            for rank in range(world)
        ]
        assert [process.wait(timeout=240) for process in running] == [0] * world
        found[world] = [
            torch.load(folder / f"{world}-{rank}.pt", weights_only=True) for rank in range(world)
        ]
    return found


def assert_close(found: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    assert (found - expected).norm() <= 1e-12 * expected.norm(), what


@pytest.mark.parametrize("world", [2, 4])
def test_several_processes_have_the_gradients_of_one(gradients: Gradients, world: int) -> None:
    """For every loss, in double precision with group norm; batch norm sees its own rows only."""
    (alone,) = gradients[1]
    assert {key.split("/")[0] for key in alone} == set(SETTINGS)
    for process in gradients[world]:
        assert set(process) == set(alone)
        for key, expected in alone.items():
            assert_close(process[key], expected, key)


@pytest.mark.parametrize("name", ["clip", "unique"])
def test_the_gradients_are_those_of_the_loss_over_the_whole_batch(
    gradients: Gradients, name: str
) -> None:
    """Computed here by autograd in one pass, without any of the trainer's step."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        config, model, texts, signal = toy(name)
        ids = torch.from_numpy(texts.texts_NK[:, 0])
        text_BW = torch.from_numpy(texts.vectors_RW).double()[ids]
        ecg, text, scale, _ = model(to_model_input(signal, "fixed", torch.float64), text_BW)
        loss = clip_loss(ecg, text, ecg, text, scale, duplicates=config.duplicates, text_ids_B=ids)
        loss.backward()
    finally:
        torch.set_default_dtype(before)
    found = gradients[4][0]
    assert found[f"{name}/loss"].item() == pytest.approx(loss.item(), rel=1e-12)
    for weight, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert_close(found[f"{name}/{weight}"], parameter.grad, weight)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_row_belongs_to_one_process(world: int) -> None:
    rows = [row for rank in range(world) for row in range(16)[Ranks(rank, world).own_rows(16)]]
    assert rows == list(range(16))


def test_averaged_gradients_keep_their_memory_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused AdamW wants the strides of the weight."""
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: tensor.mul_(2))
    random = torch.Generator().manual_seed(0)
    tensors = [torch.randn(4, 3, generator=random).T, torch.randn(5, generator=random)]
    expected = [tensor.clone() for tensor in tensors]
    strides = [tensor.stride() for tensor in tensors]
    Ranks(0, 2).average(tensors)
    assert [tensor.stride() for tensor in tensors] == strides
    for tensor, own in zip(tensors, expected, strict=True):
        assert torch.equal(tensor, own)
