"""Scores -> probabilities, fitted on validation records; and how far they are off on scored ones.

Owns the two ways from a cosine to a probability (a temperature for exclusive classes, Platt's
sigmoid for the others) and the expected calibration error. V = validation records, N = scored
records, C = classes, B = bins, D = draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize
from scipy.special import expit, softmax

from ecgpipe.evaluate.metrics.bootstrap import PatientDraws, shifted_interval
from ecgpipe.evaluate.metrics.metrics import ranks
from ecgpipe.evaluate.results import NO_METRIC, Bin, Calibration, Metric, Sigmoid
from ecgpipe.evaluate.tasks.task import Kind

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]

Judged = tuple[Scores, Booleans, Booleans | None]
"""Scores, truth, and where the truth is known (None: everywhere)."""

N_BINS = 15
_SCALES = (1e-3, 1e4)  # of the cosine; a temperature from 1000 to 0.0001
_DRAWS_AT_ONCE = 64


@dataclass(frozen=True)
class PairLogits:
    """The model's own logit of a cosine: scale x cosine + bias."""

    scale: float
    bias: float | None
    """None for a softmax over texts, where one text alone has no odds."""


def calibration(
    kind: Kind,
    class_ids: Sequence[str],
    scored: Judged,
    validation: Judged,
    logits: PairLogits,
    draws: PatientDraws,
) -> Calibration | None:
    """The `calibration` block of a task; None without validation records to fit on.

    single_label: softmax over the classes of cosine / temperature, with a fitted temperature; the
    best class of each ECG is judged. Otherwise a fitted sigmoid for each class; every pair of an
    ECG and a class that some validation ECG shows is judged, if the truth is known. Uncalibrated
    metrics use the model's own scale; those of sigmoids exist only if it has a bias.

    Args:
        kind: of the task.
        class_ids: (C,) of its classes.
        scored: scores (N, C) and truth (N, C) of the scored records, and where that is known.
        validation: the same (V, C) of the validation records.
        logits: the model's own.
        draws: of the scored records.

    Source: Guo et al. 2017 (ECE, temperature); Platt 1999 (sigmoid, smoothed targets).
    """
    fitted_C = validation[1].any(axis=0)
    if not fitted_C.any() or not len(scored[0]):
        return None
    known_NJ: Booleans | None = None
    scale: float | None = None
    sigmoids: dict[str, Sigmoid] = {}
    if kind == "single_label":
        scale = fitted_scale(*validation[:2])
        confidence, right = _top_class(*scored[:2], scale)
        plain: Floats | None = _top_class(*scored[:2], logits.scale)[0]
    else:
        columns = np.flatnonzero(fitted_C)
        known_VC, known_NJ = (
            None if known is None else known[:, columns] for known in (validation[2], scored[2])
        )
        slopes, offsets = platt_fits(validation[0][:, columns], validation[1][:, columns], known_VC)
        scores_NC, right = scored[0][:, columns].astype(np.float64), scored[1][:, columns]
        confidence, plain = expit(slopes * scores_NC + offsets), None
        if logits.bias is not None:
            plain = expit(logits.scale * scores_NC + logits.bias)
        sigmoids = {
            class_ids[column]: {"slope": float(slope), "offset": float(offset)}
            for column, slope, offset in zip(columns.tolist(), slopes, offsets, strict=True)
        }
    return {
        "method": "temperature" if kind == "single_label" else "platt",
        "n_val": len(validation[0]),
        "scale": scale,
        "sigmoids": sigmoids,
        "ece": calibration_error(confidence, right, draws, known_NJ),
        "ece_uncalibrated": NO_METRIC
        if plain is None
        else calibration_error(plain, right, draws, known_NJ),
        "bins": reliability_bins(*_judged(confidence, right, known_NJ)),
    }


def fitted_scale(scores_VC: Scores, truth_VC: Booleans) -> float:
    """1 / temperature at which the softmax of scale x cosine gives the truth the greatest chance.

    The negative log-likelihood is convex in the scale, so the root of its slope is found. Where it
    only falls or only rises (every validation record right, or useless scores), the scale is at
    the end of 0.001 to 10,000.

    Args:
        scores_VC: similarities.
        truth_VC: with exactly one class in each row.
    """
    scores = scores_VC.astype(np.float64)
    true_score = scores[truth_VC].mean()

    def slope(log_scale: float) -> float:
        chances = softmax(np.exp(log_scale) * scores, axis=1)
        return float((chances * scores).sum(axis=1).mean() - true_score)

    low, high = np.log(_SCALES)
    if slope(low) >= 0:
        return _SCALES[0]
    if slope(high) <= 0:
        return _SCALES[1]
    return float(np.exp(brentq(slope, low, high, xtol=1e-12)))


def platt_fits(
    scores_VC: Scores, truth_VC: Booleans, known_VC: Booleans | None = None
) -> tuple[Floats, Floats]:
    """Slope and offset (C,) of each class's sigmoid, of greatest likelihood where it is known.

    Targets are Platt's, (n+ + 1)/(n+ + 2) and 1/(n- + 2), so that a class which validation
    separates does not become certain. Source: Platt 1999.
    """
    known = np.ones_like(truth_VC) if known_VC is None else known_VC
    fits = [
        _platt(scores[of].astype(np.float64), truth[of])
        for scores, truth, of in zip(scores_VC.T, truth_VC.T, known.T, strict=True)
    ]
    slopes, offsets = np.array(fits, np.float64).reshape(-1, 2).T
    return slopes, offsets


def _platt(scores_V: Floats, truth_V: Booleans) -> tuple[float, float]:
    n_shown = int(truth_V.sum())
    n_other = len(truth_V) - n_shown
    target_V = np.where(truth_V, (n_shown + 1) / (n_shown + 2), 1 / (n_other + 2))
    # Centred and scaled, so that both unknowns are of one size.
    centre, spread = scores_V.mean(), scores_V.std() or 1.0
    x_V2 = np.stack([(scores_V - centre) / spread, np.ones_like(scores_V)], axis=1)

    def loss_and_slope(weights: Floats) -> tuple[float, Floats]:
        logit_V = x_V2 @ weights
        loss = float(np.mean(np.logaddexp(0, logit_V) - target_V * logit_V))
        return loss, x_V2.T @ (expit(logit_V) - target_V) / len(logit_V)

    def curvature(weights: Floats) -> Floats:
        chance_V = expit(x_V2 @ weights)
        found: Floats = (x_V2 * (chance_V * (1 - chance_V))[:, None]).T @ x_V2 / len(chance_V)
        return found

    start = np.array([0.0, np.log((n_shown + 1) / (n_other + 1))])
    slope, offset = minimize(
        loss_and_slope, start, jac=True, hess=curvature, method="trust-exact",
        options={"gtol": 1e-12},
    ).x  # fmt: skip
    return float(slope / spread), float(offset - slope * centre / spread)


def reliability_bins(confidence: Floats, right: Booleans) -> list[Bin]:
    """15 bins of equal width: n, mean confidence and share right; None in an empty bin.

    A bin includes its high end and not its low end; the first also 0.
    """
    bin_of = _bin_of(confidence)
    n_B = np.bincount(bin_of, minlength=N_BINS)
    summed = np.bincount(bin_of, confidence, minlength=N_BINS)
    n_right = np.bincount(bin_of, right, minlength=N_BINS)
    return [
        {
            "low": b / N_BINS,
            "high": (b + 1) / N_BINS,
            "n": int(n),
            "confidence": float(summed[b] / n) if n else None,
            "share": float(n_right[b] / n) if n else None,
        }
        for b, n in enumerate(n_B)
    ]


def _top_class(scores_NC: Scores, truth_NC: Booleans, scale: float) -> tuple[Floats, Booleans]:
    """The best class's chance and whether it is true, (N, 1) each."""
    chances = softmax(scale * scores_NC.astype(np.float64), axis=1)
    right = ((ranks(scores_NC) == 1) & truth_NC).any(axis=1)  # a tie counts as a miss, as in hit@1
    return chances.max(axis=1, keepdims=True), right[:, None]


def _bin_of(confidence: Floats) -> npt.NDArray[np.int64]:
    edges = np.arange(1, N_BINS) / N_BINS
    return np.searchsorted(edges, confidence, side="left").astype(np.int64)


def _judged(
    confidence_NJ: Floats, right_NJ: Booleans, known_NJ: Booleans | None
) -> tuple[Floats, Booleans]:
    """The judgements in one row, without those whose truth is unknown."""
    if known_NJ is None:
        return confidence_NJ.ravel(), right_NJ.ravel()
    return confidence_NJ[known_NJ], right_NJ[known_NJ]


def calibration_error(
    confidence_NJ: Floats,
    right_NJ: Booleans,
    draws: PatientDraws,
    known_NJ: Booleans | None = None,
) -> Metric:
    """The expected calibration error: the mean of |confidence - share right| of each bin.

    A record's gaps are summed by bin once, and weighted in each draw.

    Args:
        confidence_NJ: J judgements a record: one, or one a class.
        right_NJ: whether each was right.
        draws: of the records.
        known_NJ: which judgements can be checked; None: all.

    Source: Guo et al. 2017, eq. 3.
    """
    n_records = len(confidence_NJ)
    judged_NJ = np.ones_like(right_NJ) if known_NJ is None else known_NJ
    judged_N = judged_NJ.sum(axis=1).astype(np.float64)
    if not judged_N.any():
        return NO_METRIC
    record = np.repeat(np.arange(n_records), judged_NJ.sum(axis=1))
    confidence, right = _judged(confidence_NJ, right_NJ, known_NJ)
    bin_of, gaps = _bin_of(confidence), confidence - right
    value = float(np.abs(np.bincount(bin_of, gaps, minlength=N_BINS)).sum() / len(gaps))
    flat = np.bincount(record * N_BINS + bin_of, gaps, minlength=n_records * N_BINS)
    gap_NB = flat.reshape(n_records, N_BINS)
    drawn = []
    for start in range(0, len(draws), _DRAWS_AT_ONCE):
        weights_ND = draws.weights(start, min(start + _DRAWS_AT_ONCE, len(draws)))
        weights_ND = weights_ND.astype(np.float64)
        with np.errstate(invalid="ignore"):
            drawn.append(np.abs(weights_ND.T @ gap_NB).sum(axis=1) / (judged_N @ weights_ND))
    low, high = shifted_interval(value, np.concatenate(drawn) if drawn else np.empty(0))
    known = np.isfinite(low)
    return {
        "value": value,
        "low": low if known else None,
        "high": min(1.0, high) if known else None,
    }
