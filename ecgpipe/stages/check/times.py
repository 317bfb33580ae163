"""Estimate how long the run will take, on a data-centre GPU and on this machine's processor.

The estimates are rough, and say so. Owns which of the two comes first: that of this machine.
"""

from dataclasses import dataclass

from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.progress import duration_text
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stages.check.model_facts import ModelFacts

# Rough speeds of a data-centre GPU: an A100 reaches 100 of its 312 TFLOP/s in bfloat16, and
# ResNet1d-18 is limited by kernel launches, not by arithmetic.
GPU_FLOP_PER_S = 1e14
_START_S = 20.0
_LOAD_BYTES_PER_S = 0.5e9
_TRAIN_STEPS_PER_S = 40.0

_LONG_S = 60.0  # below, another precision is not worth a thought
_CLEARLY = 1.5


@dataclass(frozen=True)
class Tokens:
    """How much there is to embed."""

    real: int
    padded: int


def time_needed(
    config: PipelineConfig,
    n_train: int,
    text_width: int,
    model: ModelFacts | None,
    tokens: Tokens | None,
) -> tuple[dict[str, str], dict[str, float]]:
    """How long embedding and training take, in lines and in numbers.

    The processor is timed where there is no GPU; embedding on it is told in any case.

    Args:
        config: the experiment.
        n_train: ECGs to train on.
        text_width: of the language model's vectors.
        model: None if its files are not here.
        tokens: to embed; None if they cannot be counted.
    """
    epoch_s = n_train / config.train.global_batch_size / _TRAIN_STEPS_PER_S
    numbers = {"epoch_s": epoch_s}
    gpu_line = (
        f"training {about(epoch_s * config.train.epochs)} ({config.train.epochs} epochs of"
        f" {about(epoch_s)}) on a data-centre GPU, give or take a factor of three"
    )
    cpu_lines = []
    if model and model.parameters and tokens:
        loading_s = _START_S + model.file_bytes / _LOAD_BYTES_PER_S
        numbers["embed_s"] = loading_s + 2 * model.multiplied * tokens.padded / GPU_FLOP_PER_S
        gpu_line = f"embed {about(numbers['embed_s'])}, {gpu_line}"
        if model.width:
            numbers["embed_cpu_s"], line = _embed_on_cpu(
                model, model.width, config, tokens, loading_s
            )
            cpu_lines.append(line)
    from ecgpipe.torch_device import has_gpu  # imports torch

    if n_train and not has_gpu():
        numbers["epoch_cpu_s"], line = _train_on_cpu(config, n_train, text_width)
        cpu_lines.append(line)
    cpu = {"CPU time": ". ".join(cpu_lines)} if cpu_lines else {}
    gpu = {"GPU time": gpu_line}
    return (gpu | cpu if has_gpu() else cpu | gpu), numbers


def _train_on_cpu(config: PipelineConfig, n_train: int, text_width: int) -> tuple[float, str]:
    """Seconds of an epoch on this machine's processor, and a line about all of training."""
    from ecgpipe.train_ecg.loop.processor_time import seconds_per_ecg  # imports torch
    from ecgpipe.train_ecg.two_towers import ModelShape

    data = config.data
    shape = ModelShape.of(config.train, len(LEADS), data.samples, data.rate_hz, text_width)
    epoch_s = n_train * seconds_per_ecg(shape, config.train)
    return epoch_s, (
        f"without a GPU, train about {about(epoch_s * config.train.epochs)} on this machine:"
        f" {config.train.epochs} epochs of {about(epoch_s)}, by steps of this encoder timed just"
        " now; validation adds to it, and it may be twice or half"
    )


def _embed_on_cpu(
    model: ModelFacts, width: int, config: PipelineConfig, tokens: Tokens, loading_s: float
) -> tuple[float, str]:
    """Seconds to embed everything on this machine's processor, and a line that says so."""
    from ecgpipe.embed_text.processor import product_flops  # imports torch

    inner = model.inner or 4 * width

    def seconds(dtype: str) -> float:
        flops = product_flops(width, inner, dtype)
        return loading_s + 2 * model.multiplied * tokens.padded / flops

    taken_s = seconds(config.text.dtype)
    line = (
        f"without a GPU, embed about {about(taken_s)} on this machine: {tokens.real:,} tokens"
        f" ({tokens.padded:,} with padding), by a product of this model's shape timed just now;"
        " give or take a factor of two"
    )
    if config.text.dtype == "bfloat16" and taken_s > _LONG_S:
        float32_s = seconds("float32")
        if float32_s * _CLEARLY < taken_s:
            line += (
                f". This processor is slow in bfloat16: text.dtype float32 takes about"
                f" {about(float32_s)}, and twice the memory"
            )
    return float(round(taken_s)), line  # a measured estimate: its parts of a second say nothing


def about(seconds: float) -> str:
    """A duration in a line."""
    return f"{seconds:.1f} s" if seconds < 10 else duration_text(seconds)
