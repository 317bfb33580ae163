"""Settings of `data.echo:`: a table of echocardiograms, and which one belongs to an ECG."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ecgpipe.config.settings import Settings, check_sheet, need
from ecgpipe.echo_measurements import COLUMNS

Nearest = Literal["either", "before", "after"]


@dataclass(frozen=True, kw_only=True)
class EchoConfig(Settings):
    """A table of echocardiograms: one row each, with the patient, the time, and measurements or a
    report."""

    table: Path
    """CSV, TSV, Parquet or Excel."""

    sheet: str | int | None = None
    """Of an Excel workbook: a sheet's name, or its number from 1. Null: the first."""

    columns: Mapping[str, Annotated[str, Field(min_length=1)]] = field(default_factory=dict)
    """Columns that are called otherwise, such as {lvef: EF, ivsd_mm: 中隔壁厚}. Needed are
    patient_id, echo_at, and a measurement or report."""

    window_days: Annotated[int, Field(ge=0, le=3660)] = 30
    """An echocardiogram further away from an ECG in time says nothing about it."""

    nearest: Nearest = "either"
    """Which echocardiograms may belong to an ECG: those made before it, after it, or either. The
    nearest in time is taken."""

    min_age: Annotated[float, Field(ge=0)] | None = 18.0
    """ECGs of younger patients get no echocardiogram. Null: all ages."""

    exclude_paced: bool = True
    """Whether ECGs with a paced rhythm, or whose echocardiogram says so, get none."""

    exclude_prosthetic_valves: bool = True
    """Whether echocardiograms of prosthetic valves are left out."""

    definitions: str = "standard"
    """What is a finding: standard, or the path of your own .yaml."""

    def __post_init__(self) -> None:
        check_sheet(self.sheet, self.table)
        for name in self.columns:
            near = difflib.get_close_matches(name, COLUMNS, 1)
            need(
                name in COLUMNS,
                f"columns names {name!r}, which is no column of echocardiograms."
                f"{f' Did you mean {near[0]!r}?' if near else ''} Known are {', '.join(COLUMNS)}",
            )
