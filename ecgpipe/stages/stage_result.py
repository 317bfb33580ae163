"""What a stage says when it is done, and how a sweep ends by how its runs ended.

Owns a line for people and values for programs, and the exit code of several runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ecgpipe.errors import ConfigError, EcgpipeError, StoppedEarly


@dataclass(frozen=True)
class Outcome:
    """The end of one stage."""

    stage: str
    did_work: bool
    line: str
    """What happened, or why nothing had to."""

    summary: dict[str, Any] = field(default_factory=dict)
    """The same for programs: counts, paths, figures."""


Results = Mapping[str, Outcome | Exception]
"""How each run of a sweep ended, by its name."""


def without_frames(error: Exception) -> Exception:
    """An error that is kept until a sweep ends, without what it was raised in: models would live on
    in there. One that nobody foresaw keeps where it comes from."""
    if isinstance(error, EcgpipeError | OSError):
        error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def raise_failures(ended: Results) -> None:
    """End the command as the runs ended; nothing where all went well.

    Raises:
        StoppedEarly: some were stopped: started again, the command does what is left.
        ConfigError, EcgpipeError: some failed; the others are done.
        Exception: what nobody foresaw in one of them.
    """
    failed = {name: error for name, error in ended.items() if isinstance(error, Exception)}
    for error in failed.values():
        if not isinstance(error, EcgpipeError | OSError):
            raise error
    stopped = [name for name, error in failed.items() if isinstance(error, StoppedEarly)]
    if stopped:
        raise StoppedEarly(
            f"{len(stopped)} of {len(ended)} runs were stopped; all they did is saved. Run the same"
            " command again to go on."
        )
    if failed:
        only_settings = all(isinstance(error, ConfigError) for error in failed.values())
        raise (ConfigError if only_settings else EcgpipeError)(
            f"{len(failed)} of {len(ended)} runs failed, for the reasons above: "
            f"{', '.join(failed)}. The others are done."
        )
