"""What every block of settings has in common.

Owns the base class and how a setting is refused. Knows no setting.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Language = Literal["ja", "en"]


class Settings:
    """Base of every block of settings: an unknown key is an error, never ignored."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


def need(condition: bool, want: str) -> None:
    """Raise ValueError unless `condition`; `want` says what is required, and what was found."""
    if not condition:
        raise ValueError(want)


def check_sheet(sheet: str | int | None, table: Path) -> None:
    """Raise ValueError for a sheet that a table cannot have."""
    need(
        sheet not in ("", 0) and not (isinstance(sheet, int) and sheet < 0),
        f"sheet must be a name or a number from 1, not {sheet!r}",
    )
    need(
        sheet is None or table.suffix.casefold() in (".xlsx", ".xlsm"),
        f"sheet is {sheet!r}, but {table.name} is no Excel workbook (.xlsx)",
    )


def check_seed(seed: int) -> None:
    """Raise ValueError for a seed that no generator accepts."""
    need(0 <= seed < 2**63, f"seed must be 0 or a positive number below 2^63, not {seed}")
