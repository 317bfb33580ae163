"""What the run will need: the language model, disk, memory, time.

Owns the estimates, which are rough and say so. Asks no network, loads no model, writes nothing.
"""

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.embed_text.model_files import ModelFiles, find_model, is_offline
from ecgpipe.errors import EcgpipeError, ModelError
from ecgpipe.progress import duration_text
from ecgpipe.stages.check.report import Problem, Severity

# Rough figures of a data-centre GPU: 100 TFLOP/s is what an A100 reaches of its 312 in bfloat16,
# and ResNet1d-18 is held up by the launching of its kernels, not by its arithmetic.
_EMBED_FLOP_PER_S = 1e14
_START_S = 20.0
_LOAD_BYTES_PER_S = 0.5e9
_TRAIN_STEPS_PER_S = 40.0
_TOKENS_PER_CHARACTER = 0.8

_UNKNOWN_WIDTH = 4096
_RUN_BYTES = 200 << 20  # checkpoints, model, log
_SPARE = 1.1
_GIB = 1 << 30


@dataclass(frozen=True)
class ModelFacts:
    """What is known of the language model without loading it."""

    parameters: int | None
    """None where its files do not say, as for GGUF."""

    width: int | None
    file_bytes: int


@dataclass(frozen=True)
class Needs:
    """Problems and lines about what the run needs."""

    problems: tuple[Problem, ...]
    figures: tuple[tuple[str, str], ...]
    numbers: dict[str, float]


def needs(
    config: PipelineConfig, n_ecgs: int, n_train: int, sentences: Sequence[str], prepared: bool
) -> Needs:
    """What a run over so many ECGs and these sentences needs.

    Args:
        config: the experiment.
        n_ecgs: that would be stored.
        n_train: that would be trained on.
        sentences: all distinct ones.
        prepared: whether the signals are stored already.
    """
    model, problems, model_line = _model(config)
    problems += _batch(config, n_train)
    figures = [("model", model_line)]
    disk_bytes = _disk_bytes(config, 0 if prepared else n_ecgs, len(sentences), model)
    disk_problems, disk_line = _disk(config, disk_bytes)
    embed_s = _embed_seconds(model, sentences, len(config.text.all_views))
    epoch_s = n_train / config.train.global_batch_size / _TRAIN_STEPS_PER_S
    figures += [("disk", disk_line), ("memory", _memory_line(config, model))]
    figures.append(("GPU time", _time_line(config, embed_s, epoch_s)))
    numbers = {"disk_bytes": float(disk_bytes), "epoch_s": epoch_s}
    if embed_s is not None:
        numbers["embed_s"] = embed_s
    return Needs((*problems, *disk_problems), tuple(figures), numbers)


def _batch(config: PipelineConfig, n_train: int) -> list[Problem]:
    """Whether there is one batch at least; an empty split is told of elsewhere."""
    batch, found = config.train.global_batch_size, []
    if 0 < n_train < batch:
        found.append(
            Problem(
                Severity.STOPS,
                "batch",
                f"the training split has {n_train:,} ECGs, fewer than train.global_batch_size"
                f" {batch:,}",
                "Lower it, or add records.",
            )
        )
    return found


def _model(config: PipelineConfig) -> tuple[ModelFacts | None, list[Problem], str]:
    try:
        files = find_model(config.text, download=False)
        facts = _model_facts(files)
    except ModelError as error:
        comes_later = "is not on this machine" in str(error) and not is_offline()
        problem = Problem(
            Severity.LOOK if comes_later else Severity.STOPS,
            "model",
            str(error)
            if not comes_later
            else f"text.model {config.text.model!r} is not on this machine; `ecgpipe embed` would"
            " download it",
            "Where the machine that embeds has no internet: `ecgpipe fetch-model` elsewhere first."
            if comes_later
            else "",
        )
        return None, [problem], f"{config.text.model}: not here"
    except (EcgpipeError, OSError, ValueError) as error:
        return None, [Problem(Severity.STOPS, "model", f"text.model: {error}", "")], "unreadable"
    if files.imported:
        return facts, [], f"none: vectors of {config.text.model} come by `ecgpipe vectors import`"
    line = f"{config.text.model}: here, {_gib(facts.file_bytes)}"
    return facts, [], line + (f", {_millions(facts.parameters)}" if facts.parameters else "")


def _millions(parameters: int) -> str:
    """Parameters as people say them."""
    if parameters >= 1e9:
        return f"{parameters / 1e9:.1f} billion parameters"
    return f"{parameters / 1e6:,.1f} million parameters"


def _model_facts(files: ModelFiles) -> ModelFacts:
    if files.imported:
        return ModelFacts(None, None, 0)
    weights = files.weight_files()
    file_bytes = sum(path.stat().st_size for path in weights)
    if files.gguf is not None:
        return ModelFacts(None, None, file_bytes)
    config = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
    width = config.get("hidden_size") or config.get("text_config", {}).get("hidden_size")
    return ModelFacts(sum(map(_numbers_in, weights)), width, file_bytes)


def _numbers_in(path: Path) -> int:
    """How many numbers a safetensors file holds, by its header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= 100 << 20:
            raise ValueError(f"{path} is no safetensors file")
        header = json.loads(file.read(length))
    shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
    return sum(map(math.prod, shapes))


def _disk_bytes(config: PipelineConfig, n_ecgs: int, n_texts: int, model: ModelFacts | None) -> int:
    width = (model.width if model else None) or _UNKNOWN_WIDTH
    per_number = 2 if config.text.dtype == "bfloat16" else 4
    vectors = n_texts * width * per_number * len(config.text.all_views)
    return n_ecgs * 12 * config.data.samples * 2 + vectors + _RUN_BYTES


def _disk(config: PipelineConfig, needed: int) -> tuple[list[Problem], str]:
    place = config.work_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        what = "may not be written" if place.is_dir() else "is no folder"
        problem = Problem(
            Severity.STOPS,
            "work_dir",
            f"work_dir {config.work_dir} cannot be made: {place} {what}",
            "Set work_dir to a folder of yours.",
        )
        return [problem], "work_dir cannot be written"
    free = shutil.disk_usage(place).free
    line = f"{_gib(needed)} needed in work_dir at most, {_gib(free)} free"
    if free >= needed * _SPARE:
        return [], line
    return [
        Problem(
            Severity.STOPS,
            "disk",
            f"work_dir needs {_gib(needed)} and {_gib(free)} are free at {place}",
            "Set work_dir to a larger disk.",
        )
    ], line


def _memory_line(config: PipelineConfig, model: ModelFacts | None) -> str:
    have = _memory_bytes()
    parts = [f"{_gib(have)} here"] if have else []
    if model and model.parameters:
        per_number = 2 if config.text.dtype == "bfloat16" else 4
        parts.append(
            f"the language model takes {_gib(model.parameters * per_number)} on the GPU (or here,"
            " without one)"
        )
    batch = config.train.global_batch_size * 12 * config.data.samples * 4
    parts.append(f"a training batch of signals {_gib(batch)}")
    return "; ".join(parts)


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _embed_seconds(
    model: ModelFacts | None, sentences: Sequence[str], n_views: int
) -> float | None:
    if model is None or not model.parameters or not n_views:
        return None
    tokens = sum(map(len, sentences)) * _TOKENS_PER_CHARACTER
    loading_s = _START_S + model.file_bytes / _LOAD_BYTES_PER_S
    return loading_s + 2 * model.parameters * tokens / _EMBED_FLOP_PER_S


def _time_line(config: PipelineConfig, embed_s: float | None, epoch_s: float) -> str:
    embed = f"embed {_about(embed_s)}, " if embed_s is not None else ""
    return (
        f"{embed}training {_about(epoch_s * config.train.epochs)} ({config.train.epochs} epochs of"
        f" {_about(epoch_s)}) on a data-centre GPU; within a factor of three"
    )


def _about(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration_text(seconds)


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / _GIB:,.1f} GiB" if n_bytes >= 0.1 * _GIB else f"{n_bytes / 2**20:,.1f} MiB"
