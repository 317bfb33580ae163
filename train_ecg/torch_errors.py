"""Torch's errors about memory and lost processes, in words for the person who must fix them.

Everything else that torch raises is a bug of ours and is left as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ecgpipe.config.train import TrainConfig
from ecgpipe.errors import EcgpipeError

# The allocator of main memory has no exception of its own.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
# gloo raises a plain RuntimeError that names the place in its source.
_LOST_PROCESS = ("gloo/", "Connection closed by peer", "Connection reset by peer")


@contextmanager
def translate_torch_errors(config: TrainConfig, processes: int) -> Iterator[None]:
    """Raise such an error of the block as an `EcgpipeError`.

    Args:
        config: the settings, one of which is too large if memory runs out.
        processes: how many train together.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise EcgpipeError(_too_small("The GPU's memory", config)) from error
    except MemoryError as error:
        raise EcgpipeError(_too_small("This machine's memory", config)) from error
    except RuntimeError as error:
        if any(words in str(error) for words in _NO_MEMORY):
            raise EcgpipeError(_too_small("This machine's memory", config)) from error
        if processes > 1 and _is_lost_process(error):
            first_line = str(error).strip().partition("\n")[0].rstrip(".")
            raise EcgpipeError(
                f"Another of the {processes} processes can no longer be reached, so this one cannot"
                " continue. Most likely it has ended, and its own message says why; here it was:"
                f" {first_line}. What was saved is kept: run the same command again."
            ) from error
        raise


def _is_lost_process(error: RuntimeError) -> bool:
    known = isinstance(error, torch.distributed.DistError)
    return known or any(words in str(error) for words in _LOST_PROCESS)


def _too_small(memory: str, config: TrainConfig) -> str:
    return (
        f"{memory} is too small for {config.encoder} with train.global_batch_size"
        f" {config.global_batch_size}, train.projection_dim {config.projection_dim} and"
        f" train.placement {config.placement}. What was saved is kept. Make one of them smaller,"
        " set train.placement=stream, or free memory that another program holds."
    )
