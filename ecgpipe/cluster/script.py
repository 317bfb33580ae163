"""What the scripts of all schedulers have in common.

Owns the parts of a batch script behind the scheduler's own lines: where it works, what it loads and
sets, how a signal reaches the command, and how the command's exit code is awaited.

The command runs beside the shell and not in its place: a shell that `exec` has replaced can start
nothing again once the command was stopped, and one that waits for a command in its foreground dies
of the very signal that was to be passed on.
"""

import shlex
import textwrap

from ecgpipe.cluster.job import Job, Site
from ecgpipe.cluster.shell_words import lines_of, with_variables

STOPPED = 75
"""The exit code of a command that was stopped with everything saved."""


def render(directives: str, launch: str, ending: str, job: Job, site: Site, queued_by: str) -> str:
    """A whole script.

    Args:
        directives: the scheduler's own lines.
        launch: starts the command's process or processes and adds each to `children`.
        ending: what follows once `status` holds the exit code.
        job: of this script.
        site: what all scripts share.
        queued_by: the command that queues it, for people.
    """
    header = (
        f"# The stage {job.stage} of {site.run_name}, written by `ecgpipe submit` {site.version}.\n"
        f"# By hand, in this folder: {queued_by}"
    )
    parts = [
        f"#!/bin/bash\n{directives}",
        header,
        _WAITING,
        _surroundings(job, site),
        f"start() {{\n{textwrap.indent(launch.rstrip(), '  ')}\n}}",
        _AWAIT,
        ending.rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


def start_here(job: Job) -> str:
    """Starts the command as one process, or as one process a GPU of this node."""
    if job.ranks_per_node == 1:
        return f"{lines_of(job.command)} &\nchildren+=($!)"
    return (
        f"export MASTER_ADDR=127.0.0.1 WORLD_SIZE={job.ranks} LOCAL_WORLD_SIZE={job.ranks}\n"
        f"for ((rank = 0; rank < {job.ranks}; rank++)); do\n"
        f"  RANK=$rank LOCAL_RANK=$rank {lines_of(job.command)} &\n"
        "  children+=($!)\n"
        "done"
    )


def _start_by_mpirun(job: Job, hosts: str) -> str:
    """Starts the ranks of several nodes by Open MPI's mpirun, which only has to start them.

    Args:
        job: with several nodes.
        hosts: options that name the nodes, as shell words.
    """
    # mpirun hands on no environment, and each MPI has another option for it; `env` is everywhere.
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
        f"    {lines_of(job.command)} &\n"
        "children+=($!)"
    )


def start_ranks(job: Job, meeting: str, head: str, hosts: str) -> str:
    """Starts the command where the scheduler itself starts no ranks: one process, one a GPU of this
    node, or those of several nodes.

    Args:
        job: what is started.
        meeting: lines that set MASTER_PORT.
        head: the shell's expression for the first node's name.
        hosts: options of mpirun that name the nodes, as shell words.
    """
    if job.ranks == 1:
        return start_here(job)
    if job.nodes == 1:
        return f"{meeting}\n{start_here(job)}"
    address = f"MASTER_ADDR=$({head})\nexport MASTER_ADDR"
    return f"{meeting}\n{address}\n{_start_by_mpirun(job, hosts)}"


def leave_to_the_next() -> str:
    """The ending where a job cannot start itself again: more jobs of its stage wait behind it."""
    said = 'echo "Stopped with everything saved; the next job of this stage goes on."'
    return f'{stopped_early(said)}\nexit "$status"'


def stopped_early(action: str) -> str:
    """An `if` around what is done when the command was stopped with everything saved."""
    indented = "\n".join(f"  {line}" if line else line for line in action.splitlines())
    return f'if [ "$status" -eq {STOPPED} ]; then\n{indented}\nfi'


def hours_minutes_seconds(minutes: int) -> str:
    """Wall time as every scheduler reads it."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def port_from(job_id: str) -> str:
    """The port where ranks meet: from the job's number, so that jobs on one node differ."""
    return f"export MASTER_PORT=$((20000 + {job_id} % 10000))"


def _surroundings(job: Job, site: Site) -> str:
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
        f"scratch={with_variables(site.scratch)}",
        "scratch=${scratch:-/tmp}/ecgpipe-$(id -u)",
        "export TRITON_CACHE_DIR=$scratch/triton TORCHINDUCTOR_CACHE_DIR=$scratch/inductor",
    ]
    return "\n".join(lines)


_WAITING = """\
# A signal is passed on; then the command saves, and its own exit code is awaited.
children=() asked='' was_asked=''
pass_on() {
  asked=1 was_asked=1
  kill -s USR1 "${children[@]}" 2>/dev/null
}
trap pass_on USR1 USR2 TERM XCPU"""

_AWAIT = f"""\
status=0
# Asked to stop while modules were loaded: then nothing is begun.
if [ -n "$was_asked" ]; then
  status={STOPPED}
else
  start
  # Asked while it started: a child not yet noted heard nothing, and to ask twice does no harm.
  if [ -n "$was_asked" ]; then sleep 1; pass_on; fi
fi
for child in "${{children[@]}}"; do
  while asked=''; wait "$child"; code=$?; [ -n "$asked" ]; do :; done
  # Asked to stop (USR1, TERM) before it could listen: then it had not begun.
  if [ -n "$was_asked" ] && {{ [ "$code" -eq 138 ] || [ "$code" -eq 143 ]; }}; then
    code={STOPPED}
  fi
  if [ "$code" -ne 0 ] && {{ [ "$status" -eq 0 ] || [ "$status" -eq {STOPPED} ]; }}; then
    status=$code
  fi
done"""
