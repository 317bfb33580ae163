"""What the GPU benchmarks share: what a card can do by itself, and where their results go."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).resolve().parents[1] / "results"


def device_name(device: torch.device) -> str:
    """The device's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def matmul_flops(sizes: Sequence[int], device: torch.device) -> float:
    """FLOP/s of the fastest bfloat16 product of two square matrices."""
    return max(_matmul_flops(size, device) for size in sizes)


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def result_path(folder: Path, name: str, found: Mapping[str, Any], suffix: str) -> Path:
    """`folder`/`name`-<date>-<device><suffix>; makes the folder.

    Args:
        folder: where results are kept.
        name: of the benchmark.
        found: holds `created` and `device`.
        suffix: of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device_word = re.sub(r"[^A-Za-z0-9]+", "-", found["device"]).strip("-")
    return folder / f"{name}-{found['created'][:10]}-{device_word}{suffix}"


def _matmul_flops(size: int, device: torch.device, n_times: int = 20) -> float:
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    wait(device)
    started = time.perf_counter()
    for _ in range(n_times):
        left @ right
    wait(device)
    return 2 * size**3 * n_times / (time.perf_counter() - started)
