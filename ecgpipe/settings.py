"""What every block of settings has in common.

Owns the base class and the one way a setting is refused. Knows no setting.
"""

from typing import Any, ClassVar


class Settings:
    """Base of every block of settings: an unknown key is an error, never ignored."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


def need(condition: bool, want: str) -> None:
    """Refuse a setting at birth; `want` says what must hold, and what was met."""
    if not condition:
        raise ValueError(want)
