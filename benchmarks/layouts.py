"""The paper's encoder in one dimension, and as images of height 1 with channels side by side.

ResNet1d-18 on 12 leads, forward and backward, in float32 and bfloat16, for windows of 5000 and 1000
samples. The same weights, in turn, in one process, medians. Beside it the stem, with its pooling
and without.

    OMP_NUM_THREADS=1 python -m benchmarks.layouts
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from benchmarks.report import as_lines, conditions, table, verdict
from ecgpipe.train_ecg.encoders.layers import Convolution, as_image
from ecgpipe.train_ecg.encoders.resnet1d import ResNet1d, resnet1d18

Part = Callable[[ResNet1d, torch.Tensor], torch.Tensor]

PARTS: dict[str, Part] = {
    "the encoder": lambda model, signal: model.stages(model.stem(signal)),
    "convolution, norm, ReLU of the stem": lambda model, signal: model.stem[:3](signal),
    "the stem with its pooling": lambda model, signal: model.stem(signal),
}


def in_one_dimension(model: ResNet1d) -> ResNet1d:
    """The same weights in PyTorch's layers for signals; it takes (B, L, S)."""
    plain = copy.deepcopy(model)
    for name, layer in list(plain.named_modules()):
        parent, _, last = name.rpartition(".")
        if isinstance(layer, Convolution):
            other: nn.Module = nn.Conv1d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size[0],
                layer.stride[0],
                layer.kernel_size[0] // 2,
                bias=False,
            )
        elif isinstance(layer, nn.BatchNorm2d):
            other = nn.BatchNorm1d(layer.num_features)
        elif isinstance(layer, nn.MaxPool2d):
            other = nn.MaxPool1d(3, 2, 1)
        else:
            continue
        other.load_state_dict(layer.state_dict())
        setattr(plain.get_submodule(parent), last, other)
    return plain


def milliseconds(part: Part, model: ResNet1d, signal: torch.Tensor, half: bool) -> float:
    """Forward and backward, once."""
    model.zero_grad(set_to_none=True)
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        features = part(model, signal)
    features.float().square().mean().backward()
    return 1000 * (time.perf_counter() - started)


def compare(part: Part, samples: int, batch: int, half: bool, rounds: int) -> tuple[float, float]:
    """Median milliseconds in one dimension and as images."""
    torch.manual_seed(0)
    images = resnet1d18(12).train()
    plain = in_one_dimension(images)
    signal = torch.randn(batch, 12, samples)
    ways = [(plain, signal), (images, as_image(signal))]
    found: list[list[float]] = [[], []]
    for _ in range(rounds + 1):
        for times, (model, given) in zip(found, ways, strict=True):
            times.append(milliseconds(part, model, given, half))
    one, two = (statistics.median(times[1:]) for times in found)  # the first warms up
    return one, two


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--samples", type=int, nargs="+", default=(5000, 1000))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--miniature", action="store_true", help="Small and soon done, for CI.")
    options = parser.parse_args(arguments)
    if options.miniature:
        options.batch, options.samples, options.rounds = 2, (64,), 1
    print(f"ResNet1d-18, batch {options.batch}, {torch.get_num_threads()} threads")
    rows, verdicts = [], []
    for samples in options.samples:
        for half in (False, True):
            precision = "bfloat16" if half else "float32"
            for name, part in PARTS.items():
                one, two = compare(part, samples, options.batch, half, options.rounds)
                cells = [f"{one:,.1f}", f"{two:,.1f}", f"{one / two:.2f}"]
                rows.append([name, f"12 x {samples}", precision, *cells])
                if name == "the encoder":
                    what = f"{precision}, 12 x {samples}: one dimension to images"
                    verdicts.append(verdict(what, one / two, 1.0))
    header = ["what", "window", "precision", "ms, one dimension", "ms, images", "ratio"]
    print(table(header, rows))
    print("\n".join(verdicts))
    print(as_lines(conditions()))


if __name__ == "__main__":
    main()
