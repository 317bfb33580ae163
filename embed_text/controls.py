"""Vectors that know no language, to tell what a language model's are worth.

Owns `text.model: random` and `text.model: one-hot`. A random vector depends on its text alone. With
one-hot each text has an axis of its own, so nothing that is learnt of one text says anything of
another; the axes are those of all texts of an experiment, in the order of their keys. Both are as
long as a vector of independent standard normal numbers, so that a projection meets the same scale.
Pure. n = texts, W = width of a vector.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecgpipe.config.text import Control
from ecgpipe.embed_text.prompts import key_of
from ecgpipe.errors import ModelError

RANDOM_WIDTH = 1024
MOST_AXES = 16_384


def width_of(control: Control, texts: Sequence[str]) -> int:
    """W, for all distinct texts of an experiment.

    Raises:
        ModelError: they are too many for an axis each.
    """
    if control == "random":
        return RANDOM_WIDTH
    if len(texts) > MOST_AXES:
        raise ModelError(
            f"text.model one-hot gives each text an axis of its own, of at most {MOST_AXES:,}; this"
            f" experiment has {len(texts):,} distinct texts. Use text.model random."
        )
    return len(texts)


def control_vectors(
    control: Control, texts: Sequence[str], of_all: Sequence[str]
) -> npt.NDArray[np.float32]:
    """(n, W) the vectors of some texts.

    Args:
        control: random or one-hot.
        texts: whose vectors are wanted.
        of_all: all distinct texts of the experiment, in any order.

    Raises:
        ModelError: as `width_of`.
    """
    width = width_of(control, of_all)
    vectors_nW = np.zeros((len(texts), width), np.float32)
    if control == "random":
        for row, text in enumerate(texts):
            seed = int.from_bytes(key_of(text), "big")
            vectors_nW[row] = np.random.default_rng(seed).standard_normal(width)
        return vectors_nW
    axis_of = {text: axis for axis, text in enumerate(sorted(of_all, key=key_of))}
    vectors_nW[np.arange(len(texts)), [axis_of[text] for text in texts]] = width**0.5
    return vectors_nW
