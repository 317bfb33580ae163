"""A real Slurm on this machine's loopback: one controller, two nodes, two partitions.

Owns its start, its end, and the words in which tests speak to it. Everything lies in a private
folder; ports are free ones, so that several can run side by side. The daemons are children of this
process and die with it; `stop` also ends whatever a job left behind.

`low` jobs are preempted by `high` ones and requeued. Each node claims four cores and two GPUs; the
GPUs are device files that nobody reads. Not like a real cluster: memory is not limited, there is no
accounting (sacct), a child that a job starts with setsid outlives the job, and a requeued job waits
6 s instead of two minutes.

Source: Slurm's manuals slurm.conf and gres.conf, and what Slurm 22.05 was seen to do.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

NODES = ("n1", "n2")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel")
_START_S = 30.0
_TRIES = 4
_PR_SET_PDEATHSIG = 1

_CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
MinJobAge=600
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.log
GresTypes=gpu
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 PreemptMode=REQUEUE \
GraceTime={grace_s} State=UP
PartitionName=high Nodes=ALL MaxTime=60 PriorityTier=10 PreemptMode=OFF State=UP
"""


def why_not() -> str | None:
    """Return why Slurm cannot be started on this machine; None if it can."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        return (
            f"no Slurm here: {', '.join(missing)} missing (Debian: slurmctld slurmd slurm-client)"
        )
    if os.geteuid() != 0:
        return "Slurm's daemons start jobs as other users, so this test needs root"
    return None


class SlurmError(Exception):
    """The cluster misbehaved; the message holds the output of its programs and its logs."""


@dataclass(frozen=True)
class Ended:
    """A job that has ended."""

    job: str
    state: str
    """As Slurm spells it: COMPLETED, FAILED, CANCELLED, TIMEOUT, ..."""

    exit_code: int
    signal: int
    restarts: int
    nodes: str
    output: str
    """Everything it printed, in every run."""


@dataclass
class SlurmCluster:
    """A running cluster. Made by `running_cluster`."""

    folder: Path
    environment: dict[str, str]
    """For every program that talks to this cluster: PATH and SLURM_CONF."""

    _daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def call(
        self, *command: str | Path, environment: Mapping[str, str] | None = None, ok: bool = True
    ) -> str:
        """Run one of Slurm's programs, or any other, against this cluster; returns its stdout.

        Raises:
            SlurmError: it ended with an error, and `ok` asks that it does not.
        """
        done = subprocess.run(
            [str(part) for part in command],
            env={**self.environment, **(environment or {})},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if ok and done.returncode:
            raise SlurmError(f"{command} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def sbatch(
        self,
        script: str | Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Submit a batch script, or the text of one, and return the job's id."""
        if isinstance(script, str):
            path = Path(tempfile.mkstemp(suffix=".sh", dir=self.folder)[1])
            path.write_text(script if script.startswith("#!") else f"#!/bin/bash\n{script}\n")
            script = path
        said = self.call("sbatch", "--parsable", *options, script, environment=environment)
        return said.strip().split(";")[0]

    def squeue(self, form: str = "%i %T") -> list[str]:
        """A line for each job that waits or runs; an array's tasks each have their own."""
        return self.call("squeue", "-h", "-r", "-o", form).split("\n")[:-1]

    def state(self, job: str) -> str:
        """The state of a job or array task, as `scontrol` says it."""
        return self.facts(job)["JobState"]

    def facts(self, job: str) -> dict[str, str]:
        """Return everything that `scontrol show job` prints about one job or array task."""
        said = self.call("scontrol", "show", "job", "-o", job).strip().splitlines()
        if len(said) != 1:
            raise SlurmError(f"job {job} is {len(said)} jobs: name a task of the array")
        return dict(part.partition("=")[::2] for part in said[0].split() if "=" in part)

    def tasks(self, job: str) -> list[str]:
        """The ids of an array's tasks that ever left the queue's pending head, in order."""
        said = self.call("scontrol", "show", "job", "-o", job).strip().splitlines()
        facts = [dict(p.partition("=")[::2] for p in line.split() if "=" in p) for line in said]
        numbers = [int(f["ArrayTaskId"]) for f in facts if f.get("ArrayTaskId", "-").isdecimal()]
        return [f"{job}_{number}" for number in sorted(numbers)]

    def wait(self, job: str, timeout_s: float = 60.0) -> Ended:
        """Wait until a job has ended, in whatever state.

        Raises:
            SlurmError: it is not over after `timeout_s`; the message says how things stand.
        """
        self.wait_for(lambda: _is_over(self.facts(job)), f"job {job} to end", timeout_s)
        facts = self.facts(job)
        code, _, number = facts["ExitCode"].partition(":")
        return Ended(
            job=job,
            state=facts["JobState"],
            exit_code=int(code),
            signal=int(number),
            restarts=int(facts.get("Restarts", "0")),
            nodes=facts.get("NodeList", ""),
            output=self.output(job),
        )

    def wait_array(self, job: str, n_tasks: int, timeout_s: float = 60.0) -> list[Ended]:
        """Wait until all `n_tasks` tasks of an array have ended; return them by index."""

        def over() -> bool:
            mine = (line.split()[0] for line in self.squeue())
            waiting = any(one == job or one.startswith(f"{job}_") for one in mine)
            return not waiting and len(self.tasks(job)) == n_tasks

        self.wait_for(over, f"{n_tasks} tasks of array {job} to end", timeout_s)
        return [self.wait(task, timeout_s) for task in self.tasks(job)]

    def wait_for(self, happens: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Poll five times a second until something happens. Raises as `wait`."""
        end = time.monotonic() + timeout_s
        while not happens():
            if time.monotonic() > end:
                raise SlurmError(f"waited {timeout_s:g} s for {what}.\n{self.report()}")
            time.sleep(0.2)

    def output(self, job: str) -> str:
        """Return what a job printed; '' if it has printed nothing or was started elsewhere."""
        path = Path(self.facts(job).get("StdOut", ""))
        return path.read_text(errors="replace") if path.is_file() else ""

    def cancel(self, *jobs: str) -> None:
        """Cancel jobs."""
        self.call("scancel", *jobs)

    def completions(self) -> list[dict[str, str]]:
        """The lines of jobcomp: one for each END, so a requeued job has several."""
        path = self.folder / "jobcomp.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [dict(p.partition("=")[::2] for p in line.split() if "=" in p) for line in lines]

    def drain(self, node: str, why: str = "a test") -> None:
        """Keep new jobs off a node."""
        self.call("scontrol", "update", f"NodeName={node}", "State=DRAIN", f"Reason={why}")

    def resume(self, node: str) -> None:
        """Return a node to service."""
        self.call("scontrol", "update", f"NodeName={node}", "State=RESUME")

    def node_states(self) -> dict[str, str]:
        """Return each node's state from `sinfo`: idle, mix, alloc, drain, down, ..."""
        lines = self.call("sinfo", "-h", "-N", "-p", "low", "-o", "%N %t").split("\n")[:-1]
        return dict(line.split() for line in lines)

    def report(self) -> str:
        """Describe the cluster and the ends of its logs, for a failing test."""
        parts = [self.call("squeue", "-r", ok=False), self.call("sinfo", "-N", ok=False)]
        for log in sorted(self.folder.glob("slurm*.log")):
            parts.append(f"{log.name}:\n" + "\n".join(log.read_text().splitlines()[-15:]))
        return "\n".join(parts)

    def clear(self) -> None:
        """Cancel all jobs, return both nodes to service, and wait until nothing runs."""
        self.call("scancel", "--full", "--state=PENDING", ok=False)
        self.call("scancel", "--full", "--signal=KILL", "--state=RUNNING", ok=False)
        self.call("scancel", "--user=root", ok=False)
        for node, state in self.node_states().items():
            if state.startswith(("drain", "drng", "down")):
                self.resume(node)
        self.wait_for(lambda: not self.squeue(), "an empty queue", 30)

    def start(self) -> None:
        """Start the daemons and wait until both nodes are idle.

        Raises:
            SlurmError: a daemon ended, or the nodes do not come up.
        """
        self._launch("slurmctld", "slurmctld", "-D", "-c")
        for node in NODES:
            self._launch(f"slurmd.{node}", "slurmd", "-D", "-N", node)
        end = time.monotonic() + _START_S
        while set(self._states_or_none()) != {"idle"}:
            ended = [daemon.args for daemon in self._daemons if daemon.poll() is not None]
            if ended or time.monotonic() > end:
                raise SlurmError(
                    f"Slurm does not start ({ended or 'time is up'}).\n{self.report()}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop every job and daemon, and leave no process of this cluster behind."""
        with contextlib.suppress(SlurmError, subprocess.TimeoutExpired):
            self.clear()
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def processes(self) -> list[int]:
        """Find running processes of this cluster by its folder: daemons, steps, jobs, orphans."""
        mark = f"SLURM_CONF={self.folder}/".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def _launch(self, name: str, *command: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            daemon = subprocess.Popen(
                [*command, "-f", self.environment["SLURM_CONF"]],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        self._daemons.append(daemon)

    def _states_or_none(self) -> list[str]:
        try:
            return list(self.node_states().values())
        except SlurmError:
            return []


@contextlib.contextmanager
def running_cluster(grace_s: int = 10) -> Iterator[SlurmCluster]:
    """A cluster for the block, and nothing of it afterwards.

    Args:
        grace_s: how long a preempted job of `low` may still run.
    """
    # Not pytest's folder: Slurm makes Unix sockets below, whose names must be short.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        for left in reversed(range(_TRIES)):  # a port may be taken between looking and using
            cluster = _set_up(folder / str(left), grace_s)
            try:
                cluster.start()
                break
            except SlurmError:
                cluster.stop()
                if not left:
                    raise
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _set_up(folder: Path, grace_s: int) -> SlurmCluster:
    folder.mkdir()
    folder.parent.chmod(0o755)
    for name in ("state", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    controller, *ports = _free_ports(1 + len(NODES))
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4"
        " RealMemory=8000 Gres=gpu:2 State=UNKNOWN"
        for node, port in zip(NODES, ports, strict=True)
    )
    config = folder / "slurm.conf"
    config.write_text(
        _CONFIG.format(
            host=host, controller_port=controller, folder=folder, nodes=nodes, grace_s=grace_s
        )
    )
    for number in range(2):  # device files like /dev/null
        os.mknod(folder / f"gpu{number}", 0o600 | 0o020000, os.makedev(1, 3))
    (folder / "gres.conf").write_text(
        f"AutoDetect=off\nNodeName={','.join(NODES)} Name=gpu File={folder}/gpu[0-1]\n"
    )
    (folder / "cgroup.conf").write_text("")
    return SlurmCluster(folder, _environment(config))


def _environment(config: Path) -> dict[str, str]:
    """This process's environment without any Slurm it may itself run under."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH", "SRUN"))}
    return {
        **own,
        "PATH": f"{own.get('PATH', '')}:/usr/sbin:/sbin",
        "SLURM_CONF": str(config),
    }


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _is_over(facts: Mapping[str, str]) -> bool:
    """A preempted or requeued job looks ended for a moment before it is pending again."""
    running = ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "CONFIGURING", "REQUEUED")
    again = facts["JobState"] == "PREEMPTED" and facts.get("Requeue") == "1"
    return facts["JobState"] not in running and not again


def _die_with_parent() -> None:
    """In the child, before exec: the kernel ends it when this process ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
