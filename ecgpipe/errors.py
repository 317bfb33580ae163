"""The errors that a user can fix, as one short tree of exceptions.

Owns the exit codes. An `EcgpipeError` says where, what was found, what was expected, and what to
do; the command line shows it as one paragraph without a traceback. A `ValueError` is a caller's bad
argument, and a failed `assert` our own mistake.
"""


class EcgpipeError(Exception):
    """Something the user must fix; shown without a traceback."""

    exit_code = 1


class ConfigError(EcgpipeError):
    """pipeline.yaml or a command-line option asks for something that does not exist."""

    exit_code = 2


class SourceError(EcgpipeError):
    """A table or data set as a whole cannot be used."""


class RecordError(EcgpipeError):
    """One recording cannot be used; the others are still read.

    `reason` is one short word from `ecgpipe.read_ecg.signal.record.Reason`, by which rejections are
    counted.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TaxonomyError(EcgpipeError):
    """A list of findings, or a task over it, is malformed or names something unknown."""


class ComparisonError(EcgpipeError):
    """Runs that cannot be compared: different ECGs or classes, or not evaluated."""


class StoreError(EcgpipeError):
    """A store on disk is incomplete, damaged, not ours, or cannot be written."""


class BusyError(StoreError):
    """Another process does this work already."""


class CacheMismatchError(StoreError):
    """Text vectors were made by a different model or under different settings."""


class ModelError(EcgpipeError):
    """A language model cannot be found, trusted or loaded."""


class CheckpointError(StoreError):
    """A checkpoint or trained model is damaged, or belongs to another run."""


class QueueError(EcgpipeError):
    """A scheduler did not take a job."""


class StoppedEarly(EcgpipeError):
    """Stopped on request, with all finished work saved. Start the command again."""

    exit_code = 75
