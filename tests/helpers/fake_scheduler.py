"""A small batch scheduler that accepts jobs like Slurm, PBS, Grid Engine or PJM.

It runs their scripts one after another.

Owns what the tests need of each scheduler: the ids its command prints, the variables of an array
task, which jobs are released when one ends, how a job is told to stop, and what requeues it. The
commands (sbatch, qsub, pjsub, ...) only record the job; `run` runs it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMANDS = {
    "slurm": ("sbatch", "scontrol", "squeue"),
    "pbs": ("qsub",),
    "grid_engine": ("qsub",),
    "pjm": ("pjsub",),
}
MOST_STARTS = 12


@dataclass
class End:
    """How one task of a job ended."""

    job_id: str
    stage: str
    task: int | None
    codes: list[int]
    """The exit code of every start; empty if it was cancelled before the first."""

    log: str = ""


@dataclass
class FakeScheduler:
    """One scheduler, stored on disk."""

    folder: Path
    kind: str
    refuse_after: int | None = None
    """Accept this many jobs, then fail."""

    ends: list[End] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir(parents=True)
        (self.folder / "spool").mkdir()
        for command in COMMANDS[self.kind]:
            path = self.folder / "bin" / command
            path.write_text(
                f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{self.folder}" {self.kind}'
                f' {command} {self.refuse_after if self.refuse_after is not None else -1} "$@"\n'
            )
            path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """The environment with the scheduler's commands first on PATH."""
        return {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}

    def jobs(self) -> list[dict[str, Any]]:
        paths = sorted((self.folder / "spool").glob("*.job"), key=lambda path: int(path.stem))
        return [json.loads(path.read_text()) for path in paths]

    def run(self, stop: Mapping[tuple[str, int | None], int] | None = None) -> list[End]:
        """Run everything queued. `stop` says how often to signal a task, by stage and index, each
        time after it has printed `ready`."""
        left = dict(stop or {})
        for job in self.jobs():
            if any(end.job_id == job["id"] for end in self.ends):
                continue
            stage = job["script_name"].split("-")[1].removesuffix(".sh")
            if not self._is_released(job):
                self.ends.append(End(job["id"], stage, None, []))
                continue
            for task in job["tasks"] or [None]:
                self.ends.append(self._run_task(job, stage, task, left))
        return self.ends

    def _is_released(self, job: dict[str, Any]) -> bool:
        for condition, job_id in job["after"]:
            before = [end for end in self.ends if end.job_id == job_id]
            assert before, f"{job['id']} depends on {job_id}, which was never queued"
            if condition == "afterok" and not all(e.codes and e.codes[-1] == 0 for e in before):
                return False
        return True

    def _run_task(
        self, job: dict[str, Any], stage: str, task: int | None, left: dict[Any, int]
    ) -> End:
        log = self.folder / "spool" / f"{job['number']}-{task}.log"
        script = self.folder / "spool" / f"{job['number']}.sh"
        codes: list[int] = []
        again = self.folder / "spool" / f"requeue-{self._task_id(job, task)}"
        while len(codes) < MOST_STARTS:
            with log.open("ab") as out:
                process = subprocess.Popen(
                    ["bash", str(script)],
                    env=self.environment | self._variables(job, task, len(codes)),
                    cwd=self.folder if self.kind == "pbs" else job["cwd"],
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
                ready = log.read_text().count("ready")
                while process.poll() is None:
                    time.sleep(0.01)
                    now_ready = log.read_text().count("ready")
                    if left.get((stage, task), 0) and now_ready > ready:
                        left[stage, task] -= 1
                        ready = now_ready
                        self._ask_to_stop(process.pid)
            codes.append(process.returncode)
            if again.exists():
                again.unlink()
            elif not (self.kind == "grid_engine" and process.returncode == 99):
                break
        return End(job["id"], stage, task, codes, log.read_text())

    def _ask_to_stop(self, pid: int) -> None:
        if self.kind == "slurm":
            os.kill(pid, signal.SIGUSR1)  # --signal=B: reaches the script alone
        else:
            number = {"pbs": signal.SIGTERM, "grid_engine": signal.SIGUSR1, "pjm": signal.SIGXCPU}
            os.killpg(pid, number[self.kind])

    def _task_id(self, job: dict[str, Any], task: int | None) -> str:
        return job["id"] if task is None else f"{job['id']}_{task}"

    def _variables(self, job: dict[str, Any], task: int | None, starts: int) -> dict[str, str]:
        number, tasks = str(job["number"]), job["tasks"] or [0]
        if self.kind == "slurm":
            found = {"SLURM_JOB_ID": number, "SLURM_JOB_NODELIST": "n1"}
            if starts:
                found["SLURM_RESTART_COUNT"] = str(starts)
            if task is not None:
                found |= {
                    "SLURM_ARRAY_JOB_ID": number,
                    "SLURM_ARRAY_TASK_ID": str(task),
                    "SLURM_ARRAY_TASK_MIN": str(tasks[0]),
                    "SLURM_ARRAY_TASK_MAX": str(tasks[-1]),
                }
            return found
        if self.kind == "pbs":
            if task is None:
                return {"PBS_JOBID": f"{number}.server"}
            return {"PBS_JOBID": f"{number}[{task}].server", "PBS_ARRAY_INDEX": str(task)}
        if self.kind == "grid_engine":
            return {
                "JOB_ID": number,
                "SGE_TASK_ID": "undefined" if task is None else str(task),
                "RESTARTED": str(int(starts > 0)),
            }
        return {"PJM_JOBID": number} | ({} if task is None else {"PJM_BULKNUM": str(task)})


def _command(folder: Path, kind: str, command: str, most: int, arguments: list[str]) -> int:
    spool = folder / "spool"
    if command == "squeue":
        print("RUNNING")
        return 0
    if command == "scontrol":
        assert arguments[0] == "requeue", arguments
        (spool / f"requeue-{arguments[1]}").touch()
        return 0
    number = len(list(spool.glob("*.job"))) + 1
    if 0 <= most < number:
        print(f"{command}: error: the account has no time left", file=sys.stderr)
        return 1
    words, script_name = arguments[:-1], arguments[-1]
    text = Path(script_name).read_text(encoding="utf-8")
    job_id, after, printed = _read_options(kind, words, text, number, spool)
    (spool / f"{number}.sh").write_text(text, encoding="utf-8")
    job = {
        "number": number,
        "id": job_id,
        "script_name": script_name,
        "cwd": os.getcwd(),
        "tasks": _tasks(kind, words, text),
        "after": after,
    }
    (spool / f"{number}.job").write_text(json.dumps(job))
    print(printed)
    return 0


def _read_options(
    kind: str, words: list[str], text: str, number: int, spool: Path
) -> tuple[str, list[tuple[str, str]], str]:
    """Return the job's id, its dependencies and what the command prints."""
    tasks = _tasks(kind, words, text)
    after = re.findall(r"(afterok|afterany):([^,\s]+)", " ".join(words))
    if kind == "slurm":
        assert "--parsable" in words
        return str(number), after, f"{number};cluster"
    if kind == "pbs":
        job_id = f"{number}{'[]' if tasks else ''}.server"
        return job_id, after, job_id
    if kind == "grid_engine":
        held = words[words.index("-hold_jid") + 1].split(",") if "-hold_jid" in words else []
        printed = f"{number}.1-{len(tasks)}:1" if tasks else str(number)
        return str(number), [("any", job_id) for job_id in held], printed
    if "--bulk" in words:
        return str(number), [], f"[INFO] PJM 0000 pjsub Job {number} submitted."
    parts = words[words.index("--sparam") + 1].split(",")
    options = dict(part.split("=", 1) for part in parts)
    step_job, place = options.get("jid", str(number)), int(options["sn"])
    after = [("afterany", f"{step_job}_{place - 1}")] if place else []
    if "sd" in options:
        condition, extent, step = options["sd"].split(":")
        assert (condition, extent) == ("ec!=0", "all")
        after.append(("afterok", f"{step_job}_{step}"))
    job_id = f"{step_job}_{place}"
    return job_id, after, f"[INFO] PJM 0000 pjsub Job {job_id} submitted."


def _tasks(kind: str, words: list[str], text: str) -> list[int]:
    patterns = {
        "slurm": r"^#SBATCH --array=(\d+)-(\d+)$",
        "pbs": r"^#PBS -J (\d+)-(\d+)$",
        "grid_engine": r"^#\$ -t (\d+)-(\d+)$",
        "pjm": r"--bulk --sparam (\d+)-(\d+)",
    }
    where = " ".join(words) if kind == "pjm" else text
    found = re.search(patterns[kind], where, re.MULTILINE)
    return list(range(int(found[1]), int(found[2]) + 1)) if found else []


if __name__ == "__main__":
    asked_folder, asked_kind, asked_command, asked_most, *rest = sys.argv[1:]
    sys.exit(_command(Path(asked_folder), asked_kind, asked_command, int(asked_most), rest))
