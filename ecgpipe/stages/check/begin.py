"""Check the model that training is to begin with: `train.init_from`.

Owns that every row of a patient who may not be learnt from, or judged by, is named by its place.
"""

from collections.abc import Iterator, Sequence

from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import EcgpipeError
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stages.check.report import Problem, Severity, counted
from ecgpipe.stages.check.table_rows import CheckedRow
from ecgpipe.stages.init_from import SourceModel, find_leaks, find_source, leaks_in_words


def begin_problems(rows: Sequence[CheckedRow], config: PipelineConfig) -> Iterator[Problem]:
    """What stands against beginning with the model of train.init_from, if one is named."""
    folder = config.train.init_from
    if folder is None:
        return
    try:
        source = find_source(folder)
        source.check_files()
        _check_shape(source, config)
        seen = source.patients()
    except EcgpipeError as error:
        yield Problem(Severity.STOPS, "init_from", str(error))
        return
    usable = [checked for checked in rows if checked.reason is None]
    leaks = find_leaks(((checked.row.patient_id, checked.split) for checked in usable), seen)
    for patients, what, fix in leaks_in_words(leaks):
        found = [checked for checked in usable if checked.row.patient_id in patients]
        summary = f"{counted(len(found), 'ECG')} of {counted(len(patients), 'patient')}: {what}"
        places = tuple(checked.example() for checked in found)
        yield Problem(Severity.STOPS, "init_from", summary, fix, places)


def _check_shape(source: SourceModel, config: PipelineConfig) -> None:
    # Imported here because torch takes seconds, and few runs begin with another model.
    from ecgpipe.train_ecg.starting_point import check_same_shape
    from ecgpipe.train_ecg.two_towers import ModelShape

    shape = ModelShape(**source.shape)
    data, width = config.data, shape.text_width
    wanted = ModelShape.of(config.train, len(LEADS), data.samples, data.rate_hz, width)
    check_same_shape(str(source.folder), shape, wanted)
