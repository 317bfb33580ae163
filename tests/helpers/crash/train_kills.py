"""Training killed again and again: the final weights are those of an uninterrupted run, to the bit.

    python tests/helpers/crash/train_kills.py --kills 50 --processes 2

Each run is forked from one process that has imported torch, so a restart is cheap. It saves every
second step, so many kills happen within a checkpoint. With several processes all are killed at
once, or one of them first and the others soon after.
"""

import argparse
import hashlib
import os
import random
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from several_processes import train_toy

NAME, ENCODER = "sampled", "cnn1d"


@dataclass
class Counts:
    """What a campaign saw."""

    kills: int = 0
    in_a_checkpoint: int = 0
    starts: int = 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fork_run(folder: Path, processes: int) -> list[int]:
    """Start the run in `processes` new processes; returns their numbers."""
    port = free_port()
    children = []
    for rank in range(processes):
        child = os.fork()
        if child:
            children.append(child)
            continue
        status = 1
        try:
            os.setpgid(0, 0)
            sys.stderr = open(folder.with_suffix(".log"), "a")
            # Or accelerate gives each of several processes all cores, and sums round by how busy
            # these are.
            os.environ["OMP_NUM_THREADS"] = "1"
            if processes > 1:
                os.environ |= {
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(processes),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                }
            train_toy(folder, NAME, ENCODER, log_every=2, checkpoint_minutes=0)
            status = 0
        finally:
            os._exit(status)
    return children


def wait_all(children: list[int], until: float) -> list[int] | None:
    """Exit statuses once all have ended; None where one has not by `until`."""
    left, statuses = set(children), []
    while left:
        for child in list(left):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                left.discard(child)
                statuses.append(status)
        if left and time.monotonic() > until:
            return None
        time.sleep(0.002)
    return statuses


def kill(children: list[int]) -> None:
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # it had ended


def is_finished(folder: Path) -> bool:
    return (folder / "model" / "config.json").exists()  # written last


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def parting(whole: Path, folder: Path) -> str:
    """From which logged step on a run is another than the undisturbed one."""
    steps = [(each / "steps.jsonl").read_text().splitlines() for each in (whole, folder)]
    for undisturbed, resumed in zip(*steps, strict=False):
        if undisturbed != resumed:
            return f"{folder.name} ended with other weights: {resumed}, undisturbed {undisturbed}"
    return f"{folder.name} ended with other weights; {len(steps[1])} logged steps are the same"


def campaign(root: Path, kills: int, processes: int, seed: int = 0) -> Counts:
    """Kill a run `kills` times at random moments, starting runs anew as they finish.

    Raises:
        AssertionError: a run ends with other weights, or in an error that no kill explains.
    """
    torch.set_num_threads(1)
    chance, counts = random.Random(seed), Counts()
    started = time.monotonic()
    statuses = wait_all(fork_run(root / "whole", processes), started + 600)
    assert statuses == [0] * processes, (root / "whole.log").read_text()[-2000:]
    length_s, expected = time.monotonic() - started, weights(root / "whole")
    number = 0
    while counts.kills < kills or not is_finished(root / f"run-{number}"):
        folder = root / f"run-{number}"
        if is_finished(folder):
            assert weights(folder) == expected, parting(root / "whole", folder)
            number += 1
            continue
        counts.starts += 1
        children = fork_run(folder, processes)
        may_kill = counts.kills < kills
        limit_s = chance.uniform(0.05, 0.6) * length_s if may_kill else 600
        statuses = wait_all(children, time.monotonic() + limit_s)
        if statuses is None:
            assert may_kill, f"run {number} hangs"
            if processes > 1 and chance.random() < 0.5:
                kill(children[:1])
                time.sleep(chance.uniform(0, 0.3))
            kill(children)
            counts.kills += 1
            counts.in_a_checkpoint += any(folder.glob("checkpoints/.step-*.tmp"))
        else:
            assert statuses == [0] * processes, (root / f"run-{number}.log").read_text()[-2000:]
    assert weights(root / f"run-{number}") == expected, parting(root / "whole", folder)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill training again and again.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        counts = campaign(Path(folder), options.kills, options.processes, options.seed)
    print(
        f"{options.processes} processes: {counts.kills} kills, {counts.in_a_checkpoint} within a"
        f" checkpoint, {counts.starts} starts in {time.monotonic() - started:.0f} s; all weights"
        " equal the undisturbed run's"
    )


if __name__ == "__main__":
    main()
