"""What an echocardiogram may measure: names, units, and which values a heart can have.

Owns these, because one room reads the table of echocardiograms and another judges it. (pure)
"""

from collections.abc import Mapping
from dataclasses import dataclass

Interval = tuple[float, float]
"""What is known of a value: the least and the greatest it may be. A report says 55-60 %, or > 60 %,
and "mild to moderate"; a plain number is an interval of no width."""

Measured = Mapping[str, Interval]
"""What one echocardiogram says, by measurement, in its first unit. What it does not say is not in
it."""


@dataclass(frozen=True)
class Unit:
    """A unit in which a measurement may be written."""

    written: str
    """In a cell: m/s."""

    suffix: str
    """In a column's name, behind the measurement's: tr_vmax_m_s; '' if there is no unit."""

    size: float = 1.0
    """In the measurement's first unit."""


@dataclass(frozen=True)
class Measurement:
    """A quantity, or a grade."""

    name: str
    units: tuple[Unit, ...]
    """The first is that in which values are kept; () for a grade."""

    least: float
    """In the first unit. Smaller values, and greater than `most`, are a mistake."""

    most: float

    @property
    def is_grade(self) -> bool:
        """Whether it is a grade: 0 none or normal, 1 mild, 2 moderate, 3 and 4 severe."""
        return not self.units

    @property
    def columns(self) -> dict[str, Unit | None]:
        """The names of its column, each with the unit it states; None if it states none."""
        units = {f"{self.name}_{unit.suffix}": unit for unit in self.units if unit.suffix}
        return {self.name: None, **units}


_MOST_SEVERE = 4.0
_WALL = (Unit("mm", "mm"), Unit("cm", "cm", 10))


def _grade(name: str) -> Measurement:
    return Measurement(name, (), 0, _MOST_SEVERE)


# Where a measurement has two units, no value is possible in both: 4 to 39 mm are 0.4 to 3.9 cm.
MEASUREMENTS: Mapping[str, Measurement] = {
    each.name: each
    for each in (
        Measurement("lvef", (Unit("%", "percent"), Unit("", "fraction", 100)), 5, 90),
        Measurement("ivsd", _WALL, 4, 39),
        Measurement("lvpwd", _WALL, 4, 39),
        Measurement("lvmi", (Unit("g/m2", "g_m2"),), 20, 500),
        Measurement("lavi", (Unit("ml/m2", "ml_m2"),), 5, 300),
        Measurement("e_e_prime", (Unit("", ""),), 1, 100),
        Measurement("pasp", (Unit("mmhg", "mmhg"),), 5, 200),
        Measurement("tr_vmax", (Unit("m/s", "m_s"), Unit("cm/s", "cm_s", 0.01)), 0.5, 7),
        _grade("as_grade"),
        _grade("ar_grade"),
        _grade("mr_grade"),
        _grade("tr_grade"),
        _grade("rv_function"),
        _grade("effusion"),
    )
}

ABOUT = ("patient_id", "echo_at", "report", "paced", "prosthetic_valve")
"""The other columns: whose echocardiogram it is, when it was made, what was written about it, and
what may exclude it."""

COLUMNS: tuple[str, ...] = (
    *ABOUT,
    *(column for each in MEASUREMENTS.values() for column in each.columns),
)
"""Every name that a column may have."""
