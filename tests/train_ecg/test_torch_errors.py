"""What torch raises when memory runs out or a process is lost, in plain words."""

import pytest
import torch

from ecgpipe.config.train import TrainConfig
from ecgpipe.errors import EcgpipeError
from ecgpipe.train_ecg.torch_errors import translate_torch_errors

CONFIG = TrainConfig(global_batch_size=4096)


def test_main_memory_that_is_too_small_names_what_is_large() -> None:
    """The allocator's own message, of a tensor that no machine holds."""
    with (
        pytest.raises(EcgpipeError, match=r"train\.global_batch_size 4096"),
        translate_torch_errors(CONFIG, 1),
    ):
        torch.empty(2**58)
    with (
        pytest.raises(EcgpipeError, match="This machine's memory"),
        translate_torch_errors(CONFIG, 1),
    ):
        raise MemoryError


def test_a_gpu_that_is_too_small_is_no_traceback() -> None:
    with (
        pytest.raises(EcgpipeError, match="GPU's memory is too small"),
        translate_torch_errors(CONFIG, 1),
    ):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize(
    "error",
    [
        torch.distributed.DistBackendError("NCCL communicator was aborted"),
        RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed"),
    ],
)
def test_a_lost_process_is_reported_by_those_that_wait(error: RuntimeError) -> None:
    with (
        pytest.raises(EcgpipeError, match="Another of the 2 processes") as met,
        translate_torch_errors(CONFIG, 2),
    ):
        raise error
    assert str(error) in str(met.value)
    with pytest.raises(RuntimeError), translate_torch_errors(CONFIG, 1):
        raise error


def test_bugs_are_not_translated() -> None:
    with pytest.raises(RuntimeError, match="shapes"), translate_torch_errors(CONFIG, 2):
        raise RuntimeError("the shapes do not fit")
