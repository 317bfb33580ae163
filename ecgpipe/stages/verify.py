"""verify: whether all stored data of an experiment are unchanged since they were written.

Owns the order (signals, records table, text vectors), and that damage in one does not hide damage
in another.
"""

from pathlib import Path

from ecgpipe.cache.records_table import read_records
from ecgpipe.cache.signals.verify import VerifiedSignals, count_shards, verify_signals
from ecgpipe.errors import StoreError
from ecgpipe.progress import progress
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.stages.vectors import verify_vectors

_MOST_NAMED = 100


def run_verify(experiment: Experiment, quarantine: bool) -> StageResult:
    """Check every signal, the records table and every text vector.

    Args:
        experiment: the experiment whose data are checked.
        quarantine: whether bad vector parts are moved aside. Signals are never moved.

    Raises:
        StoreError: something is damaged or missing; the message names shard, slot and record.
    """
    folder = experiment.find_signals()
    table = experiment.workspace.records(experiment.inputs_digest)
    found = _signals(folder)
    if not found.unfinished:
        try:
            read_records(table)
        except StoreError as error:
            found.problems.append(str(error))
    line = _signals_line(found, folder, table)
    if found.unfinished or not experiment.workspace.embeddings.exists():
        if found.problems:
            raise StoreError(line)
        summary = {"signals": found.records, "shards": found.shards, "whole": not found.unfinished}
        return StageResult("verify", False, f"{line}; there are no text vectors yet", summary)
    try:
        vectors = verify_vectors(experiment, quarantine)
    except StoreError as error:
        raise StoreError(f"{line}\nText vectors: {error}") from error
    if found.problems:
        raise StoreError(f"{line}\nText vectors: {vectors.line}")
    summary = {"signals": found.records, "shards": found.shards, "whole": True, **vectors.summary}
    return StageResult("verify", False, f"{line}; {vectors.line}", summary)


def _signals(folder: Path) -> VerifiedSignals:
    if not folder.exists():
        raise StoreError(f"{folder} does not exist. Run `ecgpipe prepare`.")
    with progress(f"verify {folder.name}", count_shards(folder), "shards") as tick:
        return verify_signals(folder, tick)


def _signals_line(found: VerifiedSignals, folder: Path, table: Path) -> str:
    if found.problems:
        more = len(found.problems) - _MOST_NAMED
        return "\n  - ".join(
            [
                f"{len(found.problems):,} problems in {folder} or its table of records. Damaged"
                f" signals must be prepared again: remove {folder} and {table}, and run"
                " `ecgpipe prepare`.",
                *found.problems[:_MOST_NAMED],
                *([f"and {more:,} more"] if more > 0 else []),
            ]
        )
    done = f"{found.records:,} signals in {found.shards:,} shards are as they were written"
    if found.unfinished:
        total = count_shards(folder)
        return (
            f"{folder} is unfinished: {found.shards:,} of {total:,} shards are done; {done}. Run"
            " `ecgpipe prepare` to continue"
        )
    return done
