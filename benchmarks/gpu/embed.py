"""How well the embed stage uses a GPU, with a model of Llama-3-8B's shape.

The weights are random and made on the device, so no file is needed; token ids are random too. All
batches go through the stage's own planning and launching. Told:

- tokens a second and model FLOPs utilisation over token budgets, against the data sheet's peak and
  against the fastest square matrix product that this card does;
- the same for all texts at the best budget, all of 30 tokens and in a realistic spread of lengths;
- how far a text's vector moves when other texts stand beside it;
- that a batch too large for the memory left is halved and everything is still computed.

`--miniature` runs the same code with a toy model on a CPU.
"""

import argparse
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel, LlamaConfig
from transformers.utils.import_utils import is_flash_attn_2_available

from benchmarks.gpu.card import RESULTS, device_name, matmul_flops, result_path
from benchmarks.report import as_lines, conditions, table
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text import embedding, language_model
from ecgpipe.embed_text.batches import padded_length
from ecgpipe.embed_text.language_model import LanguageModel
from ecgpipe.embed_text.model_files import ModelFiles
from ecgpipe.embed_text.throughput import Throughput, peak_flops
from ecgpipe.embed_text.tokens import TokenTable
from ecgpipe.stopping import Stop

_LEFT_BYTES = 3 << 29  # 1.5 GiB of the memory stay free where a batch must not fit

Lengths = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sizes:
    """Sizes of the model and of the work."""

    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    texts: int
    texts_a_budget: int
    texts_compared: int
    budgets: tuple[int, ...]
    matrices: tuple[int, ...]


FULL = Sizes(
    width=4096,
    inner=14336,
    layers=32,
    heads=32,
    key_heads=8,
    vocabulary=128_256,
    texts=40_000,
    texts_a_budget=6_000,
    texts_compared=1_000,
    budgets=(2048, 4096, 8192, 16_384, 32_768, 65_536),
    matrices=(4096, 8192, 16_384),
)
MINIATURE = Sizes(
    width=64,
    inner=128,
    layers=2,
    heads=4,
    key_heads=2,
    vocabulary=1000,
    texts=300,
    texts_a_budget=100,
    texts_compared=40,
    budgets=(256, 512),
    matrices=(128, 256),
)


@dataclass(frozen=True)
class Speed:
    """One pass over many texts."""

    lengths: str
    attention: str
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


def build_model(sizes: Sizes, device: torch.device) -> Any:
    """A Llama with random bfloat16 weights, made where it runs."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        intermediate_size=sizes.inner,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.key_heads,
        max_position_embeddings=8192,
        rope_theta=500_000.0,
        use_cache=False,
    )
    with device:
        model = AutoModel.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    return model.eval().requires_grad_(False)


def wrapped(model: Any, attention: str, device: torch.device) -> LanguageModel:
    """Our LanguageModel around a model made in memory."""
    model.set_attn_implementation(attention)
    files = ModelFiles(Path(), None, "random weights")
    config = TextConfig(model=files.named, dtype="bfloat16", attention=attention)
    with patch.object(language_model, "_load", lambda *_: model):
        return LanguageModel(files, config, device)


def texts_of(lengths: Lengths, vocabulary: int, seed: int) -> TokenTable:
    """Random token ids."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.random.default_rng(seed).integers(1, vocabulary, starts[-1], dtype=np.int32)
    return TokenTable(ids, starts, np.zeros(len(lengths), np.bool_))


def some(texts: TokenTable, places: Lengths) -> TokenTable:
    """Some of the texts, in this order."""
    rows = [texts.row(int(place)) for place in places]
    starts = np.cumsum([0, *map(len, rows)])
    return TokenTable(np.concatenate(rows), starts, texts.was_cut[places])


def realistic_lengths(n_texts: int) -> Lengths:
    """Lengths as of prompts with 1 to 6 Japanese findings: median 29, 95 % below 58."""
    drawn = np.random.default_rng(1).lognormal(np.log(29), np.log(2) / 1.645, n_texts)
    return np.clip(drawn, 8, 96).astype(np.int64)


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

    def speed(self, model: LanguageModel, texts: TokenTable, budget: int, lengths: str) -> Speed:
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
        _, firsts = np.unique(padded_length(texts.lengths), return_index=True)
        for _, pending in embedding._computed(model, some(texts, firsts), budget, Stop()):
            pending.fetch()

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
        mixed = some(_joined(texts, strangers), order)
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
        n_texts = min(self.sizes.texts_a_budget, 2 * budget // 30)
        texts = texts_of(np.full(n_texts, 30), self.sizes.vocabulary, seed=5)
        largest, n_done = 0, 0
        with self._memory_taken(budget):
            for batch, pending in embedding._computed(model, texts, budget, Stop()):
                pending.fetch()
                largest = max(largest, batch.rows * batch.padded_length)
                n_done += len(batch.places)
        return {
            "asked_budget": budget,
            "largest_batch_that_fitted": largest,
            "texts": n_texts,
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


def _joined(first: TokenTable, second: TokenTable) -> TokenTable:
    return TokenTable(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.starts, first.starts[-1] + second.starts[1:]]),
        np.concatenate([first.was_cut, second.was_cut]),
    )


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


def measure(bench: Bench) -> dict[str, Any]:
    """Everything, ready for JSON."""
    sizes = bench.sizes
    kernels = ["sdpa"]
    if bench.device.type == "cuda" and is_flash_attn_2_available():
        kernels.append("flash_attention_2")
    equal, spread = (
        texts_of(lengths, sizes.vocabulary, seed=0)
        for lengths in (np.full(sizes.texts, 30), realistic_lengths(sizes.texts))
    )
    few = some(spread, np.arange(sizes.texts_a_budget))
    speeds, moved = [], {}
    for kernel in kernels:
        model = bench.with_attention(kernel)
        tried = [bench.speed(model, few, budget, "spread") for budget in sizes.budgets]
        best = max(tried, key=lambda speed: speed.tokens_per_s).budget
        tried.append(bench.speed(model, equal, best, "all 30"))
        tried.append(bench.speed(model, spread, best, "spread"))
        for speed in tried:
            print(f"  {kernel}, {speed.budget}: {speed.tokens_per_s:,.0f} tokens/s", flush=True)
        speeds += [asdict(speed) for speed in tried]
        moved[kernel] = [asdict(each) for each in bench.moved(model, best)]
    return {
        "model": asdict(sizes),
        "device": bench.device_name,
        "data_sheet_flops": bench.sheet_flops,
        "own_matmul_flops": bench.own_flops,
        "flash_attention": "measured" if len(kernels) > 1 else "not installed, or no GPU",
        "speeds": speeds,
        "moved": moved,
        "halving": bench.halved(bench.with_attention("sdpa")),
    }


def as_tables(found: dict[str, Any]) -> str:
    """The measurements as text."""
    sheet = found["data_sheet_flops"]
    peak = f"{sheet / 1e12:,.1f}" if sheet else "unknown"
    own = f"{found['own_matmul_flops'] / 1e12:,.3f}"
    speeds = [
        [
            f"{s['lengths']}, {s['attention']}",
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
            f"{kernel}: {m['compared_with']}",
            f"{m['largest_absolute']:.1e}",
            f"{m['largest_relative']:.1e}",
            f"{1 - m['smallest_cosine']:.1e}",
            f"{m['bit_equal']:.1%}",
        ]
        for kernel, each in found["moved"].items()
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
    found = measure(Bench(MINIATURE if chosen.miniature else FULL, device))
    circumstances = conditions(["flash-attn"], cuda=str(torch.version.cuda))
    found = circumstances | found
    print(as_lines(circumstances))
    print(as_tables(found))
    out: Path | None = chosen.out or (None if chosen.miniature else RESULTS)
    if out is not None:
        path = result_path(out, "gpu-embed", found, ".json")
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    main()
