"""The parts of a batch script that all schedulers share.

Owns everything after the scheduler's directives: working directory, modules, environment, signal
forwarding, and waiting for the command's exit code.

The command runs in the background. A shell replaced by `exec` could not requeue the job afterwards,
and a shell that runs the command in the foreground would be killed by the signal it should forward.
"""

import shlex
import textwrap

from ecgpipe.cluster.job import Job, Site
from ecgpipe.cluster.shell_words import join_lines, quote_except_variables

STOPPED = 75
"""The exit code of a command that stopped early with everything saved."""


def render(directives: str, launch: str, ending: str, job: Job, site: Site, queued_by: str) -> str:
    """Render the complete script.

    Args:
        directives: the scheduler's own lines.
        launch: shell code that starts the processes and appends each pid to `children`.
        ending: shell code that runs once `status` holds the exit code.
        job: the job of this script.
        site: what all scripts have in common.
        queued_by: the command that queues the script, for the header.
    """
    header = (
        f"# The stage {job.stage} of {site.run_of(job)}, written by ecgpipe {site.version}.\n"
        f"# To queue it by hand, in this folder: {queued_by}"
    )
    parts = [
        f"#!/bin/bash\n{directives}",
        header,
        _FORWARD_SIGNALS,
        _environment(job, site),
        f"start() {{\n{textwrap.indent(launch.rstrip(), '  ')}\n}}",
        _WAIT,
        ending.rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


def start_here(job: Job) -> str:
    """Shell code that starts the command on this node: one process, or one per GPU."""
    if job.ranks_per_node == 1:
        return f"{join_lines(job.command)} &\nchildren+=($!)"
    return (
        f"export MASTER_ADDR=127.0.0.1 WORLD_SIZE={job.ranks} LOCAL_WORLD_SIZE={job.ranks}\n"
        f"for ((rank = 0; rank < {job.ranks}; rank++)); do\n"
        f"  RANK=$rank LOCAL_RANK=$rank {join_lines(job.command)} &\n"
        "  children+=($!)\n"
        "done"
    )


def _start_by_mpirun(job: Job, hosts: str) -> str:
    """Shell code that starts ranks on several nodes. mpirun only launches them.

    Args:
        job: a job with several nodes.
        hosts: mpirun options that name the nodes, quoted.
    """
    # mpirun does not forward the environment, and every MPI has a different option for it.
    passed = " \\\n        ".join(
        f'{name}="${{{name}-}}"'
        for name in (
            "PATH", "LD_LIBRARY_PATH", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS",
            "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR",
        )
    )  # fmt: skip
    as_rank = (
        "export RANK=$OMPI_COMM_WORLD_RANK WORLD_SIZE=$OMPI_COMM_WORLD_SIZE"
        " LOCAL_RANK=$OMPI_COMM_WORLD_LOCAL_RANK LOCAL_WORLD_SIZE=$OMPI_COMM_WORLD_LOCAL_SIZE;"
        ' exec "$@"'
    )
    return (
        f"mpirun -np {job.ranks} --map-by ppr:{job.ranks_per_node}:node {hosts} \\\n"
        f"    env {passed} \\\n"
        f"    bash -c {shlex.quote(as_rank)} rank \\\n"
        f"    {join_lines(job.command)} &\n"
        "children+=($!)"
    )


def start_ranks(job: Job, port: str, head: str, hosts: str) -> str:
    """Shell code that starts all ranks, for schedulers that do not start ranks themselves.

    Args:
        job: the job to start.
        port: shell code that sets MASTER_PORT.
        head: shell command that prints the first node's name.
        hosts: mpirun options that name the nodes, quoted.
    """
    if job.ranks == 1:
        return start_here(job)
    if job.nodes == 1:
        return f"{port}\n{start_here(job)}"
    address = f"MASTER_ADDR=$({head})\nexport MASTER_ADDR"
    return f"{port}\n{address}\n{_start_by_mpirun(job, hosts)}"


def exit_for_next_copy() -> str:
    """The ending for a job that cannot requeue itself: the copy queued behind it continues."""
    message = 'echo "Stopped with everything saved; the next copy of this job continues."'
    return f'{if_stopped(message)}\nexit "$status"'


def if_stopped(action: str) -> str:
    """Wrap shell code in an `if` for a command that stopped early with everything saved."""
    return f'if [ "$status" -eq {STOPPED} ]; then\n{textwrap.indent(action, "  ")}\nfi'


def hours_minutes_seconds(minutes: int) -> str:
    """Format a wall time; all four schedulers accept HH:MM:SS."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def port_from(job_id: str) -> str:
    """Shell code that derives MASTER_PORT from the job id, so jobs on one node do not collide."""
    return f"export MASTER_PORT=$((20000 + {job_id} % 10000))"


def _environment(job: Job, site: Site) -> str:
    lines = [f"cd {shlex.quote(str(site.folder))} || exit 1"]
    if site.modules:
        lines.append("type module >/dev/null 2>&1 || . /etc/profile.d/modules.sh")
        lines += [f"module load {shlex.quote(module)}" for module in site.modules]
    lines += site.setup
    if site.path_folder is not None:
        lines.append(f'export PATH={shlex.quote(str(site.path_folder))}:"$PATH"')
    lines += [
        "export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_DATASETS_OFFLINE=1",
        f"export OMP_NUM_THREADS={job.threads} TOKENIZERS_PARALLELISM=false",
        f"scratch={quote_except_variables(site.scratch)}",
        "scratch=${scratch:-/tmp}/ecgpipe-$(id -u)",
        "export TRITON_CACHE_DIR=$scratch/triton TORCHINDUCTOR_CACHE_DIR=$scratch/inductor",
    ]
    return "\n".join(lines)


_FORWARD_SIGNALS = """\
# Forward signals to the command, which then saves everything and exits.
children=() interrupted='' stopping=''
forward() {
  interrupted=1 stopping=1
  kill -s USR1 "${children[@]}" 2>/dev/null
}
trap forward USR1 USR2 TERM XCPU"""

_WAIT = f"""\
status=0
# A signal arrived while modules were loading: do not start.
if [ -n "$stopping" ]; then
  status={STOPPED}
else
  start
  # A signal arrived while starting: a child not yet listed missed it. Repeating it is harmless.
  if [ -n "$stopping" ]; then sleep 1; forward; fi
fi
for child in "${{children[@]}}"; do
  while interrupted=''; wait "$child"; code=$?; [ -n "$interrupted" ]; do :; done
  # Killed by USR1 or TERM before it could handle them: it had not started.
  if [ -n "$stopping" ] && {{ [ "$code" -eq 138 ] || [ "$code" -eq 143 ]; }}; then
    code={STOPPED}
  fi
  if [ "$code" -ne 0 ] && {{ [ "$status" -eq 0 ] || [ "$status" -eq {STOPPED} ]; }}; then
    status=$code
  fi
done"""
