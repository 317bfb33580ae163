"""Slurm: sbatch.

Tested against a real Slurm. The facts behind the script:

- A job that exits during its grace period counts as successful and releases its dependents, so a
  stopped job requeues itself before it exits. One task of an array shares its job id with the whole
  array, so a task is addressed as array_task.
- A cancelled job is not requeued.
- Slurm signals ranks itself, because they are `srun` tasks; any other process gets the signal only
  through the batch script (`B:`).
"""

import shlex

from ecgpipe.cluster.job import After, Dialect, Job, Site
from ecgpipe.cluster.script import (
    hours_minutes_seconds,
    if_stopped,
    port_from,
    render,
    start_here,
)
from ecgpipe.cluster.shell_words import join_lines

# Ranks normally exit within moments of each other. If one dies, the others would wait forever.
_WAIT_FOR_RANKS_S = 120


def _script(job: Job, site: Site) -> str:
    queued_by = shlex.join(_submit(job, site, None))
    launch = _srun(job) if job.ranks > 1 else start_here(job)
    return render(_directives(job, site), launch, _ending(job), job, site, queued_by)


def _directives(job: Job, site: Site) -> str:
    on_ranks = job.ranks > 1
    signal = f"{'' if on_ranks else 'B:'}USR1@{round(60 * job.margin_minutes)}"
    lines = [
        f"--job-name={job.name}",
        f"--output=%x-{'%A_%a' if job.tasks > 1 else '%j'}.log",
        "--open-mode=append",
        "--requeue",
        "--kill-on-invalid-dep=yes",
        f"--signal={signal}",
        f"--time={hours_minutes_seconds(job.wall_minutes)}",
        f"--nodes={job.nodes}",
        f"--ntasks-per-node={job.ranks_per_node}",
        f"--cpus-per-task={job.cpus}",
    ]
    if job.resources is not None:
        lines.append(job.resources)
    elif job.gpus_per_node:
        lines.append(f"--gpus-per-node={job.gpus_per_node}")
    if job.memory_gb is not None:
        lines.append(f"--mem={job.memory_gb}G")
    if site.account is not None:
        lines.append(f"--account={site.account}")
    if job.queue is not None:
        lines.append(f"--partition={job.queue}")
    if job.tasks > 1:
        lines.append(f"--array=0-{job.tasks - 1}")
    return "\n".join(f"#SBATCH {line}" for line in (*lines, *job.options))


def _srun(job: Job) -> str:
    as_rank = (
        "export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID"
        f' LOCAL_WORLD_SIZE={job.ranks_per_node}; exec "$@"'
    )
    return (
        "# Ranks meet at the first node, by its address if Slurm knows it.\n"
        'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)\n'
        "address=$(scontrol show node \"$head\" | sed -n 's/.*NodeAddr=\\([^ ]*\\).*/\\1/p')\n"
        "export MASTER_ADDR=${address:-$head}\n"
        f"{port_from('SLURM_JOB_ID')}\n"
        f"srun --cpus-per-task={job.cpus} --wait={_WAIT_FOR_RANKS_S} \\\n"
        f"    bash -c {shlex.quote(as_rank)} rank \\\n"
        f"    {join_lines(job.command, ' ' * 8)} &\n"
        "children+=($!)"
    )


def _ending(job: Job) -> str:
    again = (
        "me=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}\n"
        "me=${me:-$SLURM_JOB_ID}\n"
        'state=$(squeue --noheader --job "$me" --format %T)\n'
        f'if [ "$state" = RUNNING ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {job.retries} ]; then\n'
        '  echo "Stopped with everything saved; requeued."\n'
        '  scontrol requeue "$me"\n'
        "fi"
    )
    return f'{if_stopped(again)}\nexit "$status"'


def _submit(job: Job, site: Site, after: After | None) -> list[str]:
    words = ["sbatch", "--parsable"]
    if after is not None:
        words.append(f"--dependency={','.join(after.conditions('afterok', 'afterany'))}")
    return [*words, job.file_name]


def _read_id(output: str) -> str | None:
    lines = output.strip().splitlines()
    number = lines[-1].partition(";")[0] if lines else ""  # a federation adds `;cluster`
    return number if number.isdecimal() else None


SLURM = Dialect(
    name="slurm",
    script=_script,
    submit=_submit,
    read_id=_read_id,
    cancel="scancel",
    requeues_itself=True,
)
