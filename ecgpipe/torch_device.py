"""The device that torch computes on, for every part of the package that computes.

Owns the choice of a process's GPU, and which of torch's attention kernels may run on it. Imports
torch, so importers do so late.
"""

import torch

from ecgpipe.processes import local_rank


def has_gpu() -> bool:
    """Whether this machine has a GPU that torch can use. Starts nothing on it."""
    return torch.cuda.is_available()


def own_device() -> torch.device:
    """This process's GPU, made current and ready; the CPU if there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local_rank() % torch.cuda.device_count())
    torch.cuda.set_device(device)  # streams and events belong to the current device
    return ready(device)


def ready(device: torch.device) -> torch.device:
    """The same device, on which torch's attention no longer takes cuDNN's kernels.

    torch prefers those on Hopper and later. They have returned NaN in a backward pass and wrong
    numbers (PyTorch issues 196678 and 193893, cudnn-frontend issue 1072: one query, as attention
    pooling has); without them it takes flash or memory-efficient kernels.
    """
    if device.type == "cuda":
        torch.cuda.init()  # starting CUDA sets the defaults
        torch.backends.cuda.enable_cudnn_sdp(False)
    return device
