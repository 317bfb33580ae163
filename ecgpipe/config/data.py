"""Settings of `data:`: the sources of recordings, and how each signal is prepared."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ecgpipe.config.settings import Settings, check_seed, need


@dataclass(frozen=True, kw_only=True)
class PtbxlSource(Settings):
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
class TableSource(Settings):
    """A hospital's own table: one row per ECG."""

    kind: Literal["table"]

    table: Path
    """CSV, TSV, Parquet or Excel. Columns: record_id, patient_id, path, and findings or report;
    optional split, age, sex, recorded_at, site."""

    root: Path | None = None
    """The folder that `path` is relative to. Null: the table's own folder."""

    split_column: str | None = None
    """Column with train, val or test. Null: `split` if the table has it, else drawn by patient, by
    data.split."""


CincDatabase = Literal[
    "cpsc2018", "cpsc2018-extra", "incart", "ptb", "ptb-xl", "georgia", "chapman-ningbo"
]


@dataclass(frozen=True, kw_only=True)
class Cinc2021Source(Settings):
    """The training set of the PhysioNet/CinC Challenge 2021: records with SNOMED CT codes."""

    kind: Literal["cinc2021"]

    root: Path
    """The folder with the records, at any depth below it."""

    databases: tuple[CincDatabase, ...] = (
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

    def __post_init__(self) -> None:
        need(len(self.databases) > 0, "databases must name at least one")


@dataclass(frozen=True, kw_only=True)
class MitbihSource(Settings):
    """The MIT-BIH Arrhythmia Database: windows of half-hour recordings, each centred on a beat."""

    kind: Literal["mitbih"]

    root: Path
    """The folder with 100.hea, 100.dat, 100.atr and so on."""

    classes: tuple[Literal["N", "S", "V", "F", "Q"], ...] = ("N", "S", "V", "F", "Q")
    """AAMI classes of the beats to centre windows on."""

    windows_per_beat: int = 20
    """At most this many windows per kind of beat (N, L, R, A, V...) and record."""

    window_s: float = 10.0
    """Length of a window. All its beats are of its kind or normal; windows do not overlap."""

    exclude: tuple[str, ...] = ("102", "104", "107", "217")
    """Records to leave out. AAMI advises to exclude these four, which have paced beats."""

    split: Literal["de_chazal", "drawn", "test"] = "de_chazal"
    """de_chazal: DS1 for training, DS2 for testing; 202 goes with 201, which is the same person.
    drawn: by patient, by data.split. test: all test a model trained on other sources."""

    val_records: tuple[str, ...] = ("106", "118", "207", "220")
    """Records of DS1 used for validation; together they have all five classes of METS."""

    seed: int = 0
    """Seed of the draw of windows."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        need(len(self.classes) > 0, "classes must name at least one of N, S, V, F, Q")
        need(
            self.windows_per_beat >= 1,
            f"windows_per_beat must be at least 1, not {self.windows_per_beat}",
        )
        need(1 <= self.window_s <= 600, f"window_s must be 1 to 600, not {self.window_s} seconds")


@dataclass(frozen=True, kw_only=True)
class MimicIvEcgSource(Settings):
    """MIMIC-IV-ECG: 800,000 ECGs with the machine's own report; set text.source to report."""

    kind: Literal["mimic-iv-ecg"]

    root: Path
    """The folder with machine_measurements.csv, record_list.csv and files/."""

    separator: str = "; "
    """Joins the up to 18 lines of a report."""

    def __post_init__(self) -> None:
        need(bool(self.separator), "separator must not be empty")


Source = Annotated[
    PtbxlSource | TableSource | Cinc2021Source | MitbihSource | MimicIvEcgSource,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Settings):
    """How to divide records whose source has no split: by patient, never by record."""

    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Fractions of patients for train, val and test; they sum to 1."""

    seed: int = 0
    """Seed of the draw. A patient keeps its split when others are added."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        need(all(0 <= share <= 1 for share in self.fractions), "fractions must be between 0 and 1")
        need(
            abs(sum(self.fractions) - 1) < 1e-6,
            f"fractions must sum to 1, not {sum(self.fractions)}",
        )


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """Which recordings to read, and how to prepare each signal."""

    sources: tuple[Source, ...]
    """One or more data sets or tables, read into one store."""

    taxonomy: str = "ptbxl"
    """The list of findings: ptbxl (71 statements), findings98, or the path of your own CSV."""

    rate_hz: int = 500
    """Samples per second after resampling."""

    duration_s: float = 10.0
    """Seconds to keep of each recording; shorter ones are padded with 'no reading'."""

    crop: Literal["first", "centre"] = "first"
    """Which part of a longer recording to keep."""

    min_leads: int = 12
    """Recordings with fewer leads, after deriving limb leads, are rejected. A flat lead counts as
    present, but is masked. MIT-BIH has two leads, so it needs 2 here."""

    min_duration_s: float = 5.0
    """Shorter recordings are rejected."""

    max_missing_fraction: float = 0.1
    """A lead with a larger fraction missing counts as absent; smaller gaps are filled."""

    max_rejected_fraction: float = 0.1
    """A larger fraction of rejected records stops the run, after all have been tried."""

    split: SplitConfig = field(default_factory=SplitConfig)

    limit: int | None = None
    """Number of rows to read of each source, for a quick try. Null: all."""

    workers: int | None = None
    """Processes that read recordings. Null: one per core. Affects only the time taken."""

    def __post_init__(self) -> None:
        for name in ("limit", "workers"):
            value = getattr(self, name)
            need(value is None or value >= 1, f"{name} must be at least 1 or null, not {value}")
        need(len(self.sources) > 0, "sources must name at least one data set or table")
        need(50 <= self.rate_hz <= 2000, f"rate_hz must be 50 to 2000, not {self.rate_hz}")
        need(
            0 < self.duration_s <= 3600,
            f"duration_s must be above 0 and at most 3600, not {self.duration_s}",
        )
        samples = self.rate_hz * self.duration_s
        need(samples == int(samples), f"rate_hz x duration_s must be a whole number, not {samples}")
        need(1 <= self.min_leads <= 12, f"min_leads must be 1 to 12, not {self.min_leads}")
        need(
            self.min_leads <= 2 or not any(isinstance(s, MitbihSource) for s in self.sources),
            f"min_leads is {self.min_leads}, but the recordings of a source of kind mitbih have two"
            " leads, so all would be rejected: set min_leads to 2",
        )
        need(self.min_duration_s >= 0, f"min_duration_s must be 0 or more: {self.min_duration_s}")
        for share in (self.max_missing_fraction, self.max_rejected_fraction):
            need(0 <= share <= 1, f"a fraction must be between 0 and 1, not {share}")

    @property
    def samples(self) -> int:
        """Samples of each lead in the store."""
        return int(self.rate_hz * self.duration_s)
