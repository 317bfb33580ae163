"""PBS Professional and OpenPBS: qsub with #PBS lines (ABCI 3.0, Miyabi).

Owns its lines and ways, which are from its documentation and were not run. Users may not `qrerun`,
and a script that queued itself anew would leave those behind that wait for it; so as many more jobs
as there may be retries wait behind each stage, and find nothing to do where it is done.
"""

import re

from ecgpipe.cluster.job import After, Dialect, Job, Site
from ecgpipe.cluster.script import (
    hours_minutes_seconds,
    leave_to_the_next,
    port_from,
    render,
    start_ranks,
)
from ecgpipe.cluster.shell_words import line_of

_ID = re.compile(r"^\d+(\[\])?(\.[\w.-]+)?$")
_NUMBER = "${PBS_JOBID%%[^0-9]*}"


def _script(job: Job, site: Site) -> str:
    queued_by = line_of(_submit(job, site, None))
    ending = leave_to_the_next()
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
    meeting = f"number={_NUMBER}\n{port_from('number')}"
    return start_ranks(job, meeting, 'head -n 1 "$PBS_NODEFILE"', '--hostfile "$PBS_NODEFILE"')


def _submit(job: Job, site: Site, after: After | None) -> list[str]:
    words = ["qsub"]
    if after is not None:
        words += ["-W", f"depend={','.join(after.words('afterok', 'afterany'))}"]
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
    starts_itself_again=False,
)
