"""How well the embed stage uses a GPU, with a model of Llama-3-8B's shape.

The weights are random and made on the device, so no file is needed; token ids are random too. All
batches go through the stage's own planning and launching. Told:

- tokens a second and model FLOPs utilisation over token budgets, for texts of one length in whole
  batches, against the data sheet's peak and against the fastest square matrix product of this card;
- the same for all texts at the best budget: of 30 tokens, and in a realistic spread of lengths;
- how far a text's vector moves when other texts stand beside it;
- what the stage does not do unless it is faster here: lengths padded to a multiple of 4, and layers
  compiled one by one (compiling the whole model would bring a mask back), each with how far vectors
  move;
- that a batch too large for the memory left is halved and everything is still computed.

Every result is written as it comes. `--miniature` runs the same code with a toy model on a CPU.
"""

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from torch._dynamo.utils import counters
from transformers.utils.import_utils import is_flash_attn_2_available

from benchmarks.gpu.card import RESULTS, device_name, matmul_flops, result_path
from benchmarks.gpu.embed_data import (
    FULL,
    MINIATURE,
    Sizes,
    build_model,
    joined,
    realistic_lengths,
    some,
    texts_of,
    wrapped,
)
from benchmarks.report import as_lines, conditions, table
from ecgpipe.embed_text import batches, embedding
from ecgpipe.embed_text.batches import padded_length, plan_batches
from ecgpipe.embed_text.language_model import LanguageModel
from ecgpipe.embed_text.throughput import Throughput, peak_flops
from ecgpipe.embed_text.tokens import TokenTable
from ecgpipe.stopping import Stop

_AS_IT_IS = "as it is"
_ONE = "all 30"
_LENGTH = 30  # tokens of each text where all have one length
_LEFT_BYTES = 3 << 29  # 1.5 GiB of the memory stay free where a batch must not fit

Vectors = npt.NDArray[np.float32]
Keep = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Speed:
    """One pass over many texts."""

    lengths: str
    attention: str
    way: str
    """"as it is", or what differs from the stage."""

    budget: int
    texts: int
    tokens: int
    seconds: float
    tokens_per_s: float
    padding: float
    of_data_sheet: float | None
    of_own_matmul: float


@dataclass(frozen=True)
class Moved:
    """How far vectors differ from those computed in another batch."""

    compared_with: str
    largest_absolute: float
    largest_relative: float
    smallest_cosine: float
    bit_equal: float
    """Share of the texts."""


class Bench:
    """One model on one device, and what its speed is compared with."""

    def __init__(self, sizes: Sizes, device: torch.device) -> None:
        self.sizes = sizes
        self.device = device
        self.device_name = device_name(device)
        self.own_flops = matmul_flops(sizes.matrices, device)
        self.sheet_flops = peak_flops(self.device_name, "bfloat16")
        self._model = build_model(sizes, device)

    def with_attention(self, attention: str) -> LanguageModel:
        """The one model, with this kernel."""
        return wrapped(self._model, attention, self.device)

    def speed(
        self,
        model: LanguageModel,
        texts: TokenTable,
        budget: int,
        lengths: str,
        way: str = _AS_IT_IS,
    ) -> Speed:
        """All texts once, as the stage does it; each vector is fetched."""
        self._warm_up(model, texts, budget)
        meter = Throughput(model.flops_per_token, self.sheet_flops)
        started = time.perf_counter()
        for batch, pending in embedding._computed(model, texts, budget, Stop()):
            pending.fetch()
            rows = batch.rows if self.device.type == "cuda" else len(batch.places)
            n_tokens = int(texts.lengths[batch.places].sum())
            meter.add(len(batch.places), n_tokens, rows * batch.padded_length)
        elapsed_s = time.perf_counter() - started
        own = Throughput(model.flops_per_token, self.own_flops, tokens=meter.tokens)
        return Speed(
            lengths=lengths,
            attention=model.attention,
            way=way,
            budget=budget,
            texts=meter.texts,
            tokens=meter.tokens,
            seconds=elapsed_s,
            tokens_per_s=meter.tokens / elapsed_s,
            padding=meter.padding_share,
            of_data_sheet=meter.utilisation(elapsed_s),
            of_own_matmul=own.utilisation(elapsed_s) or 0.0,
        )

    def _warm_up(self, model: LanguageModel, texts: TokenTable, budget: int) -> None:
        """Each shape once: kernels are chosen and loaded at their first call."""
        planned = plan_batches(texts.lengths, budget)
        shapes = {(batch.padded_length, batch.rows): batch for batch in reversed(planned)}
        for batch in shapes.values():
            rows = [texts.row(int(place)) for place in batch.places]
            model.launch(rows, batch.padded_length, batch.rows).fetch()

    def whole_batches(self, budget: int, n_tokens: int) -> TokenTable:
        """Texts of one length, about `n_tokens` with padding, that leave no batch half empty."""
        rows = budget // int(padded_length(np.array([_LENGTH]))[0])
        n_batches = max(1, n_tokens // budget)
        return texts_of(np.full(n_batches * rows, _LENGTH), self.sizes.vocabulary, seed=0)

    def vectors(self, model: LanguageModel, texts: TokenTable, budget: int) -> Vectors:
        """The vector of every text, (texts, width)."""
        found = np.full((len(texts.lengths), self.sizes.width), np.nan, np.float32)
        for batch, pending in embedding._computed(model, texts, budget, Stop()):
            found[batch.places] = pending.fetch()[0]
        if not np.isfinite(found).all():
            raise SystemExit("a text has no vector, or one with NaN or infinity")
        return found

    def moved(self, model: LanguageModel, budget: int) -> list[Moved]:
        """Compare the same texts in other batches, in fewer rows, and under another budget."""
        n_texts = self.sizes.texts_compared
        texts = texts_of(realistic_lengths(n_texts), self.sizes.vocabulary, seed=2)
        strangers = texts_of(realistic_lengths(2 * n_texts), self.sizes.vocabulary, seed=3)
        order = np.random.default_rng(4).permutation(3 * n_texts)
        mixed = some(joined(texts, strangers), order)
        few = np.arange(0, n_texts, 7)
        alone = self.vectors(model, texts, budget)
        places = np.argsort(order)[:n_texts]
        return [
            _moved("itself, computed again", alone, self.vectors(model, texts, budget)),
            _moved("two strangers for each", alone, self.vectors(model, mixed, budget)[places]),
            _moved(
                "every 7th text only", alone[few], self.vectors(model, some(texts, few), budget)
            ),
            _moved("half the budget", alone, self.vectors(model, texts, budget // 2)),
        ]

    def halved(self, model: LanguageModel) -> dict[str, Any]:
        """How the largest budget shrinks when most of the memory is taken."""
        budget = max(self.sizes.budgets)
        texts = self.whole_batches(budget, 2 * budget)
        largest, n_done = 0, 0
        with self._memory_taken(budget):
            for batch, pending in embedding._computed(model, texts, budget, Stop()):
                pending.fetch()
                largest = max(largest, batch.rows * batch.padded_length)
                n_done += len(batch.places)
        return {
            "asked_budget": budget,
            "largest_batch_that_fitted": largest,
            "texts": len(texts.lengths),
            "texts_done": n_done,
        }

    @contextlib.contextmanager
    def _memory_taken(self, budget: int) -> Iterator[None]:
        if self.device.type != "cuda":
            with _pretended_limit(budget // 3):
                yield
            return
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self.device)
        taken = torch.empty(max(0, free - _LEFT_BYTES), dtype=torch.uint8, device=self.device)
        try:
            yield
        finally:
            del taken
            torch.cuda.empty_cache()


@contextlib.contextmanager
def _pretended_limit(n_tokens: int) -> Iterator[None]:
    """A CPU has no such limit: refuse larger batches as a GPU would."""
    real = LanguageModel.launch

    def refusing(self: LanguageModel, ids: Any, padded_length: int, rows: int) -> Any:
        if rows * padded_length > n_tokens:
            raise torch.OutOfMemoryError("pretended")
        return real(self, ids, padded_length, rows)

    with patch.object(LanguageModel, "launch", refusing):
        yield


def _moved(compared_with: str, left: Vectors, right: Vectors) -> Moved:
    left_norm, right_norm = (np.linalg.norm(x.astype(np.float64), axis=1) for x in (left, right))
    cosine = np.einsum("nd,nd->n", left.astype(np.float64), right) / (left_norm * right_norm)
    return Moved(
        compared_with=compared_with,
        largest_absolute=float(np.abs(left - right).max()),
        largest_relative=float((np.linalg.norm(left - right, axis=1) / left_norm).max()),
        smallest_cosine=float(cosine.min()),
        bit_equal=float((left == right).all(axis=1).mean()),
    )


def measure(bench: Bench, found: dict[str, Any], keep: Keep) -> None:
    """Everything, ready for JSON.

    Args:
        bench: what is measured.
        found: is filled.
        keep: is given `found` after every result.
    """
    sizes = bench.sizes
    kernels = ["sdpa"]
    if bench.device.type == "cuda" and is_flash_attn_2_available():
        kernels.append("flash_attention_2")
    found |= {
        "model": asdict(sizes),
        "data_sheet_flops": bench.sheet_flops,
        "own_matmul_flops": bench.own_flops,
        "flash_attention": "measured" if len(kernels) > 1 else "not installed, or no GPU",
        "speeds": [],
        "moved": {},
    }

    def told(speed: Speed) -> Speed:
        print(f"  {speed.attention}, {speed.way}, {speed.lengths}, {speed.budget}:", end=" ")
        print(f"{speed.tokens_per_s:,.0f} tokens/s", flush=True)
        found["speeds"].append(asdict(speed))
        keep(found)
        return speed

    spread = texts_of(realistic_lengths(sizes.texts), sizes.vocabulary, seed=0)
    best = 0
    for kernel in reversed(kernels):  # what follows is measured with SDPA
        model = bench.with_attention(kernel)
        tried = [
            told(
                bench.speed(model, bench.whole_batches(budget, sizes.tokens_a_budget), budget, _ONE)
            )
            for budget in sizes.budgets
        ]
        best = max(tried, key=lambda speed: speed.tokens_per_s).budget
        told(bench.speed(model, spread, best, "spread"))
        found["moved"][kernel] = [asdict(each) for each in bench.moved(model, best)]
        keep(found)
    found["halving"] = bench.halved(model)
    keep(found)
    some_texts = some(spread, np.arange(sizes.texts_compared))
    expected = bench.vectors(model, some_texts, best)
    for way, changed in (("padded to 4", _padded_to_4), ("compiled layers", compiled_layers)):
        with changed(bench, model):
            for texts, lengths in (
                (bench.whole_batches(best, sizes.tokens_a_budget), _ONE),
                (spread, "spread"),
            ):
                told(bench.speed(model, texts, best, lengths, way))
            moved = _moved("as it is", expected, bench.vectors(model, some_texts, best))
        found["moved"][way] = [asdict(moved)]
        found["graphs"] = int(counters["stats"]["unique_graphs"])
        keep(found)


@contextlib.contextmanager
def _padded_to_4(bench: Bench, model: LanguageModel) -> Iterator[None]:
    with patch.object(batches, "LENGTH_STEP", 4):
        yield


@contextlib.contextmanager
def compiled_layers(bench: Bench, model: LanguageModel) -> Iterator[None]:
    """Each layer compiled, once for all shapes; on a CPU only traced, which takes less time."""
    for layer in model._model.layers:
        layer.compile(dynamic=True, backend="inductor" if bench.device.type == "cuda" else "eager")
    yield


def as_tables(found: dict[str, Any]) -> str:
    """The measurements as text."""
    sheet = found["data_sheet_flops"]
    peak = f"{sheet / 1e12:,.1f}" if sheet else "unknown"
    own = f"{found['own_matmul_flops'] / 1e12:,.3f}"
    speeds = [
        [
            f"{s['lengths']}, {s['attention']}, {s['way']}",
            f"{s['budget']:,}",
            f"{s['texts']:,}",
            f"{s['seconds']:.2f}",
            f"{s['tokens_per_s']:,.0f}",
            f"{s['padding']:.0%}",
            "-" if s["of_data_sheet"] is None else f"{s['of_data_sheet']:.0%}",
            f"{s['of_own_matmul']:.0%}",
        ]
        for s in found["speeds"]
    ]
    moved = [
        [
            f"{what}: {m['compared_with']}",
            f"{m['largest_absolute']:.1e}",
            f"{m['largest_relative']:.1e}",
            f"{1 - m['smallest_cosine']:.1e}",
            f"{m['bit_equal']:.1%}",
        ]
        for what, each in found["moved"].items()
        for m in each
    ]
    halving = found["halving"]
    header = ["texts", "budget", "n", "s", "tokens/s", "padding", "of data sheet", "of own matmul"]
    return "\n".join(
        [
            f"{found['device']}: data sheet {peak}, own bf16 matmul {own} TFLOP/s;"
            f" flash attention: {found['flash_attention']}",
            "",
            table(header, speeds),
            "",
            table(["compared with", "absolute", "relative", "1 - cosine", "bit-equal"], moved),
            "",
            f"little memory left: budget {halving['asked_budget']:,} came down to"
            f" {halving['largest_batch_that_fitted']:,};"
            f" {halving['texts_done']:,} of {halving['texts']:,} texts done",
            f"compiled layers: {found['graphs']} graphs for {found['model']['layers']} layers",
        ]
    )


def main() -> None:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--miniature", action="store_true", help="a toy on the CPU: does it run?")
    parser.add_argument("--out", type=Path, help="folder of the JSON file; benchmarks/results")
    chosen = parser.parse_args()
    if not chosen.miniature and not torch.cuda.is_available():
        raise SystemExit("No GPU is here. Use --miniature to try the script out on a CPU.")
    device = torch.device("cpu") if chosen.miniature else torch.device("cuda", 0)
    bench = Bench(MINIATURE if chosen.miniature else FULL, device)
    circumstances = conditions(["flash-attn"], cuda=str(torch.version.cuda))
    print(as_lines(circumstances))
    found = circumstances | {"device": bench.device_name}
    out: Path | None = chosen.out or (None if chosen.miniature else RESULTS)
    path = result_path(out, "gpu-embed", found, ".json") if out is not None else None

    def keep(found: dict[str, Any]) -> None:
        if path is not None:
            path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")

    measure(bench, found, keep)
    print(as_tables(found))
    if path is not None:
        print(f"written: {path}")


if __name__ == "__main__":
    main()
