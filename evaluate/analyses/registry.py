"""Which analyses there are, in the order of the report.

Owns the names that eval.analyses takes. One line each; its words are in its own module.
"""

import difflib
from collections.abc import Iterable, Mapping

from ecgpipe.errors import ConfigError
from ecgpipe.evaluate.analyses import (
    echo,
    examples,
    failures,
    joint_map,
    measurements,
    neighbours,
    probe,
    retrieval,
    robustness,
    subgroups,
    text_space,
)
from ecgpipe.evaluate.analyses.analysis import Analysis
from ecgpipe.evaluate.analyses.unread import unseen, wordings

ANALYSES: Mapping[str, Analysis] = {
    "retrieval": retrieval.ANALYSIS,
    "probe": probe.ANALYSIS,
    "neighbours": neighbours.ANALYSIS,
    "robustness": robustness.ANALYSIS,
    "subgroups": subgroups.ANALYSIS,
    "wordings": wordings.ANALYSIS,
    "unseen": unseen.ANALYSIS,
    "echo": echo.ANALYSIS,
    "measurements": measurements.ANALYSIS,
    "text_space": text_space.ANALYSIS,
    "failures": failures.ANALYSIS,
    "map": joint_map.ANALYSIS,
    "examples": examples.ANALYSIS,
}


def chosen_analyses(names: Iterable[str] | None) -> tuple[str, ...]:
    """The analyses that eval.analyses names, or all of them for None.

    Raises:
        ConfigError: there is none of that name; the nearest is named.
    """
    if names is None:
        return tuple(ANALYSES)
    for name in names:
        if name not in ANALYSES:
            near = difflib.get_close_matches(name, ANALYSES, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"eval.analyses: there is no analysis {name!r}.{hint} Known: {', '.join(ANALYSES)}."
            )
    return tuple(names)
