"""Settings of `data:`: the sources of recordings, and how each signal is prepared."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ecgpipe.config.echo import EchoConfig
from ecgpipe.config.settings import Seed, Settings, check_sheet, need
from ecgpipe.config.source_names import distinct_names

Fraction = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class SourceSettings(Settings):
    """What every kind of source has."""

    kind: str

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """What it is called in messages, in lists and in eval.sources. Null: its kind, or a table's
    file without the ending; where two are alike, with the folder: 2023/records."""

    def __post_init__(self) -> None:
        name = self.name or "-"
        need(
            name.isprintable() and name == name.strip(),
            f"name must be one line of text without spaces around it, not {name!r}",
        )

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or self.kind


@dataclass(frozen=True, kw_only=True)
class SourceFolder(SourceSettings):
    """A data set that is one folder."""

    root: Path

    @property
    def location(self) -> Path:
        """Its folder."""
        return self.root


@dataclass(frozen=True, kw_only=True)
class PtbxlSource(SourceFolder):
    """The PTB-XL data set as published on PhysioNet."""

    kind: Literal["ptbxl"]

    root: Path
    """The folder with ptbxl_database.csv."""

    files: Literal["records500", "records100"] = "records500"
    """Which copy of each recording to read: 500 Hz or 100 Hz."""

    split_column: str | None = "strat_fold"
    """Column with the split. strat_fold: folds 1-8 train, 9 val, 10 test, as its authors advise.
    Null: drawn by patient, by data.split."""

    min_likelihood: float = 0.0
    """Statements below this likelihood are dropped. 0 keeps all: form and rhythm statements have 0
    by design."""


@dataclass(frozen=True, kw_only=True)
class TableColumns(Settings):
    """What a table calls its columns. Null: as the setting; one that is named must be there."""

    record_id: Text | None = None
    """Different for every ECG."""

    patient_id: Text | None = None
    """The same for all ECGs of a patient."""

    path: Text | None = None
    """The recording, relative to `root`."""

    findings: Text | None = None
    """Separated by ; or 、 or line breaks; a table has these, or reports, or both."""

    report: Text | None = None
    """Free text."""

    split: Text | None = None
    """train, val or test, for all rows or for none. Without it, patients are drawn by
    data.split."""

    age: Text | None = None
    """In years."""

    sex: Text | None = None

    site: Text | None = None
    """Hospital, ward or device, for metrics by site."""

    recorded_at: Text | None = None
    """Kept as it is written."""


@dataclass(frozen=True, kw_only=True)
class TableSource(SourceSettings):
    """A hospital's own table: one row per ECG."""

    kind: Literal["table"]

    table: Path
    """CSV, TSV, Parquet or Excel."""

    columns: TableColumns = field(default_factory=TableColumns)
    """Columns that are called otherwise: {record_id: 記録番号}. Needed are record_id, patient_id,
    path, and findings or report."""

    sheet: str | int | None = None
    """Of an Excel workbook: a sheet's name, or its number from 1. Null: the first."""

    root: Path | None = None
    """The folder that `path` is relative to. Null: the table's own folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sheet(self.sheet, self.table)

    @property
    def called(self) -> str:
        """Its name, or the table's."""
        return self.name or self.table.stem

    @property
    def location(self) -> Path:
        """The table."""
        return self.table


CincDatabase = Literal[
    "cpsc2018", "cpsc2018-extra", "incart", "ptb", "ptb-xl", "georgia", "chapman-ningbo"
]


@dataclass(frozen=True, kw_only=True)
class Cinc2021Source(SourceFolder):
    """The training set of the PhysioNet/CinC Challenge 2021: records with SNOMED CT codes."""

    kind: Literal["cinc2021"]

    root: Path
    """The folder with the records, at any depth below it."""

    databases: Annotated[tuple[CincDatabase, ...], Field(min_length=1)] = (
        "cpsc2018",
        "cpsc2018-extra",
        "incart",
        "ptb",
        "ptb-xl",
        "georgia",
        "chapman-ningbo",
    )
    """Which of its seven databases to read. ptb and ptb-xl are skipped if there is also a source of
    kind ptbxl."""


@dataclass(frozen=True, kw_only=True)
class MitbihSource(SourceFolder):
    """The MIT-BIH Arrhythmia Database: windows of half-hour recordings, each centred on a beat."""

    kind: Literal["mitbih"]

    root: Path
    """The folder with 100.hea, 100.dat, 100.atr and so on."""

    classes: Annotated[tuple[Literal["N", "S", "V", "F", "Q"], ...], Field(min_length=1)] = (
        "N",
        "S",
        "V",
        "F",
        "Q",
    )
    """AAMI classes of the beats to centre windows on."""

    windows_per_beat: Annotated[int, Field(ge=1)] = 20
    """At most this many windows per kind of beat (N, L, R, A, V...) and record."""

    window_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    """Length of a window. All its beats are of its kind or normal; windows do not overlap."""

    exclude: tuple[str, ...] = ("102", "104", "107", "217")
    """Records to leave out. AAMI advises to exclude these four, which have paced beats."""

    split: Literal["de_chazal", "drawn", "test"] = "de_chazal"
    """de_chazal: DS1 for training, DS2 for testing; 202 goes with 201, which is the same person.
    drawn: by patient, by data.split. test: all test a model trained on other sources."""

    val_records: tuple[str, ...] = ("106", "118", "207", "220")
    """Records of DS1 used for validation; together they have all five classes of METS."""

    seed: Seed = 0
    """Seed of the draw of windows."""


@dataclass(frozen=True, kw_only=True)
class MimicIvEcgSource(SourceFolder):
    """MIMIC-IV-ECG: 800,000 ECGs with the machine's own report; set text.source to report."""

    kind: Literal["mimic-iv-ecg"]

    root: Path
    """The folder with machine_measurements.csv, record_list.csv and files/."""

    separator: Text = "; "
    """Joins the up to 18 lines of a report."""


@dataclass(frozen=True, kw_only=True)
class EchonextSource(SourceFolder):
    """EchoNext: 82,000 ECGs without findings, each with what an echocardiogram measured."""

    kind: Literal["echonext"]

    root: Path
    """The folder with echonext_metadata_100k.csv and EchoNext_train_waveforms.npy."""

    definitions: str = "standard"
    """What is a finding, as data.echo.definitions, which must be the same if both are there."""


Source = Annotated[
    PtbxlSource | TableSource | Cinc2021Source | MitbihSource | MimicIvEcgSource | EchonextSource,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Settings):
    """How to divide records whose source has no split: by patient, never by record."""

    fractions: tuple[Fraction, Fraction, Fraction] = (0.8, 0.1, 0.1)
    """Fractions of patients for train, val and test; they sum to 1."""

    seed: Seed = 0
    """Seed of the draw. A patient keeps its split when others are added."""

    def __post_init__(self) -> None:
        need(
            abs(sum(self.fractions) - 1) < 1e-6,
            f"fractions must sum to 1, not {sum(self.fractions)}",
        )


@dataclass(frozen=True, kw_only=True)
class WindowConfig(Settings):
    """How a recording becomes the window that a model gets."""

    owner: ClassVar[str] = "data."
    """Stands before a setting's name in messages."""

    rate_hz: Annotated[int, Field(ge=50, le=2000)] = 500
    """Samples per second after resampling."""

    duration_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds to keep of each recording; shorter ones are padded with 'no reading'."""

    crop: Literal["first", "centre"] = "first"
    """Which part of a longer recording to keep."""

    min_leads: Annotated[int, Field(ge=1, le=12)] = 12
    """Recordings with fewer leads, after deriving limb leads, are rejected. A flat lead counts as
    present, but is masked. MIT-BIH has two leads, so it needs 2 here."""

    min_duration_s: Annotated[float, Field(ge=0)] = 5.0
    """Shorter recordings are rejected."""

    max_missing_fraction: Fraction = 0.1
    """A lead with a larger fraction missing counts as absent; smaller gaps are filled."""

    def __post_init__(self) -> None:
        samples = self.rate_hz * self.duration_s
        need(samples == int(samples), f"rate_hz x duration_s must be a whole number, not {samples}")

    @property
    def samples(self) -> int:
        """Samples of each lead in the window."""
        return int(self.rate_hz * self.duration_s)


@dataclass(frozen=True, kw_only=True)
class DataConfig(WindowConfig):
    """Which recordings to read, and how to prepare each signal."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    """One or more data sets or tables, read into one store."""

    echo: EchoConfig | None = None
    """Echocardiograms of the same patients, as a second source of findings. Null: none."""

    taxonomy: str = "ptbxl"
    """The list of findings: ptbxl (71 statements), findings98, or the path of your own CSV."""

    unknown_findings: Literal["reject", "leave_out"] = "reject"
    """What becomes of a row with a finding that the list lacks: the row is rejected, or only the
    finding is left out. Both are counted."""

    uncertain_findings: Literal["unknown", "as_shown", "leave_out"] = "unknown"
    """What a finding with 疑い, の可能性, possible and the like counts as: as one that the list
    lacks, as one that the ECG shows, or as nothing."""

    max_rejected_fraction: Fraction = 0.1
    """A larger fraction of rejected records stops the run, after all have been tried."""

    split: SplitConfig = field(default_factory=SplitConfig)

    limit: Annotated[int, Field(ge=1)] | None = None
    """Number of rows to read of each source, for a quick try. Null: all."""

    workers: Annotated[int, Field(ge=1)] | None = None
    """Processes that read recordings. Null: one per core. Affects only the time taken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        need(
            self.min_leads <= 2 or not any(isinstance(s, MitbihSource) for s in self.sources),
            f"min_leads is {self.min_leads}, but the recordings of a source of kind mitbih have two"
            " leads, so all would be rejected: set min_leads to 2",
        )
        definitions = self._definitions()
        need(
            len(set(definitions)) <= 1,
            f"definitions of echocardiograms are {' and '.join(sorted(set(definitions)))}: set"
            " those of echo and of every source of kind echonext to the same",
        )
        self._name_sources()

    @property
    def echo_definitions(self) -> str | None:
        """What is a finding of echocardiography; None if there are no echocardiograms."""
        return next(iter(self._definitions()), None)

    def _definitions(self) -> list[str]:
        own = [] if self.echo is None else [self.echo.definitions]
        return own + [each.definitions for each in self.sources if isinstance(each, EchonextSource)]

    def _name_sources(self) -> None:
        """Name those whose names would be alike, while paths are still as they were written."""
        names = distinct_names(
            [source.name is not None for source in self.sources],
            [source.called for source in self.sources],
            [source.location.parent.parts for source in self.sources],
        )
        sources = tuple(
            source if source.called == name else dataclasses.replace(source, name=name)
            for source, name in zip(self.sources, names, strict=True)
        )
        object.__setattr__(self, "sources", sources)  # how a frozen dataclass completes itself
