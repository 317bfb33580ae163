"""The ECGs that a command line asks about, from files, a table, or the experiment's own sources.

Owns the choice among the three.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ecgpipe.apply_model.recordings import Input, each_once, inputs_of, inputs_of_table
from ecgpipe.errors import ConfigError, RecordError, SourceError
from ecgpipe.read_ecg.datasets.adapters import planned_rows, read_source
from ecgpipe.read_ecg.datasets.source import recording_path
from ecgpipe.read_ecg.prepare.shard_job import read_planned

if TYPE_CHECKING:
    from ecgpipe.stages.experiment import Experiment


def choose_inputs(
    names: Sequence[str],
    table: Path | None,
    root: Path | None,
    split: str | None,
    open_experiment: "Callable[[], Experiment] | None",
) -> Callable[[], Iterator[Input]]:
    """The inputs that are named; each call begins anew.

    Args:
        names: files, folders and patterns.
        table: with record_id and path.
        root: what the table's paths are relative to; None for its folder.
        split: of the experiment's records; None for all.
        open_experiment: opens the experiment, whose rows are taken if nothing else is named.

    Raises:
        ConfigError: none of them is named, or several are.
    """
    if names and table is not None:
        raise ConfigError("Name recordings or --table, not both.")
    if (names or table is not None) and split is not None:
        raise ConfigError("--split chooses among the records of -c; leave out INPUT and --table.")
    if root is not None and table is None:
        raise ConfigError("--root belongs to --table: it is what the table's paths start from.")
    if names:
        return partial(inputs_of, names)
    if table is not None:
        return partial(inputs_of_table, table, root)
    if open_experiment is None:
        raise ConfigError(
            "Nothing was named to answer about. Name recordings or folders, a --table with the"
            " columns record_id and path, or an experiment with -c."
        )
    return partial(inputs_of_experiment, open_experiment(), split)


def inputs_of_experiment(experiment: "Experiment", split: str | None) -> Iterator[Input]:
    """The recordings of the experiment's sources. Labels are not looked at.

    Args:
        experiment: whose data.sources are read.
        split: only records of this split, which `prepare` has drawn; None for all.

    Raises:
        SourceError: a table is missing, or no record is left.
        StoreError: a split is asked for, and nothing is prepared.
    """
    chosen = None
    if split is not None:
        chosen = {record.record_id for record in experiment.records.of_split(split).records}
        if not chosen:
            raise SourceError(f"{experiment.config.name} has no record in the split {split}.")
    return each_once(
        given for given in _rows(experiment) if chosen is None or given.record_id in chosen
    )


def _rows(experiment: "Experiment") -> Iterator[Input]:
    config = experiment.config.data
    for settings in config.sources:
        source = planned_rows(read_source(settings), config)
        without_rows = dataclasses.replace(source, rows=())
        small = dataclasses.replace(config, sources=config.sources[:1])
        for row in source.rows:
            try:
                path = str(recording_path(source.root, row.path))
            except RecordError as error:
                yield Input(row.record_id, row.path, None, f"{row.place}: {error}")
                continue
            name = path if row.start_s is None else f"{path} from {row.start_s:g} s"
            read = partial(read_planned, row, without_rows, small)
            yield Input(row.record_id, name, read, patient_id=row.patient_id)
