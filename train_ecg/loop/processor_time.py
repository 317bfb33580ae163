"""How long this machine's processor takes to train on one ECG.

Measured, not looked up: encoder, length, precision and what else runs here all count. Owns the
measurement, of two small steps.
"""

import time

import torch
from torch.nn import functional

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.loop.arithmetic import choose_arithmetic
from ecgpipe.train_ecg.loop.ranks import Ranks
from ecgpipe.train_ecg.loop.step import make_optimizer
from ecgpipe.train_ecg.two_towers import ModelShape, initialised

_ECGS = 8  # of a step that is timed; a larger one takes no less time an ECG


def seconds_per_ecg(shape: ModelShape, config: TrainConfig) -> float:
    """Seconds of an ECG's share in a training step, without a GPU.

    The second of two steps, since the first chooses its kernels. Torch's random numbers stay as
    they were.

    Args:
        shape: of the model.
        config: its precision, optimizer and batch.
    """
    device, n = torch.device("cpu"), min(_ECGS, config.global_batch_size)
    model = initialised(shape, config.seed)
    optimizer = make_optimizer(model, config, device)
    is_half = choose_arithmetic(config.precision, device, Ranks()).precision == "bfloat16"
    input_BLS = torch.arange(n * shape.n_leads * shape.samples, dtype=torch.float32).sin()
    input_BLS = input_BLS.reshape(n, shape.n_leads, shape.samples)
    text_BW = torch.eye(n, shape.text_width)
    for _ in range(2):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, is_half):
            out = model(input_BLS, text_BW)
        logits_BB = out.scale * out.ecg_BD @ out.text_TD.T
        functional.cross_entropy(logits_BB, torch.arange(n)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return (time.perf_counter() - started) / n
