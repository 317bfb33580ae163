"""One process of several that compute the gradients of one step: python gradient_worker.py FOLDER.

Each saves its gradients for every setting as `<world>-<rank>.pt`, for a test to compare.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.data.pairing import pad_rows
from ecgpipe.train_ecg.loop.ranks import Ranks
from ecgpipe.train_ecg.loop.step import Step
from ecgpipe.train_ecg.losses.objective import Objective, RecordTexts
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers, initialised

CPU = torch.device("cpu")
BATCH = 16
SETTINGS: dict[str, dict[str, Any]] = {
    "clip": {},
    "unique": {"duplicates": "unique"},
    "soft": {"duplicates": "soft", "learn_temperature": False},
    "siglip": {"loss": "siglip", "duplicates": "mask"},
    "all_findings": {"loss": "siglip", "text": "all_findings"},
}


def toy(name: str) -> tuple[TrainConfig, TwoTowers, RecordTexts, torch.Tensor]:
    """A small model, 16 ECGs, and 6 texts among them."""
    config = TrainConfig(
        encoder="cnn1d",
        encoder_norm="group",
        global_batch_size=BATCH,
        projection_dim=8,
        precision="float32",
        **SETTINGS[name],
    )
    random = np.random.default_rng(0)
    findings = [[int(number)] for number in random.integers(0, 6, BATCH)]
    texts = RecordTexts(
        texts_NK=pad_rows(findings),
        labels_NL=pad_rows(findings),
        vectors_RW=random.normal(3, 1, (6, 10)).astype(np.float32),
    )
    signal = torch.from_numpy(random.normal(0, 500, (BATCH, 12, 100)).astype(np.int16))
    model = initialised(ModelShape.of(config, 12, 100, 100, 10), 0).train()
    return config, model, texts, signal


def save_gradients(folder: Path, rank: int, world: int) -> None:
    """Save one step's loss and gradients for every setting, in double precision."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    if world > 1:
        store = f"file://{folder}/store-{world}"
        distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    found = {}
    ranks = Ranks(rank, world)
    for name in SETTINGS:
        config, model, texts, signal = toy(name)
        step = Step(model, CPU, ranks, Objective(config, texts, CPU), config)
        step.begin_epoch(0)
        places = torch.arange(BATCH)
        result = step.forward(step.inputs(signal[step.own_rows], places), places)
        step.backward(result)
        found |= {
            f"{name}/{weight}": parameter.grad
            for weight, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        found[f"{name}/loss"] = ranks.sum(result.loss.detach()) / world
    torch.save(found, folder / f"{world}-{rank}.pt")
    if world > 1:
        distributed.destroy_process_group()  # or a gloo thread may abort the process at exit


if __name__ == "__main__":
    save_gradients(Path(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
