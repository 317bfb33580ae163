"""Estimate what the run will need: language model, disk, memory, time.

The estimates are rough, and say so. Uses no network, loads no model, writes nothing.
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

# Rough speeds of a data-centre GPU: an A100 reaches 100 of its 312 TFLOP/s in bfloat16, and
# ResNet1d-18 is limited by kernel launches, not by arithmetic.
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
    """What can be known about the language model without loading it."""

    parameters: int | None
    """None if its files do not say, as for GGUF."""

    width: int | None
    file_bytes: int


@dataclass(frozen=True)
class Needs:
    """What the run needs, in lines and in numbers, and what it lacks."""

    problems: tuple[Problem, ...]
    overview: dict[str, str]
    numbers: dict[str, float]


def estimate_needs(
    config: PipelineConfig, n_ecgs: int, n_train: int, sentences: Sequence[str], prepared: bool
) -> Needs:
    """What a run needs.

    Args:
        config: the experiment.
        n_ecgs: ECGs to store.
        n_train: ECGs to train on.
        sentences: all distinct sentences to embed.
        prepared: whether the signals are stored already.
    """
    model, model_problem, model_line = _model(config)
    disk_bytes = _disk_bytes(config, 0 if prepared else n_ecgs, len(sentences), model)
    disk_problem, disk_line = _disk(config, disk_bytes)
    embed_s = _embed_seconds(model, sentences, len(config.text.all_views))
    epoch_s = n_train / config.train.global_batch_size / _TRAIN_STEPS_PER_S
    overview = {
        "model": model_line,
        "disk": disk_line,
        "memory": _memory_line(config, model),
        "GPU time": _time_line(config, embed_s, epoch_s),
    }
    numbers = {"disk_bytes": float(disk_bytes), "epoch_s": epoch_s}
    if embed_s is not None:
        numbers["embed_s"] = embed_s
    problems = (model_problem, _batch(config, n_train), disk_problem)
    return Needs(tuple(p for p in problems if p is not None), overview, numbers)


def _batch(config: PipelineConfig, n_train: int) -> Problem | None:
    """Whether there is at least one batch; an empty split is reported elsewhere."""
    batch = config.train.global_batch_size
    if not 0 < n_train < batch:
        return None
    return Problem(
        Severity.STOPS,
        "batch",
        f"the train split has {n_train:,} usable ECGs, but train.global_batch_size is {batch:,}",
        f"Set train.global_batch_size to {n_train:,} or less, or add records.",
    )


def _model(config: PipelineConfig) -> tuple[ModelFacts | None, Problem | None, str]:
    name = config.text.model
    try:
        files = find_model(config.text, download=False)
        facts = _model_facts(files)
    except (EcgpipeError, OSError, ValueError) as error:
        return None, _model_problem(name, error), f"{name}: not usable yet"
    if files.imported:
        return facts, None, f"none: vectors of {name} come from `ecgpipe vectors import`"
    line = f"{name}: on this machine, {_gib(facts.file_bytes)}"
    return facts, None, line + (f", {_millions(facts.parameters)}" if facts.parameters else "")


def _model_problem(name: str, error: Exception) -> Problem:
    if not isinstance(error, ModelError):
        return Problem(Severity.STOPS, "model", f"text.model {name!r} cannot be read: {error}")
    if "is not on this machine" not in str(error) or is_offline():
        return Problem(Severity.STOPS, "model", str(error))
    return Problem(
        Severity.LOOK,
        "model",
        f"text.model {name!r} is not on this machine; `ecgpipe embed` would download it",
        "If the machine that embeds has no internet, run `ecgpipe fetch-model` elsewhere first.",
    )


def _millions(parameters: int) -> str:
    """Parameters in millions or billions."""
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
    """How many numbers a safetensors file holds, read from its header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= 100 << 20:
            raise ValueError(f"{path} is not a safetensors file")
        header = json.loads(file.read(length))
    shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
    return sum(map(math.prod, shapes))


def _disk_bytes(config: PipelineConfig, n_ecgs: int, n_texts: int, model: ModelFacts | None) -> int:
    width = (model.width if model else None) or _UNKNOWN_WIDTH
    per_number = 2 if config.text.dtype == "bfloat16" else 4
    vectors = n_texts * width * per_number * len(config.text.all_views)
    return n_ecgs * 12 * config.data.samples * 2 + vectors + _RUN_BYTES


def _disk(config: PipelineConfig, needed: int) -> tuple[Problem | None, str]:
    place = config.work_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        what = "is not writable" if place.is_dir() else "is not a folder"
        problem = Problem(
            Severity.STOPS,
            "work_dir",
            f"work_dir {config.work_dir} cannot be created: {place} {what}",
            "Set work_dir to a folder that you may write.",
        )
        return problem, "work_dir cannot be written"
    free = shutil.disk_usage(place).free
    line = f"work_dir needs up to {_gib(needed)}, {_gib(free)} free"
    if free >= needed * _SPARE:
        return None, line
    problem = Problem(
        Severity.STOPS,
        "disk",
        f"work_dir needs {_gib(needed)}, but only {_gib(free)} are free at {place}",
        "Free some space, or set work_dir to a larger disk.",
    )
    return problem, line


def _memory_line(config: PipelineConfig, model: ModelFacts | None) -> str:
    have = _memory_bytes()
    parts = [f"{_gib(have)} on this machine"] if have else []
    if model and model.parameters:
        per_number = 2 if config.text.dtype == "bfloat16" else 4
        parts.append(
            f"the language model takes {_gib(model.parameters * per_number)} on the GPU (of memory,"
            " if there is no GPU)"
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
        f" {_about(epoch_s)}) on a data-centre GPU, give or take a factor of three"
    )


def _about(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration_text(seconds)


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / _GIB:,.1f} GiB" if n_bytes >= 0.1 * _GIB else f"{n_bytes / 2**20:,.1f} MiB"
