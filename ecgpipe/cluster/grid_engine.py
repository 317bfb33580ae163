"""Grid Engine: qsub with #$ lines (TSUBAME4 runs Altair's).

`-hold_jid` releases dependents even if the job failed, so every stage checks its input and exits at
once if it is missing. A job that exits with 99 is requeued under the same id. Grid Engine does not
expose the restart count, so the script keeps it in a file. Wall time ends without a signal:
--max-minutes makes the command save in time.
"""

import re
import shlex

from ecgpipe.cluster.job import After, Dialect, Job, Site
from ecgpipe.cluster.script import (
    hours_minutes_seconds,
    if_stopped,
    port_from,
    render,
    start_ranks,
)
from ecgpipe.errors import ConfigError

_ID = re.compile(r"^(\d+)(\.\d+-\d+:\d+)?$")
_RESCHEDULE = 99


def _script(job: Job, site: Site) -> str:
    queued_by = shlex.join(_submit(job, site, None))
    return render(_directives(job), _launch(job), _ending(job, site), job, site, queued_by)


def _directives(job: Job) -> str:
    if job.resources is None and not job.options:
        raise ConfigError(
            f"cluster.{job.stage}.resources is missing. Each Grid Engine site names GPUs and nodes"
            " differently, for example gpu_1=1 or node_f=1 on TSUBAME4. Look the name up in the"
            " site's manual, or give complete lines in cluster.options."
        )
    lines = [
        f"-N {job.name}",
        "-S /bin/bash",
        "-cwd",
        "-j y",
        "-r y",
        f"-l h_rt={hours_minutes_seconds(job.wall_minutes)}",
    ]
    if job.resources is not None:
        lines.append(f"-l {job.resources}")
    if job.queue is not None:
        lines.append(f"-q {job.queue}")
    if job.tasks > 1:
        lines.append(f"-t 1-{job.tasks}")
    return "\n".join(f"#$ {line}" for line in (*lines, *job.options))


def _launch(job: Job) -> str:
    head = "awk 'NR == 1 { print $1 }' \"$PE_HOSTFILE\""
    hosts = f'--host "$(awk \'{{ printf "%s%s:{job.ranks_per_node}", c, $1; c = "," }}\''
    return start_ranks(job, port_from("JOB_ID"), head, hosts + ' "$PE_HOSTFILE")"')


def _ending(job: Job, site: Site) -> str:
    counter = shlex.quote(str(site.jobs_folder / f".restarts-{job.stage}-"))
    again = (
        f"counter={counter}$JOB_ID-$SGE_TASK_ID\n"
        'count=$(cat "$counter" 2>/dev/null || echo 0)\n'
        f'if [ "$count" -lt {job.retries} ]; then\n'
        '  echo $((count + 1)) >"$counter"\n'
        '  echo "Stopped with everything saved; requeued."\n'
        f"  exit {_RESCHEDULE}\n"
        "fi"
    )
    return f'{if_stopped(again)}\nexit "$status"'


def _submit(job: Job, site: Site, after: After | None) -> list[str]:
    words = ["qsub", "-terse"]
    if site.account is not None:
        words += ["-g", site.account]  # TSUBAME ignores it inside a script
    if after is not None:
        words += ["-hold_jid", ",".join(filter(None, (after.succeeded, after.finished)))]
    return [*words, job.file_name]


def _read_id(output: str) -> str | None:
    lines = output.strip().splitlines()
    match = _ID.match(lines[-1].strip()) if lines else None
    return match[1] if match else None  # without the `.1-8:1` of an array


GRID_ENGINE = Dialect(
    name="grid_engine",
    script=_script,
    submit=_submit,
    read_id=_read_id,
    cancel="qdel",
    requeues_itself=True,
)
