"""What torch says when memory runs out or another process is gone, for the person who must mend it.

Owns the translation. Everything else that torch raises is a mistake of ours and stays what it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ecgpipe.config.train import TrainConfig
from ecgpipe.errors import EcgpipeError

# What the allocator of main memory says; it has no exception of its own.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
# gloo raises plain RuntimeErrors with the place in its source.
_OTHER_IS_GONE = ("gloo/", "Connection closed by peer", "Connection reset by peer")


@contextmanager
def told(config: TrainConfig, processes: int) -> Iterator[None]:
    """Turn such an error of the block into an `EcgpipeError`.

    Args:
        config: what was asked for, of which something is too large.
        processes: that train together, and have met already.
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
        if processes > 1 and _is_of_others(error):
            raise EcgpipeError(
                f"Another of the {processes} processes cannot be reached any more, so this one"
                " cannot go on. Most likely it has ended, and its own message says why; what was"
                " met here is:"
                f" {_first_line(error)}. What was saved is kept: run the same command again."
            ) from error
        raise


def _is_of_others(error: RuntimeError) -> bool:
    known = isinstance(error, torch.distributed.DistError)
    return known or any(words in str(error) for words in _OTHER_IS_GONE)


def _first_line(error: RuntimeError) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


def _too_small(memory: str, config: TrainConfig) -> str:
    return (
        f"{memory} is too small for {config.encoder} with train.global_batch_size"
        f" {config.global_batch_size}, train.projection_dim {config.projection_dim} and"
        f" train.placement {config.placement}. What was saved is kept. Make one of them smaller, or"
        " take train.placement=stream; or free memory that something else holds."
    )
