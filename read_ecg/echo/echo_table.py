"""The rows of a table -> echocardiograms, and what is wrong with them.

Owns the columns, and in which unit each is. A column's name states the unit (ivsd_cm), or its cells
do, or the values tell: no measurement can have the same value in two units. A column in two units
is left out as a whole, because nothing tells which of its values are right.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain

from ecgpipe.config.echo import EchoConfig
from ecgpipe.echo_measurements import ABOUT, MEASUREMENTS, Interval, Measured, Measurement, Unit
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.table_file import Row, TableRows, read_table, require_columns
from ecgpipe.read_ecg.echo.cells import Reading, parse_reading, parse_yes
from ecgpipe.read_ecg.echo.moment import Moment, parse_moment

_NO_PATIENT = "echos without patient_id"
_NO_TIME = "echos without a time"
_SAYS_NOTHING = "echos without a measurement or report"
_EARLIEST = date(1900, 1, 1)  # Excel writes an empty date as that day


@dataclass(frozen=True, kw_only=True, slots=True)
class Echo:
    """One echocardiogram."""

    patient_id: str
    made: Moment
    measured: Measured = field(default_factory=dict)
    report: str | None = None
    """As it was written; it may say whose it is, so it is not for a log."""

    paced: bool | None = None
    """None for unknown."""

    prosthetic_valve: bool | None = None
    place: str = ""
    """Of its row, for messages."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A cell or a row that cannot be used; what it would have said is unknown."""

    what: str
    """The same for all of a kind, such as 'unreadable echo lvef'."""

    place: str
    text: str = ""
    """The cell. It may hold anything, so it is not for a log."""


@dataclass(frozen=True)
class EchoTable:
    """All echocardiograms that can be used, and what cannot."""

    name: str
    echos: Sequence[Echo]
    units: Mapping[str, str]
    """Of each measurement, as it is written in the table; '' for a grade."""

    mixed: Mapping[str, int]
    """How many values each column had that is in two units, and so was left out."""

    faults: Sequence[Fault] = ()

    def left_out(self) -> dict[str, int]:
        """What was left out of the table, and how often."""
        faults = Counter(fault.what for fault in self.faults)
        mixed = {f"echo {name} in two units": n for name, n in self.mixed.items()}
        return mixed | dict(faults)


_STATED = {
    column: (each, unit)
    for each in MEASUREMENTS.values()
    for column, unit in each.columns.items()
    if each.is_grade or unit is not None
}


def read_cells(
    cells: Iterable[tuple[str, str]], place: str
) -> tuple[dict[str, Interval], list[Fault]]:
    """What one echocardiogram measured, in first units, and the cells that cannot be used.

    Args:
        cells: each with the name of its column, which is a grade's or states a unit.
        place: of the row, for messages.
    """
    found: dict[str, Interval] = {}
    faults = []
    for name, cell in cells:
        measurement, stated = _STATED[name]
        try:
            reading = parse_reading(cell, measurement)
        except ValueError:
            faults.append(Fault(f"unreadable echo {name}", place, cell))
            continue
        if reading is None:
            continue
        unit = reading.unit or stated
        value = reading.value if unit is None else _scaled(reading.value, unit, measurement)
        if value is None:
            faults.append(Fault(f"impossible echo {name}", place, cell))
        else:
            found[measurement.name] = value
    return found, faults


@dataclass
class _Column:
    """A measurement's column, of which all rows are needed to know its unit."""

    name: str
    measurement: Measurement
    stated: Unit | None
    readings: dict[int, Reading] = field(default_factory=dict)
    """By row."""

    def unit_of(self, reading: Reading) -> Unit | None:
        """The unit of a value; None if it has none, or is possible in no unit."""
        if reading.unit is not None or self.stated is not None:
            return reading.unit or self.stated
        units = self.measurement.units
        return next((u for u in units if _scaled(reading.value, u, self.measurement)), None)

    def units(self) -> list[Unit]:
        """All units that its values have, in the order of the measurement."""
        found = {self.unit_of(reading) for reading in self.readings.values()}
        if self.stated is not None:
            found.add(self.stated)
        return [unit for unit in self.measurement.units if unit in found]

    def value(self, row: int) -> Interval | None:
        """What a row says, in the measurement's first unit; None if no heart has such a value."""
        reading = self.readings[row]
        if self.measurement.is_grade:
            return reading.value
        unit = self.unit_of(reading)
        return None if unit is None else _scaled(reading.value, unit, self.measurement)


def read_echo_table(config: EchoConfig) -> EchoTable:
    """All echocardiograms of a table. Rows and cells that cannot be used are counted.

    Raises:
        SourceError: the table cannot be read, lacks patient_id, echo_at, a column that the settings
            name, or any measurement and a report, has two columns for one measurement, or says
            nothing at all that is understood.
    """
    table = read_table(config.table, config.sheet)
    names = _names(config, table)
    columns = _columns(config, names)
    faults: list[Fault] = []
    rows = dict(_rows(table, config.table.stem, names, columns, faults))
    mixed = {c.name: len(c.readings) for c in columns if len(c.units()) > 1}
    usable = [column for column in columns if column.name not in mixed]
    values = _values(usable, config.table.stem, faults)
    whole = [replace(echo, measured=values.get(row, {})) for row, echo in rows.items()]
    echos = [echo for echo in whole if echo.measured or echo.report]
    faults += [
        Fault(_SAYS_NOTHING, echo.place) for echo in whole if not echo.measured and not echo.report
    ]
    units = {c.measurement.name: c.units()[0].written if c.units() else "" for c in usable}
    read = EchoTable(config.table.stem, echos, units, mixed, faults)
    if not echos:
        why = ", ".join(f"{what} ({n:,})" for what, n in read.left_out().items())
        raise SourceError(
            f"The table {config.table} says nothing of any echocardiogram: {why}. The first is"
            f" {faults[0].place}. Correct the table (docs/echo.md says what is understood), or"
            " remove data.echo."
        )
    return read


def _names(config: EchoConfig, table: TableRows) -> dict[str, str]:
    """What the table calls each column that it has. Raises SourceError: one is missing."""
    needed = {"patient_id": "patient_id", "echo_at": "echo_at"} | dict(config.columns)
    require_columns(config.table, table, needed.values())
    known = chain(ABOUT, *(each.columns for each in MEASUREMENTS.values()))
    taken = set(needed.values())
    own = {name: name for name in known if name in table.columns and name not in taken}
    return own | needed


def _columns(config: EchoConfig, names: Mapping[str, str]) -> list[_Column]:
    found = []
    for measurement in MEASUREMENTS.values():
        columns = [name for name in measurement.columns if name in names]
        if len(columns) > 1:
            raise SourceError(
                f"The table {config.table} has {' and '.join(columns)} for one measurement. Remove"
                " one of the columns."
            )
        found += [_Column(name, measurement, measurement.columns[name]) for name in columns]
    if not found and "report" not in names:
        raise SourceError(
            f"The table {config.table} has no measurement of echocardiograms and no report. It"
            f" needs report or one of {', '.join(MEASUREMENTS)}; if one is called otherwise, name"
            " it in data.echo.columns."
        )
    return found


def _rows(
    table: TableRows,
    called: str,
    names: Mapping[str, str],
    columns: Sequence[_Column],
    faults: list[Fault],
) -> Iterator[tuple[int, Echo]]:
    """Each row with a patient and a time, by its number, without what it measured; its readings are
    put into the columns."""
    for number, row in table:
        place = _place(number, called)
        patient, written = row[names["patient_id"]], row[names["echo_at"]]
        made = _moment(written)
        if not patient or made is None:
            faults.append(Fault(_NO_TIME if patient else _NO_PATIENT, place, written))
            continue
        for column in columns:
            cell = row[names[column.name]]
            try:
                reading = parse_reading(cell, column.measurement)
            except ValueError:
                faults.append(Fault(f"unreadable echo {column.name}", place, cell))
                continue
            if reading is not None:
                column.readings[number] = reading
        yield (
            number,
            Echo(
                patient_id=patient,
                made=made,
                report=(row[names["report"]] or None) if "report" in names else None,
                paced=_yes("paced", row, names, place, faults),
                prosthetic_valve=_yes("prosthetic_valve", row, names, place, faults),
                place=place,
            ),
        )


def _values(
    columns: Sequence[_Column], called: str, faults: list[Fault]
) -> dict[int, dict[str, Interval]]:
    """By row what it measured, in first units; rows that measured nothing are not in it."""
    found: dict[int, dict[str, Interval]] = {}
    for column in columns:
        for row in column.readings:
            value = column.value(row)
            if value is None:
                faults.append(Fault(f"impossible echo {column.name}", _place(row, called)))
            else:
                found.setdefault(row, {})[column.measurement.name] = value
    return found


def _place(number: int, called: str) -> str:
    return f"row {number} of {called}"


def _moment(cell: str) -> Moment | None:
    try:
        made = parse_moment(cell)
    except ValueError:
        return None
    return made if made.day > _EARLIEST else None


def _yes(
    name: str, row: Row, names: Mapping[str, str], place: str, faults: list[Fault]
) -> bool | None:
    cell = row[names[name]] if name in names else ""
    try:
        return parse_yes(cell)
    except ValueError:
        faults.append(Fault(f"unreadable echo {name}", place, cell))
        return None


def _scaled(value: Interval, unit: Unit, measurement: Measurement) -> Interval | None:
    """A value in the measurement's first unit; None if no heart has it. An open end may be beyond
    the limits: > 60 % has no greatest value."""
    low, high = value[0] * unit.size, value[1] * unit.size
    least, most = measurement.least, measurement.most
    if low == -float("inf"):
        return (low, high) if least <= high <= most else None
    if high == float("inf"):
        return (low, high) if least <= low <= most else None
    return (low, high) if least <= low and high <= most else None
