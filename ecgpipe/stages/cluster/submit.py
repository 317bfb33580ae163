"""submit: queue the stages as jobs on a batch cluster.

Owns which stages are queued, judged by the files they have written and never by the scheduler, and
the settings they run with: a copy is stored next to the scripts, so edits to pipeline.yaml do not
affect queued jobs. The runs of a sweep share the prepare and embed jobs. Each has its own train and
eval job instead of a task of one array, so that an eval starts when its own training ends, a failed
run holds up no other, and a stopped one continues alone.
"""

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ecgpipe
from ecgpipe.cluster.chain import STAGES, Invocation, build_chain
from ecgpipe.cluster.dialects import DIALECTS
from ecgpipe.cluster.job import Dialect, Job, Site
from ecgpipe.cluster.queueing import Queued, queue, rehearse, split_for_later
from ecgpipe.config.cluster import ClusterConfig
from ecgpipe.config.file import config_as_yaml, own_cluster_file
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.embed_text.embedding import missing_texts
from ecgpipe.embed_text.model_files import find_model
from ecgpipe.errors import ConfigError
from ecgpipe.files import make_folder, sha256_text, storing, write_atomic
from ecgpipe.language.translation import shown
from ecgpipe.processes import Share
from ecgpipe.stages.embed import embed_job
from ecgpipe.stages.evaluate.evaluate import finished_results
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.train.train import finished_model, run_key

SHARED_STAGES = ("prepare", "embed")

# A job that requeues itself costs nothing; each retry of another is one more job in the queue.
_REQUEUES, _QUEUED_COPIES = 30, 1


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The scripts and the jobs that were queued, or with a dry run would be."""

    folder: Path
    scripts: dict[str, str]
    queued: list[Queued]
    left_for_later: list[str]
    """Stages that must be queued after the others have ended."""

    cancel: str
    """The command that cancels all queued jobs; empty without any."""


def run_submit(
    experiment: Experiment,
    cluster: ClusterConfig,
    folder: Path,
    variants: Sequence[PipelineConfig] = (),
    *,
    until: str = STAGES[-1],
    only_missing: bool = False,
    dry_run: bool = False,
) -> Submission:
    """Write the scripts and queue them; with `dry_run`, only say what would be done.

    Args:
        experiment: what to run, or what the runs of a sweep share.
        cluster: the cluster's settings.
        folder: of pipeline.yaml, where commands run.
        variants: the runs of a sweep.
        until: the last stage to queue.
        only_missing: queue only the stages whose output is missing or out of date.
        dry_run: write and queue nothing.

    Raises:
        ConfigError: a setting is missing, or settings contradict each other.
        QueueError: the scheduler refused a job.
        StoreError: the scripts cannot be written.
        Others with `only_missing`, if existing files cannot be checked.
    """
    dialect = _find_dialect(cluster)
    _check_variants(experiment.config, variants)
    for config in variants or (experiment.config,):
        _check_batch(config, cluster)
    program, path_folder = find_program(cluster)
    site = _site(experiment, cluster, folder, path_folder)
    stages = STAGES[: STAGES.index(until) + 1]

    def select(run: Experiment) -> Sequence[str]:
        return missing_stages(run, stages) if only_missing else stages

    planned, settings = _plan(experiment, cluster, folder, select, variants, program)
    jobs, later = split_for_later(planned, dialect)
    scripts = {job.file_name: dialect.script(job, site) for job in jobs}
    if dry_run or not jobs:
        queued = rehearse(jobs, site, dialect)
    else:
        _write(site.jobs_folder, scripts | settings)
        queued = _queue(jobs, site, dialect)
    return Submission(
        folder=site.jobs_folder,
        scripts=scripts,
        queued=queued,
        left_for_later=list(dict.fromkeys(job.stage for job in later)),
        cancel=shlex.join([dialect.cancel, *(q.job_id for q in queued)]) if queued else "",
    )


def _plan(
    experiment: Experiment,
    cluster: ClusterConfig,
    folder: Path,
    select: Callable[[Experiment], Sequence[str]],
    variants: Sequence[PipelineConfig],
    program: tuple[str, ...],
) -> tuple[list[Job], dict[str, str]]:
    """Build all jobs of the stages that `select` returns, and the settings files by name."""
    retries = _retries(cluster, _find_dialect(cluster))
    settings: dict[str, str] = {}

    def build(
        run: Experiment, stages: Sequence[str], variant: str = "", after: Job | None = None
    ) -> tuple[Job, ...]:
        text = config_as_yaml(run.config)
        name = f"settings-{sha256_text(text)[:8]}.yaml"
        settings[name] = text
        invocation = Invocation(
            program=program,
            config=experiment.workspace.jobs / name,
            folders=(folder, run.config.work_dir),
            prepare_workers=run.config.data.workers,
        )
        return build_chain(cluster, invocation, stages, retries, variant, after)

    if not variants:
        return list(build(experiment, select(experiment))), settings
    runs = [(run, select(run)) for run in map(Experiment, variants)]
    needed = {stage for _, selected in runs for stage in selected}
    shared = [stage for stage in SHARED_STAGES if stage in needed]
    jobs = list(build(experiment, shared)) if shared else []
    last = jobs[-1] if jobs else None
    for run, selected in runs:
        own = [stage for stage in selected if stage not in SHARED_STAGES]
        variant = run.config.name.removeprefix(f"{experiment.config.name}+")
        jobs += build(run, own, variant, last)
    return jobs, settings


def missing_stages(experiment: Experiment, stages: Sequence[str]) -> Sequence[str]:
    """Return `stages` from the first one on whose output is missing or out of date."""
    for place, stage in enumerate(stages):
        if not _is_done(experiment, stage):
            return stages[place:]
    return ()


def _is_done(experiment: Experiment, stage: str) -> bool:
    match stage:
        case "prepare":
            return experiment.find_prepared() is not None
        case "embed":
            find_model(experiment.config.text, download=False)  # jobs have no internet either
            return not missing_texts(experiment.texts, embed_job(experiment, Share()))
        case "train":
            return finished_model(experiment, run_key(experiment)) is not None
        case _:
            return finished_results(experiment) is not None


def find_program(cluster: ClusterConfig) -> tuple[tuple[str, ...], Path | None]:
    """Return the words that call ecgpipe on a node, and the folder to prepend to PATH, if any."""
    if cluster.setup or cluster.container is not None:
        return ("ecgpipe",), None
    folder = Path(sys.executable).parent
    if (folder / "ecgpipe").exists():
        return ("ecgpipe",), folder
    return (sys.executable, "-m", "ecgpipe"), None


def as_json(submission: Submission) -> dict[str, Any]:
    """Return the submission for programs."""
    return {
        "folder": str(submission.folder),
        "jobs": [
            {"stage": q.stage, "run": q.run, "id": q.job_id, "command": list(q.command)}
            for q in submission.queued
        ],
        "left_for_later": submission.left_for_later,
    }


def as_text(submission: Submission, dry_run: bool) -> str:
    """Return the commands, ready to paste; with a dry run also the scripts."""
    lines: list[str] = []
    if not submission.queued:
        return shown("Everything is up to date; nothing is queued.")
    if dry_run:
        for name, script in submission.scripts.items():
            lines += [f"# ---- {name}", script]
        lines.append(shown("# ---- what would be queued"))
    lines.append(f"cd {shlex.quote(str(submission.folder))}")
    for q in submission.queued:
        comment = "" if dry_run else f"    # {q.stage} of {q.run}: {q.job_id}"
        lines.append(shlex.join(q.command) + shown(comment))
    if not dry_run:
        lines.append(shown(f"# To cancel: {submission.cancel}"))
    if submission.left_for_later:
        left = (
            "# This scheduler cannot make the rest wait for these jobs. When they have ended, queue"
            f" {', '.join(submission.left_for_later)} by adding --resume to the same command."
        )
        lines.append(shown(left))
    return "\n".join(lines)


def _find_dialect(cluster: ClusterConfig) -> Dialect:
    if cluster.scheduler is None:
        raise ConfigError(
            "cluster.scheduler is not set. Set it to slurm, pbs, grid_engine or pjm under"
            f" `cluster:` in pipeline.yaml, or once for all experiments in {own_cluster_file()}."
        )
    return DIALECTS[cluster.scheduler]


def _check_variants(base: PipelineConfig, variants: Sequence[PipelineConfig]) -> None:
    """Refuse a sweep whose runs cannot share one prepare and one embed job."""
    for config in variants:
        shared = dataclasses.replace(config, name=base.name, train=base.train)
        if shared != base or config.train.text != base.train.text:
            raise ConfigError(
                f"{config.name} needs data or texts of its own. submit --grid can vary settings of"
                " `train` except train.text; submit other variants one by one with --set."
            )


def _check_batch(config: PipelineConfig, cluster: ClusterConfig) -> None:
    batch = config.train.global_batch_size
    world = cluster.train.nodes * max(cluster.train.gpus, 1)
    if batch % world:
        raise ConfigError(
            f"train.global_batch_size {batch} does not divide by {world} processes"
            f" ({cluster.train.nodes} nodes of {max(cluster.train.gpus, 1)}). Change one of them."
        )


def _retries(cluster: ClusterConfig, dialect: Dialect) -> int:
    if cluster.retries is not None:
        return cluster.retries
    return _REQUEUES if dialect.requeues_itself else _QUEUED_COPIES


def _site(
    experiment: Experiment, cluster: ClusterConfig, folder: Path, path_folder: Path | None
) -> Site:
    jobs_folder = experiment.workspace.jobs
    for path in (folder, jobs_folder):
        if not str(path).isprintable():
            raise ConfigError(f"Rename the folder {str(path)!r}: its name has a control character.")
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
