"""How busy the device is, by hand."""

import pytest

from ecgpipe.embed_text.throughput import Throughput, peak_flops


def test_utilisation_counts_real_tokens_only() -> None:
    meter = Throughput(flops_per_token=16e9, peak_flops=989e12)
    meter.add(texts=100, tokens=3000, computed_tokens=4096)
    meter.add(texts=100, tokens=3000, computed_tokens=4096)
    # 6,000 tokens x 16 GFLOP in 0.2 s are 480 TFLOP/s.
    assert meter.utilisation(0.2) == pytest.approx(480 / 989)
    assert meter.padding_share == pytest.approx(1 - 6000 / 8192)
    assert meter.note(0.2) == "1,000.0 texts/s, padding 27%, 49% of the GPU's peak"


def test_an_unknown_device_has_no_peak() -> None:
    meter = Throughput(16e9, peak_flops("cpu", "bfloat16"))
    assert meter.utilisation(1.0) is None
    assert meter.note(0.0) == "padding 0%"


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 9.89e14),
        ("NVIDIA GH200 480GB", 9.9e14),
        ("NVIDIA H100 PCIe", 7.56e14),
        ("NVIDIA H100 80GB HBM3", 9.89e14),
        ("NVIDIA A100-SXM4-80GB", 3.12e14),
        ("NVIDIA L40S", 3.62e14),
        ("NVIDIA L4", 1.21e14),
        ("NVIDIA A40", 1.5e14),
        ("Tesla T4", None),
    ],
)
def test_the_peak_is_the_data_sheets(name: str, peak: float | None) -> None:
    assert peak_flops(name, "bfloat16") == peak
    assert peak_flops(name, "float32") is None
