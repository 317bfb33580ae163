"""Adapter: EchoNext as PhysioNet ships it, 1.1.0: ECGs, each with what an echocardiogram measured.

Owns echonext_metadata_100k.csv, and how a row of EchoNext_SPLIT_waveforms.npy becomes millivolts.

From the release's README: the columns, their units and their meaning; arrays (N, 1, 2500, 12) at
250 Hz, in the order of the table's rows of their split; median-filtered, clipped at the 0.1st and
99.9th percentiles of each lead, standardised with mean and deviation of the data set. Granular
values only of ECGs within a year before the echocardiogram. From those who checked the files
(ECGBench 0.20): the table's name is in lower case, sex is written out, the arrays are float64, the
words of the grades, and that a flag is 0 wherever the value is missing. ECGs with `no_split` are
earlier ones of patients of val and test.

Mean and deviation are not in the release, but with the model that takes these arrays as they are
(IntroECG, `waveform_normalization_params.json`), and so is the order of leads. They are in the
recorder's units, 4.88 µV in MUSE. Nobody has stated that the release was made with these numbers.
But before, all samples were whole units, or halves in aVR, aVL and aVF; so each ECG shows whether
it was, and one that was not is rejected, not rescaled.

Source: Elias and Finer 2025, doi 10.13026/3ykd-bf14; Poterucha et al. 2025, Nature.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.config.data import EchonextSource
from ecgpipe.errors import RecordError, SourceError
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows, parse_number, parse_split
from ecgpipe.read_ecg.datasets.table_file import Row, read_table, require_columns
from ecgpipe.read_ecg.signal.leads import arrange_leads
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord, Reason

TABLE = "echonext_metadata_100k.csv"
_NO_SPLIT = "no_split"
_SEX = {"male": "male", "female": "female", "1": "male", "0": "female"}

# Column of data.echo: column here.
_VALUES = {
    "lvef_percent": "lvef_value",
    "ivsd_cm": "ivs_measurement",
    "lvpwd_cm": "lvpw_measurement",
    "as_grade": "aortic_stenosis_value",
    "ar_grade": "aortic_regurgitation_value",
    "mr_grade": "mitral_regurgitation_value",
    "tr_grade": "tricuspid_regurgitation_value",
    "pasp_mmhg": "pasp_value",
    "tr_vmax_m_s": "tr_max_velocity_value",
    "rv_function": "rv_systolic_function_value",
    "effusion": "pericardial_effusion_value",
}

# Column of data.echo: flag, and what a 1 says where the value is missing. That of the walls does
# not say which wall.
_MODERATE = "moderate-severe"
_FLAGS = {
    "lvef_percent": ("lvef_lte_45_flag", "<= 45"),
    "as_grade": ("aortic_stenosis_moderate_or_greater_flag", _MODERATE),
    "ar_grade": ("aortic_regurgitation_moderate_or_greater_flag", _MODERATE),
    "mr_grade": ("mitral_regurgitation_moderate_or_greater_flag", _MODERATE),
    "tr_grade": ("tricuspid_regurgitation_moderate_or_greater_flag", _MODERATE),
    "pasp_mmhg": ("pasp_gte_45_flag", ">= 45"),
    "tr_vmax_m_s": ("tr_max_gte_32_flag", ">= 3.2"),
    "rv_function": ("rv_systolic_dysfunction_moderate_or_greater_flag", _MODERATE),
    "effusion": ("pericardial_effusion_moderate_large_flag", _MODERATE),
}

_COLUMNS = (
    *("ecg_key", "patient_key", "age_at_ecg", "sex", "location_setting", "split"),
    *_VALUES.values(),
    *(flag for flag, _ in _FLAGS.values()),
)

# Computed from I and II when the recorder's files were read, then filtered and clipped each by
# itself, so that limb leads disagreed by up to a fifth of their size. They are computed again.
_DERIVED = ("III", "aVR", "aVL", "aVF")

_SHAPE = (1, 2500, 12)
_RATE_HZ = 250.0
_MV_PER_UNIT = 0.00488  # LeadAmplitudeUnitsPerBit of GE MUSE, as in IntroECG's example

# By lead in the order of LEADS, which is that of the arrays: mean and standard deviation in units,
# and the step of its samples.
_MEAN, _DEVIATION, _STEP = (
    np.array(values)[:, None]
    for values in zip(
        (5.438902932045533, 32.4283237955487, 1.0),
        (4.386144027595723, 31.37262367036232, 1.0),
        (-0.8828521117626768, 30.155474930762434, 1.0),
        (-4.901228423594343, 28.126380180199195, 0.5),
        (3.179303315626078, 27.097711990189254, 0.5),
        (1.718962497412901, 26.148743373957526, 0.5),
        (-4.3853678923766815, 37.739210938823206, 1.0),
        (-1.4991789389444636, 52.792504469040814, 1.0),
        (-0.2390101635046568, 56.75138860280555, 1.0),
        (3.622168549154881, 49.90223860158139, 1.0),
        (5.396823627457744, 45.001427330308026, 1.0),
        (5.660982479475681, 39.06606103398455, 1.0),
        strict=True,
    )
)
_OFF_STEP = 0.01  # float32 is off by 0.0001

Stored = npt.NDArray[np.floating]


def read_echonext(source: EchonextSource) -> SourceRows:
    """All rows of train, val and test with a measurement; the others are counted.

    Raises:
        SourceError: the table or the waveforms of a split are missing, malformed or of different
            length, or a row has no ecg_key or another split.
    """
    table = source.root / TABLE
    if not table.is_file():
        raise SourceError(
            f"{source.root} has no {TABLE}, so it is not EchoNext's folder. Set"
            " data.sources.N.root to the unpacked folder of PhysioNet's archive."
        )
    rows = read_table(table)
    require_columns(table, rows, _COLUMNS)
    left_out: Counter[str] = Counter()
    in_split: Counter[str] = Counter()
    kept = RowTable.of(_rows(rows, source.called, in_split, left_out))
    for split, n in in_split.items():
        if split != _NO_SPLIT:
            _check_length(source.root / _waveforms(split), n, split)
    return SourceRows(
        name=source.called,
        kind=source.kind,
        root=source.root,
        table=table,
        rows=kept,
        read=read_echonext_recording,
        left_out=+left_out,
    )


def read_echonext_recording(path: Path) -> EcgRecord:
    """One ECG in mV: row N of FILE for the path FILE#N. Of the array only that row is read.

    Raises:
        RecordError: there is no such row, or its samples are not standardised as is known.
    """
    name, _, number = path.name.rpartition("#")
    try:
        waveforms = _opened(path.with_name(name))
        standardised_LS = np.array(waveforms[int(number), 0], np.float64).T
    except FileNotFoundError:
        raise RecordError(Reason.MISSING_FILE, f"{name} does not exist") from None
    except (OSError, ValueError, IndexError) as error:
        raise RecordError(Reason.UNREADABLE, f"{name}, row {number}: {error}") from error
    units_LS = standardised_LS * _DEVIATION + _MEAN
    steps_LS = units_LS / _STEP
    if np.isinf(steps_LS).any() or (np.abs(steps_LS - np.rint(steps_LS)) > _OFF_STEP).any():
        raise RecordError(
            Reason.UNITS,
            f"{name}, row {number}, was not standardised with the numbers that EchoNext's authors"
            " publish: without these its samples would be whole units of the recorder",
        )
    signal_mv = (units_LS * _MV_PER_UNIT).astype(np.float32)
    kept = [lead for lead in LEADS if lead not in _DERIVED]
    arranged, notes = arrange_leads(kept, [signal_mv[LEADS.index(lead)] for lead in kept])
    notes = (*notes, "median-filtered and clipped by the data set")
    return EcgRecord(arranged, _RATE_HZ, notes, {"format": "EchoNext"})


def _rows(
    rows: Iterable[tuple[int, Row]], called: str, in_split: Counter[str], left_out: Counter[str]
) -> Iterator[SourceRow]:
    """The rows that are kept; all are counted by split, and those left out by what they are."""
    earlier = f"earlier ECGs of patients of val and test in {called}"
    only_presumed = f"grades of {called} that were only presumed"
    unmeasured = f"ECGs of {called} without a measurement"
    for number, row in rows:
        place = f"row {number} of {called}"
        split = row["split"] if row["split"] == _NO_SPLIT else parse_split(row["split"], place)
        place_in_split = in_split[split]
        in_split[split] += 1
        if split == _NO_SPLIT:
            left_out[earlier] += 1
            continue
        presumed, echo = _measured(row)
        left_out[only_presumed] += presumed
        if not echo:
            left_out[unmeasured] += 1
            continue
        if not row["ecg_key"]:
            raise SourceError(f"{place} has no ecg_key.")
        patient = row["patient_key"].removesuffix(".0")
        yield SourceRow(
            record_id=f"echonext-{row['ecg_key'].removesuffix('.0')}",
            patient_id=f"echonext-{patient}" if patient else "",
            path=f"{_waveforms(split)}#{place_in_split}",
            findings=(),
            echo=echo,
            split=split,
            age=parse_number(row["age_at_ecg"]),
            sex=_SEX.get(row["sex"].casefold().removesuffix(".0")),
            site=row["location_setting"] or None,
            place=place,
        )


def _measured(row: Row) -> tuple[int, tuple[tuple[str, str], ...]]:
    """How many grades were presumed, and what was measured, by columns of data.echo."""
    presumed, found = 0, []
    for column, here in _VALUES.items():
        cell = row[here].replace("_", " ")  # moderately_reduced
        if cell.casefold() == "presumed none":  # by who read the reports; nobody looked
            presumed, cell = presumed + 1, ""
        if not cell and column in _FLAGS:
            flag, says = _FLAGS[column]
            cell = says if parse_number(row[flag]) == 1 else ""
        if cell:
            found.append((column, cell))
    return presumed, tuple(found)


def _waveforms(split: str) -> str:
    return f"EchoNext_{split}_waveforms.npy"


def _check_length(path: Path, n: int, split: str) -> None:
    try:
        waveforms = _opened(path)
    except FileNotFoundError:
        raise SourceError(
            f"{path} does not exist, but {n:,} rows of {TABLE} are in {split}."
        ) from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}.") from error
    if len(waveforms) != n:
        raise SourceError(
            f"{path} has {len(waveforms):,} ECGs, but {n:,} rows of {TABLE} are in {split}, so no"
            " row says which ECG it is about. Take both files from one release, unchanged."
        )


def _opened(path: Path) -> Stored:
    """The waveforms of a split (N, 1, 2500, 12), mapped into memory.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is no array of that shape.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        waveforms = np.load(path, mmap_mode="r")
    except EOFError:
        raise ValueError("it is empty") from None
    if not isinstance(waveforms, np.ndarray):
        raise ValueError("it is an archive, not one array")
    if waveforms.shape[1:] != _SHAPE or waveforms.dtype.kind != "f":
        raise ValueError(
            f"it holds {waveforms.dtype} of shape {waveforms.shape}, not floating point of shape"
            " (ECGs, 1, 2500, 12)"
        )
    return waveforms
