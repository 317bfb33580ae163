"""status: how far an experiment is, from its files alone, on any machine that sees them.

Owns what each stage's files say. They decide what is done; heartbeats only add who works on the
rest, how fast, and how it ended. Starts and writes nothing, asks neither scheduler nor network, and
loads no model. Files may change while they are read: a stage that cannot be read says why, and the
others are still shown.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ecgpipe.cache.signals import format as fmt
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.reader import VectorCache, part_paths
from ecgpipe.config.file import load_config
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.text import TextView
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import EcgpipeError, ModelError, StoreError
from ecgpipe.files import read_json
from ecgpipe.heartbeat import ProcessStatus, read_heartbeats
from ecgpipe.progress import duration_text
from ecgpipe.stages.evaluate.evaluate import finished_results
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.train.train import finished_model, run_folder, run_key
from ecgpipe.workspace import (
    Workspace,
    is_old_run,
    results_path,
    run_config_path,
    run_key_path,
)

State = Literal["none", "partly", "done", "stale", "unknown"]

_TAIL_BYTES = 8192
_LAST_EPOCHS = 5


@dataclass(frozen=True)
class StageStatus:
    """What one stage's files say, and who works on it."""

    stage: str
    state: State
    line: str
    counts: dict[str, Any] = field(default_factory=dict)
    """The same for programs."""

    processes: tuple[ProcessStatus, ...] = ()

    @property
    def running(self) -> list[ProcessStatus]:
        """The processes at work."""
        return [process for process in self.processes if process.state == "running"]

    @property
    def left_s(self) -> float | None:
        """Seconds until the slowest process finishes its current work."""
        known = [process.left_s for process in self.running]
        return max((s for s in known if s is not None), default=None)


@dataclass(frozen=True)
class RunStatus:
    """The stages that each run of a sweep has for itself."""

    name: str
    train: StageStatus
    eval: StageStatus


@dataclass(frozen=True)
class ExperimentStatus:
    """One experiment: the stages its runs share, and its runs."""

    name: str
    work_dir: Path
    prepare: StageStatus
    embed: StageStatus
    runs: tuple[RunStatus, ...]

    @property
    def stages(self) -> list[StageStatus]:
        """All stages of all runs, in order."""
        of_runs = [stage for run in self.runs for stage in (run.train, run.eval)]
        return [self.prepare, self.embed, *of_runs]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return all(stage.state == "done" for stage in self.stages)


def experiment_status(
    config: PipelineConfig, variants: Sequence[PipelineConfig] | None = None
) -> ExperimentStatus:
    """Find out how far an experiment is.

    Args:
        config: its settings.
        variants: the runs of a sweep; None for the experiment's own run and all variants on disk.
    """
    experiment = Experiment(config, may_download=False)
    names = [variant.name for variant in variants or ()]
    processes = [p for name in {config.name, *names} for p in _processes(config, name)]
    prepare = _examine("prepare", lambda: _prepare(experiment), processes)
    embed = _examine("embed", lambda: _embed(experiment, prepare), processes)
    if variants is None:
        runs = [*_own_run(experiment), *_variants_on_disk(experiment)]
    else:
        runs = [run_status(variant) for variant in variants]
    return ExperimentStatus(config.name, config.work_dir, prepare, embed, tuple(runs))


def run_status(config: PipelineConfig) -> RunStatus:
    """Find out how far one run is."""
    return _run_status(Experiment(config, may_download=False))


def _run_status(experiment: Experiment) -> RunStatus:
    config = experiment.config
    processes = _processes(config, config.name)
    train = _examine("train", lambda: _train(experiment), processes)
    evaluation = _examine("eval", lambda: _eval(experiment, train), processes)
    return RunStatus(config.name, train, evaluation)


def _processes(config: PipelineConfig, name: str) -> list[ProcessStatus]:
    return read_heartbeats(Workspace(config.work_dir, name).status)


def _examine(
    stage: str, look: Callable[[], StageStatus], processes: Sequence[ProcessStatus]
) -> StageStatus:
    """Return what `look` finds, or an unknown state if the files cannot be read or just changed."""
    try:
        found = look()
    except EcgpipeError as error:
        found = StageStatus(stage, "unknown", f"unknown: {error}")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        kind = type(error).__name__
        found = StageStatus(stage, "unknown", f"unknown: its files cannot be read ({kind})")
    return _with_processes([found], processes)[0]


def _with_processes(
    stages: Sequence[StageStatus], processes: Sequence[ProcessStatus]
) -> list[StageStatus]:
    return [
        replace(stage, processes=tuple(p for p in processes if p.stage == stage.stage))
        for stage in stages
    ]


def _prepare(experiment: Experiment) -> StageStatus:
    prepared = experiment.find_prepared()
    if prepared is not None:
        counts = prepared.counts
        line = f"{counts['prepared']:,} records of {counts['patients']:,} patients"
        if counts["rejected"]:
            line += f"; {counts['rejected']:,} rejected"
        shown = {key: counts[key] for key in ("planned", "prepared", "rejected", "patients")}
        return StageStatus("prepare", "done", line, shown)
    folder = experiment.find_signals()
    if not fmt.array_path(folder).exists():
        return StageStatus("prepare", "none", "nothing for these settings yet")
    return _half_prepared(folder)


def _half_prepared(folder: Path) -> StageStatus:
    """Describe a signal store that lacks its manifest or its records table."""
    planned = int(read_json(fmt.array_path(folder))["shape"][0])
    paths = (fmt.done_path(folder, shard) for shard in range(fmt.n_shards(planned)))
    shards = [read_json(path)["records"] for path in paths if path.exists()]
    counts = {
        "shards": fmt.n_shards(planned),
        "shards_done": len(shards),
        "planned": planned,
        "records_done": sum(map(len, shards)),
        "rejected": sum("rejected" in entry for entries in shards for entry in entries),
    }
    line = (
        f"{len(shards):,} of {counts['shards']:,} shards done, {counts['records_done']:,} of"
        f" {planned:,} records"
    )
    if counts["rejected"]:
        line += f", {counts['rejected']:,} of them rejected"
    if fmt.manifest_path(folder).exists():
        line = (
            "the table or a setting has changed; prepare makes it good without reading a recording"
        )
        return StageStatus("prepare", "stale", line, counts)
    return StageStatus("prepare", "partly", line, counts)


def _embed(experiment: Experiment, prepare: StageStatus) -> StageStatus:
    if prepare.state != "done":
        return StageStatus("embed", "none", "the texts are known once prepare is done")
    keys = keys_of(experiment.texts)
    views: list[dict[str, Any]] = []
    for view in experiment.config.text.all_views:
        fingerprint = _known_fingerprint(experiment, view)
        if isinstance(fingerprint, str):
            line = f"{len(keys):,} texts; {fingerprint}"
            return StageStatus("embed", "unknown", line, {"texts": len(keys)})
        cache = VectorCache.open(experiment.workspace.embeddings, fingerprint)
        views.append(
            {
                "view": _view_name(view),
                "folder": str(cache.folder),
                "vectors": len(keys) - len(cache.missing(keys)),
                "parts": len(part_paths(cache.folder)),
            }
        )
    least = min(entry["vectors"] for entry in views)
    state: State = "done" if least == len(keys) else "partly" if least else "none"
    line = "; ".join(
        (f"{entry['view']}: " if len(views) > 1 else "")
        + f"{entry['vectors']:,} of {len(keys):,} texts have a vector, in {entry['parts']:,} parts"
        for entry in views
    )
    return StageStatus("embed", state, line, {"texts": len(keys), "views": views})


def _known_fingerprint(experiment: Experiment, view: TextView) -> Fingerprint | str:
    """Return the view's fingerprint, or why it is unknown on this machine."""
    try:
        known = experiment.known_fingerprint_of(view)
    except ModelError as error:
        return f"whether they have vectors is unknown: {error}"
    return known or "no vectors found: the model's weights have not been hashed yet"


def _view_name(view: TextView) -> str:
    return "joined" if view.pooling == "joined" else f"{view.pooling} of layer {view.layer}"


def _train(experiment: Experiment) -> StageStatus:
    run = experiment.workspace.run
    history = list(_json_lines(run / "log.jsonl"))
    counts = _training_counts(experiment, history)
    if not run_key_path(run).exists():
        return StageStatus("train", "none", "nothing yet", counts)
    line = _training_line(counts)
    if experiment.find_prepared() is None:
        line += "; trained before its data changed, and prepare comes first"
        return StageStatus("train", "stale", line, counts)
    key = _find_run_key(experiment)
    if key is None:
        return StageStatus("train", "unknown", f"{line}; whether it is up to date is unknown")
    folder = run_folder(experiment, key)
    if waiting := folder.waiting():
        line += f"; {waiting.name} has exactly these settings and would be put back"
        return StageStatus("train", "stale", line, counts)
    if read_json(run_key_path(run))["run_key"] != key:
        line += "; of different data or settings, so training would start over"
        return StageStatus("train", "stale", line, counts)
    if finished_model(experiment, key) is not None:
        return StageStatus("train", "done", line, counts)
    if folder.is_longer():
        line += "; longer than these settings ask for, so training would start over"
        return StageStatus("train", "stale", line, counts)
    n_left = experiment.config.train.epochs - len(history)
    if counts.get("epoch_s") and n_left > 0:
        line += f"; {duration_text(counts['epoch_s'] * n_left)} of training left"
    return StageStatus("train", "partly", line, counts)


def _training_counts(experiment: Experiment, history: Sequence[Any]) -> dict[str, Any]:
    config = experiment.config.train
    counts: dict[str, Any] = {"epochs": len(history), "epochs_asked": config.epochs}
    steps = list(_json_lines(experiment.workspace.run / "steps.jsonl", tail=True))
    if steps:
        counts |= {"step": steps[-1]["step"], "epoch_in_work": steps[-1]["epoch"]}
    # Without findings it is retrieval, whatever the settings say.
    by = next((config.best_by for e in history if config.best_by in e["val"]), "retrieval_mrr")
    scored = [(entry["val"].get(by), -entry["epoch"]) for entry in history]
    scored = [(value, epoch) for value, epoch in scored if value is not None]
    if scored:
        value, epoch = max(scored)  # the first of equals, as in training
        counts |= {"best_by": by, "best": value, "best_epoch": -epoch}
    last_s = [entry["seconds"] for entry in history[-_LAST_EPOCHS:]]
    if last_s:
        counts["epoch_s"] = round(sum(last_s) / len(last_s), 3)
    return counts


def _training_line(counts: dict[str, Any]) -> str:
    line = f"{counts['epochs']:,} of {counts['epochs_asked']:,} epochs"
    if "step" in counts:
        line += f", {counts['step']:,} steps"
    if "best" in counts:
        line += f"; best {counts['best_by']} {counts['best']:.3f} in epoch {counts['best_epoch']}"
    if "epoch_s" in counts:
        line += f"; {counts['epoch_s']:.1f} s per epoch"
    return line


def _find_run_key(experiment: Experiment) -> str | None:
    """Return the run's key; None if its vectors are unknown on this machine."""
    if isinstance(_known_fingerprint(experiment, experiment.config.text.view), str):
        return None
    try:
        return run_key(experiment)
    except StoreError:  # prepared anew by another process meanwhile
        return None


def _eval(experiment: Experiment, train: StageStatus) -> StageStatus:
    exists = results_path(experiment.workspace.evaluation).exists()
    if not exists:
        return StageStatus("eval", "none", "nothing yet")
    if train.state == "unknown":
        return StageStatus("eval", "unknown", "has results; of which model is unknown")
    if train.state != "done":
        return StageStatus("eval", "stale", "results of an earlier model")
    results = finished_results(experiment)
    if results is None:
        return StageStatus("eval", "stale", "results of different settings or an earlier model")
    tasks = sorted(results["tasks"])
    return StageStatus("eval", "done", f"{len(tasks)} tasks scored", {"tasks": tasks})


def _own_run(experiment: Experiment) -> list[RunStatus]:
    """The experiment's own run, unless only runs of a sweep were ever started."""
    config = experiment.config
    started = any(p.stage in ("train", "eval") for p in _processes(config, config.name))
    if experiment.workspace.run.exists() or started or not _variant_names(experiment.workspace):
        return [_run_status(experiment)]  # which has read the records already
    return []


def _variants_on_disk(experiment: Experiment) -> Iterator[RunStatus]:
    """Runs of a sweep, from the settings stored in each run's folder."""
    config = experiment.config
    for name in _variant_names(experiment.workspace):
        path = run_config_path(experiment.workspace.runs / name)
        try:
            yield run_status(load_config(path))
        except EcgpipeError as error:  # not started, or written by another version
            state: State = "unknown" if path.exists() else "none"
            line = str(error) if path.exists() else "nothing yet"
            found = [StageStatus(stage, state, line) for stage in ("train", "eval")]
            yield RunStatus(name, *_with_processes(found, _processes(config, name)))


def _variant_names(workspace: Workspace) -> list[str]:
    pattern = re.sub(r"([*?\[])", r"[\1]", workspace.name) + "+*"
    found: set[str] = set()
    for folder in (workspace.runs, workspace.status.parent):
        found |= {path.name for path in folder.glob(pattern) if path.is_dir()}
    return sorted(name for name in found if not is_old_run(Path(name)))


def _json_lines(path: Path, *, tail: bool = False) -> Iterator[Any]:
    """Yield the complete lines of a log; the last may be half written."""
    try:
        with path.open("rb") as file:
            if tail and file.seek(0, 2) > _TAIL_BYTES:
                file.seek(-_TAIL_BYTES, 2)
                file.readline()  # the rest of a line
            else:
                file.seek(0)
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return
