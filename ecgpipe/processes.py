"""Which of several processes this one is.

Owns the reading of what a launcher (torchrun, accelerate) says in the environment. Only the first
process writes what all share and speaks to people.
"""

import os


def rank() -> int:
    """The number of this process among those that train together; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return rank() == 0
