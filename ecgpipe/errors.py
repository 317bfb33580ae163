"""What can go wrong for a person, as one short tree of exceptions.

Owns the exit codes. An `EcgpipeError` is written for the person who must mend it: where, what was
met, what was wanted, what to do. The command line shows it as one paragraph and no traceback. A
`ValueError` stays what it is elsewhere, a caller's bad argument, and an `assert` our own mistake.
"""


class EcgpipeError(Exception):
    """Something a person must mend; shown without a traceback."""

    exit_code = 1


class ConfigError(EcgpipeError):
    """pipeline.yaml or a command-line option asks for something that does not exist."""

    exit_code = 2


class SourceError(EcgpipeError):
    """A table or data set as a whole cannot be used."""


class RecordError(EcgpipeError):
    """One recording cannot be used; the others go on.

    `reason` is one short word from `ecgpipe.read_ecg.signal.record.Reason`, so that rejections can
    be counted; the message says the rest.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TaxonomyError(EcgpipeError):
    """A list of findings, or a task over it, is malformed or names something unknown."""


class ComparisonError(EcgpipeError):
    """Runs that do not compare: other ECGs, other classes, or not evaluated."""


class StoreError(EcgpipeError):
    """A store on disk is incomplete, damaged, foreign, or cannot be written."""


class CacheMismatchError(StoreError):
    """Text vectors were made by another model or another setting than the one asked for."""


class ModelError(EcgpipeError):
    """A language model cannot be found, trusted or loaded."""


class CheckpointError(StoreError):
    """A checkpoint or trained model is damaged, or belongs to another run."""


class QueueError(EcgpipeError):
    """A scheduler did not take a job."""


class StoppedEarly(EcgpipeError):
    """A signal asked us to stop; everything finished is saved. Start the command again."""

    exit_code = 75
