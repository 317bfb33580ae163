"""status: how far an experiment is, told from its files alone, on any machine that sees them.

Owns what each stage's artefacts say. They decide what is done; the heartbeats only add who works
at the rest, how fast, and how it ended. Starts nothing, writes nothing, asks no scheduler and no
network, loads no model. Files may change while they are read: a stage that cannot be told says why,
and the others are told.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecgpipe.cache.signals.format import n_shards
from ecgpipe.cache.vectors.reader import VectorCache, part_paths
from ecgpipe.config.file import load_config
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.text import TextView
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import EcgpipeError, ModelError, StoreError
from ecgpipe.files import read_json
from ecgpipe.heartbeat import ProcessStatus, read_heartbeats
from ecgpipe.progress import duration_text
from ecgpipe.read_ecg.prepare.preparation import find_prepared, find_signals, inputs_digest
from ecgpipe.stages.embed import sentences_of
from ecgpipe.stages.evaluate.evaluate import finished_results
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.train.train import finished_model, run_folder, run_key
from ecgpipe.workspace import is_old_run

State = Literal["none", "partly", "done", "stale", "unknown"]

_TAIL_BYTES = 8192
_LAST_EPOCHS = 5


@dataclass(frozen=True)
class StageStatus:
    """What one stage's artefacts say, and who works at it."""

    stage: str
    state: State
    line: str
    figures: dict[str, Any] = field(default_factory=dict)
    signs: tuple[ProcessStatus, ...] = ()

    @property
    def living(self) -> list[ProcessStatus]:
        """Processes that are at work."""
        return [sign for sign in self.signs if sign.state == "running"]

    @property
    def left_s(self) -> float | None:
        """Seconds until the slowest of them is through with the work in hand."""
        known = [sign.left_s for sign in self.living]
        return max((s for s in known if s is not None), default=None)


@dataclass(frozen=True)
class RunStatus:
    """The stages that each run of a sweep has of its own."""

    name: str
    train: StageStatus
    eval: StageStatus


@dataclass(frozen=True)
class ExperimentStatus:
    """One experiment: what its runs share, and its runs."""

    name: str
    work_dir: Path
    prepare: StageStatus
    embed: StageStatus
    runs: tuple[RunStatus, ...]

    @property
    def stages(self) -> list[StageStatus]:
        """All stages of all runs, in order."""
        own = [stage for run in self.runs for stage in (run.train, run.eval)]
        return [self.prepare, self.embed, *own]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return all(stage.state == "done" for stage in self.stages)


def experiment_status(
    config: PipelineConfig, variants: Sequence[PipelineConfig] | None = None
) -> ExperimentStatus:
    """How far an experiment is.

    Args:
        config: of the experiment.
        variants: the runs of a sweep; None for the experiment's own run and those found beside it.
    """
    experiment = Experiment(config, may_download=False)
    names = [c.name for c in variants] if variants is not None else []
    signs = [s for name in {config.name, *names} for s in _signs(config, name)]
    prepare = _told("prepare", lambda: _prepare(experiment), signs)
    embed = _told("embed", lambda: _embed(experiment, prepare), signs)
    if variants is None:
        runs = [*_own_run(config), *_found_runs(config)]
    else:
        runs = [run_status(variant) for variant in variants]
    return ExperimentStatus(config.name, config.work_dir, prepare, embed, tuple(runs))


def run_status(config: PipelineConfig) -> RunStatus:
    """How far one run is."""
    experiment = Experiment(config, may_download=False)
    signs = _signs(config, config.name)
    train = _told("train", lambda: _train(experiment), signs)
    return RunStatus(config.name, train, _told("eval", lambda: _eval(experiment, train), signs))


def _signs(config: PipelineConfig, name: str) -> list[ProcessStatus]:
    return read_heartbeats(config.work_dir / "status" / name)


def _told(
    stage: str, look: Callable[[], StageStatus], signs: Sequence[ProcessStatus]
) -> StageStatus:
    """What `look` finds; a stage whose files cannot be read, or change meanwhile, says so."""
    mine = tuple(sign for sign in signs if sign.stage == stage)
    try:
        found = look()
    except EcgpipeError as error:
        found = StageStatus(stage, "unknown", f"cannot be told: {error}")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        kind = type(error).__name__
        found = StageStatus(stage, "unknown", f"cannot be told: its files cannot be read ({kind})")
    return StageStatus(stage, found.state, found.line, found.figures, mine)


def _prepare(experiment: Experiment) -> StageStatus:
    config = experiment.config.data
    digest = inputs_digest(config, experiment.taxonomy)
    prepared = find_prepared(digest, experiment.workspace)
    if prepared is not None:
        counts = prepared.counts
        line = f"{counts['prepared']:,} records of {counts['patients']:,} patients"
        if counts["rejected"]:
            line += f"; {counts['rejected']:,} rejected"
        figures = {key: counts[key] for key in ("planned", "prepared", "rejected", "patients")}
        return StageStatus("prepare", "done", line, figures)
    folder = find_signals(config, digest, experiment.workspace)
    if not (folder / "signal" / "zarr.json").exists():
        return StageStatus("prepare", "none", "nothing of these settings yet")
    return _half_prepared(folder)


def _half_prepared(folder: Path) -> StageStatus:
    """A store of signals without its manifest, or without its table of records."""
    planned = int(read_json(folder / "signal" / "zarr.json")["shape"][0])
    shards = n_shards(planned)
    done, records, rejected = 0, 0, 0
    for path in (folder / "done").glob("*.json"):
        entries = read_json(path)["records"]
        done, records = done + 1, records + len(entries)
        rejected += sum("rejected" in entry for entry in entries)
    figures = {
        "shards": shards,
        "shards_done": done,
        "planned": planned,
        "records_done": records,
        "rejected": rejected,
    }
    line = f"{done:,} of {shards:,} shards done, {records:,} of {planned:,} records"
    if rejected:
        line += f", {rejected:,} of them rejected"
    if (folder / "manifest.json").exists():
        line += "; the table of records is missing or out of date"
    return StageStatus("prepare", "partly", line, figures)


def _embed(experiment: Experiment, prepare: StageStatus) -> StageStatus:
    if prepare.state != "done":
        return StageStatus("embed", "none", "the texts are known once prepare is done")
    keys = keys_of(list(dict.fromkeys(sentences_of(experiment))))
    views: list[dict[str, Any]] = []
    for view in experiment.config.text.all_views:
        fingerprint = _known_fingerprint(experiment, view)
        if isinstance(fingerprint, str):
            figures = {"texts": len(keys)}
            return StageStatus("embed", "unknown", f"{len(keys):,} texts; {fingerprint}", figures)
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


def _known_fingerprint(experiment: Experiment, view: TextView) -> Any:
    """The view's fingerprint, or why it is not known here."""
    try:
        known = experiment.known_fingerprint_of(view)
    except ModelError as error:
        return f"whether they have a vector cannot be told here: {error}"
    if known is None:
        return "no vector is known of: the model's weights have not been looked at yet"
    return known


def _view_name(view: TextView) -> str:
    norm = "" if view.final_norm else ", before the final norm"
    return f"{view.pooling} of layer {view.layer}{norm}"


def _train(experiment: Experiment) -> StageStatus:
    run = experiment.workspace.run
    history = list(_json_lines(run / "log.jsonl"))
    asked = experiment.config.train.epochs
    figures = _training_figures(experiment, history)
    if not (run / "run.json").exists():
        return StageStatus("train", "none", "nothing yet", figures)
    line = _training_line(figures, experiment.config.train.best_by)
    key = _run_key(experiment)
    if key is None:
        return StageStatus("train", "unknown", f"{line}; whether it is up to date is not known")
    folder = run_folder(experiment, key)
    if waiting := folder.waiting():
        said = f"{line}; {waiting.name} is a run of these very settings, and would come back"
        return StageStatus("train", "stale", said, figures)
    if read_json(run / "run.json")["run_key"] != key:
        said = f"{line}; of other data or settings, so training begins anew"
        return StageStatus("train", "stale", said, figures)
    if finished_model(experiment, key) is not None:
        return StageStatus("train", "done", line, figures)
    if folder.is_longer():
        said = f"{line}; longer than asked, so training would begin anew beside it"
        return StageStatus("train", "stale", said, figures)
    mean_s = figures.get("epoch_s")
    if mean_s and asked > len(history):
        line += f"; {duration_text(mean_s * (asked - len(history)))} of training left"
    return StageStatus("train", "partly", line, figures)


def _training_figures(experiment: Experiment, history: Sequence[Any]) -> dict[str, Any]:
    config = experiment.config.train
    figures: dict[str, Any] = {"epochs": len(history), "epochs_asked": config.epochs}
    steps = list(_json_lines(experiment.workspace.run / "steps.jsonl", tail=True))
    if steps:
        figures |= {"step": steps[-1]["step"], "epoch_in_work": steps[-1]["epoch"]}
    scored = [(e["val"][config.best_by], e["epoch"]) for e in history]
    scored = [(value, -epoch) for value, epoch in scored if value is not None]
    if scored:
        value, epoch = max(scored)  # of equals the first, as training has it
        figures |= {"best_by": config.best_by, "best": value, "best_epoch": -epoch}
    last = [entry["seconds"] for entry in history[-_LAST_EPOCHS:]]
    if last:
        figures["epoch_s"] = round(sum(last) / len(last), 3)
    return figures


def _training_line(figures: dict[str, Any], best_by: str) -> str:
    line = f"{figures['epochs']:,} of {figures['epochs_asked']:,} epochs"
    if "step" in figures:
        line += f", {figures['step']:,} steps"
    if "best" in figures:
        line += f"; best {best_by} {figures['best']:.3f} in epoch {figures['best_epoch']}"
    if "epoch_s" in figures:
        line += f"; {figures['epoch_s']:.1f} s an epoch"
    return line


def _run_key(experiment: Experiment) -> str | None:
    """The run's key; None where data or vectors are not known here."""
    if isinstance(_known_fingerprint(experiment, experiment.config.text.view), str):
        return None
    try:
        return run_key(experiment)
    except StoreError:  # not prepared, or anew
        return None


def _eval(experiment: Experiment, train: StageStatus) -> StageStatus:
    there = (experiment.workspace.evaluation / "results.json").exists()
    if train.state != "done":
        if there and train.state != "unknown":
            return StageStatus("eval", "stale", "results of an earlier model")
        state: State = "unknown" if there else "none"
        line = "results are there; whether of this model is not known" if there else "nothing yet"
        return StageStatus("eval", state, line)
    results = finished_results(experiment)
    if results is None:
        line = "results of other settings, or of an earlier model" if there else "nothing yet"
        return StageStatus("eval", "stale" if there else "none", line)
    tasks = sorted(results["tasks"])
    return StageStatus("eval", "done", f"{len(tasks)} tasks scored", {"tasks": tasks})


def _own_run(config: PipelineConfig) -> list[RunStatus]:
    """The experiment's own run; left out where only runs of a sweep were ever begun."""
    here = config.work_dir / "runs" / config.name
    own_signs = any(sign.stage in ("train", "eval") for sign in _signs(config, config.name))
    if here.exists() or own_signs or not _variant_names(config):
        return [run_status(config)]
    return []


def _found_runs(config: PipelineConfig) -> Iterator[RunStatus]:
    """Runs of a sweep, by the settings that each keeps in its folder."""
    for name in _variant_names(config):
        path = config.work_dir / "runs" / name / "config.yaml"
        try:
            own = load_config(path)
        except EcgpipeError as error:  # not begun, or of an older version
            why = str(error) if path.exists() else "nothing yet"
            state: State = "unknown" if path.exists() else "none"
            signs = _signs(config, name)
            yield RunStatus(
                name,
                *(
                    StageStatus(s, state, why, {}, tuple(sign for sign in signs if sign.stage == s))
                    for s in ("train", "eval")
                ),
            )
        else:
            yield run_status(own)


def _variant_names(config: PipelineConfig) -> list[str]:
    found: set[str] = set()
    for folder in (config.work_dir / "runs", config.work_dir / "status"):
        found |= {path.name for path in folder.glob(f"{_literal(config.name)}+*") if path.is_dir()}
    return sorted(name for name in found if not is_old_run(Path(name)))


def _literal(name: str) -> str:
    """A name in a glob pattern."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _json_lines(path: Path, *, tail: bool = False) -> Iterator[Any]:
    """The whole lines of a log; the last may be half written."""
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
