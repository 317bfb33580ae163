"""Dates and times as people write them in tables, and how far apart two of them are.

Owns which spellings are understood. The year comes first, because 5/3/2024 is May or March; what is
not understood is refused, never guessed. (pure)
"""

import functools
import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

_YEAR = r"(?:(?P<year>[0-9]{4})|(?P<era>令和|平成|昭和|[rhs])(?P<of_era>元|[0-9]{1,2}))"
_DATE = rf"{_YEAR}(?:[-/.]|年)(?P<month>[0-9]{{1,2}})(?:[-/.]|月)(?P<day>[0-9]{{1,2}})日?"
_COMPACT_DATE = r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
_CLOCK = (
    r"(?P<hour>[0-9]{1,2})(?::|時)(?P<minute>[0-9]{1,2})"
    r"(?:(?::|分)(?P<second>[0-9]{1,2})(?:\.[0-9]+)?秒?|分)?"
)
_COMPACT_CLOCK = r"(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})?"
_ZONE = r"(?P<zone>z|[+-][0-9]{2}:?[0-9]{2})"
_FORMS = (
    re.compile(rf"{_DATE}(?:[ t]*{_CLOCK} ?{_ZONE}?)?"),
    re.compile(rf"{_COMPACT_DATE}(?:[ t]?{_COMPACT_CLOCK})?"),
)
_ERA_BEGINS = {"令和": 2019, "r": 2019, "平成": 1989, "h": 1989, "昭和": 1926, "s": 1926}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as it was written."""

    day: date
    """On the clock of the place."""

    clock: time | None = None
    """None if only the day is known. Midnight to the second counts as that: it is how Excel writes
    a day."""

    offset: timedelta | None = None
    """From UTC; None if it is not stated."""

    @property
    def at(self) -> datetime:
        """On the clock of the place, without its offset; at midnight if only the day is known."""
        return datetime.combine(self.day, self.clock or time())


@functools.lru_cache(4096)  # many ECGs have the same day
def parse_moment(cell: str) -> Moment:
    """The time that a cell states, to the second.

    Understood are 2024-03-05, 2024/3/5 9:08, 2024-03-05T09:08:07+09:00, 20240305 090807,
    2024年3月5日 9時8分, 令和6年3月5日 and R6.3.5, in full width too.

    Raises:
        ValueError: it is anything else, such as 5/3/2024, or no day of the calendar.
    """
    text = unicodedata.normalize("NFKC", cell).casefold().strip()
    match = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    if match is None:
        raise ValueError("no time")
    parts = match.groupdict()
    day = date(_year(parts), int(parts["month"]), int(parts["day"]))
    if parts["hour"] is None:
        return Moment(day)
    clock = time(int(parts["hour"]), int(parts["minute"]), int(parts["second"] or 0))
    zone = parts.get("zone")
    offset = None if zone is None else _offset(zone)
    return Moment(day, clock if clock != time() else None, offset)


def days_between(one: Moment, other: Moment) -> float:
    """Days from one to another, negative if the other came first.

    In fractions where both state a clock, and in UTC where both state an offset; in whole days of
    the calendar otherwise.
    """
    if one.clock is None or other.clock is None:
        return float((other.day - one.day).days)
    if one.offset is None or other.offset is None:
        return (other.at - one.at) / timedelta(days=1)
    return (other.at - one.at - (other.offset - one.offset)) / timedelta(days=1)


def _year(parts: dict[str, str | None]) -> int:
    if parts["year"] is not None:
        return int(parts["year"])
    era, of_era = parts["era"] or "", parts["of_era"] or ""
    return _ERA_BEGINS[era] + (1 if of_era == "元" else int(of_era)) - 1


def _offset(zone: str) -> timedelta:
    if zone == "z":
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    span = timedelta(hours=hours, minutes=minutes)
    if span >= timedelta(days=1):
        raise ValueError("no offset")
    return -span if zone[0] == "-" else span
