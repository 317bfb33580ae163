"""What drives the processes of a run, and the group in which they talk to each other.

Owns accelerate's object, and when the group ends: at exit, or never after an error.
"""

import atexit
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from ecgpipe.errors import StoppedEarly
from ecgpipe.torch_device import ready

# How long processes wait for each other. Between two runs of a sweep the others wait for the first
# to evaluate; without a launcher that ends them, they wait as long for one that has failed.
_LONGEST_WAIT = timedelta(minutes=30)


def make_accelerator() -> Accelerator:
    """What drives one or many processes, on GPUs where there are any.

    Mixed precision is off here, since the step does it: a default of `accelerate launch` would add
    loss scaling, which waits for the device in every step.
    """
    if torch.distributed.is_available():
        # The optimiser imports this module. Its functions keep the process group that exists at
        # import as their default for ever, so import it before there is one.
        importlib.import_module("torch.distributed.nn.functional")
    waits = InitProcessGroupKwargs(timeout=_LONGEST_WAIT)
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(), mixed_precision="no", kwargs_handlers=[waits]
    )
    ready(accelerator.device)
    return accelerator


@atexit.register
def _close_group() -> None:
    """Leave the process group, at exit since a sweep trains again.

    If the group is still open when the interpreter ends, a gloo thread that frees its last tensor
    can abort the process, and the scheduler would see that instead of exit code 75.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def group_left_open_after_errors() -> Iterator[None]:
    """After an error leave the group open: destroy_process_group can block."""
    try:
        yield
    except StoppedEarly:  # all processes agreed to stop
        raise
    except BaseException:
        atexit.unregister(_close_group)
        raise
