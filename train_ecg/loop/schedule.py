"""The learning rate of every step: a pure function, so a resumed run needs no state for it."""

import math

from ecgpipe.config.train import TrainConfig


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step, counted from 0 over all epochs.

    It rises linearly over config.warmup_epochs; then it is constant, or falls along half a cosine
    to 0 after the last step.
    """
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / (math.floor(warmup) + 1)
    if config.schedule == "constant":
        return config.lr
    whole = config.epochs * steps_per_epoch - warmup
    return config.lr * (1 + math.cos(math.pi * min((step - warmup) / whole, 1))) / 2
