"""Recordings that a stranger may have made -> windows, in a process that may be killed.

A file can make a C library loop for ever (HDF5 does on one flipped bit), crash, or ask for all
memory. So a process of its own reads each upload, with a limit on its time and its memory, and is
killed when over one; a new process then reads what is left. What it sends back is JSON and bare
numbers, which are checked here: nothing that it sends is run.
"""

import contextlib
import json
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.ecg import ecg_of
from ecgpipe.apply_model.prediction import remarks_on
from ecgpipe.apply_model.recordings import Input, inputs_of
from ecgpipe.apply_model.server.turns import Deadline
from ecgpipe.apply_model.server.words import Both, both, word
from ecgpipe.errors import RecordError, SourceError
from ecgpipe.read_ecg.signal.record import LEADS

SECONDS = 20.0
"""For one recording. The fuzz tests of the readers allow 5 for any file."""

MEMORY_BYTES = 2 << 30
"""Beyond what the process has at its start. Readers stay below 1 GB in the fuzz tests."""

_LONGEST_MESSAGE = 1 << 20
_LONGEST_TEXT = 2000
_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A recording that was read, or the reason why it was not."""

    name: str
    signal_uv: npt.NDArray[np.int16] | None = None
    """(12, samples) as the contract demands; None if it was refused."""

    refusal: Both | None = None
    remarks: tuple[Both, ...] = ()
    notes: tuple[str, ...] = ()
    """What was done to it, in English."""

    rate_hz: float = 0.0
    duration_s: float = 0.0
    heart_rate_bpm: float | None = None


def prepare() -> None:
    """Start what readers are forked from, so that the first does not wait for their imports.

    It has no thread but its first, and imports what readers import only when they meet a file of
    their format.
    """
    slow = ("wfdb", "h5py", "pydicom", "ecgdatakit", "scipy.io", "scipy.signal", "scipy.ndimage")
    _CONTEXT.set_forkserver_preload([__name__, *slow])
    forkserver.ensure_running()


class _Reader:
    """A process that reads the inputs of a folder from one of them on."""

    def __init__(self, folder: Path, contract: Contract, first: int) -> None:
        self._receiver, sender = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(
            target=_read, args=(str(folder), contract, first, sender), daemon=True
        )
        with sender:
            self._process.start()
        self.was_late = False

    def message(self, longest: int, seconds: float) -> bytes | None:
        """The next message; None if the process ended, or was killed because it took too long."""
        watch = threading.Timer(seconds, self._end)
        watch.start()
        try:
            return self._receiver.recv_bytes(longest)
        except (EOFError, OSError):
            return None
        finally:
            watch.cancel()

    def close(self) -> None:
        """End the process, and leave nothing of it."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._receiver.close()

    def _end(self) -> None:
        self.was_late = True
        self._process.kill()


def read_folder(
    folder: Path, contract: Contract, deadline: Deadline, seconds: float = SECONDS
) -> Iterator[Reading]:
    """Read every recording in a folder; a bad one gives its reason, and the rest goes on.

    Args:
        folder: of one upload.
        contract: what the model demands.
        deadline: what is not read by then is refused.
        seconds: for one recording.
    """
    names: list[str] | None = None
    n_read = 0
    while names is None or n_read < len(names):
        with contextlib.closing(_Reader(folder, contract, n_read)) as reader:
            limit_s = min(seconds, deadline.left_s)
            listed = _names(reader.message(_LONGEST_MESSAGE, limit_s))
            if names is None and not listed:
                why = _why(reader, limit_s) if listed is None else word("no_recording")
                yield Reading(name="", refusal=why)
                return
            names = names or listed or []
            for name in names[n_read:]:
                limit_s = min(seconds, deadline.left_s)
                reading = _next(reader, name, contract, limit_s) if limit_s else None
                n_read += 1
                yield reading or Reading(name=name, refusal=_why(reader, limit_s))
                if reading is None and limit_s:
                    break  # the process is no more


def _why(reader: _Reader, limit_s: float) -> Both:
    """Why there is no reading."""
    if not limit_s:
        return word("not_reached")
    if reader.was_late:
        return word("reading_too_long", seconds=f"{limit_s:.0f}")
    return word("reading_crashed")


def _names(message: bytes | None) -> list[str] | None:
    """The names of all inputs; None if the process did not get so far."""
    try:
        return None if message is None else [_text(name) for name in json.loads(message)]
    except (ValueError, TypeError, RecursionError):
        return None


def _next(reader: _Reader, name: str, contract: Contract, seconds: float) -> Reading | None:
    """The next recording; None if the process ended, or talks nonsense."""
    message = reader.message(_LONGEST_MESSAGE, seconds)
    if message is None:
        return None
    try:
        said = json.loads(message)
        if "refusal" in said:
            return Reading(name=name, refusal=word("refused", reason=_text(said["refusal"])))
        numbers = reader.message(2 * len(LEADS) * contract.samples, seconds)
        return None if numbers is None else _reading(name, said, numbers, contract.samples)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _reading(name: str, said: Mapping[str, Any], numbers: bytes, samples: int) -> Reading:
    bpm = said["heart_rate_bpm"]
    return Reading(
        name=name,
        signal_uv=np.frombuffer(numbers, np.int16).reshape(len(LEADS), samples),
        remarks=tuple(both(_text(r["ja"]), _text(r["en"])) for r in said["remarks"]),
        notes=tuple(map(_text, said["notes"])),
        rate_hz=float(said["rate_hz"]),
        duration_s=float(said["duration_s"]),
        heart_rate_bpm=None if bpm is None else float(bpm),
    )


def _text(said: Any) -> str:
    return str(said)[:_LONGEST_TEXT]


# What follows runs in the process that may be killed.


def _read(folder: str, contract: Contract, first: int, sender: Connection) -> None:
    _limit()
    try:
        inputs = list(inputs_of([folder]))
    except SourceError:
        sender.send_bytes(b"[]")
        return
    names = [_without(folder, given.record_id) for given in inputs]
    sender.send_bytes(json.dumps(names).encode())
    for given in inputs[first:]:
        for part in _message_parts(given, contract, folder):
            sender.send_bytes(part)


def _limit() -> None:
    """Take no more memory and time than allowed, and print nothing: a library's message may hold a
    patient's name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends this process
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # If the server is killed, nobody is left to end this process.
    cpu_s = 20 * round(SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))


def _message_parts(given: Input, contract: Contract, folder: str) -> Iterator[bytes]:
    """What is said of one input, and its window."""
    try:
        ecg = ecg_of(given.read(), contract)
        facts = ecg.quality
    except RecordError as error:
        yield json.dumps({"refusal": _without(folder, str(error))}).encode()
        return
    except MemoryError:
        yield json.dumps({"refusal": "it needs more memory than a recording may"}).encode()
        return
    said = {
        "remarks": [asdict(remark)["texts"] for remark in remarks_on(facts, contract)],
        "notes": list(ecg.notes),
        "rate_hz": facts.rate_hz,
        "duration_s": facts.duration_s,
        "heart_rate_bpm": facts.heart_rate_bpm,
    }
    yield json.dumps(said).encode()
    yield np.ascontiguousarray(ecg.signal_uv).tobytes()


def _without(folder: str, text: str) -> str:
    """A text without the private folder, which says nothing to anybody."""
    return text.replace(f"{folder}/", "").replace(folder, "the upload")
