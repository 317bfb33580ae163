"""Jobs into a queue: sbatch, qsub or pjsub, one after the other, each with the ids before it.

Owns which copies wait for which, and the only processes that this folder starts.
"""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecgpipe.cluster.job import After, Dialect, Job, Site
from ecgpipe.cluster.shell_words import line_of
from ecgpipe.errors import QueueError

_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Queued:
    """A job in the queue, or one that would be."""

    stage: str
    job_id: str
    command: tuple[str, ...]


def what_can_wait(jobs: Sequence[Job], dialect: Dialect) -> tuple[list[Job], list[Job]]:
    """The jobs that can be queued now, and those for later, where an array neither waits nor is
    waited for."""
    arrays = [place for place, job in enumerate(jobs) if job.tasks > 1]
    if dialect.waits_for_arrays or not arrays:
        return list(jobs), []
    end = max(arrays[0], 1)  # all before the first array, or that alone
    return list(jobs[:end]), list(jobs[end:])


def rehearse(jobs: Sequence[Job], site: Site, dialect: Dialect) -> list[Queued]:
    """What would be queued, with words in place of ids."""

    names: list[str] = []

    def stand_in(job: Job, words: Sequence[str]) -> str:
        stage = job.stage.upper()
        copies = sum(name.startswith(stage) for name in names)
        names.append(f"{stage}_{copies + 1}" if copies else stage)
        return dialect.stand_in.format(name=names[-1], place=len(names) - 1)

    return _walk(jobs, site, dialect, stand_in)


def queue(jobs: Sequence[Job], site: Site, dialect: Dialect) -> list[Queued]:
    """Queue the scripts that lie in `site.jobs_folder`.

    Raises:
        QueueError: the scheduler's command is missing, fails, or does not say an id. What was
            queued before is named, with the command that cancels it.
    """
    done: list[str] = []

    def submit(job: Job, words: Sequence[str]) -> str:
        try:
            done.append(_submit(words, site, dialect))
        except QueueError as error:
            raise QueueError(f"{error}{_already_queued(done, dialect)}") from error
        return done[-1]

    return _walk(jobs, site, dialect, submit)


def _walk(
    jobs: Sequence[Job],
    site: Site,
    dialect: Dialect,
    submit: Callable[[Job, Sequence[str]], str],
) -> list[Queued]:
    queued: list[Queued] = []
    stage_before: str | None = None
    for job in jobs:
        copy_before: str | None = None
        for _ in range(_copies(job, dialect)):
            # A further copy goes on where the one before was stopped, so that need not have ended
            # well; the stage before must have.
            after = After(ended_well=stage_before, ended=copy_before)
            words = dialect.submit(job, site, after if after != After() else None)
            copy_before = submit(job, words)
            queued.append(Queued(job.stage, copy_before, tuple(words)))
        stage_before = copy_before
    return queued


def _copies(job: Job, dialect: Dialect) -> int:
    if dialect.starts_itself_again or (job.tasks > 1 and not dialect.waits_for_arrays):
        return 1
    return 1 + job.retries


def _submit(words: Sequence[str], site: Site, dialect: Dialect) -> str:
    command = line_of(words)
    if shutil.which(words[0]) is None:
        raise QueueError(
            f"{words[0]} is not here, so nothing can be queued with it. Run `ecgpipe submit` on a"
            f" login node of the cluster, or set cluster.scheduler to another than {dialect.name}."
        )
    try:
        done = subprocess.run(
            words,
            cwd=site.jobs_folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise QueueError(
            f"`{command}` did not answer within {_PATIENCE_S:.0f} s. Look with the scheduler's own"
            " command whether the job is in the queue."
        ) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").rstrip(".")
        raise QueueError(f"`{command}` failed with exit code {done.returncode}. It said: {said}.")
    job_id = dialect.read_id(done.stdout)
    if job_id is None:
        raise QueueError(
            f"`{command}` printed no job id that is understood, but {done.stdout.strip()!r}."
            " The job may be in the queue: look with the scheduler's own command."
        )
    return job_id


def _already_queued(job_ids: Sequence[str], dialect: Dialect) -> str:
    if not job_ids:
        return " Nothing was queued."
    return (
        f" Queued before it: {', '.join(job_ids)}. To cancel:"
        f" {line_of([dialect.cancel, *job_ids])}. To queue the rest later: ecgpipe submit --resume."
    )
