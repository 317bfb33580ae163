"""An experiment in an oddly named folder, sent to a real Slurm by `ecgpipe submit` and disturbed.

Owns the commands and what a test reads off the disk. Every process, in jobs and outside, refuses
to reach beyond this machine.
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import yaml
from paths import HELPERS, REPOSITORY
from slurm_cluster import SlurmCluster

ODD = '心電図 it\'s $HOME "q"'
_ASKED = (1 << (signal.SIGUSR1 - 1)) | (1 << (signal.SIGTERM - 1))


class Chain:
    """A pipeline.yaml on disk, and the commands run on it, with this Slurm behind them."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], slurm: SlurmCluster | None):
        self.folder = folder
        folder.mkdir(parents=True)
        self.slurm = slurm
        self.path = folder / "pipeline.yaml"
        self.path.write_text(yaml.safe_dump(dict(settings), allow_unicode=True), encoding="utf-8")
        self.work = folder / "work"
        self.run_folder = self.work / "runs" / settings["name"]
        self.jobs = self.work / "jobs" / settings["name"]
        self.heartbeats = self.work / "status" / settings["name"]
        self.refused = folder / "refused calls.txt"
        self.environment = {
            **(os.environ if slurm is None else slurm.environment),
            "PYTHONPATH": os.pathsep.join([f"{HELPERS}/no_network", str(REPOSITORY)]),
            "NO_NETWORK_LOG": str(self.refused),
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "HF_HUB_OFFLINE": "1",
            "XDG_CONFIG_HOME": str(folder / "no settings"),
        }

    def ecgpipe(self, *arguments: str) -> str:
        """One command to its end; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "ecgpipe", *arguments, "-c", str(self.path)],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    def submit(self, *arguments: str) -> dict[str, str]:
        """Queue; the job of each stage."""
        said = self.ecgpipe("submit", "--json", *arguments)
        _show("submit " + " ".join(arguments), "\n".join(said.splitlines()[:-1]))
        jobs = json.loads(said.splitlines()[-1])["submit"]["jobs"]
        return {job["stage"]: job["id"] for job in jobs}

    def status(self) -> str:
        """What people see."""
        said = self.ecgpipe("status")
        _show("status", said)
        return said

    def states(self) -> dict[str, str]:
        """What `status --json` says of each stage."""
        found = json.loads(self.ecgpipe("status", "--json"))["status"]
        stages = {"prepare": found["prepare"], "embed": found["embed"], **found["runs"][0]}
        return {stage: stages[stage]["state"] for stage in ("prepare", "embed", "train", "eval")}

    def heartbeat(self, stage: str, index: int, count: int) -> dict[str, Any]:
        """The last heartbeat of one process; {} before its first."""
        with contextlib.suppress(OSError):
            path = self.heartbeats / f"{stage}-{index}-of-{count}.json"
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
        return {}

    def pid(self, stage: str, index: int, count: int, job: str, not_before: float = 0) -> int:
        """A running process of a job's stage, begun after some moment; 0 where there is none."""
        beat = self.heartbeat(stage, index, count)
        mine = beat and beat["job"].partition("_")[0] == job and beat["began"] >= not_before
        return int(beat["pid"]) if mine and beat["written_state"] == "running" else 0

    def watched(self) -> set[int]:
        """Processes that refused to reach beyond this machine."""
        return set(map(int, Path(f"{self.refused}.on").read_text().split()))

    def steps(self) -> list[dict[str, Any]]:
        """The steps of training, as far as they are written."""
        path = self.run_folder / "steps.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def weights(self) -> str:
        """The sum of the trained weights' file."""
        return hashlib.sha256(
            (self.run_folder / "model/model.safetensors").read_bytes()
        ).hexdigest()

    def results(self) -> dict[str, Any]:
        """The figures of eval."""
        results: dict[str, Any] = json.loads((self.run_folder / "eval/results.json").read_text())
        return results

    def vectors(self) -> tuple[list[bytes], dict[bytes, npt.NDArray[np.float32]]]:
        """The keys of every row in every part, and each text's vector."""
        keys: list[bytes] = []
        vectors: dict[bytes, npt.NDArray[np.float32]] = {}
        for path in sorted(self.work.glob("embeddings/*/part-*.h5")):
            with h5py.File(path) as part:
                own = [row.tobytes() for row in part["key"][:]]
                keys += own
                vectors |= dict(zip(own, part["vec"][:], strict=True))
        return keys, vectors

    def logs(self) -> str:
        """All that the jobs wrote, for a test that fails."""
        paths = sorted(self.jobs.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')}" for path in paths)


def times_of(slurm: SlurmCluster, job: str) -> list[tuple[str, str]]:
    """Start and end of every run that a job or its array's tasks had, each as Slurm writes it."""
    ids = {
        match[1]
        for match in re.finditer(r"JobId=(\d+)", slurm.call("scontrol", "show", "job", job))
    }
    lines = [line for line in slurm.completions() if line["JobId"] in ids]
    return [(line["StartTime"], line["EndTime"]) for line in lines]


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Processes that stand still for the block, as on a hanging disk."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def was_asked_to_stop(pid: int) -> bool:
    """Whether a process that stands still has a signal waiting, or goes on, or is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return True
    facts = dict(line.partition(":")[::2] for line in lines)
    waiting = int(facts["ShdPnd"], 16) | int(facts["SigPnd"], 16)
    return bool(waiting & _ASKED) or not facts["State"].strip().startswith("T")


def _show(command: str, said: str) -> None:
    print(f"\n[{time.strftime('%H:%M:%S')}] $ ecgpipe {command}\n{said}", flush=True)
