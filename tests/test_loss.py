"""The contrastive loss: a case worked by hand, and two processes equal to one."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgpipe.train_ecg.loss import clip_loss


def one_process(ecg: torch.Tensor, text: torch.Tensor, scale: float) -> torch.Tensor:
    return clip_loss(ecg, text, ecg, text, torch.tensor(scale))


def test_three_pairs_worked_by_hand() -> None:
    # Unit vectors in the plane, chosen so that every cosine is 1, 0 or 1/2.
    half, root = 0.5, math.sqrt(3) / 2
    ecg = torch.tensor([[1.0, 0.0], [0.0, 1.0], [half, root]])
    text = torch.tensor([[1.0, 0.0], [root, half], [0.0, 1.0]])
    # s = ecg . text:      t0      t1      t2
    #   e0                 1       root    0
    #   e1                 0       half    1
    #   e2                 half    root    root
    # Rows (ECG to text), each log of the sum of exponentials minus the diagonal:
    rows = [
        math.log(math.exp(1) + math.exp(root) + math.exp(0)) - 1,
        math.log(math.exp(0) + math.exp(half) + math.exp(1)) - half,
        math.log(math.exp(half) + math.exp(root) + math.exp(root)) - root,
    ]
    columns = [
        math.log(math.exp(1) + math.exp(0) + math.exp(half)) - 1,
        math.log(math.exp(root) + math.exp(half) + math.exp(root)) - half,
        math.log(math.exp(0) + math.exp(1) + math.exp(root)) - root,
    ]
    expected = (sum(rows) / 3 + sum(columns) / 3) / 2
    assert one_process(ecg, text, 1.0).item() == pytest.approx(expected, abs=1e-6)


def test_equal_vectors_everywhere_give_the_logarithm_of_the_batch() -> None:
    same = torch.tensor([[0.6, 0.8]]).repeat(32, 1)
    assert one_process(same, same, 14.3).item() == pytest.approx(math.log(32), abs=1e-5)


def test_perfect_pairs_at_a_high_scale_cost_nothing() -> None:
    perfect = torch.eye(8)
    assert one_process(perfect, perfect, 100.0).item() == pytest.approx(0, abs=1e-6)


def test_the_loss_is_symmetric_in_its_two_sides() -> None:
    torch.manual_seed(0)
    ecg = torch.nn.functional.normalize(torch.randn(16, 8), dim=1)
    text = torch.nn.functional.normalize(torch.randn(16, 8), dim=1)
    torch.testing.assert_close(one_process(ecg, text, 5.0), one_process(text, ecg, 5.0))


TWO_PROCESSES = """
import os, sys, torch
from torch import distributed, nn
from ecgpipe.train_ecg.gather import gather_rows
from ecgpipe.train_ecg.loss import clip_loss

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
world = int(os.environ["WORLD_SIZE"])
if world > 1:
    distributed.init_process_group("gloo")
rank = distributed.get_rank() if world > 1 else 0
torch.manual_seed(0)
signal, text = torch.randn(16, 20), torch.randn(16, 30)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.ecg, self.text = nn.Linear(20, 8), nn.Linear(30, 8)
        self.log_scale = nn.Parameter(torch.tensor(2.66))
    def forward(self, signal, text):
        normal = nn.functional.normalize
        return normal(self.ecg(signal), dim=1), normal(self.text(text), dim=1), self.log_scale.exp()

model = Model()
wrapped = nn.parallel.DistributedDataParallel(model) if world > 1 else model
share = 16 // world
own = slice(rank * share, (rank + 1) * share)
ecg, txt, scale = wrapped(signal[own], text[own])
loss = clip_loss(ecg, txt, gather_rows(ecg), gather_rows(txt), scale, rank * share)
loss.backward()
if rank == 0:
    torch.save({name: p.grad for name, p in model.named_parameters()}, sys.argv[1])
if world > 1:
    distributed.destroy_process_group()  # or a thread of gloo's may end the process with an error
"""


@pytest.mark.parametrize("world", [2, 4])
def test_gradients_over_several_processes_equal_those_of_one(tmp_path: Path, world: int) -> None:
    (tmp_path / "step.py").write_text(TWO_PROCESSES)
    gradients = {}
    for n in (1, world):
        out = tmp_path / f"{n}.pt"
        environment = {
            **os.environ,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(29500 + os.getpid() % 2000 + world),
            "WORLD_SIZE": str(n),
            "OMP_NUM_THREADS": "1",
        }
        running = [
            subprocess.Popen(
                [sys.executable, tmp_path / "step.py", out],
                env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(n)
        ]
        assert [process.wait(timeout=120) for process in running] == [0] * n
        gradients[n] = torch.load(out, weights_only=True)
    for name, expected in gradients[1].items():
        difference = (gradients[world][name] - expected).norm() / expected.norm()
        assert float(difference) < 1e-12, name
        assert np.isfinite(float(difference))
