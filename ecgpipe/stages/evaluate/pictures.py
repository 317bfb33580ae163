"""The example ECGs of an evaluation, drawn.

Owns where their signals come from and the size of the drawings; `examples` chose the ECGs.
"""

from collections.abc import Iterable

import numpy as np

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.drawing.ecg_chart import SHOWN_S, Ecg
from ecgpipe.drawing.ecg_sheet import chart_sheet
from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.rendering import render
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord
from ecgpipe.read_ecg.signal.window import in_millivolts
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.show.records import shown_part

_DPI = 118  # 1,270 pixels: as wide as a page shows, and sharp when printed on half a sheet


def example_pictures(
    experiment: Experiment, records: RecordsTable, record_ids: Iterable[str]
) -> dict[str, bytes]:
    """A PNG of each of these records, by record id.

    Raises:
        StoreError: the signal store is damaged.
    """
    slot_of = {record.record_id: record.slot for record in records.records}
    language = experiment.config.text.language
    fonts = find_fonts()
    pictures = {}
    for record_id in dict.fromkeys(record_ids):
        window_uv = experiment.signals.read(np.array([slot_of[record_id]]))[0]
        rate_hz = float(experiment.config.data.rate_hz)
        part, _ = shown_part(EcgRecord(in_millivolts(window_uv), rate_hz), 0.0, SHOWN_S)
        sheet = chart_sheet(Ecg(part.signal_mv, part.rate_hz, LEADS), language)
        pictures[record_id] = render(sheet, fonts, "png", _DPI)
    return pictures
