"""PJM of Fujitsu's Technical Computing Suite: pjsub with #PJM lines (GENKAI, Fugaku).

Written from manuals and public scripts; never run on a real PJM. Only the steps of one step job can
depend on each other, one after another. A bulk job (PJM's array) cannot be a step, so no job can
depend on an array, and the runs of a sweep cannot all wait for one embed job. As on PBS, one copy
of the job per retry is queued behind each stage.
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

_SUBMITTED = re.compile(r"\bJob (\d+(?:_\d+)?) submitted")


def _script(job: Job, site: Site) -> str:
    queued_by = shlex.join(_submit(job, site, None))
    ending = exit_for_next_copy()
    return render(_directives(job, site), _launch(job), ending, job, site, queued_by)


def _directives(job: Job, site: Site) -> str:
    lines = [
        f"--name {job.name}",
        "-j",
        f"-L elapse={hours_minutes_seconds(job.wall_minutes)}",
        f"-L {job.resources or _resources(job)}",
    ]
    if job.nodes > 1:
        lines.append(f"--mpi proc={job.ranks}")
    if job.queue is not None:
        lines.append(f"-L rscgrp={job.queue}")
    if site.account is not None:
        lines.append(f"-g {site.account}")
    return "\n".join(f"#PJM {line}" for line in (*lines, *job.options))


def _resources(job: Job) -> str:
    if job.nodes > 1:
        return f"node={job.nodes}"
    return f"gpu={job.gpus_per_node}" if job.gpus_per_node else f"vnode-core={job.cpus}"


def _launch(job: Job) -> str:
    port = f"number=${{PJM_JOBID%%[^0-9]*}}\n{port_from('number')}"
    return start_ranks(job, port, 'head -n 1 "$PJM_O_NODEINF"', '--hostfile "$PJM_O_NODEINF"')


def _submit(job: Job, site: Site, after: After | None) -> list[str]:
    if job.tasks > 1:
        return ["pjsub", "--bulk", "--sparam", f"0-{job.tasks - 1}", job.file_name]
    if after is None:
        return ["pjsub", "--step", "--sparam", "sn=0", job.file_name]
    step_job, _, step = (after.finished or after.succeeded or "").partition("_")
    parts = [f"jid={step_job}", f"sn={int(step) + 1}"]
    if after.succeeded is not None:
        parts.append(f"sd=ec!=0:all:{after.succeeded.partition('_')[2]}")
    return ["pjsub", "--step", "--sparam", ",".join(parts), job.file_name]


def _read_id(output: str) -> str | None:
    found: list[str] = _SUBMITTED.findall(output)
    return found[-1] if found else None


PJM = Dialect(
    name="pjm",
    script=_script,
    submit=_submit,
    read_id=_read_id,
    cancel="pjdel",
    requeues_itself=False,
    has_free_dependencies=False,
    placeholder_id="ID{line}_{place}",
)
