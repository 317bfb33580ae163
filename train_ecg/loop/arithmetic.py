"""How a process computes: its precision, and on a CPU its threads. Both decide the bits of a run.

Owns what `train.precision: auto` means on a device, and what a run that is continued on another
machine keeps. Must not know models or steps.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from ecgpipe.train_ecg.loop.ranks import Ranks

_CPU_INFO = Path("/proc/cpuinfo")
# Processors with neither convert every product: slower than float32.
_CPU_FLAGS = {"amx_bf16", "avx512_bf16"}


@dataclass(frozen=True)
class Arithmetic:
    """How a process computes."""

    precision: str | None
    """Of the encoder: `float32` or `bfloat16`. None in checkpoints that do not hold it."""

    threads: int | None
    """On a CPU: their number decides how sums are rounded."""

    def on(self, place: str) -> str:
        """For messages: `bfloat16 on cpu with 2 threads`."""
        threads = f" with {_threads(self.threads)}" if self.threads else ""
        return f"{self.precision} on {place}{threads}"

    def continuing(self, before: "Arithmetic") -> tuple["Arithmetic", list[str]]:
        """How a run goes on here that computed as `before`; and what to tell its owner.

        It keeps its precision. A setting other than `auto` belongs to the run's key, so only what
        `auto` chose can differ.
        """
        notes = []
        precision = before.precision or self.precision
        if precision != self.precision:
            notes.append(
                f"this run began in {precision} and goes on in it; by itself, train.precision: auto"
                f" would take {self.precision} on this machine."
            )
        if before.threads and self.threads and before.threads != self.threads:
            notes.append(
                f"this run last trained with {_threads(before.threads)} per process, not"
                f" {self.threads}. Sums are rounded differently, so the weights will not be"
                " bit-equal to those of a run that was never stopped. Set OMP_NUM_THREADS to keep"
                " the number."
            )
        return Arithmetic(precision, self.threads), notes


def choose_arithmetic(setting: str, device: torch.device, ranks: Ranks) -> Arithmetic:
    """What `train.precision` asks for, the same in all processes, and this process's threads.

    Args:
        setting: train.precision; `auto` takes bfloat16 if every process's device computes in it.
        device: of this process.
        ranks: all processes.
    """
    precision = setting
    if setting == "auto":
        lacking = ranks.sum(torch.tensor(float(not _computes_bfloat16(device)), device=device))
        precision = "float32" if lacking else "bfloat16"
    return Arithmetic(precision, torch.get_num_threads() if device.type == "cpu" else None)


def _computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; what is emulated is slower than float32."""
    if device.type == "cuda":  # Ampere and later
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.backends.mkldnn.is_available()) and bool(_CPU_FLAGS & _cpu_flags())


def _cpu_flags() -> set[str]:
    """What an x86 processor can do, by Linux's account; empty where it gives none."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _threads(number: int) -> str:
    return f"{number:,} thread{'' if number == 1 else 's'}"
