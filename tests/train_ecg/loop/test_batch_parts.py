"""Parts of a batch: whose they are, and the same gradients wherever they are computed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.data.inputs import to_model_input
from ecgpipe.train_ecg.data.pairing import padded
from ecgpipe.train_ecg.loop.batch_parts import BatchParts, tree_sum
from ecgpipe.train_ecg.loop.step import Step
from ecgpipe.train_ecg.losses.loss import clip_loss
from ecgpipe.train_ecg.losses.objective import Objective, RecordTexts
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers, initialised

CPU = torch.device("cpu")
BATCH = 16
PARTS = 4
PROGRAM = """
import os, sys
sys.path[:0] = ["tests/helpers", "tests/train_ecg/loop"]
import torch
from pathlib import Path
torch.set_num_threads(1)
from test_batch_parts import save_gradients
save_gradients(Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
"""

SETTINGS: dict[str, dict[str, Any]] = {
    "clip": {},
    "unique": {"duplicates": "unique"},
    "soft": {"duplicates": "soft", "learn_temperature": False},
    "siglip": {"loss": "siglip", "duplicates": "mask"},
    "all_findings": {"loss": "siglip", "text": "all_findings"},
    "batch norm": {"encoder_norm": "batch"},
}


def toy(name: str) -> tuple[TrainConfig, TwoTowers, RecordTexts, torch.Tensor]:
    """A small model, 16 ECGs, and 6 texts among them."""
    config = TrainConfig(
        encoder="cnn1d",
        global_batch_size=BATCH,
        batch_parts=PARTS,
        projection_dim=8,
        **{"encoder_norm": "group", **SETTINGS[name]},
    )
    random = np.random.default_rng(0)
    findings = [[int(number)] for number in random.integers(0, 6, BATCH)]
    texts = RecordTexts(
        texts_NK=padded(findings),
        labels_NL=padded(findings),
        vectors_FW=random.normal(3, 1, (6, 10)).astype(np.float32),
    )
    signal = torch.from_numpy(random.normal(0, 500, (BATCH, 12, 100)).astype(np.int16))
    model = initialised(ModelShape.of(config, 12, 100, 100, 10), 0).train()
    return config, model, texts, signal


def save_gradients(folder: Path, rank: int, world: int) -> None:
    """Of one step of every setting, in both precisions; of all processes, which must agree."""
    if world > 1:
        store = f"file://{folder}/store-{world}"
        distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    found = {}
    for precision in (torch.float32, torch.float64):
        torch.set_default_dtype(precision)
        for name in SETTINGS:
            config, model, texts, signal = toy(name)
            parts = BatchParts.of(config, rank, world)
            step = Step(model, CPU, parts, Objective(config, texts, CPU), config)
            step.begin_epoch(0)
            places = torch.arange(BATCH)
            passed = step.forward(step.inputs(signal[parts.own_rows], places), places)
            step.backward(passed)
            key = f"{name}/{str(precision).removeprefix('torch.')}"
            found |= {
                f"{key}/{weight}": parameter.grad
                for weight, parameter in model.named_parameters()
                if parameter.grad is not None
            }
            found[f"{key}/loss"] = parts.sum([passed.loss]) / world
            if rank == 0:
                found |= {f"{key}/{n}": b.clone() for n, b in model.named_buffers()}
    torch.save(found, folder / f"{world}-{rank}.pt")
    if world > 1:
        distributed.destroy_process_group()  # or a thread of gloo's may end it with an error


@pytest.fixture(scope="module")
def gradients(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, torch.Tensor]]]:
    """By number of processes, of each process."""
    folder = tmp_path_factory.mktemp("gradients")
    (folder / "step.py").write_text(PROGRAM)
    found = {}
    for world in (1, 2, 4):
        running = [
            subprocess.Popen(
                [sys.executable, "-W", "error::FutureWarning", folder / "step.py", folder],
                env={
                    **os.environ,
                    "WORLD_SIZE": str(world),
                    "RANK": str(rank),
                    "OMP_NUM_THREADS": "1",
                },
            )
            for rank in range(world)
        ]
        assert [process.wait(timeout=120) for process in running] == [0] * world
        found[world] = [
            torch.load(folder / f"{world}-{rank}.pt", weights_only=True) for rank in range(world)
        ]
    return found


@pytest.mark.parametrize("world", [2, 4])
def test_gradients_are_the_same_to_the_bit_on_any_number_of_processes(
    gradients: dict[int, list[dict[str, torch.Tensor]]], world: int
) -> None:
    """Running statistics of batch norm included."""
    alone = gradients[1][0]
    assert set(gradients[world][0]) == set(alone)
    assert len({key.split("/")[0] for key in alone}) == len(SETTINGS)
    for process in gradients[world]:
        for key, expected in process.items():
            assert torch.equal(expected, alone[key]), key


@pytest.mark.parametrize("name", ["clip", "unique"])
def test_the_parts_together_have_the_gradients_of_the_whole_batch(
    gradients: dict[int, list[dict[str, torch.Tensor]]],
    name: str,
) -> None:
    """One pass and one loss over all rows, with autograd's own way back."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        config, model, texts, signal = toy(name)
        ids = torch.from_numpy(texts.texts_NK[:, 0])
        text_BW = torch.from_numpy(texts.vectors_FW).double()[ids]
        ecg, text, scale, _ = model(to_model_input(signal, "fixed"), text_BW)
        loss = clip_loss(ecg, text, ecg, text, scale, duplicates=config.duplicates, text_ids_B=ids)
        loss.backward()
    finally:
        torch.set_default_dtype(before)
    found = gradients[4][0]
    assert found[f"{name}/float64/loss"].item() == pytest.approx(loss.item(), rel=1e-12)
    for weight, parameter in model.named_parameters():
        assert parameter.grad is not None
        gradient = found[f"{name}/float64/{weight}"]
        assert (gradient - parameter.grad).norm() < 1e-12 * parameter.grad.norm(), weight


@pytest.mark.parametrize(("world", "number"), [(1, 1), (1, 4), (2, 4), (4, 4), (3, 6)])
def test_every_row_is_in_one_part_of_one_process(world: int, number: int) -> None:
    batch = 4 * number
    seen: list[int] = []
    for rank in range(world):
        parts = BatchParts(batch, number, rank, world)
        assert len(parts.own) == number // world
        rows = [row for part in parts.own for row in range(batch)[part]]
        assert rows == list(range(batch)[parts.own_rows])
        seen += rows
    assert seen == list(range(batch))


def test_a_sum_of_sums_is_the_sum_to_the_bit() -> None:
    """Terms of very different size, whose sum in another order rounds otherwise."""
    random = np.random.default_rng(0)
    terms = [
        torch.tensor(random.normal(0, 1, 100) * 10.0 ** random.integers(-6, 6, 100)).float()
        for _ in range(8)
    ]
    whole = tree_sum(terms)
    for n in (2, 4):
        each = [tree_sum(terms[first : first + 8 // n]) for first in range(0, 8, 8 // n)]
        assert torch.equal(tree_sum(each), whole)
    assert not torch.equal(sum(terms[1:], terms[0]), whole)


def test_an_odd_term_is_not_forgotten() -> None:
    for n in range(1, 8):
        assert tree_sum([torch.tensor(float(k)) for k in range(n)]).item() == sum(range(n))
