"""The intervals between beats, as a second input beside the signal.

Owns where beats are found, and the seven numbers that describe their intervals. An encoder that
averages over time sees the shape of each beat at once, but has to learn to measure the time between
two; from a thousand ECGs it learns that badly. Knows signals, and no finding. Everything is a
function of the signal alone, in operations of torch: so it is in an exported model too, and may be
captured as a CUDA graph.
B = batch, L = leads, S = samples, T = samples averaged, P = places, N = beats,
F = features.

Source of beats: the energy of slopes (Pan and Tompkins 1985), without its filters and its search
back. Of numbers: Task Force 1996, Heart rate variability, on ten seconds and so only roughly.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from ecgpipe.train_ecg.encoders.encoder import Encoder

_WIDTH = 64
_LEAST_S = 0.25  # between two beats: 240 a minute
_WINDOW_S = 0.1  # about a QRS complex
_RATE_HZ = 100  # noise above about half this rate is averaged out
_SHARE_OF_LARGEST = 0.4  # of the largest slopes within a second

# About the mean and the deviation of each number in a hospital's ECGs, so that all weigh alike.
_MEANS = (math.log(0.8), 0.06, 0.08, 0.1, 0.1, 0.15, 0.0)
_DEVIATIONS = (0.22, 0.07, 0.11, 0.14, 0.11, 0.24, 1.0)
_LARGEST = 5.0


def beat_intervals(signal_BLS: torch.Tensor, rate_hz: int) -> torch.Tensor:
    """(B, 7) what the intervals between the beats of each ECG are like.

    The logarithm of their mean in seconds; divided by the mean, their standard deviation, the root
    mean square of the differences between neighbours, how much the longest is longer and the
    shortest shorter; the share of neighbours that differ by more than a tenth of it; and 1. All are
    0 where fewer than three beats are found.

    Args:
        signal_BLS: float ECGs, in any unit; where nothing was recorded 0.
        rate_hz: of the signals.
    """
    times_BN = _beat_times(signal_BLS, rate_hz)
    interval_BI = times_BN.diff(dim=1)
    known_BI = interval_BI.isfinite() & (interval_BI > _LEAST_S / 2)  # less: one beat, found twice
    interval_BI = torch.where(known_BI, interval_BI, 1.0)
    mean_B1 = _mean(interval_BI, known_BI)
    relative_BI = interval_BI / mean_B1
    both_BJ = known_BI[:, 1:] & known_BI[:, :-1]
    step_BJ = relative_BI.diff(dim=1).abs()
    numbers_B7 = torch.cat(
        [
            mean_B1.log(),
            _mean((relative_BI - 1).square(), known_BI).sqrt(),
            _mean(step_BJ.square(), both_BJ).sqrt(),
            relative_BI.where(known_BI, 0.0).amax(dim=1, keepdim=True) - 1,
            1 - relative_BI.where(known_BI, math.inf).amin(dim=1, keepdim=True),
            _mean((step_BJ > 0.1).float(), both_BJ),
            torch.ones_like(mean_B1),
        ],
        dim=1,
    )
    return numbers_B7.where(both_BJ.any(dim=1, keepdim=True), 0.0)


def _mean(values_BI: torch.Tensor, known_BI: torch.Tensor) -> torch.Tensor:
    """(B, 1) over those known; 0 if none is."""
    total_B1 = values_BI.where(known_BI, 0.0).sum(dim=1, keepdim=True)
    return total_B1 / known_BI.sum(dim=1, keepdim=True).clamp(min=1)


def _beat_times(signal_BLS: torch.Tensor, rate_hz: int) -> torch.Tensor:
    """(B, N) the times in seconds at which the slopes are steepest, then infinity."""
    step = max(1, rate_hz // _RATE_HZ)
    reading_BLT = functional.avg_pool1d(_is_reading(signal_BLS).to(signal_BLS.dtype), step, 1)
    signal_BLT = functional.avg_pool1d(signal_BLS, step, 1) / reading_BLT.clamp(min=1 / step)
    known_BLT = (reading_BLT[:, :, 1:] > 0) & (reading_BLT[:, :, :-1] > 0)
    slope_BLT = signal_BLT.diff(dim=2).square().where(known_BLT, 0.0)
    slope_B1P = functional.avg_pool1d(slope_BLT.sum(dim=1, keepdim=True), step)
    rate = rate_hz / step
    window = 1 + 2 * round(_WINDOW_S * rate / 2)
    energy_B1P = functional.avg_pool1d(
        slope_B1P, window, stride=1, padding=window // 2, count_include_pad=False
    ).sqrt()
    is_beat_BP = (
        (energy_B1P >= _largest_within(energy_B1P, _LEAST_S, rate))
        & (energy_B1P > _SHARE_OF_LARGEST * _largest_within(energy_B1P, 1.0, rate))
        & (energy_B1P > energy_B1P.mean(dim=2, keepdim=True))
    ).squeeze(1)
    n_places = is_beat_BP.shape[1]
    time_P = torch.arange(n_places, device=signal_BLS.device, dtype=signal_BLS.dtype) / rate
    most = min(n_places, 2 + math.ceil(n_places / rate / _LEAST_S))
    times_BP = torch.where(is_beat_BP, time_P, math.inf)
    return times_BP.topk(most, dim=1, largest=False, sorted=True).values


def _is_reading(signal_BLS: torch.Tensor) -> torch.Tensor:
    """(B, L, S). A 0 beside another is none: the step into such a gap is no slope."""
    is_zero_BLS = signal_BLS == 0
    both_BLS = is_zero_BLS[:, :, 1:] & is_zero_BLS[:, :, :-1]
    return ~(functional.pad(both_BLS, (1, 0)) | functional.pad(both_BLS, (0, 1)))


def _largest_within(energy_B1P: torch.Tensor, seconds: float, rate: float) -> torch.Tensor:
    """(B, 1, P) the largest within this time before or after each place."""
    reach = round(seconds * rate)
    return functional.max_pool1d(energy_B1P, 1 + 2 * reach, stride=1, padding=reach)


class WithBeatIntervals(nn.Module):
    """An encoder whose features are followed by 64 that are learnt of the intervals."""

    _means_7: torch.Tensor
    _deviations_7: torch.Tensor

    def __init__(self, encoder: Encoder, rate_hz: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.width = encoder.width + _WIDTH
        self.interval_features = nn.Linear(len(_MEANS), _WIDTH)
        self._rate_hz = rate_hz
        self.register_buffer("_means_7", torch.tensor(_MEANS), persistent=False)
        self.register_buffer("_deviations_7", torch.tensor(_DEVIATIONS), persistent=False)

    def feature_map(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to features before pooling (B, width, places); those of intervals are the same
        at every place."""
        map_BFP = self.encoder.feature_map(signal_BLS)
        intervals_BF1 = self._features(signal_BLS).to(map_BFP.dtype).unsqueeze(2)
        return torch.cat([map_BFP, intervals_BF1.expand(-1, -1, map_BFP.shape[2])], dim=1)

    def forward(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, L, S) to features (B, width)."""
        features_BF = self.encoder(signal_BLS)
        return torch.cat([features_BF, self._features(signal_BLS).to(features_BF.dtype)], dim=1)

    def _features(self, signal_BLS: torch.Tensor) -> torch.Tensor:
        """(B, 64)."""
        # Not in bfloat16, even under autocast: it holds times to a hundredth.
        with torch.autocast(signal_BLS.device.type, enabled=False):
            with torch.no_grad():
                numbers_B7 = beat_intervals(signal_BLS, self._rate_hz)
                scaled_B7 = (numbers_B7 - self._means_7) / self._deviations_7
                scaled_B7 = scaled_B7.clamp(-_LARGEST, _LARGEST) * numbers_B7[:, -1:]
            features_B64: torch.Tensor = self.interval_features(scaled_B7)
            return functional.relu(features_B64)
