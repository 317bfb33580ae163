"""Which records form which batch: a pure function of seed and epoch.

Owns the order, so that a resumed run sees what an undisturbed one would have seen.
"""

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]


def epoch_batches(n_records: int, global_batch_size: int, seed: int, epoch: int) -> Places:
    """The batches of one epoch, over all processes.

    Args:
        n_records: records in the training split.
        global_batch_size: rows of a batch over all processes.
        seed: of the run.
        epoch: counted from 0.

    Returns:
        (batches, global_batch_size) places in the training split. What does not fill a batch is
        left out of this epoch; another epoch leaves out others.
    """
    order = np.random.default_rng([seed, epoch]).permutation(n_records)
    n_batches = n_records // global_batch_size
    batches: Places = order[: n_batches * global_batch_size].reshape(n_batches, global_batch_size)
    return batches
