"""Estimate what the run will need: language model, disk, memory.

The estimates are rough, and say so. Loads no model, writes nothing, and asks the hub only whether
it would give a model that is not on this machine.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.batches import padded_length
from ecgpipe.embed_text.hub import WAYS_WITHOUT, why_not_on_hub
from ecgpipe.embed_text.model_files import ModelFiles, find_model, is_offline, nearest_here
from ecgpipe.errors import EcgpipeError, ModelError
from ecgpipe.stages.check.model_facts import ModelFacts, model_facts
from ecgpipe.stages.check.report import Problem, Severity, gib
from ecgpipe.stages.check.times import Tokens, time_needed
from ecgpipe.stages.check.writing import writing_needed

if TYPE_CHECKING:
    from ecgpipe.embed_text.tokens import TextTokenizer

_TOKENISED = 500  # sentences that stand for all

_UNKNOWN_WIDTH = 4096
_RUN_BYTES = 200 << 20  # checkpoints, model, log
_SPARE = 1.1


def estimate_needs(
    config: PipelineConfig,
    n_ecgs: int,
    n_train: int,
    sentences: Sequence[str],
    problems: list[Problem],
    reports: Sequence[str] = (),
) -> tuple[dict[str, str], dict[str, float]]:
    """What a run needs, in lines and in numbers; what it lacks is added to `problems`.

    Args:
        config: the experiment.
        n_ecgs: ECGs still to store.
        n_train: ECGs to train on.
        sentences: all distinct sentences to embed.
        problems: of the whole check.
        reports: of all ECGs to train on, that a language model could learn to write.
    """
    batch = config.train.global_batch_size
    problems += _training_problems(config, n_train)
    files, model, model_line = _model(config, problems)
    width = (model.width if model else None) or _UNKNOWN_WIDTH
    n_bytes = 2 if config.text.dtype == "bfloat16" else 4
    width_of_views = width * sum(view.width for view in config.text.all_views)
    vectors_bytes = len(sentences) * width_of_views * n_bytes
    disk_bytes = n_ecgs * 12 * config.data.samples * 2 + vectors_bytes + _RUN_BYTES
    numbers = {"disk_bytes": float(disk_bytes)}
    memory_gib = gib(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    memory_line = f"{memory_gib} on this machine; "
    if model and model.parameters:
        memory_line += (
            f"the language model takes {gib(model.parameters * n_bytes)} on the GPU (of memory,"
            " if there is no GPU); "
        )
    tokenizer = _tokenizer(files, config, problems) if files and sentences else None
    tokens = _count_tokens(tokenizer, sentences) if tokenizer else None
    overview = {
        "model": model_line,
        "disk": _disk(config, disk_bytes, problems),
        "memory": f"{memory_line}a training batch of signals"
        f" {gib(batch * 12 * config.data.samples * 4)}",
    }
    times, measured = time_needed(config, n_train, width, model, tokens)
    overview, numbers = overview | times, numbers | measured
    if model and tokenizer:
        written, measured = writing_needed(config, tokenizer, model, reports)
        overview, numbers = overview | written, numbers | measured
    return overview, numbers


def _training_problems(config: PipelineConfig, n_train: int) -> Iterator[Problem]:
    batch, job = config.train.global_batch_size, config.cluster.train
    if 0 < n_train < batch:  # an empty split is reported elsewhere
        yield Problem(
            Severity.STOPS,
            "batch",
            f"the train split has {n_train:,} usable ECGs, but train.global_batch_size is"
            f" {batch:,}",
            f"Set train.global_batch_size to {n_train:,} or less, or add records.",
        )
    if (n_gpus := job.nodes * job.gpus) > 1 and config.train.cuda_graph:
        yield Problem(
            Severity.LOOK,
            "several_gpus",
            f"cluster.train asks for {n_gpus:,} GPUs. The steps of several are not captured as a"
            f" CUDA graph, so with train.global_batch_size {batch:,} one GPU may be faster",
            "Time an epoch on one GPU first.",
        )


def _tokenizer(
    files: ModelFiles, config: PipelineConfig, problems: list[Problem]
) -> "TextTokenizer | None":
    """The language model's; None if it has no files, or no tokenizer."""
    if not files.has_files:
        return None
    # Imported here because transformers takes seconds, and vectors may be imported.
    from ecgpipe.embed_text.tokens import TextTokenizer

    try:
        return TextTokenizer(files, config.text.max_tokens)
    except ModelError as error:
        problems.append(Problem(Severity.STOPS, "model", str(error)))
        return None


def _count_tokens(tokenizer: "TextTokenizer", sentences: Sequence[str]) -> Tokens:
    """Tokens of all sentences, from some of them, evenly spread."""
    some = sentences[:: max(1, len(sentences) // _TOKENISED)]
    lengths = tokenizer.tokenize(some).lengths
    scale = len(sentences) / len(some)
    padded = padded_length(lengths)
    return Tokens(round(int(lengths.sum()) * scale), round(int(padded.sum()) * scale))


def _model(
    config: PipelineConfig, problems: list[Problem]
) -> tuple[ModelFiles | None, ModelFacts | None, str]:
    name = config.text.model
    try:
        files = find_model(config.text, download=False)
        facts = model_facts(files)
    except (EcgpipeError, OSError, ValueError, SafetensorError) as error:
        problems.append(_model_problem(config.text, error))
        return None, None, f"{name}: not usable yet"
    if files.imported:
        return files, facts, f"none: vectors of {name} come from `ecgpipe vectors import`"
    if files.control is not None:
        return files, facts, f"none: {name} is a control, with vectors that know no language"
    line = f"{name}: on this machine, {gib(facts.file_bytes)}"
    if facts.parameters is None:
        return files, facts, line
    unit, word = (1e9, "billion") if facts.parameters >= 1e9 else (1e6, "million")
    return files, facts, f"{line}, {facts.parameters / unit:,.1f} {word} parameters"


def _model_problem(config: TextConfig, error: Exception) -> Problem:
    name = config.model
    if not isinstance(error, ModelError):
        return Problem(Severity.STOPS, "model", f"text.model {name!r} cannot be read: {error}")
    if "is not on this machine" not in str(error):
        return Problem(Severity.STOPS, "model", str(error))
    why = "HF_HUB_OFFLINE is set" if is_offline() else why_not_on_hub(name, config.revision)
    if why is not None:
        return Problem(
            Severity.STOPS,
            "model",
            f"text.model {name!r} (revision {config.revision or 'main'}) is not on this machine and"
            f" cannot be downloaded: {why}.{nearest_here(name)}",
            WAYS_WITHOUT,
        )
    return Problem(
        Severity.LOOK,
        "model",
        f"text.model {name!r} is not on this machine; `ecgpipe embed` would download it."
        f"{nearest_here(name)}",
        "If the machine that embeds has no internet, run `ecgpipe fetch-model` elsewhere first.",
    )


def _disk(config: PipelineConfig, needed: int, problems: list[Problem]) -> str:
    place = config.work_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        what = "is not writable" if place.is_dir() else "is not a folder"
        problems.append(
            Problem(
                Severity.STOPS,
                "work_dir",
                f"work_dir {config.work_dir} cannot be created: {place} {what}",
                "Set work_dir to a folder that you may write.",
            )
        )
        return "work_dir cannot be written"
    free = shutil.disk_usage(place).free
    if free < needed * _SPARE:
        problems.append(
            Problem(
                Severity.STOPS,
                "disk",
                f"work_dir needs {gib(needed)}, but only {gib(free)} are free at {place}",
                "Free some space, or set work_dir to a larger disk.",
            )
        )
    return f"work_dir needs up to {gib(needed)}, {gib(free)} free"
