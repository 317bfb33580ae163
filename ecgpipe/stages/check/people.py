"""Check what the rows say of patients and days: sex, age, when the ECG was recorded.

Owns what cannot be true together. No date and no sex is shown, only how many and where.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from ecgpipe.config.data import DataConfig
from ecgpipe.read_ecg.echo.moment import parse_moment
from ecgpipe.stages.check.columns import column_name
from ecgpipe.stages.check.report import Example, Problem, Severity, problem_at
from ecgpipe.stages.check.table_rows import CheckedRow

_ZONES = timedelta(days=1)  # in the east a day begins before it does in UTC


def people_problems(rows: Sequence[CheckedRow], config: DataConfig) -> Iterator[Problem]:
    """Patients with two sexes, and days that cannot be read or are still to come."""
    yield from _two_sexes(rows, config)
    column = column_name(rows, "recorded_at", config)
    days = _days(rows)
    yield from problem_at(
        [_cell(checked) for checked, day in days if day is None],
        Severity.LOOK,
        "date not understood",
        "cell",
        f"{column} is no date that can be read, so it is only kept as it is written",
        "Write the year first, such as 2024-03-05, 2024/3/5 9:08, 令和6年3月5日 or R6.3.5. Only"
        " data.echo needs it. --list FILE lists the cells.",
    )
    latest = datetime.now(UTC).date() + _ZONES
    ahead = [checked for checked, day in days if day is not None and day > latest]
    if 2 * len(ahead) < len(days):  # else all days are shifted, to protect the patients
        yield from problem_at(
            [_cell(checked) for checked in ahead],
            Severity.LOOK,
            "date in the future",
            "cell",
            f"{column} is a day that is still to come",
            "Correct the cells. --list FILE lists them.",
        )


def people_overview(rows: Sequence[CheckedRow]) -> dict[str, str]:
    """How many ECGs lack an age or a sex, and from which years they are."""
    ages = sum(checked.row.age is None for checked in rows)
    sexes = sum(checked.row.sex is None for checked in rows)
    lines = {"age and sex": f"age unknown for {ages:,} ECGs, sex for {sexes:,}"}
    if years := [day.year for _, day in _days(rows) if day is not None]:
        lines["years"] = (
            f"{min(years)} to {max(years)}; no date for {len(rows) - len(years):,} ECGs"
        )
    return lines


def _days(rows: Sequence[CheckedRow]) -> list[tuple[CheckedRow, date | None]]:
    """The rows that state a day, and this day; None if it cannot be read."""
    return [(each, _day(each.row.recorded_at)) for each in rows if each.row.recorded_at]


def _day(cell: str) -> date | None:
    try:
        return parse_moment(cell).day
    except ValueError:
        return None


def _cell(checked: CheckedRow) -> Example:
    row = checked.row
    return Example(row.place, record_id=row.record_id, private=row.recorded_at or "")


def _two_sexes(rows: Sequence[CheckedRow], config: DataConfig) -> Iterator[Problem]:
    first: dict[str, CheckedRow] = {}
    examples = []
    for checked in rows:
        row = checked.row
        if not row.patient_id or row.sex is None:
            continue
        before = first.setdefault(row.patient_id, checked)
        if before.row.sex != row.sex:
            examples.append(checked.example(f"{before.row.place} says otherwise"))
    yield from problem_at(
        examples,
        Severity.LOOK,
        "two sexes",
        "row",
        f"{column_name(rows, 'sex', config)} differs from that of an earlier row of the patient",
        "Correct the wrong cell; or two people share a patient's number.",
    )
