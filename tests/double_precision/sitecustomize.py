"""Without a network as in no_network, and training and scoring compute in float64.

So that what several processes train can be held against what one trains without rounding between
them. Everything else, the language model too, computes as ever.
"""

import importlib.util
import sys
from pathlib import Path

_path = Path(__file__).parents[1] / "no_network" / "sitecustomize.py"
_spec = importlib.util.spec_from_file_location("no_network", _path)
assert _spec is not None
assert _spec.loader is not None
_module = sys.modules["no_network"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

if {"train", "eval"} & set(sys.orig_argv):
    import torch

    torch.set_default_dtype(torch.float64)
