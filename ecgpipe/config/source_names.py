"""What the sources of an experiment are called.

Owns the names of sources that nobody named. Every name means one source. (pure)
"""

from collections import Counter
from collections.abc import Sequence

from ecgpipe.config.settings import need


def distinct_names(
    named: Sequence[bool], names: Sequence[str], folders: Sequence[Sequence[str]]
) -> tuple[str, ...]:
    """The names of all sources, no two alike.

    A name that was given stays. Others that are alike get as many of the folders they lie in as
    tell them apart: 2023/records and 2024/records.

    Args:
        named: (n,) whether a source's name was given.
        names: (n,) the names, some of which may be alike.
        folders: (n,) the folders each source lies in, the outermost first.

    Raises:
        ValueError: two are alike whatever their folders.
    """
    found, depth = list(names), 0
    while alike := {name for name, count in Counter(found).items() if count > 1}:
        depth += 1
        longer = [
            name if given or name not in alike else "/".join((*within[-depth:], own))
            for name, given, own, within in zip(found, named, names, folders, strict=True)
        ]
        need(
            longer != found,
            f"two sources are called {min(alike)!r}: give each a `name` of its own",
        )
        found = longer
    return tuple(found)
