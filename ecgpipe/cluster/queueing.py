"""Submit jobs in order with sbatch, qsub or pjsub, each depending on the ids before it.

Owns which copy of a job depends on which, and the only processes that this folder starts.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecgpipe.cluster.job import After, Dialect, Job, Site
from ecgpipe.errors import QueueError

_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Queued:
    """A queued job, or in a dry run one that would be queued."""

    stage: str
    run: str
    """The run's name; for shared jobs of a sweep, the experiment's."""

    job_id: str
    command: tuple[str, ...]


def split_for_later(jobs: Sequence[Job], dialect: Dialect) -> tuple[list[Job], list[Job]]:
    """Split into the jobs to queue now and those to queue later.

    The second list is empty unless the scheduler is limited to single lines of dependent jobs.
    """
    n_shared = sum(not job.variant for job in jobs)
    ends = [max(place, 1) for place, job in enumerate(jobs) if job.tasks > 1]
    if 0 < n_shared < len(jobs):
        ends.append(n_shared)  # the runs of a sweep would fork off the last shared job
    if dialect.has_free_dependencies or not ends:
        return list(jobs), []
    return list(jobs[: min(ends)]), list(jobs[min(ends) :])


def rehearse(jobs: Sequence[Job], site: Site, dialect: Dialect) -> list[Queued]:
    """Return what `queue` would submit, with placeholders for job ids."""
    lines: list[list[str]] = []

    def name_placeholder(job: Job, words: Sequence[str], after: After | None) -> str:
        if after is None:
            lines.append([])
        name = re.sub(r"\W+", "_", f"{job.stage}_{job.variant}".upper()).strip("_")
        copies = sum(names.count(name) for names in lines)
        lines[-1].append(name)
        return dialect.placeholder_id.format(
            name=f"{name}_{copies + 1}" if copies else name,
            line=len(lines) if len(lines) > 1 else "",
            place=len(lines[-1]) - 1,
        )

    return _submit_in_order(jobs, site, dialect, name_placeholder)


def queue(jobs: Sequence[Job], site: Site, dialect: Dialect) -> list[Queued]:
    """Submit the scripts in `site.jobs_folder`.

    Raises:
        QueueError: the scheduler's command is missing, fails, or prints no job id. The message
            names the jobs already queued and the command that cancels them.
    """
    done: list[str] = []

    def submit(job: Job, words: Sequence[str], after: After | None) -> str:
        try:
            done.append(_submit(words, site, dialect))
        except QueueError as error:
            raise QueueError(f"{error}{_list_queued(done, dialect)}") from error
        return done[-1]

    return _submit_in_order(jobs, site, dialect, submit)


def _submit_in_order(
    jobs: Sequence[Job],
    site: Site,
    dialect: Dialect,
    submit: Callable[[Job, Sequence[str], After | None], str],
) -> list[Queued]:
    queued: list[Queued] = []
    last_copies: dict[str, str] = {}
    for job in jobs:
        # A job may depend on one that is not queued now, because it is already done.
        succeeded = last_copies.get(job.depends_on or "")
        copy_before: str | None = None
        for _ in range(_n_copies(job, dialect)):
            # A copy continues where the previous one stopped, so that one may have exited with an
            # error; the job it depends on must have succeeded.
            conditions = After(succeeded=succeeded, finished=copy_before)
            after = conditions if conditions != After() else None
            words = dialect.submit(job, site, after)
            copy_before = submit(job, words, after)
            queued.append(Queued(job.stage, site.run_of(job), copy_before, tuple(words)))
            last_copies[job.file_name] = copy_before
    return queued


def _n_copies(job: Job, dialect: Dialect) -> int:
    if dialect.requeues_itself or (job.tasks > 1 and not dialect.has_free_dependencies):
        return 1
    return 1 + job.retries


def _submit(words: Sequence[str], site: Site, dialect: Dialect) -> str:
    command = shlex.join(words)
    if shutil.which(words[0]) is None:
        raise QueueError(
            f"The command {words[0]} was not found on this machine. Run `ecgpipe submit` on a login"
            f" node of the cluster, or change cluster.scheduler, which is {dialect.name}."
        )
    try:
        done = subprocess.run(
            words,
            cwd=site.jobs_folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise QueueError(
            f"`{command}` did not answer within {_TIMEOUT_S:.0f} s. Check with the scheduler's own"
            " command whether the job was queued."
        ) from None
    if done.returncode:
        output = (done.stderr.strip() or done.stdout.strip() or "nothing").rstrip(".")
        raise QueueError(
            f"`{command}` failed with exit code {done.returncode} and printed: {output}."
        )
    job_id = dialect.read_id(done.stdout)
    if job_id is None:
        raise QueueError(
            f"`{command}` printed {done.stdout.strip()!r}, which holds no job id."
            " Check with the scheduler's own command whether the job was queued."
        )
    return job_id


def _list_queued(job_ids: Sequence[str], dialect: Dialect) -> str:
    if not job_ids:
        return " Nothing was queued."
    return (
        f" Already queued: {', '.join(job_ids)}. To cancel:"
        f" {shlex.join([dialect.cancel, *job_ids])}."
        " To queue the rest later, add --resume to the same `ecgpipe submit`."
    )
