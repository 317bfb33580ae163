"""EchoNext's files, made as its authors make them: IntroECG, `7-EchoNext Minimodel` (parse_xml.py,
preprocess.py, waveform_normalization_params.json)."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import synthetic_ecg
from scipy.signal import medfilt

Array = npt.NDArray[np.float64]

LOWER = (-140, -206, -324, -247, -153, -249, -369, -522, -554, -411, -290, -209)
UPPER = (287, 297, 236, 118.5, 270, 245.5, 219, 297, 366, 450, 451, 396)
MEAN = (
    5.438902932045533, 4.386144027595723, -0.8828521117626768, -4.901228423594343,
    3.179303315626078, 1.718962497412901, -4.3853678923766815, -1.4991789389444636,
    -0.2390101635046568, 3.622168549154881, 5.396823627457744, 5.660982479475681,
)  # fmt: skip
DEVIATION = (
    32.4283237955487, 31.37262367036232, 30.155474930762434, 28.126380180199195,
    27.097711990189254, 26.148743373957526, 37.739210938823206, 52.792504469040814,
    56.75138860280555, 49.90223860158139, 45.001427330308026, 39.06606103398455,
)  # fmt: skip
MV_PER_UNIT = 0.00488

COLUMNS = (
    "", "ecg_key", "patient_key", "age_at_ecg", "sex", "ventricular_rate", "atrial_rate",
    "pr_interval", "qrs_duration", "qt_corrected", "acquisition_year", "location_setting",
    "race_ethnicity", "lvef_lte_45_flag", "lvwt_gte_13_flag",
    "aortic_stenosis_moderate_or_greater_flag", "aortic_regurgitation_moderate_or_greater_flag",
    "mitral_regurgitation_moderate_or_greater_flag",
    "tricuspid_regurgitation_moderate_or_greater_flag",
    "pulmonary_regurgitation_moderate_or_greater_flag",
    "rv_systolic_dysfunction_moderate_or_greater_flag", "pericardial_effusion_moderate_large_flag",
    "pasp_gte_45_flag", "tr_max_gte_32_flag", "shd_moderate_or_greater_flag",
    "aortic_stenosis_value", "aortic_regurgitation_value", "mitral_regurgitation_value",
    "tricuspid_regurgitation_value", "pulmonary_regurgitation_value", "rv_systolic_function_value",
    "pericardial_effusion_value", "ivs_measurement", "lvpw_measurement", "pasp_value",
    "tr_max_velocity_value", "lvef_value", "most_recent_ecg", "split",
)  # fmt: skip

HEALTHY = {
    "lvef_value": "60.0", "ivs_measurement": "0.9", "lvpw_measurement": "0.9", "pasp_value": "25.0",
    "tr_max_velocity_value": "2.1", "aortic_stenosis_value": "none",
    "aortic_regurgitation_value": "none", "mitral_regurgitation_value": "mild",
    "tricuspid_regurgitation_value": "mild", "pulmonary_regurgitation_value": "none",
    "rv_systolic_function_value": "normal", "pericardial_effusion_value": "trace",
}  # fmt: skip


def row(number: int, **cells: str) -> dict[str, str]:
    """A healthy ECG of a patient of its own, but for `cells`."""
    flags = {name: "0" for name in COLUMNS if name.endswith("_flag")}
    person = {"age_at_ecg": "61.0", "sex": "male", "location_setting": "inpatient"}
    ids = {"ecg_key": str(9000 + number), "patient_key": str(100 + number), "split": "train"}
    return dict.fromkeys(COLUMNS, "") | flags | HEALTHY | person | ids | {"": str(number)} | cells


def in_units(signal_mv: Array) -> Array:
    """(12, samples) of a recorder, as its export is read: the derived leads are computed."""
    units = np.rint(np.asarray(signal_mv, np.float64) / MV_PER_UNIT)
    one, two = units[0], units[1]
    units[2:6] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    return units


def prepared_units(units: Array) -> Array:
    """(12, samples) without baseline and clipped."""
    filtered = [lead - medfilt(medfilt(lead, 51), 151) for lead in units]
    return np.clip(filtered, np.array(LOWER)[:, None], np.array(UPPER)[:, None])


def standardised(units: Array) -> Array:
    """(1, samples, 12), one ECG of an array."""
    of_lead: Array = (units - np.array(MEAN)[:, None]) / np.array(DEVIATION)[:, None]
    return of_lead.T[None]


def ecg_units(number: int) -> Array:
    """(12, 2500) one made-up ECG, prepared."""
    return prepared_units(in_units(synthetic_ecg.ecg(50 + number, 250)))


def write_echonext(
    folder: Path, rows: Iterable[Mapping[str, str]], dtype: npt.DTypeLike = np.float64
) -> None:
    """The table, and the waveforms of each split in the order of its rows; ECG n of the table is
    `ecg_units(n)`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(rows)
    write_table(folder, rows)
    of_split: dict[str, list[Array]] = defaultdict(list)
    for number, each in enumerate(rows):
        of_split[each["split"]].append(standardised(ecg_units(number)))
    for split, waveforms in of_split.items():
        np.save(folder / f"EchoNext_{split}_waveforms.npy", np.array(waveforms).astype(dtype))


def write_table(folder: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Only the table."""
    with (folder / "echonext_metadata_100k.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
