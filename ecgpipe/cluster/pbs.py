"""PBS Professional and OpenPBS: qsub with #PBS lines (ABCI 3.0, Miyabi).

Written from the documentation; never run on a real PBS. Users may not call `qrerun`, and a script
that submitted itself again would get a new id, which its dependents do not wait for. So one copy of
the job per retry is queued behind each stage; a copy exits at once if the stage is done.
"""

import re
import shlex

from ecgpipe.cluster.job import After, Dialect, Job, Site
from ecgpipe.cluster.script import (
    exit_for_next_copy,
    hours_minutes_seconds,
    port_from,
    render,
    start_ranks,
)

_ID = re.compile(r"^\d+(\[\])?(\.[\w.-]+)?$")
_NUMBER = "${PBS_JOBID%%[^0-9]*}"


def _script(job: Job, site: Site) -> str:
    queued_by = shlex.join(_submit(job, site, None))
    ending = exit_for_next_copy()
    return render(_directives(job, site), _launch(job), ending, job, site, queued_by)


def _directives(job: Job, site: Site) -> str:
    lines = [
        f"-N {job.name}",
        "-S /bin/bash",
        "-j oe",
        "-r y",
        f"-l walltime={hours_minutes_seconds(job.wall_minutes)}",
        f"-l {job.resources or _select(job)}",
    ]
    if site.account is not None:
        lines.append(f"-P {site.account}")
    if job.queue is not None:
        lines.append(f"-q {job.queue}")
    if job.tasks > 1:
        lines.append(f"-J 0-{job.tasks - 1}")
    return "\n".join(f"#PBS {line}" for line in (*lines, *job.options))


def _select(job: Job) -> str:
    parts = [f"select={job.nodes}", f"ncpus={job.cpus * job.ranks_per_node}"]
    if job.gpus_per_node:
        parts.append(f"ngpus={job.gpus_per_node}")
    if job.ranks > 1:
        parts.append(f"mpiprocs={job.ranks_per_node}")
    if job.memory_gb is not None:
        parts.append(f"mem={job.memory_gb}gb")
    return ":".join(parts)


def _launch(job: Job) -> str:
    port = f"number={_NUMBER}\n{port_from('number')}"
    return start_ranks(job, port, 'head -n 1 "$PBS_NODEFILE"', '--hostfile "$PBS_NODEFILE"')


def _submit(job: Job, site: Site, after: After | None) -> list[str]:
    words = ["qsub"]
    if after is not None:
        words += ["-W", f"depend={','.join(after.conditions('afterok', 'afterany'))}"]
    return [*words, job.file_name]


def _read_id(output: str) -> str | None:
    lines = output.strip().splitlines()
    return lines[-1].strip() if lines and _ID.match(lines[-1].strip()) else None


PBS = Dialect(
    name="pbs",
    script=_script,
    submit=_submit,
    read_id=_read_id,
    cancel="qdel",
    requeues_itself=False,
)
