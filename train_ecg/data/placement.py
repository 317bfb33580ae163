"""Where the training signals lie, and how batches of them come to the device.

Owns the choice (all on the device, all in main memory, or read from the store batch by batch) and
being one batch ahead. Knows signals only as int16 (records, leads, samples); a batch is any records
in any order, so whichever place it is, every epoch is shuffled whole. N = records, L = leads,
S = samples, b = this process's rows.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from ecgpipe.config.train import PlacementSetting
from ecgpipe.errors import ConfigError

Kind = Literal["device", "memory", "stream"]
Rows = npt.NDArray[np.int64]
ReadSignals = Callable[[Rows], npt.NDArray[np.int16]]

# What is left for weights, activations and everybody else.
_SHARE_OF_GPU = 0.6
_SHARE_OF_MEMORY = 0.5
_RECORDS_A_PIECE = 1024
_BATCHES_AHEAD = 1


@dataclass(frozen=True)
class Placement:
    """Where signals lie, and why there."""

    kind: Kind
    why: str


def choose_placement(
    setting: PlacementSetting,
    n_bytes: int,
    gpu_free: int | None,
    memory_free: int,
) -> Placement:
    """The first place in which the signals fit, or the one that was asked for.

    Args:
        setting: train.placement.
        n_bytes: what the training signals take as int16.
        gpu_free: bytes free on this process's GPU; None without one.
        memory_free: bytes of main memory that this process may take.

    Raises:
        ConfigError: `device` without a GPU, or what was asked for does not fit.
    """
    size = _size(n_bytes)
    if setting == "stream":
        return Placement("stream", f"{size}, read from the store as asked for")
    if setting == "device" and gpu_free is None:
        raise ConfigError("train.placement is device, but this process has no GPU. Use auto.")
    if setting in ("auto", "device") and gpu_free is not None:
        if n_bytes <= _SHARE_OF_GPU * gpu_free:
            return Placement("device", f"{size} of {_size(gpu_free)} free on the GPU")
        if setting == "device":
            raise ConfigError(
                f"train.placement is device, but the training signals are {size} and the GPU has"
                f" {_size(gpu_free)} free, of which {_SHARE_OF_GPU:.0%} may be theirs. Use auto."
            )
    if n_bytes <= _SHARE_OF_MEMORY * memory_free:
        return Placement("memory", f"{size} of {_size(memory_free)} free in main memory")
    if setting == "memory":
        raise ConfigError(
            f"train.placement is memory, but the training signals are {size} and"
            f" {_size(memory_free)} are free, of which {_SHARE_OF_MEMORY:.0%} may be theirs. Use"
            " auto or stream."
        )
    return Placement("stream", f"{size} fit nowhere ({_size(memory_free)} of main memory are free)")


class SignalShelf:
    """The training signals; where they lie is decided once, and runs of a sweep share them."""

    def __init__(self, read: ReadSignals, slots: Rows, leads: int, samples: int) -> None:
        self._read = read
        self.slots = slots
        self.leads = leads
        self.samples = samples
        self._placed: dict[tuple[str, str], PlacedSignals] = {}

    def __len__(self) -> int:
        return len(self.slots)

    def placed(
        self, setting: PlacementSetting, device: torch.device, processes_here: int = 1
    ) -> "PlacedSignals":
        """The signals at their place.

        Args:
            setting: train.placement.
            device: what batches go to.
            processes_here: processes on this machine, which share its main memory.

        Raises:
            ConfigError: as `choose_placement`.
            StoreError: a record is damaged.
        """
        key = setting, str(device)
        if key not in self._placed:
            n_bytes = 2 * len(self.slots) * self.leads * self.samples
            gpu_free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
            placement = choose_placement(
                setting,
                n_bytes,
                gpu_free,
                memory_left() // processes_here,
            )
            self._placed[key] = PlacedSignals(placement, self._read, self, device)
        return self._placed[key]


class PlacedSignals:
    """Signals at their place, served in batches."""

    def __init__(
        self, placement: Placement, read: ReadSignals, shelf: SignalShelf, device: torch.device
    ) -> None:
        self.placement = placement
        self._read = read
        self._slots = shelf.slots
        self._device = device = _numbered(device)
        self._copying: Any = None
        self._resident_NLS: torch.Tensor | None = None
        if placement.kind != "stream":
            where = device if placement.kind == "device" else torch.device("cpu")
            shape = len(shelf), shelf.leads, shelf.samples
            self._resident_NLS = torch.empty(shape, dtype=torch.int16, device=where)
            for start in range(0, len(shelf), _RECORDS_A_PIECE):
                piece = torch.from_numpy(read(shelf.slots[start : start + _RECORDS_A_PIECE]))
                self._resident_NLS[start : start + len(piece)] = piece
            if where.type == "cuda":  # other runs read it in streams of their own
                torch.cuda.current_stream(where).synchronize()

    def batches(self, places_kb: Rows) -> Iterator[torch.Tensor]:
        """int16 (b, L, S) on the device for each row of `places_kb`, in order."""
        if self._resident_NLS is not None and self._resident_NLS.device == self._device:
            # Nothing to wait for: it lies where it is needed.
            order_kb = torch.from_numpy(places_kb).to(self._device)
            for places_b in order_kb:
                yield self._resident_NLS.index_select(0, places_b)
        elif self._device.type == "cuda":
            gather = partial(self.gather, pinned=True)
            yield from _copied_ahead(gather, places_kb, self._device, self._copy_stream())
        else:
            yield from _ahead(self.gather, places_kb)

    def _copy_stream(self) -> Any:
        # One for all epochs and runs: the allocator keeps the memory of each stream apart. Streams
        # of another priority come from another pool, so it is never one that a CUDA graph is
        # captured in, whose capture would take the copies along.
        if self._copying is None:
            self._copying = torch.cuda.Stream(self._device, priority=-1)  # type: ignore[no-untyped-call]  # torch has no types here
        return self._copying

    def __len__(self) -> int:
        return len(self._slots)

    def gather(self, places_b: Rows, pinned: bool = False) -> torch.Tensor:
        """int16 (b, L, S) of these records, where they lie.

        Args:
            places_b: the records.
            pinned: into memory that a GPU copies from by itself, without another copy on the way.

        Raises:
            StoreError: a record is damaged.
        """
        resident_NLS = self._resident_NLS
        if resident_NLS is None:
            read_bLS = torch.from_numpy(self._read(self._slots[places_b]))
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


def _ahead(gather: Callable[[Rows], torch.Tensor], places_kb: Rows) -> Iterator[torch.Tensor]:
    """What `gather` gives for each row, worked out by a thread while the one before is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="ecgpipe-batches") as thread:
        waiting = [thread.submit(gather, places_b) for places_b in places_kb[:_BATCHES_AHEAD]]
        for places_b in places_kb[_BATCHES_AHEAD:]:
            waiting.append(thread.submit(gather, places_b))
            yield waiting.pop(0).result()
        for last in waiting:
            yield last.result()


def _copied_ahead(
    gather: Callable[[Rows], torch.Tensor], places_kb: Rows, device: torch.device, stream: Any
) -> Iterator[torch.Tensor]:
    """As `_ahead`, and copied to a GPU beside its work.

    The copy runs in a stream of its own out of pinned memory; the GPU's own stream waits for it,
    the processor does not.
    """

    def copied(places_b: Rows) -> tuple[torch.Tensor, torch.cuda.Event]:
        # The thread has a current device of its own.
        with torch.cuda.device(device), torch.cuda.stream(stream):
            batch = gather(places_b).to(device, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no types here
            done.record(stream)
        return batch, done

    with ThreadPoolExecutor(1, thread_name_prefix="ecgpipe-batches") as thread:
        waiting = [thread.submit(copied, places_b) for places_b in places_kb[:_BATCHES_AHEAD]]
        for places_b in [*places_kb[_BATCHES_AHEAD:], None]:
            if places_b is not None:
                waiting.append(thread.submit(copied, places_b))
            if waiting:
                batch, done = waiting.pop(0).result()
                using = torch.cuda.current_stream(device)
                using.wait_event(done)
                batch.record_stream(using)  # its memory is not to be reused before `using` is done
                yield batch


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
    except OSError:  # not Linux, or not told
        return []


def _number(path: str) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdecimal() else None
