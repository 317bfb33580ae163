"""The device that torch computes on, and what must not run there. There is no GPU here: fakes."""

import pytest
import torch

from ecgpipe.torch_device import own_device, ready


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is asked of torch.cuda, on a machine with four GPUs."""
    asked: list[object] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "init", lambda: asked.append("init"))
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    monkeypatch.setattr(
        torch.backends.cuda, "enable_cudnn_sdp", lambda on: asked.append(("cudnn attention", on))
    )
    return asked


def test_attention_never_runs_in_cudnn_once_cuda_has_started(calls: list[object]) -> None:
    ready(torch.device("cuda", 0))
    assert calls == ["init", ("cudnn attention", False)]


def test_each_process_takes_its_own_gpu_and_pins_its_attention(
    calls: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "6")
    assert own_device() == torch.device("cuda", 2)
    assert calls == [torch.device("cuda", 2), "init", ("cudnn attention", False)]


def test_without_a_gpu_nothing_is_asked_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", lambda: pytest.fail("CUDA was started"))
    assert own_device() == ready(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_real_gpu_cudnn_attention_is_off() -> None:
    own_device()
    assert not torch.backends.cuda.cudnn_sdp_enabled()
