"""The command line: parse, call one function, print.

Owns the commands and the exit codes a batch system sees: 0 done; 1 something to mend; 2 bad usage
or settings; 75 stopped early with everything saved. Imports next to nothing, so that `--help`
answers at once.
"""

import contextlib
import faulthandler
import functools
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ecgpipe import __version__
from ecgpipe.errors import ComparisonError, EcgpipeError, StoppedEarly
from ecgpipe.processes import is_first, world

if TYPE_CHECKING:
    from ecgpipe.config.pipeline import PipelineConfig
    from ecgpipe.stages.experiment import Experiment
    from ecgpipe.stages.shelves import Shelves
    from ecgpipe.stages.stage_result import Outcome, Results
    from ecgpipe.stages.train.at_once import StageFunction
    from ecgpipe.stopping import Stop


class _Commands(click.Group):
    """Shows an EcgpipeError as one paragraph with its exit code; anything else is our bug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EcgpipeError as error:
            _tell(f"ecgpipe: {error}")
            ctx.exit(error.exit_code)
        except OSError as error:  # a disk or permission we did not foresee is still no bug
            _tell(f"ecgpipe: {error}.")
            ctx.exit(EcgpipeError.exit_code)


def _tell(line: str) -> None:
    """One line on stderr, which ends nothing where the terminal was closed meanwhile."""
    from ecgpipe.progress import say  # here, since it would be half of what --help imports

    say(line)


def _make_printable() -> None:
    """A terminal without Japanese shows '?', and one that was closed nothing, after hours of work.

    Without this the last print would end in an error.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _say_where_it_crashes() -> None:
    """Or a signal shard that somebody cuts short while it is mapped ends the process in silence."""
    if not faulthandler.is_enabled():
        with contextlib.suppress(AttributeError, ValueError, io.UnsupportedOperation):
            faulthandler.enable()


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """The options every command on an experiment takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON summary line last."),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override a setting, for example train.epochs=20; repeat for more.",
        ),
        click.option(
            "-c",
            "--config",
            "path",
            type=click.Path(path_type=Path),
            default=Path("pipeline.yaml"),
            show_default=True,
            help="The experiment.",
        ),
    ):
        command = option(command)
    return command


def _sweep(command: Callable[..., None]) -> Callable[..., None]:
    """The options that make several runs of one pipeline.yaml."""
    for option in (
        click.option(
            "--grid",
            "grids",
            multiple=True,
            metavar="KEY=A,B,...",
            help="A run for each value, for example train.loss=clip,siglip; repeat for every"
            " combination.",
        ),
        click.option(
            "--seeds",
            metavar="0..4",
            help="A run for each training seed: 0..4, or 0,3,7.",
        ),
    ):
        command = option(command)
    return command


_at_once = click.option(
    "--at-once",
    type=click.IntRange(min=1, max=16),
    default=1,
    show_default=True,
    metavar="N",
    help="Train so many runs of --seeds and --grid at the same time on one GPU, which share the"
    " signals on it. Each ends with the model it would have alone; one that fails does not end the"
    " others.",
)


def _finite(_: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """NaN lies in every range of click's, and no clock ever reaches it."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number of minutes.", param=parameter)
    return value


_max_minutes = click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    callback=_finite,
    help="Stop after so long with everything saved (exit code 75).",
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ecgpipe")
def main() -> None:
    """Teach an ECG encoder the report language of a hospital.

    A frozen language model reads every distinct report and label once (embed); then only an ECG
    encoder is trained against the kept vectors (train). For research; not a medical device.
    """
    _make_printable()
    _say_where_it_crashes()


@main.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("pipeline.yaml"))
def init(path: Path) -> None:
    """Write a commented pipeline.yaml to start from."""
    from importlib import resources

    from ecgpipe.errors import StoreError
    from ecgpipe.files import write_atomic

    if path.exists():
        raise StoreError(f"{path} is there already; it is not overwritten.")
    write_atomic(path, (resources.files("ecgpipe") / "pipeline.yaml").read_bytes())
    click.echo(f"Wrote {path}. Edit data.sources and text.model, then: ecgpipe run -c {path}")


@main.command()
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="How many recordings are opened; always the same ones.",
)
@click.option("--all", "every", is_flag=True, help="Open every recording.")
@click.option(
    "--list",
    "list_path",
    type=click.Path(path_type=Path),
    help="Write every row of every problem into a CSV, with ids and unknown findings: mind whose.",
)
@_common
def check(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    sample: int,
    every: bool,
    list_path: Path | None,
) -> None:
    """Look at everything before a GPU is booked: `ready`, or what to mend, worst first."""
    from ecgpipe.config.file import load_config
    from ecgpipe.files import write_atomic
    from ecgpipe.stages.check.check import run_check
    from ecgpipe.stages.check.report import as_json as to_json
    from ecgpipe.stages.check.report import as_list, render

    report = run_check(load_config(path, overrides), None if every else sample)
    click.echo(render(report))
    if list_path is not None:
        # With a byte-order mark: Excel needs it to see UTF-8.
        write_atomic(list_path, as_list(report).encode("utf-8-sig"))
        _tell(f"check: every row is listed in {list_path}")
    if as_json:
        click.echo(json.dumps({"check": to_json(report)}, ensure_ascii=False))
    if not report.ready:
        sys.exit(EcgpipeError.exit_code)


_shard = click.option(
    "--shard",
    metavar="I/N",
    help="Do part I of N, counted from 0; `array/N` takes I from a job array of any scheduler,"
    " `array` both from one of Slurm or Grid Engine. Workers need nothing in common but work_dir.",
)


@main.command()
@_shard
@_max_minutes
@_common
def prepare(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    max_minutes: float | None,
    shard: str | None,
) -> None:
    """Read recordings into the signal store and the table of records."""
    from ecgpipe.processes import share_of_work
    from ecgpipe.stages.prepare import run_prepare_share

    share = share_of_work(shard)

    def run_share(experiment: "Experiment", stop: "Stop") -> "Outcome":
        return run_prepare_share(experiment, stop, share)

    _run_stages([run_share], path, overrides, as_json, max_minutes)


@main.command()
@_shard
@click.option("--explain", is_flag=True, help="Show what the vectors depend on; embed nothing.")
@_max_minutes
@_common
def embed(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    max_minutes: float | None,
    shard: str | None,
    explain: bool,
) -> None:
    """Let the language model read every distinct text that has no vector yet."""
    from ecgpipe.processes import share_of_work
    from ecgpipe.stages import embed as embed_stage

    if explain:
        click.echo(embed_stage.explain(_experiment(path, overrides)))
        return
    share = share_of_work(shard)

    def run_share(experiment: "Experiment", stop: "Stop") -> "Outcome":
        return embed_stage.run_embed_share(experiment, stop, share)

    _run_stages([run_share], path, overrides, as_json, max_minutes)


@main.command("fetch-model")
@click.argument("name")
@click.option("--revision", required=True, help="The commit to fetch: 40 hex digits.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="A new folder; set text.model to it on machines without internet.",
)
def fetch_model(name: str, revision: str, folder: Path) -> None:
    """Download a language model into a folder, with the SHA-256 of every file.

    Only safetensors and tokenizer files are fetched. `ecgpipe embed` checks the folder against its
    manifest before it trusts it.
    """
    from ecgpipe.stages.fetch_model import run_fetch

    _done(run_fetch(name, revision, folder), as_json=False)


@main.command()
@click.option(
    "--profile",
    type=click.IntRange(min=1),
    metavar="STEPS",
    help="Only show where a step's time goes, measured over so many; train nothing.",
)
@_max_minutes
@_at_once
@_sweep
@_common
def train(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    max_minutes: float | None,
    at_once: int,
    seeds: str | None,
    grids: tuple[str, ...],
    profile: int | None,
) -> None:
    """Train the ECG encoder and the projections; continues where it was stopped."""
    from ecgpipe.stages.train.train import run_train

    if profile is not None:
        if seeds is not None or grids or at_once > 1 or max_minutes is not None:
            raise click.UsageError(
                "--profile looks at the steps of one run; leave out --seeds, --grid, --at-once and"
                " --max-minutes."
            )
        from dataclasses import asdict

        from ecgpipe.stages.model_bridge import profile_training

        found = profile_training(_experiment(path, overrides), profile)
        click.echo(found.table())
        if as_json:
            click.echo(json.dumps({"profile": asdict(found)}, ensure_ascii=False))
        return

    _run_sweep([run_train], path, overrides, as_json, seeds, grids, max_minutes, at_once)


@main.command("eval")
@_max_minutes
@_sweep
@_common
def eval_command(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    max_minutes: float | None,
    seeds: str | None,
    grids: tuple[str, ...],
) -> None:
    """Score the trained model on every task, beside its baselines."""
    from ecgpipe.stages.evaluate.evaluate import run_eval

    _run_sweep([run_eval], path, overrides, as_json, seeds, grids, max_minutes)


@main.command()
@_max_minutes
@_at_once
@_sweep
@_common
def run(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    max_minutes: float | None,
    at_once: int,
    seeds: str | None,
    grids: tuple[str, ...],
) -> None:
    """Do what is missing or stale: prepare, embed, train, eval."""
    from ecgpipe.stages.embed import run_embed
    from ecgpipe.stages.evaluate.evaluate import run_eval
    from ecgpipe.stages.prepare import run_prepare
    from ecgpipe.stages.train.train import run_train

    stages = [run_prepare, run_embed, run_train, run_eval]
    _run_sweep(stages, path, overrides, as_json, seeds, grids, max_minutes, at_once)


@main.command()
@click.option(
    "--dry-run", is_flag=True, help="Print scripts and commands; write and queue nothing."
)
@click.option("--resume", is_flag=True, help="Queue only what is missing, by what is on the disk.")
@click.option("--shards", type=click.IntRange(min=1), help="Tasks of the embed array.")
@click.option("--prepare-shards", type=click.IntRange(min=1), help="Tasks of the prepare array.")
@click.option("--nodes", type=click.IntRange(min=1), help="Nodes that train.")
@click.option("--gpus", type=click.IntRange(min=0), help="GPUs of each node that trains.")
@click.option(
    "--until",
    type=click.Choice(["prepare", "embed", "train", "eval"]),
    default="eval",
    help="The last stage to queue.",
)
@_common
def submit(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    dry_run: bool,
    resume: bool,
    shards: int | None,
    prepare_shards: int | None,
    nodes: int | None,
    gpus: int | None,
    until: str,
) -> None:
    """Queue prepare, embed, train, eval on a cluster: Slurm, PBS, Grid Engine or PJM.

    `cluster:` in pipeline.yaml, or in your own ~/.config/ecgpipe/cluster.yaml, says how. The plain
    scripts stay in work/runs/<name>/jobs.
    """
    from ecgpipe.config.file import load_cluster
    from ecgpipe.stages.cluster import submit as submit_stage

    experiment, cluster = _experiment(path, overrides), load_cluster(path, overrides)
    wishes = submit_stage.Wishes(
        prepare_shards=prepare_shards,
        embed_shards=shards,
        nodes=nodes,
        gpus=gpus,
        until=until,
        only_missing=resume,
    )
    done = submit_stage.run_submit(experiment, cluster, path.resolve().parent, wishes, dry_run)
    click.echo(submit_stage.as_text(done, dry_run))
    if as_json:
        summary = {"submit": submit_stage.as_json(done)}
        click.echo(json.dumps(summary, ensure_ascii=False))


@main.command()
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="A folder on this node's own disk. [default: $ECGPIPE_SCRATCH]",
)
@click.option("--signals", is_flag=True, help="Only the signals, for train and eval.")
@click.option("--model", is_flag=True, help="Only the language model, for embed.")
@click.option("--clean", is_flag=True, help="Remove the copies that are there.")
@_common
def stage(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    to: Path | None,
    signals: bool,
    model: bool,
    clean: bool,
) -> None:
    """Copy signals and language model onto this node's own disk, once for all its processes.

    Prints the line that makes the following commands use the copies. In a batch script:

        eval "$(ecgpipe stage --to "$TMPDIR")"
    """
    from ecgpipe.stages.cluster.stage_in import export_line, run_clean, run_stage

    if clean:
        _done(run_clean(to), as_json)
        return
    both = signals == model
    outcome = run_stage(_experiment(path, overrides), to, signals or both, model or both)
    _done(outcome, as_json)
    if not as_json:
        click.echo(export_line(outcome))


@main.command()
@click.option("--watch", is_flag=True, help="Look again and again until everything is done.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --watch looks.",
)
@_sweep
@_common
def status(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    seeds: str | None,
    grids: tuple[str, ...],
    watch: bool,
    every_s: float,
) -> None:
    """Say how far everything is, who works at it, and what failed; on any machine, from the files.

    Runs of a sweep are found by their names; with --seeds or --grid those are told that were asked
    for.
    """
    from ecgpipe.config.file import load_config
    from ecgpipe.stages.cluster.status import experiment_status
    from ecgpipe.stages.cluster.status_report import as_json as to_json
    from ecgpipe.stages.cluster.status_report import render
    from ecgpipe.variants import load_variants

    config = load_config(path, overrides)
    is_sweep = seeds is not None or bool(grids)
    variants = load_variants(path, overrides, seeds, grids)[0] if is_sweep else None
    while True:
        found = experiment_status(config, variants)
        if watch and not as_json and sys.stdout.isatty():
            click.clear()
        summary = json.dumps({"status": to_json(found)}, ensure_ascii=False)
        click.echo(summary if as_json else render(found))
        if not watch or found.is_done:
            return
        try:
            time.sleep(every_s)
        except KeyboardInterrupt:
            return


@main.command()
@click.option("--dry-run", is_flag=True, help="Only say what is bad; move nothing.")
@_common
def verify(path: Path, overrides: tuple[str, ...], as_json: bool, dry_run: bool) -> None:
    """Check every kept signal, record and vector; bad parts of vectors are moved into bad/."""
    from ecgpipe.stages.verify import run_verify

    _done(run_verify(_experiment(path, overrides), not dry_run), as_json)


@main.group()
def vectors() -> None:
    """Upkeep of the kept text vectors."""


@vectors.command()
@_common
def gc(path: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Remove temporary files of killed writers that are older than a day."""
    from ecgpipe.stages.vectors import collect_vector_garbage

    _done(collect_vector_garbage(_experiment(path, overrides)), as_json)


@vectors.command()
@_common
def compact(path: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Join small part files into few large ones, each text once."""
    from ecgpipe.stages.vectors import compact_vectors

    _done(compact_vectors(_experiment(path, overrides)), as_json)


@vectors.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--with-texts", is_flag=True, help="Write the texts too: mind whose they are.")
@click.option("--bits", is_flag=True, help="bfloat16 bit patterns (uint16) instead of float32.")
@_common
def export(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    file: Path,
    with_texts: bool,
    bits: bool,
) -> None:
    """Write the vectors into one plain HDF5 FILE for h5py, MATLAB or R."""
    from ecgpipe.stages.vectors import export_vectors

    _done(export_vectors(_experiment(path, overrides), file, with_texts, bits), as_json)


@vectors.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_common
def import_command(path: Path, overrides: tuple[str, ...], as_json: bool, file: Path) -> None:
    """Add vectors made elsewhere: an export, or an HDF5 FILE with `vectors` and `text` or `key`."""
    from ecgpipe.stages.vectors import import_vectors

    _done(import_vectors(_experiment(path, overrides), file), as_json)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Also write it there: a file ending in .md or .json.",
)
@click.option("--paper", is_flag=True, help="Show published figures beside: of other data.")
@click.option("--each", is_flag=True, help="Do not average runs that differ by train.seed alone.")
@click.option(
    "--draws",
    type=click.IntRange(min=100),
    default=2000,
    show_default=True,
    help="Resamplings of patients.",
)
@_common
def compare(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    runs: tuple[str, ...],
    out: Path | None,
    paper: bool,
    each: bool,
    draws: int,
) -> None:
    """Lay evaluated runs side by side; each against the first.

    RUN is a run's name in work_dir/runs, or a folder; * stands for anything: 'name+*'. Differences
    are of the same ECGs and the same draws of patients. Runs that differ by their seed alone are
    one column, with their mean.
    """
    from ecgpipe.stages.evaluate.compare import run_compare

    if out is not None and out.suffix.casefold() not in (".md", ".json"):
        raise click.UsageError(f"--out takes a file ending in .md or .json, not {out}.")
    opener = _experiment_opener(path, overrides)
    comparison = run_compare(runs, opener, draws=draws, average_seeds=not each)
    _show_comparison(comparison, paper, out)
    if as_json:
        click.echo(json.dumps({"compare": comparison}, ensure_ascii=False))


@main.command()
@click.argument("records", nargs=-1, metavar="[RECORD]...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="A file ending in .png or .svg, or a folder. [default: this folder]",
)
@click.option("--format", "file_format", type=click.Choice(["png", "svg"]), help="[default: png]")
@click.option(
    "--start",
    "start_s",
    type=click.FloatRange(min=0),
    help="Where in a longer RECORD to begin, in seconds.",
)
@click.option(
    "--language",
    type=click.Choice(["ja", "en"]),
    help="Of a RECORD's sheet. [default: text.language, else en]",
)
@click.option(
    "--font",
    type=click.Path(path_type=Path),
    help="A font file with Japanese letters; ECGPIPE_FONT does the same.",
)
@click.option(
    "--suspects", is_flag=True, help="Pages of small ECGs: what `check` finds suspicious."
)
@click.option(
    "-n",
    "most",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="How many suspects, six a page.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="How many recordings are looked at for suspects; the same ones as `check` opens.",
)
@click.option("--all", "every", is_flag=True, help="Look at every recording for suspects.")
@_common
def show(
    path: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    records: tuple[str, ...],
    out: Path | None,
    file_format: Literal["png", "svg"] | None,
    start_s: float | None,
    language: Literal["ja", "en"] | None,
    font: Path | None,
    suspects: bool,
    most: int,
    sample: int,
    every: bool,
) -> None:
    """Draw ECGs as a standard sheet: 25 mm/s, 10 mm/mV, A4.

    RECORD is a record id of the experiment, or the path of any recording that can be read: then its
    file name stands on the sheet. A patient's id never does. A file of the same name is replaced.
    """
    from ecgpipe.config.file import load_config
    from ecgpipe.stages.show.show import Style, run_show
    from ecgpipe.stages.show.suspects import run_show_suspects

    if bool(records) == suspects:
        raise click.UsageError("Name one or more records, or say --suspects.")
    style = Style(file_format, start_s, font, language)
    if suspects:
        config = load_config(path, overrides)
        shown = run_show_suspects(config, most, None if every else sample, out, style)
    else:
        shown = run_show(records, _experiment_opener(path, overrides), out, style)
    for file in shown.files:
        _tell(f"show: wrote {file}")
    for remark in shown.remarks:
        _tell(f"show: {remark}")
    for name, message in shown.failed.items():
        _tell(f"ecgpipe: {name}: {message}")
    if as_json:
        files = [str(file) for file in shown.files]
        summary = {"show": {"files": files, "failed": shown.failed}}
        click.echo(json.dumps(summary, ensure_ascii=False))
    if shown.failed:
        sys.exit(EcgpipeError.exit_code)


def _experiment_opener(path: Path, overrides: Sequence[str]) -> "Callable[[], Experiment] | None":
    """Opens the experiment once; None where none was named and none is here."""
    source = click.get_current_context().get_parameter_source("path")
    if source == click.core.ParameterSource.DEFAULT and not path.exists():
        return None
    return functools.cache(lambda: _experiment(path, overrides))


def _experiment(path: Path, overrides: Sequence[str]) -> "Experiment":
    from ecgpipe.config.file import load_config
    from ecgpipe.stages.experiment import Experiment

    return Experiment(load_config(path, overrides))


def _done(outcome: "Outcome", as_json: bool) -> None:
    _tell(f"{outcome.stage}: {outcome.line}")
    _report([outcome], as_json)


def _run_stages(
    stages: "Sequence[StageFunction]",
    path: Path,
    overrides: Sequence[str],
    as_json: bool,
    max_minutes: float | None = None,
) -> None:
    _run_sweep(stages, path, overrides, as_json, None, (), max_minutes)


def _run_sweep(
    stages: "Sequence[StageFunction]",
    path: Path,
    overrides: Sequence[str],
    as_json: bool,
    seeds: str | None,
    grids: Sequence[str],
    max_minutes: float | None = None,
    at_once: int = 1,
) -> None:
    """The stages for every variant, one after the other; without any, for the experiment itself.

    With `at_once` above 1 it is stage after stage, and several variants are trained together.
    """
    from ecgpipe.stages.experiment import Experiment
    from ecgpipe.stages.shelves import Shelves
    from ecgpipe.stages.stage_result import without_frames
    from ecgpipe.stopping import stop_on_signals
    from ecgpipe.variants import load_variants

    variants, left_out = load_variants(path, overrides, seeds, grids)
    shelves = Shelves()
    for line in left_out if is_first() else ():
        _tell(line)
    with stop_on_signals(max_minutes) as stop:
        if at_once > 1:
            _run_at_once(stages, variants, at_once, shelves, stop, as_json)
            return
        ended: dict[str, Outcome | Exception] = {}
        for number, config in enumerate(variants, 1):
            if len(variants) > 1 and is_first():
                _tell(f"{config.name}: run {number} of {len(variants)}")
            try:
                outcomes = _run_one(stages, Experiment(config, shelves), stop)
            except (EcgpipeError, OSError) as error:
                # Of several processes perhaps this one alone failed, so they part.
                if isinstance(error, StoppedEarly) or len(variants) == 1 or world() > 1:
                    raise
                _tell(f"ecgpipe: {error}")
                ended[config.name] = without_frames(error)
                continue
            ended[config.name] = outcomes[-1]
            if is_first():
                _report(outcomes, as_json)
    _end_sweep(variants, ended)


def _run_one(
    stages: "Sequence[StageFunction]", experiment: "Experiment", stop: "Stop"
) -> "list[Outcome]":
    outcomes = []
    for stage in stages:
        outcomes.append(stage(experiment, stop))
        if is_first():
            _tell(f"{outcomes[-1].stage}: {outcomes[-1].line}")
    return outcomes


def _end_sweep(variants: "Sequence[PipelineConfig]", ended: "Results") -> None:
    """What was evaluated, side by side; then end as the runs ended."""
    from ecgpipe.stages.stage_result import raise_failures

    finished = [config for config in variants if not isinstance(ended[config.name], Exception)]
    if finished:
        last = ended[finished[-1].name]
        assert not isinstance(last, Exception)
        _compare_variants(finished, last)
    raise_failures(ended)


def _compare_variants(variants: "Sequence[PipelineConfig]", last: "Outcome") -> None:
    """End the evaluation of a sweep with its runs side by side."""
    from ecgpipe.stages.evaluate.compare import run_compare
    from ecgpipe.workspace import Workspace

    if len(variants) < 2 or last.stage != "eval" or not is_first():
        return
    folders = [str(Workspace(config.work_dir, config.name).run) for config in variants]
    try:
        _show_comparison(run_compare(folders, None), paper=False)
    except ComparisonError as error:
        _tell(f"compare: {error}")


def _run_at_once(
    stages: "Sequence[StageFunction]",
    variants: "Sequence[PipelineConfig]",
    at_once: int,
    shelves: "Shelves",
    stop: "Stop",
    as_json: bool,
) -> None:
    """Stage after stage for all variants; what fails is left out of what follows."""
    from ecgpipe.stages.train.at_once import check_at_once, each_in_turn, train_at_once
    from ecgpipe.stages.train.train import run_train

    check_at_once(variants)
    outcomes: dict[str, list[Outcome]] = {config.name: [] for config in variants}
    failed: dict[str, Exception] = {}
    for stage in stages:
        left = [config for config in variants if config.name not in failed]
        if stage is run_train:
            ended = train_at_once(left, at_once, shelves, stop)
        else:
            ended = each_in_turn(stage, left, shelves, stop)
        for name, result in ended.items():
            if isinstance(result, Exception):
                failed[name] = result
            else:
                outcomes[name].append(result)
    for name, done in outcomes.items():
        if name not in failed:
            _report(done, as_json)
    _end_sweep(variants, {name: failed.get(name) or done[-1] for name, done in outcomes.items()})


def _show_comparison(comparison: dict[str, Any], paper: bool, out: Path | None = None) -> None:
    from rich.console import Console

    from ecgpipe.evaluate.compare.published import publications
    from ecgpipe.evaluate.compare.report import print_comparison, render_comparison
    from ecgpipe.files import write_atomic, write_json_atomic

    papers, language = publications() if paper else (), comparison["language"]
    width = None if sys.stdout.isatty() else 160
    print_comparison(comparison, papers, language, Console(width=width))
    if out is None:
        return
    if out.suffix.casefold() == ".json":
        write_json_atomic(out, comparison)
    else:
        write_atomic(out, render_comparison(comparison, papers, language).encode())
    _tell(f"compare: wrote {out}")


def _report(outcomes: "Sequence[Outcome]", as_json: bool) -> None:
    _show(outcomes)
    if as_json:
        done = {o.stage: {"did_work": o.did_work, **o.summary} for o in outcomes}
        click.echo(json.dumps(done, ensure_ascii=False))


def _show(outcomes: "Sequence[Outcome]") -> None:
    if len(outcomes) > 1 and not any(outcome.did_work for outcome in outcomes):
        _tell("Everything is up to date; no work was done.")
    if "results" in outcomes[-1].summary:
        from rich.console import Console

        from ecgpipe.evaluate.report.terminal import print_results
        from ecgpipe.evaluate.results import read_results

        width = None if sys.stdout.isatty() else 120
        print_results(read_results(Path(outcomes[-1].summary["results"])), Console(width=width))
        click.echo(f"Report: {outcomes[-1].summary['report']}")
