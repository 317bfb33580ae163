"""What the training engine costs beside the bare convolutions, on a CPU.

1. ECGs/s of the engine (signals in memory, and streamed from a store on disk) against a bare loop:
   the same model and loss, forward, backward and optimiser on one resident tensor, nothing else. In
   turn, in one process, medians. Beside them a step that does what peers do: a frozen BERT-base
   encodes the batch's texts anew, 256 padded tokens each.
2. Seconds per ECG of an epoch over 1,000, 4,000 and 16,000 records, and the anonymous memory of
   streaming them: of short windows and a small encoder, so that the engine itself is what is seen.

    python -m benchmarks.train
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from benchmarks.gpu.train_data import paper_config
from benchmarks.report import as_lines, conditions, table, verdict
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.cache.signals.writer import SignalResult, SignalStoreWriter, write_shard
from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.data.inputs import to_model_input
from ecgpipe.train_ecg.data.pairing import epoch_batches
from ecgpipe.train_ecg.data.placement import TrainSignals
from ecgpipe.train_ecg.loop.accelerator import make_accelerator
from ecgpipe.train_ecg.loop.arithmetic import choose_arithmetic
from ecgpipe.train_ecg.loop.ranks import Ranks
from ecgpipe.train_ecg.loop.step import make_optimizer, step_for
from ecgpipe.train_ecg.loop.training import TrainingData, set_up
from ecgpipe.train_ecg.losses.objective import RecordTexts
from ecgpipe.train_ecg.two_towers import ModelShape, initialised

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RATE_HZ = 500
TEXT_WIDTH = 768
N_TEXTS = 50

_STEPS_A_BLOCK = 16

TakeStep = Callable[[], None]


def make_store(folder: Path, n_records: int, samples: int) -> SignalStore:
    """A store of noise."""
    ids = [f"r{number}" for number in range(n_records)]
    writer = SignalStoreWriter(
        folder, record_ids=ids, leads=LEADS, samples=samples, attributes={"digest": "benchmark"}
    )
    random = np.random.default_rng(0)
    for shard in writer.shards_to_do():
        plan = writer.shard_plan(shard)
        write_shard(
            plan,
            (
                SignalResult(name, random.normal(0, 300, (12, samples)).astype(np.int16))
                for name in plan.record_ids
            ),
        )
    writer.seal({})
    return SignalStore.open(folder)


def training_data(store: SignalStore) -> TrainingData:
    """All records of a store, each with one of a few texts."""
    random = np.random.default_rng(0)
    n = store.n_slots
    texts = random.integers(0, N_TEXTS, (n, 1))
    return TrainingData(
        signals=TrainSignals(store.read, np.arange(n), len(LEADS), store.samples),
        texts=RecordTexts(
            texts_NK=texts,
            labels_NL=texts,
            vectors_RW=random.normal(0, 1, (N_TEXTS, TEXT_WIDTH)).astype(np.float32),
        ),
        read_signals=store.read,
        record_ids=[str(slot) for slot in range(n)],
    )


def model_shape(config: TrainConfig, data: TrainingData) -> ModelShape:
    """The model that these settings ask for."""
    leads, samples = data.signals.n_leads, data.signals.samples
    return ModelShape.of(config, leads, samples, RATE_HZ, TEXT_WIDTH)


def engine_step(config: TrainConfig, data: TrainingData, accelerator: Accelerator) -> TakeStep:
    """A step of the engine, batch after batch, epoch after epoch."""
    step, signals = set_up(config, model_shape(config, data), data, accelerator)
    step.model.train()
    take = step_for(step, config)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for epoch in range(10**6):
            step.begin_epoch(epoch)
            places_nB = epoch_batches(len(data.signals), config.global_batch_size, 0, epoch)
            yield from zip(signals.batches(places_nB), torch.from_numpy(places_nB), strict=True)

    endless = batches()

    def take_next() -> None:
        take(*next(endless))

    return take_next


def bare_step(config: TrainConfig, data: TrainingData) -> TakeStep:
    """The convolutions, the projections and the loss on the same tensors every time."""
    torch.manual_seed(0)
    shape = model_shape(config, data)
    model = initialised(shape, 0).train()
    optimizer = make_optimizer(model, config, torch.device("cpu"))
    signal = torch.from_numpy(data.read_signals(np.arange(config.global_batch_size)))
    inputs = to_model_input(signal, shape.normalisation)
    texts = torch.randn(config.global_batch_size, TEXT_WIDTH)
    own = torch.arange(config.global_batch_size)
    half = precision_of(config) == "bfloat16"

    def take() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, half, cache_enabled=False):
            ecg, text, scale, _ = model(inputs, texts)
        logits = scale * ecg @ text.T
        entropy = torch.nn.functional.cross_entropy
        loss = (entropy(logits, own) + entropy(logits.T, own)) / 2
        loss.backward()
        optimizer.step()

    return take


def precision_of(config: TrainConfig) -> str | None:
    """In which precision the engine computes here."""
    return choose_arithmetic(config.precision, torch.device("cpu"), Ranks()).precision


def bert_forward(batch: int, tokens_a_text: int) -> TakeStep:
    """What encoding a batch's texts anew costs: BERT-base, frozen."""
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig()).eval()
    tokens = torch.randint(1000, 20_000, (batch, tokens_a_text))

    @torch.inference_mode()
    def take() -> None:
        model(tokens)

    return take


def timed(steps: dict[str, TakeStep], rounds: int, each: int) -> dict[str, float]:
    """Median seconds of a step of each, taken in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for take in steps.values():
        take()
    for _ in range(rounds):
        for name, take in steps.items():
            for _ in range(1 if name == "bert" else each):
                started = time.perf_counter()
                take()
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def compare(folder: Path, options: argparse.Namespace, bert: TakeStep) -> None:
    """Print the first table."""
    samples = options.samples
    store = make_store(folder / "store", options.records, samples)
    data = training_data(store)
    accelerator = make_accelerator()
    precision = options.precision
    config = paper_config("sentence", 32, precision=precision)
    steps = {"bare": bare_step(config, data)}
    for place in ("memory", "stream"):
        placed = paper_config("sentence", 32, placement=place, precision=precision)
        steps[place] = engine_step(placed, data, accelerator)
    found = timed(steps | {"bert": bert}, options.rounds, options.each)
    peer = found["bare"] + found["bert"]
    rows = [
        ["bare loop", found["bare"], 1.0],
        ["engine, memory", found["memory"], found["bare"] / found["memory"]],
        ["engine, stream", found["stream"], found["bare"] / found["stream"]],
        ["bare loop and BERT in every step", peer, found["bare"] / peer],
    ]
    shown = [[str(name), f"{1000 * s:,.0f}", f"{32 / s:,.1f}", f"{r:.2f}"] for name, s, r in rows]
    how = f"{precision_of(config)}, {torch.get_num_threads()} threads"
    print(f"12 x {samples}, batch 32, ResNet1d-18, {how}")
    print(table(["a step", "ms", "ECGs/s", "of the bare loop"], shown))
    for place in ("memory", "stream"):
        print(verdict(f"engine, {place}, to the bare loop", found["bare"] / found[place], 0.95))
    print(verdict("engine, memory, to a text model in every step", peer / found["memory"], 6))


def scale(folder: Path, counts: Sequence[int], samples: int, rounds: int) -> None:
    """Print the second table; blocks of steps of each size in turn, since machines are noisy."""
    accelerator = make_accelerator()
    steps: dict[int, TakeStep] = {}
    added_mb: dict[int, float] = {}
    for n_records in counts:
        store = make_store(folder / f"store-{n_records}", n_records, samples)
        data = training_data(store)
        config = paper_config("sentence", 32, placement="stream", encoder="cnn1d")
        steps[n_records] = engine_step(config, data, accelerator)
        steps[n_records]()  # what a first step allocates stays, whatever the size
        before_mb = anonymous_mb()
        for _ in range(n_records // 32):  # the first epoch checks every record's sum
            steps[n_records]()
        added_mb[n_records] = anonymous_mb() - before_mb
    blocks: dict[int, list[float]] = {n_records: [] for n_records in counts}
    for _ in range(rounds):
        for n_records, take in steps.items():
            started = time.perf_counter()
            for _ in range(_STEPS_A_BLOCK):
                take()
            blocks[n_records].append((time.perf_counter() - started) / (32 * _STEPS_A_BLOCK))
    per_ecg = {n_records: statistics.median(found) for n_records, found in blocks.items()}
    print(f"12 x {samples}, batch 32, cnn1d, streamed; medians of {rounds} blocks in turn")
    rows = [
        [f"{n:,}", f"{n * per_ecg[n]:.2f}", f"{1e6 * per_ecg[n]:.1f}", f"{added_mb[n]:.0f}"]
        for n in counts
    ]
    print(table(["records", "s an epoch", "µs an ECG", "MB added"], rows))
    spread = max(per_ecg.values()) / min(per_ecg.values()) - 1
    print(verdict("time an ECG, greatest to least, less 1", spread, 0.10, at_least=False))
    growth = max(added_mb.values()) - min(added_mb.values())
    print(verdict("MB that one adds more than another", growth, 10, at_least=False))


def anonymous_mb() -> float:
    """Memory of this process that is no mapped file."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both and print them."""
    parser = argparse.ArgumentParser(description="The training engine beside the bare loop.")
    parser.add_argument("--records", type=int, default=256)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each", type=int, default=3, help="Steps of each in a round.")
    parser.add_argument("--counts", type=int, nargs="+", default=(1024, 4096, 16_384))
    parser.add_argument("--window", type=int, default=100, help="Samples in the second part.")
    parser.add_argument("--blocks", type=int, default=25, help="Rounds of the second part.")
    parser.add_argument("--only-scaling", action="store_true", help="Leave out the first part.")
    parser.add_argument("--precision", default="auto", help="Of both loops; BERT's is float32.")
    parser.add_argument("--miniature", action="store_true", help="Small and soon done, for CI.")
    options = parser.parse_args(arguments)
    if options.miniature:
        options.records, options.samples, options.rounds, options.each = 64, 64, 1, 1
        options.counts, options.blocks, options.window = (64, 96), 1, 64
    with tempfile.TemporaryDirectory() as folder:
        if not options.only_scaling:
            compare(Path(folder), options, bert_forward(32, 8 if options.miniature else 256))
        scale(Path(folder), options.counts, options.window, options.blocks)
    print(as_lines(conditions()))


if __name__ == "__main__":
    main()
