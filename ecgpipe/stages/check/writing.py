"""Estimate what training the rung `written` of eval-reports would take: memory and time.

Rough, as all estimates of `check`. Loads no model. Owns whether there is anything to train: a
causal language model, and reports.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stages.check.model_facts import ModelFacts
from ecgpipe.stages.check.report import gib
from ecgpipe.stages.check.times import GPU_FLOP_PER_S, about
from ecgpipe.stages.references import report_texts

if TYPE_CHECKING:
    from ecgpipe.embed_text.tokens import TextTokenizer
    from ecgpipe.write_report.writer_cost import ReportTokens

_TOKENISED = 500  # reports that stand for all


def training_reports(
    records: RecordsTable, taxonomy: Taxonomy, config: PipelineConfig
) -> list[str]:
    """The reports that the rung would learn from; none where those are of echocardiograms."""
    source, language = config.text.source, config.text.language
    if source == "echo_report":
        return []
    found = (report_texts(r, taxonomy, source) for r in records.of_split("train").records)
    return [texts[language] for texts in found if texts is not None]


def writing_needed(
    config: PipelineConfig, tokenizer: "TextTokenizer", model: ModelFacts, reports: Sequence[str]
) -> tuple[dict[str, str], dict[str, float]]:
    """What training the rung takes, in a line and in numbers; nothing if it cannot be trained.

    Args:
        config: the experiment.
        tokenizer: of the language model.
        model: its size.
        reports: of all training ECGs.
    """
    causal = model.causal
    if causal is None or not reports or not model.width or not model.parameters:
        return {}, {}
    # Imported here because they import torch.
    from ecgpipe.embed_text.processor import product_flops
    from ecgpipe.torch_device import has_gpu
    from ecgpipe.train_ecg.encoders.build import encoder_width
    from ecgpipe.write_report.writer_cost import Writer, memory_bytes, operations

    train, inner = config.train, model.inner or 4 * model.width
    precision = _precision(train.precision)
    writer = Writer(
        parameters=model.parameters,
        multiplied=model.multiplied + causal.vocabulary * model.width,
        width=model.width,
        inner=inner,
        layers=causal.layers,
        vocabulary=causal.vocabulary,
        bytes_each=2 if precision == "bfloat16" else 4,
        features=encoder_width(
            train.encoder, len(LEADS), config.data.rate_hz, train.beat_intervals
        ),
    )
    learned = _tokens(tokenizer, reports)
    memory, flop = memory_bytes(writer, learned), operations(writer, learned)
    numbers = {"writer_bytes": float(memory), "writer_s": flop / GPU_FLOP_PER_S}
    line = (
        f"training the rung `written` of `ecgpipe eval-reports` on {learned.reports:,} reports"
        f" takes about {gib(memory)} of memory, and {about(numbers['writer_s'])} on a GPU that does"
        f" {GPU_FLOP_PER_S / 1e12:.0f} TFLOP/s"
    )
    if not has_gpu():
        numbers["writer_cpu_s"] = flop / product_flops(model.width, inner, precision)
        line += (
            f"; {about(numbers['writer_cpu_s'])} on this machine; validation adds to it, and it may"
            " be twice or half"
        )
    return {"reports": line}, numbers


def _tokens(tokenizer: "TextTokenizer", reports: Sequence[str]) -> "ReportTokens":
    """Tokens of all reports, from some of them, evenly spread."""
    from ecgpipe.write_report.writer_cost import MOST_TOKENS, ReportTokens

    some = reports[:: max(1, len(reports) // _TOKENISED)]
    lengths = tokenizer.cutting_at(MOST_TOKENS).tokenize(some).lengths
    return ReportTokens(
        reports=len(reports),
        tokens=round(float(lengths.mean()) * len(reports)),
        longest=int(lengths.max()),
    )


def _precision(setting: str) -> str:
    """What `train.precision` means on this machine; a GPU is taken to compute in bfloat16."""
    from ecgpipe.torch_device import has_gpu, own_device
    from ecgpipe.train_ecg.loop.arithmetic import choose_arithmetic
    from ecgpipe.train_ecg.loop.ranks import Ranks

    if has_gpu():  # `check` starts nothing on it
        return "bfloat16" if setting == "auto" else setting
    return choose_arithmetic(setting, own_device(), Ranks()).precision or "float32"
