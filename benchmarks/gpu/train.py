"""How fast training is on a GPU, and whether it is still right there.

The paper's experiment in size (37,285 ECGs, ResNet1d-18, vectors of 4096) on simulated signals, by
the stage's own `train`. Told, for both batch sizes and over placement, precision and CUDA graphs:

- seconds an epoch, ECGs a second, the parts of a step, the peak of GPU memory;
- FLOP/s, against the fastest square bfloat16 matrix product that this card does;
- whether graphs, precisions, resuming, random numbers and placements agree (`train_checks.py`).

Targets are for one H200. `--miniature` runs the same code on toy sizes, and leaves out what needs
CUDA where there is none.
"""

import argparse
import gc
import itertools
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.card import RESULTS, device_name, matmul_flops, result_path
from benchmarks.gpu.train_checks import FAILED, Check, all_checks, tried
from benchmarks.gpu.train_data import (
    FULL,
    MINIATURE,
    Sizes,
    Text,
    model_shape,
    paper_config,
    train_inputs,
    training_data,
)
from benchmarks.report import as_lines, conditions, table, verdict
from ecgpipe.config.train import TrainConfig
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.loop.accelerator import make_accelerator
from ecgpipe.train_ecg.loop.step_profile import PARTS, StepProfile, profile_step
from ecgpipe.train_ecg.loop.training import TrainingData, set_up, train

_TARGET_EPOCH_S = {32: 3.0, 256: 1.5}
_TARGET_RUN_MINUTES = 10.0
_PAPER_EPOCHS = 200


@dataclass(frozen=True)
class Case:
    """One way to train."""

    text: Text
    batch: int
    placement: str
    precision: str
    cuda_graph: bool
    compile: bool = False

    def __str__(self) -> str:
        how = "graph" if self.cuda_graph else "compiled" if self.compile else "plain"
        return f"{self.text}, {self.placement}, {self.precision}, {how}"


@dataclass(frozen=True)
class Timing:
    """How one case went."""

    case: Case
    epoch_s: float
    """Median; scaled up where `steps` is less than `steps_an_epoch`."""

    epochs: int
    """Epochs behind the median, without the warm-up."""

    steps: int
    """Steps run in each epoch."""

    steps_an_epoch: int
    records_per_s: float
    parts_s: dict[str, float]
    step_s: float
    wait_s: float
    peak_bytes: int | None
    step_flops: int
    flops_per_s: float
    of_own_matmul: float

    def line(self) -> str:
        """The case as a line of text."""
        return f"{self.case}, batch {self.case.batch}: {self.epoch_s:.3f} s an epoch"


class Bench:
    """One device, and what its speed is compared with."""

    def __init__(self, sizes: Sizes, most_s: float) -> None:
        self.sizes = sizes
        self.device = make_accelerator().device
        self.own_flops = matmul_flops(sizes.matrices, self.device)
        self._most_s = most_s
        self._flops: dict[tuple[Text, int], int] = {}

    def cases(self, compiled: bool) -> tuple[list[Case], list[str]]:
        """The cases that can be timed here, and a line for each that cannot."""
        cases, skipped = [], []
        for case in _wished(self.sizes, compiled):
            needs_cuda = case.placement == "device" or case.cuda_graph
            if needs_cuda and self.device.type != "cuda":
                skipped.append(f"{case}, batch {case.batch}: skipped, no CUDA")
            else:
                cases.append(case)
        return cases, skipped

    def timed(self, cases: list[Case]) -> Iterator[Timing | str]:
        """Each case, or why it failed; those of one text and placement share the signals."""
        keys = sorted({(case.text, case.placement) for case in cases})
        for text, placement in keys:
            data = training_data(self.sizes, text, self.sizes.records)
            for case in cases:
                if (case.text, case.placement) == (text, placement):
                    yield from tried(f"{case}, batch {case.batch}", self._timed, case, data)

    def _timed(self, case: Case, data: TrainingData) -> Iterator[Timing]:
        sizes = self.sizes
        config = paper_config(
            case.text,
            case.batch,
            epochs=1 + sizes.epochs_timed,
            placement=case.placement,
            precision=case.precision,
            cuda_graph=case.cuda_graph,
            compile=case.compile,
        )
        profile = profile_step(config, model_shape(config, sizes), data, sizes.steps_profiled)
        steps_an_epoch = sizes.records // case.batch
        steps = self._affordable(profile, steps_an_epoch)
        if steps < steps_an_epoch:
            data = training_data(sizes, case.text, steps * case.batch)
        seconds, peak_bytes = self._epochs(config, data)
        epoch_s = statistics.median(seconds[1:]) * steps_an_epoch / steps
        flops = self._step_flops(case.text, case.batch)
        flops_per_s = flops * steps_an_epoch / epoch_s
        yield Timing(
            case=case,
            epoch_s=epoch_s,
            epochs=len(seconds) - 1,
            steps=steps,
            steps_an_epoch=steps_an_epoch,
            records_per_s=steps_an_epoch * case.batch / epoch_s,
            parts_s=profile.parts_s,
            step_s=profile.step_s,
            wait_s=profile.wait_s,
            peak_bytes=peak_bytes,
            step_flops=flops,
            flops_per_s=flops_per_s,
            of_own_matmul=flops_per_s / self.own_flops,
        )

    def _affordable(self, profile: StepProfile, steps_an_epoch: int) -> int:
        """Steps of an epoch: all of them, or so many that the case does not take too long."""
        can = int(self._most_s / (1 + self.sizes.epochs_timed) / profile.step_s)
        return min(max(can, self.sizes.least_steps), steps_an_epoch)

    def _epochs(self, config: TrainConfig, data: TrainingData) -> tuple[list[float], int | None]:
        """Seconds of each epoch, without validation, and the peak of GPU memory."""
        on_gpu = self.device.type == "cuda"
        gc.collect()  # what earlier cases held
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        with tempfile.TemporaryDirectory() as folder:
            done = train(train_inputs(config, self.sizes, data, Path(folder), Stop()))
        peak = torch.cuda.max_memory_allocated(self.device) if on_gpu else None
        return [max(float(entry["seconds"]), 1e-3) for entry in done.history], peak

    def _step_flops(self, text: Text, batch: int) -> int:
        """Multiplications and additions of one step, forward and backward, as PyTorch counts."""
        if (text, batch) not in self._flops:
            data = training_data(self.sizes, text, batch)
            config = paper_config(text, batch, placement="stream", precision="float32")
            step, signals = set_up(
                config, model_shape(config, self.sizes), data, make_accelerator()
            )
            places_B = torch.arange(batch, device=self.device)
            signal = signals.gather(np.arange(batch)).to(self.device)
            step.model.train()
            with FlopCounterMode(display=False) as counter:
                inputs = step.inputs(signal, places_B)
                step.backward(step.forward(inputs, places_B))
            self._flops[text, batch] = counter.get_total_flops()
        return self._flops[text, batch]


def _wished(sizes: Sizes, compiled: bool) -> Iterator[Case]:
    """Every case; of each batch the one that training takes by default first."""
    for batch in sizes.batches:
        yield Case("sentence", batch, "device", "bfloat16", True)
        yield Case("sentence", batch, "device", "bfloat16", False)
        yield Case("sentence", batch, "device", "float32", True)
        yield Case("sentence", batch, "device", "float32", False)
        for placement in ("memory", "stream"):
            for graph in (True, False):
                yield Case("sentence", batch, placement, "bfloat16", graph)
        yield Case("sentence", batch, "memory", "float32", False)
        yield Case("all_findings", batch, "device", "bfloat16", True)
        yield Case("all_findings", batch, "memory", "bfloat16", False)
        if compiled:
            yield Case("sentence", batch, "device", "bfloat16", False, compile=True)


def verdicts(timings: list[Timing]) -> list[str]:
    """The fastest case of each text and batch, against the targets."""
    lines = []
    fastest: dict[tuple[str, int], Timing] = {}
    for timing in timings:
        key = timing.case.text, timing.case.batch
        if key not in fastest or timing.epoch_s < fastest[key].epoch_s:
            fastest[key] = timing
    for (_, batch), timing in sorted(fastest.items()):
        what = f"batch {batch}, fastest is {timing.case}"
        if batch in _TARGET_EPOCH_S:
            target_s = _TARGET_EPOCH_S[batch]
            what_s = f"{what}: seconds an epoch"
            lines.append(verdict(what_s, timing.epoch_s, target_s, at_least=False))
        minutes = _PAPER_EPOCHS * timing.epoch_s / 60
        limit = _TARGET_RUN_MINUTES
        lines.append(verdict(f"{what}: minutes of 200 epochs", minutes, limit, at_least=False))
    return lines


def measure(sizes: Sizes, most_s: float, compiled: bool) -> Iterator[dict[str, Any]]:
    """Everything up to now, ready for JSON, again after each thing that was measured."""
    bench = Bench(sizes, most_s)
    cases, skipped = bench.cases(compiled)
    timings: list[Timing] = []
    checks: list[Check] = []

    def found() -> dict[str, Any]:
        return {
            "sizes": asdict(sizes),
            "device": device_name(bench.device),
            "own_matmul_flops": bench.own_flops,
            "float32_convolutions_in_tf32": bool(torch.backends.cudnn.allow_tf32),
            "timings": [asdict(timing) for timing in timings],
            "verdicts": verdicts(timings),
            "checks": [asdict(check) | {"holds": check.holds} for check in checks],
            "check_lines": [check.line() for check in checks],
            "skipped": skipped,
        }

    measured = itertools.chain(tried("checks", all_checks, sizes, bench.device), bench.timed(cases))
    for result in measured:
        if isinstance(result, str):
            skipped.append(result)
        elif isinstance(result, Check):
            checks.append(result)
        else:
            timings.append(result)
        print(f"  {result if isinstance(result, str) else result.line()}", flush=True)
        yield found()


def as_tables(found: dict[str, Any]) -> str:
    """The measurements as text."""
    rows, parts = [], []
    for t in found["timings"]:
        name, batch = str(Case(**t["case"])), str(t["case"]["batch"])
        whole = t["steps"] == t["steps_an_epoch"]
        peak = "-" if t["peak_bytes"] is None else f"{t['peak_bytes'] / 1e9:.2f}"
        rows.append(
            [
                name,
                batch,
                f"{t['epoch_s']:.2f}",
                f"{t['epochs']} x {'all' if whole else t['steps']}",
                f"{t['records_per_s']:,.0f}",
                peak,
                f"{t['flops_per_s'] / 1e12:.3f}",
                f"{t['of_own_matmul']:.1%}",
            ]
        )
        times = [*(t["parts_s"][part] for part in PARTS), t["step_s"], t["wait_s"]]
        parts.append([name, batch, *(f"{1000 * seconds:.2f}" for seconds in times)])
    header = ["case", "batch", "s/epoch", "measured", "ECGs/s", "GB", "TFLOP/s", "of own matmul"]
    own = f"{found['own_matmul_flops'] / 1e12:,.3f}"
    return "\n".join(
        [
            f"{found['device']}: own bf16 matmul {own} TFLOP/s; an epoch is"
            f" {found['sizes']['records']:,} ECGs. `measured`: epochs x steps of each; fewer than"
            " all steps are scaled up. `stream` reads from the generator, not from a disk."
            " Epochs are without validation and saving. On a GPU the convolutions of float32 are"
            f" {'' if found['float32_convolutions_in_tf32'] else 'not '}in TF32.",
            "",
            table(header, rows),
            "",
            "Milliseconds of a step: each part waited for, without graph; then a step as training"
            " takes it, and what of it waits for signals.",
            "",
            table(["case", "batch", *PARTS, "step", "of it waits"], parts),
            "",
            *(f"- {line}" for line in found["verdicts"]),
            *(f"- {line}" for line in found["check_lines"]),
            *(f"- {line}" for line in found["skipped"]),
        ]
    )


def main() -> None:
    """Measure, print, and write a JSON and a Markdown file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--miniature", action="store_true", help="toy sizes: does it run?")
    parser.add_argument("--out", type=Path, help="folder of the results; benchmarks/results")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well")
    parser.add_argument(
        "--most-seconds", type=float, default=90.0, help="a case; what takes longer is cut short"
    )
    chosen = parser.parse_args()
    if not chosen.miniature and not torch.cuda.is_available():
        raise SystemExit("No GPU is here. Use --miniature to try the script out on a CPU.")
    # Before cuBLAS is first used: without it two equal products may differ.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    sizes = MINIATURE if chosen.miniature else FULL
    circumstances = conditions(cuda=str(torch.version.cuda))
    out: Path | None = chosen.out or (None if chosen.miniature else RESULTS)
    found: dict[str, Any] = {}
    for so_far in measure(sizes, chosen.most_seconds, chosen.compile):
        found = circumstances | so_far
        if out is not None:  # each time: what comes next may end the process
            path = result_path(out, "gpu-train", found, ".json")
            path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            text = f"{as_lines(circumstances)}\n\n{as_tables(found)}\n"
            path.with_suffix(".md").write_text(f"# Training on a GPU\n\n{text}", encoding="utf-8")
    print(f"{as_lines(circumstances)}\n\n{as_tables(found)}\n")
    if out is not None:
        print(f"written: {path} and .md")
    missed = [check for check in found["checks"] if not check["holds"]]
    if missed or any(FAILED in line for line in found["skipped"]):
        raise SystemExit("A check was missed, or something failed.")


if __name__ == "__main__":
    main()
