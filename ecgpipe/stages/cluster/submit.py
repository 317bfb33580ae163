"""submit: the stages as jobs of a batch cluster, queued as a chain.

Owns what is queued: which stages, judged by what they have made and never by a scheduler's word,
and the settings they run with, which are kept beside the scripts: what is edited meanwhile changes
nothing that is queued.
"""

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ecgpipe
from ecgpipe.cluster.chain import STAGES, Invocation, build_chain
from ecgpipe.cluster.dialects import DIALECTS
from ecgpipe.cluster.job import Dialect, Job, Site
from ecgpipe.cluster.queueing import Queued, queue, rehearse, split_at_arrays
from ecgpipe.config.cluster import ClusterConfig
from ecgpipe.config.file import config_as_yaml, own_cluster_file
from ecgpipe.embed_text.embedding import missing_texts
from ecgpipe.embed_text.model_files import find_model
from ecgpipe.errors import ConfigError
from ecgpipe.files import make_folder, sha256_text, storing, write_atomic
from ecgpipe.processes import Share
from ecgpipe.stages.embed import embed_job
from ecgpipe.stages.evaluate.evaluate import finished_results
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.train.train import finished_model, run_key

_OWN_RETRIES, _WAITING_RETRIES = 30, 1


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the command line says; None: as the settings say."""

    prepare_shards: int | None = None
    embed_shards: int | None = None
    nodes: int | None = None
    gpus: int | None = None
    until: str = STAGES[-1]
    only_missing: bool = False


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Scripts, and what became of them."""

    folder: Path
    """Where they lie, or would."""

    scripts: dict[str, str]
    queued: list[Queued]
    left_for_later: list[str]
    """Stages that must be queued once the others have ended."""

    cancel: str
    """The command that takes all of it out of the queue; "" without any."""


def run_submit(
    experiment: Experiment, cluster: ClusterConfig, folder: Path, wishes: Wishes, dry_run: bool
) -> Submission:
    """Write the scripts and queue them; with `dry_run` do neither.

    Args:
        experiment: what is to be made.
        cluster: how.
        folder: of pipeline.yaml, where commands run.
        wishes: what the command line says.
        dry_run: only say what would be written and queued.

    Raises:
        ConfigError: the settings do not say what is needed, or contradict themselves.
        QueueError: the scheduler refused a job.
        StoreError: the scripts cannot be written.
        Others with `wishes.only_missing`, where what is there cannot be judged.
    """
    cluster = _with_wishes(cluster, wishes)
    dialect = _dialect_of(cluster)
    _check_batch(experiment, cluster)
    stages: Sequence[str] = STAGES[: STAGES.index(wishes.until) + 1]
    if wishes.only_missing:
        stages = missing_stages(experiment, stages)
    settings_text = config_as_yaml(experiment.config)
    settings = experiment.workspace.jobs / f"settings-{sha256_text(settings_text)[:8]}.yaml"
    program, path_folder = find_program(cluster)
    site = _site(experiment, cluster, folder, path_folder)
    invocation = Invocation(
        program=program,
        config=settings,
        folders=(folder, experiment.config.work_dir),
        prepare_workers=experiment.config.data.workers,
    )
    chain = build_chain(cluster, invocation, stages, _retries(cluster, dialect))
    jobs, later = split_at_arrays(chain, dialect)
    scripts = {job.file_name: dialect.script(job, site) for job in jobs}
    if dry_run or not jobs:
        queued = rehearse(jobs, site, dialect)
    else:
        _write(site.jobs_folder, scripts | {settings.name: settings_text})
        queued = _queue(jobs, site, dialect)
    return Submission(
        folder=site.jobs_folder,
        scripts=scripts,
        queued=queued,
        left_for_later=[job.stage for job in later],
        cancel=shlex.join([dialect.cancel, *(q.job_id for q in queued)]) if queued else "",
    )


def missing_stages(experiment: Experiment, stages: Sequence[str]) -> Sequence[str]:
    """Of `stages` those from the first on that has not made all that these settings ask for."""
    checks = (_is_prepared, _is_embedded, _is_trained, _is_evaluated)
    for place, (_, is_done) in enumerate(zip(stages, checks, strict=False)):
        if not is_done(experiment):
            return stages[place:]
    return ()


def find_program(cluster: ClusterConfig) -> tuple[tuple[str, ...], Path | None]:
    """The words that call ecgpipe on a node, and what must stand in front of PATH for them."""
    if cluster.setup or cluster.container is not None:
        return ("ecgpipe",), None
    folder = Path(sys.executable).parent
    if (folder / "ecgpipe").exists():
        return ("ecgpipe",), folder
    return (sys.executable, "-m", "ecgpipe"), None


def as_json(submission: Submission) -> dict[str, Any]:
    """For programs."""
    return {
        "folder": str(submission.folder),
        "jobs": [
            {"stage": q.stage, "id": q.job_id, "command": list(q.command)}
            for q in submission.queued
        ],
        "left_for_later": submission.left_for_later,
    }


def as_text(submission: Submission, dry_run: bool) -> str:
    """For people: with `dry_run` the scripts; always the commands, as they can be pasted."""
    lines: list[str] = []
    if not submission.queued:
        return "Everything is there; nothing is queued."
    if dry_run:
        for name, script in submission.scripts.items():
            lines += [f"# ---- {name}", script]
        lines.append("# ---- what would be queued")
    lines.append(f"cd {shlex.quote(str(submission.folder))}")
    for q in submission.queued:
        lines.append(shlex.join(q.command) + ("" if dry_run else f"    # {q.stage}: {q.job_id}"))
    if not dry_run:
        lines.append(f"# To cancel: {submission.cancel}")
    if submission.left_for_later:
        lines.append(
            "# A bulk job neither waits nor is waited for. When these have ended, queue"
            f" {', '.join(submission.left_for_later)}: ecgpipe submit --resume"
        )
    return "\n".join(lines)


def _with_wishes(cluster: ClusterConfig, wishes: Wishes) -> ClusterConfig:
    changes: dict[str, dict[str, int | None]] = {
        "prepare": {"shards": wishes.prepare_shards},
        "embed": {"shards": wishes.embed_shards},
        "train": {"nodes": wishes.nodes, "gpus": wishes.gpus},
    }
    try:
        for stage, values in changes.items():
            given = {name: value for name, value in values.items() if value is not None}
            block = dataclasses.replace(getattr(cluster, stage), **given)
            cluster = dataclasses.replace(cluster, **{stage: block})
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    return cluster


def _dialect_of(cluster: ClusterConfig) -> Dialect:
    if cluster.scheduler is None:
        raise ConfigError(
            "cluster.scheduler is not set. Set it to slurm, pbs, grid_engine or pjm under"
            f" `cluster:` in pipeline.yaml, or once for all experiments in {own_cluster_file()}."
        )
    return DIALECTS[cluster.scheduler]


def _check_batch(experiment: Experiment, cluster: ClusterConfig) -> None:
    batch = experiment.config.train.global_batch_size
    world = cluster.train.nodes * max(cluster.train.gpus, 1)
    if batch % world:
        raise ConfigError(
            f"train.global_batch_size {batch} does not divide by {world} processes"
            f" ({cluster.train.nodes} nodes of {max(cluster.train.gpus, 1)}). Change one of them."
        )


def _retries(cluster: ClusterConfig, dialect: Dialect) -> int:
    if cluster.retries is not None:
        return cluster.retries
    return _OWN_RETRIES if dialect.requeues_itself else _WAITING_RETRIES


def _site(
    experiment: Experiment, cluster: ClusterConfig, folder: Path, path_folder: Path | None
) -> Site:
    jobs_folder = experiment.workspace.jobs
    for path in (folder, jobs_folder):
        if not str(path).isprintable():
            raise ConfigError(f"The folder {str(path)!r} has a sign in its name that ends a line.")
    return Site(
        run_name=experiment.config.name,
        folder=folder,
        jobs_folder=jobs_folder,
        account=cluster.account,
        modules=cluster.modules,
        setup=cluster.setup,
        scratch=cluster.scratch,
        path_folder=path_folder,
        version=ecgpipe.__version__,
    )


def _write(folder: Path, files: dict[str, str]) -> None:
    with storing(folder):
        make_folder(folder)
    for name, text in files.items():
        write_atomic(folder / name, text.encode())


def _queue(jobs: list[Job], site: Site, dialect: Dialect) -> list[Queued]:
    queued = queue(jobs, site, dialect)
    at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    lines = [
        json.dumps({"at": at, "scheduler": dialect.name, **dataclasses.asdict(entry)}) + "\n"
        for entry in queued
    ]
    log = site.jobs_folder / "queued.jsonl"
    with storing(log), log.open("a", encoding="utf-8") as file:
        file.writelines(lines)
    return queued


def _is_prepared(experiment: Experiment) -> bool:
    return experiment.find_prepared() is not None


def _is_embedded(experiment: Experiment) -> bool:
    find_model(experiment.config.text, download=False)  # jobs have no internet either
    return not missing_texts(experiment.texts, embed_job(experiment, Share()))


def _is_trained(experiment: Experiment) -> bool:
    return finished_model(experiment, run_key(experiment)) is not None


def _is_evaluated(experiment: Experiment) -> bool:
    return finished_results(experiment) is not None
