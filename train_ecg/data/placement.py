"""Where the training signals are kept, and how batches of them get to the device.

Owns the choice (all on the device, all in main memory, or read from the store batch by batch) and
loading one batch ahead. Knows signals only as int16 (records, leads, samples). A batch may hold any
records in any order, so every epoch is fully shuffled whatever the placement. N = records,
L = leads, S = samples, b = this process's rows, k = batches.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ecgpipe.config.train import PlacementSetting
from ecgpipe.errors import ConfigError

Kind = Literal["device", "memory", "stream"]
Rows = npt.NDArray[np.int64]
ReadSignals = Callable[[Rows], npt.NDArray[np.int16]]
T = TypeVar("T")

# The rest is for weights, activations and other programs.
_SHARE_OF_GPU = 0.6
_SHARE_OF_MEMORY = 0.5
_RECORDS_PER_READ = 1024


@dataclass(frozen=True)
class Placement:
    """Where signals are kept, and why there."""

    kind: Kind
    why: str


def choose_placement(
    setting: PlacementSetting,
    n_bytes: int,
    gpu_free: int | None,
    memory_free: int,
) -> Placement:
    """The first place in which the signals fit, or the one that the setting names.

    Args:
        setting: train.placement.
        n_bytes: size of the training signals as int16.
        gpu_free: bytes free on this process's GPU; None without one.
        memory_free: bytes of main memory that this process may take.

    Raises:
        ConfigError: `device` without a GPU, or the signals do not fit where the setting wants them.
    """
    size = _size(n_bytes)
    if setting == "stream":
        return Placement("stream", f"{size}, read from the store as train.placement says")
    if setting == "device" and gpu_free is None:
        raise ConfigError("train.placement is device, but this process has no GPU. Use auto.")
    if setting in ("auto", "device") and gpu_free is not None:
        if n_bytes <= _SHARE_OF_GPU * gpu_free:
            return Placement("device", f"{size} of {_size(gpu_free)} free on the GPU")
        if setting == "device":
            raise ConfigError(
                f"train.placement is device, but the training signals are {size} and the GPU has"
                f" {_size(gpu_free)} free, of which they may take {_SHARE_OF_GPU:.0%}. Use auto."
            )
    if n_bytes <= _SHARE_OF_MEMORY * memory_free:
        return Placement("memory", f"{size} of {_size(memory_free)} free in main memory")
    if setting == "memory":
        raise ConfigError(
            f"train.placement is memory, but the training signals are {size} and"
            f" {_size(memory_free)} are free, of which they may take {_SHARE_OF_MEMORY:.0%}. Use"
            " auto or stream."
        )
    return Placement("stream", f"{size} fit nowhere ({_size(memory_free)} of main memory are free)")


@dataclass(frozen=True)
class TrainSignals:
    """The signals of the training split, in the store."""

    read: ReadSignals
    """Slots (n,) to int16 (n, L, S)."""

    slots: Rows
    """(N,) where the training records are in the store."""

    n_leads: int
    samples: int

    def __len__(self) -> int:
        return len(self.slots)

    def place(
        self, setting: PlacementSetting, device: torch.device, processes_here: int = 1
    ) -> "PlacedSignals":
        """Load the signals to where they are kept during training.

        Args:
            setting: train.placement.
            device: where batches are wanted.
            processes_here: processes that share this machine's main memory.

        Raises:
            ConfigError: as `choose_placement`.
            StoreError: a record is damaged.
        """
        n_bytes = 2 * len(self) * self.n_leads * self.samples
        gpu_free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
        placement = choose_placement(setting, n_bytes, gpu_free, memory_left() // processes_here)
        return PlacedSignals(placement, self, device)


class PlacedSignals:
    """Signals where they are kept, served in batches."""

    def __init__(self, placement: Placement, signals: TrainSignals, device: torch.device) -> None:
        self.placement = placement
        self._signals = signals
        self._device = device = _numbered(device)
        self._copying: Any = None
        self._resident_NLS: torch.Tensor | None = None
        if placement.kind != "stream":
            where = device if placement.kind == "device" else torch.device("cpu")
            shape = len(signals), signals.n_leads, signals.samples
            self._resident_NLS = torch.empty(shape, dtype=torch.int16, device=where)
            for start in range(0, len(signals), _RECORDS_PER_READ):
                slots = signals.slots[start : start + _RECORDS_PER_READ]
                self._resident_NLS[start : start + len(slots)] = torch.from_numpy(
                    signals.read(slots)
                )

    def batches(self, places_kb: Rows) -> Iterator[torch.Tensor]:
        """int16 (b, L, S) on the device for each row of `places_kb`, in order."""
        if self._resident_NLS is not None and self._resident_NLS.device == self._device:
            order_kb = torch.from_numpy(places_kb).to(self._device)
            for places_b in order_kb:
                yield self._resident_NLS.index_select(0, places_b)
        elif self._device.type == "cuda":
            for batch_bLS, copied in _one_ahead(self._copy_to_gpu, places_kb):
                using = torch.cuda.current_stream(self._device)
                using.wait_event(copied)  # the GPU waits, the processor does not
                batch_bLS.record_stream(using)  # do not reuse its memory before `using` is done
                yield batch_bLS
        else:
            yield from _one_ahead(self.gather, places_kb)

    def _copy_to_gpu(self, places_b: Rows) -> tuple[torch.Tensor, torch.cuda.Event]:
        """A batch that is being copied while the GPU computes, and when the copy is done."""
        if self._copying is None:
            # One for all epochs: the allocator keeps memory for each stream apart. Streams of
            # another priority come from another pool, so a capture never gets this one and
            # records the copies.
            self._copying = torch.cuda.Stream(self._device, priority=-1)
        # A thread has a current device of its own.
        with torch.cuda.device(self._device), torch.cuda.stream(self._copying):
            batch_bLS = self.gather(places_b, pinned=True).to(self._device, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record(self._copying)
        return batch_bLS, copied

    def __len__(self) -> int:
        return len(self._signals)

    def gather(self, places_b: Rows, pinned: bool = False) -> torch.Tensor:
        """int16 (b, L, S) of these records, on the device where the signals are kept.

        Args:
            places_b: the records.
            pinned: whether to put them into memory that a GPU can copy from directly.

        Raises:
            StoreError: a record is damaged.
        """
        resident_NLS = self._resident_NLS
        if resident_NLS is None:
            read_bLS = torch.from_numpy(self._signals.read(self._signals.slots[places_b]))
            return read_bLS.pin_memory() if pinned else read_bLS
        places = torch.from_numpy(places_b).to(resident_NLS.device)
        batch_bLS = torch.empty(
            (len(places), *resident_NLS.shape[1:]),
            dtype=resident_NLS.dtype,
            device=resident_NLS.device,
            pin_memory=pinned,
        )
        return torch.index_select(resident_NLS, 0, places, out=batch_bLS)


def memory_left() -> int:
    """Bytes of main memory that may still be taken: what is available, or less in a container."""
    left = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            left = 1024 * int(line.split()[1])
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    return left if limit is None or used is None else max(0, min(left, limit - used))


def _one_ahead(load: Callable[[Rows], T], places_kb: Rows) -> Iterator[T]:
    """What `load` returns for each row, loaded by a thread while the one before is in use."""
    with ThreadPoolExecutor(1, thread_name_prefix="ecgpipe-batches") as thread:
        loading: Future[T] | None = None
        for places_b in places_kb:
            before, loading = loading, thread.submit(load, places_b)
            if before is not None:
                yield before.result()
        if loading is not None:
            yield loading.result()


def _numbered(device: torch.device) -> torch.device:
    """`cuda` as `cuda:0`: a tensor names its GPU so, and a thread has a current GPU of its own."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e7 else f"{n_bytes / 1e6:.2f} MB"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:  # not Linux, or not readable
        return []


def _number(path: str) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdecimal() else None
