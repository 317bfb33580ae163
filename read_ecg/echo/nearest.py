"""Which echocardiogram belongs to an ECG: the one nearest in time of the same patient.

Owns the order: the smallest distance first; of two at the same distance the one that measured more,
then one with a report, then the earlier. One echocardiogram may belong to several ECGs. (pure)
"""

from collections.abc import Iterable

from ecgpipe.config.echo import Nearest
from ecgpipe.read_ecg.echo.echo_table import Echo
from ecgpipe.read_ecg.echo.moment import Moment, days_between

_DAYS_A_YEAR = 365.25


def find_nearest(
    recorded: Moment, echos: Iterable[Echo], nearest: Nearest
) -> tuple[Echo, float] | None:
    """The echocardiogram nearest to an ECG, and its distance in days.

    Args:
        recorded: when the ECG was.
        echos: those of the same patient.
        nearest: which may be chosen. One of the same day, if a clock is not known, is both before
            and after.

    Returns:
        None if there is none. The distance is never negative.
    """
    found = [
        (abs(days), -len(echo.measured), echo.report is None, echo.made.at, number, echo)
        for number, echo in enumerate(echos)
        if _may_be((days := days_between(recorded, echo.made)), nearest)
    ]
    if not found:
        return None
    days, *_, echo = min(found, key=lambda each: each[:5])
    return echo, days


def is_before_birth(echo: Echo, recorded: Moment, age: float | None) -> bool:
    """Whether an echocardiogram was surely made before its patient was born.

    Args:
        echo: the echocardiogram.
        recorded: when an ECG of the patient was.
        age: at that time, in years; a whole number may be up to a year too small, another up to a
            month.
    """
    if age is None:
        return False
    oldest = age + (1 if age == int(age) else 1 / 12)
    return days_between(echo.made, recorded) > oldest * _DAYS_A_YEAR


def _may_be(days: float, nearest: Nearest) -> bool:
    return nearest == "either" or (days <= 0 if nearest == "before" else days >= 0)
