"""How many operations one training step hands to the device, by preset and by part of the step.

On a GPU with small batches, launching costs more than computing, and the number of operations is
the same on every device: so it can be watched without a GPU. What launches nothing (views, empty
memory, marks for a profiler) is counted apart. One step of bfloat16 after two that warm up, so that
the optimiser has its state.

    python -m benchmarks.operation_count [--names]
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu.train_data import MINIATURE, model_shape, training_data
from benchmarks.report import as_lines, conditions, table
from ecgpipe.config.presets import PRESETS
from ecgpipe.config.train import AugmentConfig, TrainConfig
from ecgpipe.train_ecg.loop.accelerator import make_accelerator
from ecgpipe.train_ecg.loop.step import Step
from ecgpipe.train_ecg.loop.training import set_up

PARTS = ("epoch", "inputs", "forward", "backward", "update", "check")
_MEANING = {
    "epoch": "once an epoch: texts and random keys",
    "inputs": "millivolts, augmentation, normalisation",
    "forward": "encoder, projections, loss",
    "backward": "gradients",
    "update": "gradient norm, AdamW",
    "check": "every train.log_every steps: are the weights finite",
}
_RECORDS = 16
_IDLE = " (launches nothing)"
_LAUNCH_NOTHING = ("aten.empty", "aten.new_empty", "profiler.")


class _Recorder(TorchDispatchMode):
    """Counts every operation below autograd and autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, operation: Any, types: Any, given: Any = (), named: Any = None
    ) -> Any:
        name = str(operation)
        idle = operation.is_view or name.startswith(_LAUNCH_NOTHING)
        self.seen[f"{name}{_IDLE if idle else ''}"] += 1
        return operation(*given, **(named or {}))


def operations(work: Callable[[], object]) -> Counter[str]:
    """How often `work` calls each aten operation; names of those that launch nothing end so."""
    with _Recorder() as recorder:
        work()
    return recorder.seen


def launching(seen: Counter[str]) -> int:
    """How many of the operations launch something on a GPU."""
    return sum(number for name, number in seen.items() if not name.endswith(_IDLE))


def preset_config(preset: str, **more: Any) -> TrainConfig:
    """A preset's settings, on small batches of bfloat16, and what else is given."""
    settings = PRESETS[preset] | {"global_batch_size": _RECORDS, "precision": "bfloat16"}
    augment = AugmentConfig(**settings.pop("augment", {}))
    return TrainConfig(**{"augment": augment} | settings | more)


def operations_of_step(config: TrainConfig) -> dict[str, Counter[str]]:
    """The operations of one step by part, of simulated signals of a second; `PARTS` are its keys.

    Neither the number of samples nor, but for `text: all_findings`, that of texts changes them.
    """
    data = training_data(MINIATURE, config.text, config.global_batch_size)
    shape = model_shape(config, MINIATURE)
    step, signals = set_up(config, shape, data, make_accelerator())
    step.model.train()
    seen = {"epoch": operations(lambda: step.begin_epoch(0))}
    places = np.arange(config.global_batch_size)
    signal_BLS = signals.gather(places).to(step.device)
    places_B = torch.from_numpy(places).to(step.device)
    for _ in range(2):
        step(signal_BLS, places_B)
    return seen | _parts(step, signal_BLS, places_B)


def _parts(step: Step, signal_BLS: torch.Tensor, places_B: torch.Tensor) -> dict[str, Counter[str]]:
    with _Recorder() as inputs:
        input_BLS = step.inputs(signal_BLS, places_B)
    with _Recorder() as forward:
        result = step.forward(input_BLS, places_B)
    return {
        "inputs": inputs.seen,
        "forward": forward.seen,
        "backward": operations(lambda: step.backward(result)),
        "update": operations(step.update),
        "check": operations(step.weights_are_finite),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description="Operations of one training step.")
    parser.add_argument("--names", action="store_true", help="Also the most frequent of each part.")
    parser.add_argument("--miniature", action="store_true", help="As always: it takes seconds.")
    options = parser.parse_args(arguments)
    found = {preset: operations_of_step(preset_config(preset)) for preset in PRESETS}
    rows = [
        [
            part,
            *(
                f"{launching(found[preset][part])} + {_idle(found[preset][part])}"
                for preset in PRESETS
            ),
            _MEANING[part],
        ]
        for part in PARTS
    ]
    print("Operations that launch something + those that do not:")
    print(table(["part", *PRESETS, "what"], rows))
    if options.names:
        for preset, parts in found.items():
            for part, seen in parts.items():
                most = ", ".join(f"{name} {number}" for name, number in seen.most_common(12))
                print(f"{preset}, {part}: {most}")
    print(as_lines(conditions()))


def _idle(seen: Counter[str]) -> int:
    return seen.total() - launching(seen)


if __name__ == "__main__":
    main()
