"""What a stage returns: a line for people and values for programs; and how a sweep ends.

Owns the exit code of several runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ecgpipe.errors import ConfigError, EcgpipeError


@dataclass(frozen=True)
class StageResult:
    """The end of one stage."""

    stage: str
    did_work: bool
    line: str
    """What was done, or why there was nothing to do."""

    summary: dict[str, Any] = field(default_factory=dict)
    """The same for programs: counts, paths, metrics."""


Results = Mapping[str, StageResult | Exception]
"""How each run of a sweep ended, by its name."""


def without_frames(error: Exception) -> Exception:
    """Drop the traceback of an error kept until the sweep ends: its frames hold the model."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def raise_failures(ended: Results) -> None:
    """End the command with one error if some runs failed.

    Raises:
        ConfigError: they all failed because of their settings.
        EcgpipeError: they failed for other reasons.
    """
    failed = {name: error for name, error in ended.items() if isinstance(error, Exception)}
    if failed:
        only_settings = all(isinstance(error, ConfigError) for error in failed.values())
        raise (ConfigError if only_settings else EcgpipeError)(
            f"{len(failed)} of {len(ended)} runs failed, for the reasons above: "
            f"{', '.join(failed)}. The others are done."
        )
