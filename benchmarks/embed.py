"""Is the embed stage faster than what people write by hand, and than sentence-transformers?

2,000 distinct Japanese prompts go through one small Llama with random weights, on the CPU:

- ours: the stage itself (`ecgpipe.embed_text.embedding.embed`), sealed parts on disk included; only
  the loading of model and tokenizer is left out, as it is for all ways;
- loop: one text after the other;
- random batches of 32, padded to their longest;
- sentence-transformers' encode with its own settings (batches of 32, sorted by length), where it is
  installed.

All have one set of weights, float32, last-token pooling, and tokenize in the measured time. They
run one after the other in every round, since the machine may be shared: read the ratios, and the
processor time, which other jobs disturb less.
"""

import argparse
import contextlib
import csv
import dataclasses
import functools
import importlib.util
import io
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, LlamaConfig, LlamaModel, PreTrainedTokenizerFast

import ecgpipe
from benchmarks.report import as_lines, conditions, table, verdict
from ecgpipe import torch_device
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text import embedding, language_model, tokens
from ecgpipe.embed_text.model_files import find_model, fingerprint_of
from ecgpipe.embed_text.pooling import pool
from ecgpipe.embed_text.prompts import fill_prompt, join_findings, keys_of
from ecgpipe.stopping import Stop

_BATCH = 32
_ROOT = Path(ecgpipe.__file__).resolve().parents[1]
_BEFORE = ("軽度の", "高度の", "一過性の", "持続性の", "新たな", "既知の")
_AFTER = ("の疑い", "の可能性", "（前回と変化なし）", "（前回より増悪）")
_QUALIFIED = 0.2  # of the findings have a qualifier before, and as many one behind
_N_FINDINGS_WEIGHTS = (30, 30, 20, 10, 7, 3)  # of prompts with 1 to 6 findings

Vectors = npt.NDArray[np.float32]
Way = Callable[[], Vectors]


@dataclasses.dataclass
class Measured:
    """One way: seconds of every round, on the wall and of processor time, and its vectors."""

    seconds: list[float]
    cpu_seconds: list[float]
    vectors: Vectors

    @property
    def median_s(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.seconds)


def prompts(n_texts: int, seed: int = 0) -> list[str]:
    """Distinct prompts of 1 to 6 findings, some of them with a qualifier."""
    with (_ROOT / "evaluate/taxonomies/findings98.csv").open(encoding="utf-8") as file:
        names = [row["japanese"] for row in csv.DictReader(file)]
    config, random = TextConfig(model="none"), Random(seed)
    found: dict[str, None] = {}
    while len(found) < n_texts:
        n_findings = random.choices(range(1, 7), _N_FINDINGS_WEIGHTS)[0]
        findings = [_qualified(name, random) for name in random.sample(names, n_findings)]
        found[fill_prompt(config.prompt, join_findings(findings, config.separator))] = None
    return list(found)


def _qualified(name: str, random: Random) -> str:
    draw = random.random()
    if draw < _QUALIFIED:
        return random.choice(_BEFORE) + name
    return name + random.choice(_AFTER) if draw < 2 * _QUALIFIED else name


def llama3_tokenizer_file() -> Path | None:
    """tokenizer.json of Llama 3, where the user has put it."""
    named = os.environ.get("ECGPIPE_LLAMA3_TOKENIZER")
    folder = Path(named) if named else _ROOT / ".venv/llama3-tokenizer"
    if folder.is_file():
        return folder
    return next(iter(sorted(folder.rglob("tokenizer.json"))), None) if folder.is_dir() else None


def make_tokenizer(file: Path | None) -> PreTrainedTokenizerFast:
    """Llama 3's, or one that makes every byte a token."""
    if file is not None:
        return PreTrainedTokenizerFast(
            tokenizer_file=str(file),
            bos_token="<|begin_of_text|>",
            eos_token="<|eot_id|>",
            pad_token="<|eot_id|>",
        )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    byte = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    byte.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte.decoder = decoders.ByteLevel()
    byte.add_special_tokens(["<bos>", "<eos>"])
    byte.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", byte.token_to_id("<bos>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=byte, bos_token="<bos>", eos_token="<eos>", pad_token="<eos>"
    )


def save_model(folder: Path, tokenizer: PreTrainedTokenizerFast, miniature: bool) -> None:
    """A Llama of 4 layers, 256 wide, 32 heads, 8 of them for keys and values; random weights."""
    torch.manual_seed(0)
    width = 64 if miniature else 256
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=2 if miniature else 4,
        num_attention_heads=8 if miniature else 32,
        num_key_value_heads=2 if miniature else 8,
        max_position_embeddings=8192,
        rope_theta=500_000.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class Stage:
    """The embed stage, with model and tokenizer loaded once beforehand."""

    def __init__(self, folder: Path) -> None:
        self._config = TextConfig(model=str(folder), dtype="float32")
        self._files = find_model(self._config)
        self._fingerprint = fingerprint_of(
            self._files, self._config, self._config.view, folder / "memo.json"
        )
        self._tokenizer = tokens.TextTokenizer(self._files, self._config.max_tokens)
        self._model = language_model.LanguageModel(self._files, self._config, torch.device("cpu"))

    def embed(self, texts: Sequence[str], root: Path, budget: int | None) -> None:
        """Compute and seal the vectors of all texts below the empty folder `root`."""
        config = dataclasses.replace(self._config, max_tokens_per_batch=budget)
        job = embedding.EmbedJob(
            files=self._files, config=config, root=root, fingerprints=(self._fingerprint,)
        )
        with self._loaded(), contextlib.redirect_stderr(io.StringIO()):  # no bar among the figures
            embedding.embed(texts, job, Stop())

    def vectors(self, texts: Sequence[str], root: Path) -> Vectors:
        """What was sealed, in the order of the texts."""
        return VectorCache.open(root, self._fingerprint).vectors(keys_of(texts))

    @contextlib.contextmanager
    def _loaded(self) -> Iterator[None]:
        with (
            patch.object(language_model, "LanguageModel", lambda *_: self._model),
            patch.object(tokens, "TextTokenizer", lambda *_: self._tokenizer),
            patch.object(torch_device, "own_device", lambda: torch.device("cpu")),
        ):
            yield


class ByHand:
    """What people write with transformers alone."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: Any = AutoModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
        ).eval()

    def loop(self, texts: Sequence[str]) -> Vectors:
        """One text after the other."""
        return np.concatenate([self._batch([text]) for text in texts])

    def random_batches(self, texts: Sequence[str]) -> Vectors:
        """Batches as the texts come, in random order."""
        order = np.random.default_rng(0).permutation(len(texts))
        found: list[Vectors] = []
        for start in range(0, len(order), _BATCH):
            found.append(self._batch([texts[place] for place in order[start : start + _BATCH]]))
        return np.concatenate(found)[np.argsort(order)]

    @torch.inference_mode()
    def _batch(self, texts: list[str]) -> Vectors:
        batch = self._tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
        hidden_RTW = self._model(**batch, use_cache=False).last_hidden_state
        lengths_R = batch["attention_mask"].sum(dim=1)
        return pool(hidden_RTW, lengths_R, "last_token").numpy()


def sentence_transformers_way(folder: Path, texts: Sequence[str]) -> Way | str:
    """SentenceTransformer.encode as it comes, or why it is not measured."""
    if importlib.util.find_spec("sentence_transformers") is None:
        return "sentence-transformers: not measured, it is not installed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its module paths move between versions
        from sentence_transformers import SentenceTransformer
        from sentence_transformers import models as parts

        transformer = parts.Transformer(str(folder))
        model = SentenceTransformer(
            modules=[transformer, parts.Pooling(_width(folder), pooling_mode="lasttoken")],
            device="cpu",
        )
    return lambda: np.asarray(model.encode(list(texts), show_progress_bar=False))


def _width(folder: Path) -> int:
    return int(LlamaConfig.from_pretrained(folder).hidden_size)


def measure(ways: dict[str, Way], n_rounds: int) -> dict[str, Measured]:
    """Every way once in every round, in turn; the first round begins after one warm-up."""
    for way in ways.values():
        way()
    found: dict[str, Measured] = {}
    for _ in range(n_rounds):
        for name, way in ways.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            vectors = way()
            measured = found.setdefault(name, Measured([], [], vectors))
            measured.seconds.append(time.perf_counter() - started)
            measured.cpu_seconds.append(time.process_time() - cpu_started)
    return found


def ways_of(
    texts: Sequence[str], folder: Path, budgets: Sequence[int | None]
) -> tuple[dict[str, Way], list[str]]:
    """All ways by name, and what is to be said about those that are missing."""
    stage, by_hand, remarks = Stage(folder), ByHand(folder), []

    def ours(budget: int | None) -> Vectors:
        with tempfile.TemporaryDirectory() as root:
            stage.embed(texts, Path(root), budget)
            return stage.vectors(texts, Path(root))

    ways: dict[str, Way] = {_named(budget): functools.partial(ours, budget) for budget in budgets}
    ways["loop"] = lambda: by_hand.loop(texts)
    ways[f"random batches of {_BATCH}"] = lambda: by_hand.random_batches(texts)
    theirs = sentence_transformers_way(folder, texts)
    if isinstance(theirs, str):
        remarks.append(theirs)
    else:
        ways["sentence-transformers"] = theirs
    return ways, remarks


def _named(budget: int | None) -> str:
    return "ours" if budget is None else f"ours, {budget} tokens a batch"


def results(found: dict[str, Measured]) -> str:
    """The table and the verdicts."""
    loop = found["loop"]
    rows = [
        [
            name,
            f"{way.median_s:.2f}",
            f"{min(way.seconds):.2f}-{max(way.seconds):.2f}",
            f"{statistics.median(way.cpu_seconds):.2f}",
            f"{loop.median_s / way.median_s:.2f}x",
            f"{np.abs(way.vectors - loop.vectors).max():.1e}",
        ]
        for name, way in found.items()
    ]
    header = ["way", "seconds", "range", "CPU s", "speed to loop", "largest difference to loop"]
    return "\n".join([table(header, rows), "", *_verdicts(found)])


def _verdicts(found: dict[str, Measured]) -> list[str]:
    targets = {"loop": 4.0, f"random batches of {_BATCH}": 1.5, "sentence-transformers": 1.0}
    ours = found["ours"]  # at the default budget, the one that users get
    lines = [
        verdict(f"times as fast as {name}", found[name].median_s / ours.median_s, target)
        for name, target in targets.items()
        if name in found
    ]
    others = [way.vectors for name, way in found.items() if name.startswith("ours")]
    same = all(np.array_equal(ours.vectors, vectors) for vectors in others)
    return [*lines, f"ours bit-equal under all {len(others)} token budgets: {same}"]


def length_line(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> str:
    """How many tokens the texts have."""
    lengths = [len(ids) for ids in tokenizer(list(texts))["input_ids"]]
    return (
        f"{len(texts):,} texts: median {np.median(lengths):.0f} tokens,"
        f" p95 {np.percentile(lengths, 95):.0f}, max {max(lengths)}, {sum(lengths):,} in all"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--budgets", type=int, nargs="*", default=[], help="other tokens a batch")
    parser.add_argument("--miniature", action="store_true", help="60 texts, seconds: does it run?")
    chosen = parser.parse_args()
    if chosen.miniature:
        chosen.texts, chosen.rounds, chosen.threads = 60, 1, [1]
    file = None if chosen.miniature else llama3_tokenizer_file()
    texts, tokenizer = prompts(chosen.texts), make_tokenizer(file)
    print(as_lines(conditions(["tokenizers", "sentence-transformers"])))
    print("tokenizer:", "Llama 3" if file else "bytes, three for a Japanese character")
    print(length_line(texts, tokenizer))
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), tokenizer, chosen.miniature)
        ways, remarks = ways_of(texts, Path(folder), [None, *chosen.budgets])
        for n_threads in chosen.threads:
            torch.set_num_threads(n_threads)
            print(
                f"\n{n_threads} threads, medians of {chosen.rounds} interleaved rounds", flush=True
            )
            print(results(measure(ways, chosen.rounds)), *remarks, sep="\n", flush=True)


if __name__ == "__main__":
    main()
