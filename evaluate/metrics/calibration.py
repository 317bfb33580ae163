"""Whether a score says how likely a class is: fitted on validation records, judged on scored ones.

Owns the two ways from a cosine to a probability (a temperature for classes that exclude each other,
Platt's sigmoid for those that do not) and the expected calibration error. V = validation records,
N = scored records, C = classes, B = bins, D = draws.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.metrics.bootstrap import Draws, shifted_interval
from ecgpipe.evaluate.metrics.metrics import ranks
from ecgpipe.evaluate.results import NO_METRIC, Bin, Calibration, Metric
from ecgpipe.evaluate.tasks.task import Kind

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]

N_BINS = 15
_SCALES = (1e-3, 1e4)  # of the cosine; a temperature from 1000 to 0.0001
_DRAWS_AT_ONCE = 64


@dataclass(frozen=True)
class PairLogits:
    """How the model itself makes a logit of a cosine: scale x cosine + bias."""

    scale: float
    bias: float | None
    """None where the model compares texts with each other, so that one text alone has no odds."""


def calibration(
    kind: Kind,
    scored: tuple[Scores, Booleans],
    validation: tuple[Scores, Booleans],
    logits: PairLogits,
    draws: Draws,
) -> Calibration | None:
    """The `calibration` block of a task; None without validation records to fit on.

    single_label: softmax over the classes of cosine / temperature, the temperature by validation;
    judged is the best class of each ECG. multi_label: a sigmoid of each class's own, by validation;
    judged is every pair of an ECG and a class that some validation ECG shows. Uncalibrated metrics
    are at the model's own scale; for several labels they exist only if it has a bias.

    Args:
        kind: of the task.
        scored: scores (N, C) and truth (N, C) of the records that count.
        validation: the same (V, C) of the validation records that would count.
        logits: the model's own.
        draws: of the scored records.

    Source: Guo et al. 2017 (ECE, temperature); Platt 1999 (sigmoid, smoothed targets).
    """
    known_C = validation[1].any(axis=0)
    if not known_C.any() or not len(scored[0]):
        return None
    if kind == "single_label":
        scale = fitted_scale(*validation)
        judged = _top_class(*scored, scale)
        plain: _Judged | None = _top_class(*scored, logits.scale)
    else:
        columns = np.flatnonzero(known_C)
        slopes, offsets = platt_fits(validation[0][:, columns], validation[1][:, columns])
        scores_NC, truth_NC = scored[0][:, columns].astype(np.float64), scored[1][:, columns]
        judged = _Judged(sigmoid(slopes * scores_NC + offsets), truth_NC)
        plain = None
        if logits.bias is not None:
            plain = _Judged(sigmoid(logits.scale * scores_NC + logits.bias), truth_NC)
    return {
        "method": "temperature" if kind == "single_label" else "platt",
        "n_val": len(validation[0]),
        "ece": _ece_metric(judged, draws),
        "ece_uncalibrated": NO_METRIC if plain is None else _ece_metric(plain, draws),
        "bins": reliability_bins(judged.confidence_NJ.ravel(), judged.right_NJ.ravel()),
    }


def fitted_scale(scores_VC: Scores, truth_VC: Booleans) -> float:
    """1 / temperature at which the softmax of scale x cosine gives the truth the greatest chance.

    The negative log-likelihood is convex in the scale, so its slope is bisected. Where it falls or
    rises throughout (every validation record right, or scores that know nothing), the scale ends
    where float64 sees no slope, or at the end of 0.001 to 10,000.

    Args:
        scores_VC: similarities.
        truth_VC: with exactly one class in each row.
    """
    scores = scores_VC.astype(np.float64)
    true_score = scores[truth_VC].mean()

    def slope(scale: float) -> float:
        return float((softmax(scale * scores) * scores).sum(axis=1).mean() - true_score)

    low, high = np.log(_SCALES)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) < 0 else (low, middle)
    return float(np.exp((low + high) / 2))


def platt_fits(scores_VC: Scores, truth_VC: Booleans) -> tuple[Floats, Floats]:
    """Slope and offset (C,) of each class's sigmoid, by Newton's method on the log-likelihood.

    Targets are Platt's, (n+ + 1)/(n+ + 2) and 1/(n- + 2), so that a class which validation
    separates does not become certain.

    Source: Platt 1999; the damped Newton steps, Lin, Lin & Weng 2007.
    """
    fits = [
        _platt(scores.astype(np.float64), truth)
        for scores, truth in zip(scores_VC.T, truth_VC.T, strict=True)
    ]
    slopes, offsets = np.array(fits, np.float64).reshape(-1, 2).T
    return slopes, offsets


def _platt(scores_V: Floats, truth_V: Booleans) -> tuple[float, float]:
    n_shown = int(truth_V.sum())
    n_other = len(truth_V) - n_shown
    target_V = np.where(truth_V, (n_shown + 1) / (n_shown + 2), 1 / (n_other + 2))
    # Centred and scaled, so that both unknowns are of one size and a tiny ridge means the same.
    centre, spread = scores_V.mean(), scores_V.std() or 1.0
    x_V2 = np.stack([(scores_V - centre) / spread, np.ones_like(scores_V)], axis=1)
    found = np.array([0.0, np.log((n_shown + 1) / (n_other + 1))])
    loss = _log_loss(x_V2 @ found, target_V)
    for _ in range(100):
        chance_V = sigmoid(x_V2 @ found)
        slope = x_V2.T @ (chance_V - target_V)
        bend = (x_V2 * (chance_V * (1 - chance_V))[:, None]).T @ x_V2 + 1e-12 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while (after := _log_loss(x_V2 @ (found - size * step), target_V)) > loss and size > 1e-10:
            size /= 2
        found, loss = found - size * step, min(loss, after)
        if np.abs(slope).max() < 1e-12 * len(scores_V):
            break
    return float(found[0] / spread), float(found[1] - found[0] * centre / spread)


def _log_loss(logit_V: Floats, target_V: Floats) -> float:
    return float(np.sum(np.logaddexp(0, logit_V) - target_V * logit_V))


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(logits))
    chances: Floats = np.where(logits >= 0, 1, small) / (1 + small)
    return chances


def softmax(logits_NC: Floats) -> Floats:
    """Chances of each row's classes, without overflow."""
    raised = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    chances: Floats = raised / raised.sum(axis=1, keepdims=True)
    return chances


def reliability_bins(confidence: Floats, right: Booleans) -> list[Bin]:
    """15 bins of equal width: n, mean confidence and share that is right; null in an empty bin.

    A bin holds what is above its low end, up to and with its high end; the first also 0.
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


def expected_calibration_error(confidence: Floats, right: Booleans) -> float:
    """The mean over all of |confidence - share that is right| of its bin.

    Source: Guo et al. 2017, eq. 3.
    """
    gap_B = np.bincount(_bin_of(confidence), confidence - right, minlength=N_BINS)
    return float(np.abs(gap_B).sum() / len(confidence))


@dataclass(frozen=True)
class _Judged:
    """Confidences and what came of them; J = judgements of a record: one, or one a class."""

    confidence_NJ: Floats
    right_NJ: Booleans


def _top_class(scores_NC: Scores, truth_NC: Booleans, scale: float) -> _Judged:
    chances = softmax(scale * scores_NC.astype(np.float64))
    right = ((ranks(scores_NC) == 1) & truth_NC).any(axis=1)  # a tie counts as a miss, as in hit@1
    return _Judged(chances.max(axis=1, keepdims=True), right[:, None])


def _bin_of(confidence: Floats) -> npt.NDArray[np.int64]:
    edges = np.arange(1, N_BINS) / N_BINS
    return np.searchsorted(edges, confidence, side="left").astype(np.int64)


def _ece_metric(judged: _Judged, draws: Draws) -> Metric:
    """With its interval: a record's gaps are summed by bin once, then only weighted."""
    n_records, n_judged = judged.confidence_NJ.shape
    record = np.repeat(np.arange(n_records), n_judged)
    bin_of = _bin_of(judged.confidence_NJ.ravel())
    gaps = (judged.confidence_NJ - judged.right_NJ).ravel()
    flat = np.bincount(record * N_BINS + bin_of, gaps, minlength=n_records * N_BINS)
    gap_NB = flat.reshape(n_records, N_BINS)
    value = expected_calibration_error(judged.confidence_NJ.ravel(), judged.right_NJ.ravel())
    drawn = []
    for start in range(0, len(draws), _DRAWS_AT_ONCE):
        weights_ND = draws.weights(start, min(start + _DRAWS_AT_ONCE, len(draws)))
        weights_ND = weights_ND.astype(np.float64)
        with np.errstate(invalid="ignore"):
            drawn.append(
                np.abs(weights_ND.T @ gap_NB).sum(axis=1) / (weights_ND.sum(axis=0) * n_judged)
            )
    low, high = shifted_interval(value, np.concatenate(drawn) if drawn else np.empty(0))
    known = np.isfinite(low)
    return {
        "value": value,
        "low": low if known else None,
        "high": min(1.0, high) if known else None,
    }
