"""Intervals by resampling patients.

Owns the resampling and how its draws become an interval. Patients are drawn, not records, because
two ECGs of one person are not independent. N = records, P = patients, D = draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.metrics.metrics import wilson_interval

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_ADDED_PATIENTS = 0.25
_CONSTANT = 1e-12  # of a metric at most 1: below it, draws differ by rounding alone


@dataclass(frozen=True)
class PatientDraws:
    """How often each patient is in each draw.

    Each draw takes as many patients as there are, with replacement. Draws depend on the patients'
    names, not on the order of their records.
    """

    patient_of_N: npt.NDArray[np.int64]
    """The patient of each record, as a row of `times_PD`."""

    times_PD: npt.NDArray[np.uint16]

    @staticmethod
    def of(patients: Sequence[str], draws: int, seed: int) -> "PatientDraws":
        """Draw patients.

        Args:
            patients: (N,) the patient of each record.
            draws: how many resamplings; 0 for the metrics without intervals.
            seed: the same seed, the same draws.
        """
        names, patient_of = np.unique(np.asarray(patients, np.str_), return_inverse=True)
        rng = np.random.default_rng(seed)
        n = len(names)
        times_PD = np.empty((n, draws), np.uint16)
        for draw in range(draws if n else 0):
            times_PD[:, draw] = np.bincount(rng.integers(n, size=n), minlength=n)
        return PatientDraws(patient_of.astype(np.int64), times_PD)

    def __len__(self) -> int:
        return int(self.times_PD.shape[1])

    @property
    def n_records(self) -> int:
        """N."""
        return len(self.patient_of_N)

    def chosen(self, which_N: Booleans) -> "PatientDraws":
        """The same draws for some of the records."""
        return PatientDraws(self.patient_of_N[which_N], self.times_PD)

    def part(self, number: int, parts: int) -> "PatientDraws":
        """Part `number` of the draws cut into `parts` nearly equal ones."""
        places = np.array_split(np.arange(len(self)), parts)[number]
        return PatientDraws(self.patient_of_N, self.times_PD[:, places])

    def weights(self, first: int, after: int) -> npt.NDArray[np.float32]:
        """How often each record is in draws `first` to `after` - 1, (N, draws).

        float32 sums them exactly below 2^24, so for more than 4 million records.
        """
        times: npt.NDArray[np.float32] = self.times_PD[:, first:after].astype(np.float32)
        return np.take(times, self.patient_of_N, axis=0)

    def n_patients(self, truth_NC: Booleans) -> npt.NDArray[np.int64]:
        """(C,) the patients with a record that shows each class."""
        shows_PC = np.zeros((len(self.times_PD), truth_NC.shape[1]), np.bool_)
        np.logical_or.at(shows_PC, self.patient_of_N, truth_NC)
        counts: npt.NDArray[np.int64] = shows_PC.sum(axis=0)
        return counts


def percentile_interval(values: Floats) -> tuple[float, float]:
    """The middle 95 % of the draws in which the metric exists; NaNs if it never does."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def share_interval(value: float, draws: Floats, n_effective: float) -> tuple[float, float]:
    """The 95 % interval of a metric between 0 and 1: Wilson's, with the draws' standard error.

    Wilson's score interval needs the number of independent patients behind a share. Here it is the
    number at which a share p would have the variance v of the draws, p(1 - p)/v, so that several
    ECGs of a patient, pairs, or a mean over classes have the weight that resampling gives them.
    Near 0 and 1 the draws vary little, and at 0 or 1 not at all: so a quarter of a patient is added
    above and below,

        n = (p(1 - p) + 1/4u) / (v + 1/4u²)

    with u = `n_effective`. A share of u independent patients, v = p(1 - p)/u, has n = u and
    Wilson's own interval; so has a metric of 0 or 1; for many patients the addition vanishes.

    Args:
        value: the metric.
        draws: (D,) the metric in each draw; where it does not exist it is left out.
        n_effective: the independent patients behind it, at least.

    Returns:
        NaNs without a value or a draw. (value, value) if it is the same in every draw and neither 0
        nor 1: such a metric is constant by definition.

    Source: Wilson 1927; for survey samples Kott & Carr 1997, for areas under the curve Kottas, Kuss
    & Zapf 2014, who use it with other variances. The addition is ours; docs/lab-log.md says how
    often the interval covers the truth.
    """
    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(known) == 0 or n_effective <= 0:
        return float("nan"), float("nan")
    variance = float(np.var(known))
    if variance < _CONSTANT**2 and _CONSTANT < value < 1 - _CONSTANT:
        return value, value
    more = _ADDED_PATIENTS / n_effective
    low, high = wilson_interval(
        value, (value * (1 - value) + more) / (variance + more / n_effective)
    )
    return min(low, value), max(high, value)


def shifted_interval(value: float, draws: Floats) -> tuple[float, float]:
    """The percentile interval of draws moved by their bias, no lower than 0.

    For a metric that counts noise as error, such as a calibration error: every draw adds noise, so
    plain percentiles would be above the value.
    """
    known = draws[np.isfinite(draws)]
    if len(known) == 0:
        return float("nan"), float("nan")
    low, high = percentile_interval(known - known.mean() + value)
    return max(0.0, min(low, value)), max(high, value)
