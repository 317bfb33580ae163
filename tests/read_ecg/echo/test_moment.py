"""Dates and times as hospitals write them, and how many days lie between two."""

import pytest

from ecgpipe.read_ecg.echo.moment import days_between, parse_moment


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("2024-03-05", "2024-03-05 00:00:00"),
        ("2024/3/5", "2024-03-05 00:00:00"),
        ("2024.03.05", "2024-03-05 00:00:00"),
        ("20240305", "2024-03-05 00:00:00"),
        ("2024-03-05 09:08:07", "2024-03-05 09:08:07"),
        ("2024-03-05T09:08:07.250", "2024-03-05 09:08:07"),
        ("2024/3/5 9:08", "2024-03-05 09:08:00"),
        ("20240305090807", "2024-03-05 09:08:07"),
        ("20240305 0908", "2024-03-05 09:08:00"),
        ("２０２４年３月５日", "2024-03-05 00:00:00"),
        ("2024年3月5日 9時8分", "2024-03-05 09:08:00"),
        ("2024年3月5日9時8分7秒", "2024-03-05 09:08:07"),
        ("令和6年3月5日", "2024-03-05 00:00:00"),
        ("令和元年5月1日", "2019-05-01 00:00:00"),
        ("R6.3.5", "2024-03-05 00:00:00"),
        ("平成31年4月30日", "2019-04-30 00:00:00"),
        ("S64/1/7", "1989-01-07 00:00:00"),
    ],
)
def test_a_time_is_understood(cell: str, written: str) -> None:
    assert str(parse_moment(cell).at) == written


@pytest.mark.parametrize(
    "cell", ["", "5/3/2024", "24-03-05", "2024-02-30", "2024-13-01", "2024", "45356", "25:00",
             "2024-03-05 25:00", "2024-03-05 09:08+99:00", "昨日"],
)  # fmt: skip
def test_what_is_no_time_is_refused_not_guessed(cell: str) -> None:
    with pytest.raises(ValueError, match=r"no time|offset|must be in|day is out|range"):
        parse_moment(cell)


@pytest.mark.parametrize(
    ("one", "other", "days"),
    [
        ("2024-03-05 09:00", "2024-03-06 21:00", 1.5),
        ("2024-03-06 21:00", "2024-03-05 09:00", -1.5),
        ("2024-02-28", "2024-03-01", 2),
        ("2024-03-05 23:00", "2024-03-06", 1),  # 23 hours and a day: the calendar counts
        ("2024-03-05 23:00", "2024-03-06 00:00:00", 1),  # how Excel writes a day
        ("2024-03-05", "2024-03-05 23:59", 0),
        ("2024-03-05T21:00+09:00", "2024-03-05T12:00Z", 0),
        ("2024-03-05T21:00+09:00", "2024-03-05T12:00-0500", 5 / 24),
        ("2024-03-05T21:00+09:00", "2024-03-06 21:00", 1),  # without an offset: the same clock
        ("2024-03-05T00:30+09:00", "2024-03-04", -1),
    ],
)
def test_days_are_counted_by_clock_zone_or_calendar(one: str, other: str, days: float) -> None:
    assert days_between(parse_moment(one), parse_moment(other)) == pytest.approx(days)
