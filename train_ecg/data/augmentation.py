"""Augmentation: changes to an ECG, new in every epoch, that leave its findings as they are.

Owns the changes and their order; all on the device, on millivolts, before any normalisation. The
random numbers of a record depend on (seed, epoch, record) alone, so a resumed run, another number
of processes or another batch size draws the same. A sample without a reading stays without one.

B = batch, L = leads, S = samples. `known_BLS` is true where there is a reading; elsewhere a signal
is 0.
"""

import math

import torch

from ecgpipe.config.train import AugmentConfig
from ecgpipe.train_ecg.data.counter_random import integers, normal, record_keys, uniform

_WANDER_SINES = 3
_WANDER_HZ = (0.05, 0.5)
_MAINS_HZ = (50.0, 60.0)


def augment(
    signal_BLS: torch.Tensor,
    known_BLS: torch.Tensor,
    records_B: torch.Tensor,
    seed: int,
    epoch: int | torch.Tensor,
    rate_hz: int,
    settings: AugmentConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Augmented signals and which samples are readings; neither input is written to.

    Args:
        signal_BLS: float, mV, 0 where there is no reading.
        known_BLS: bool.
        records_B: int64, a number of each record that does not change between runs.
        seed: of the run.
        epoch: counted from 0; a tensor where a captured CUDA graph must read the current one.
        rate_hz: of the signals.
        settings: how strongly. If all are off, the inputs themselves are returned.

    Returns:
        (B, L, S) of both; with `crop_s` S is that many seconds.

    Raises:
        ValueError: the signal is shorter than the crop, or its rate is too low for a 60 Hz sine.
    """
    signal, known = signal_BLS, known_BLS

    def keys(stream: int) -> torch.Tensor:
        return record_keys(seed, epoch, records_B, stream)

    # The number of a stream decides what is drawn: keep it when a line is added or moved.
    if settings.shift_s:
        signal, known = shift(signal, known, keys(1), round(settings.shift_s * rate_hz))
    if settings.crop_s:
        signal, known = crop(signal, known, keys(2), round(settings.crop_s * rate_hz))
    if settings.drop_lead:
        known = drop_leads(known, keys(3), settings.drop_lead)
    if settings.amplitude:
        signal = scale_amplitude(signal, keys(4), settings.amplitude)
    if settings.wander_mv:
        signal = add_wander(signal, keys(5), settings.wander_mv, rate_hz)
    if settings.mains_mv:
        signal = add_mains(signal, keys(6), settings.mains_mv, rate_hz)
    if settings.noise_mv:
        signal = add_noise(signal, keys(7), settings.noise_mv)
    if not settings.is_off:
        signal = torch.where(known, signal, 0.0)
    return signal, known


def shift(
    signal_BLS: torch.Tensor, known_BLS: torch.Tensor, keys_B: torch.Tensor, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shift all leads later or earlier by up to `most` samples; the gap has no reading."""
    samples = signal_BLS.shape[2]
    return _window(signal_BLS, known_BLS, integers(keys_B, -most, most), samples)


def crop(
    signal_BLS: torch.Tensor, known_BLS: torch.Tensor, keys_B: torch.Tensor, samples: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut `samples` out at a random place.

    Raises:
        ValueError: the signal is shorter, or `samples` is 0.
    """
    surplus = signal_BLS.shape[2] - samples
    if surplus < 0 or samples == 0:
        raise ValueError(f"{samples} samples cannot be cut from {signal_BLS.shape[2]}")
    return _window(signal_BLS, known_BLS, integers(keys_B, 0, surplus), samples)


def _window(
    signal_BLS: torch.Tensor, known_BLS: torch.Tensor, start_B: torch.Tensor, samples: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """`samples` from `start_B` on; what is outside the signal has no reading."""
    _, n_leads, there = signal_BLS.shape
    place_BS = start_B[:, None] + torch.arange(samples, device=start_B.device)
    within_BS = (place_BS >= 0) & (place_BS < there)
    index_BLS = place_BS.clamp(0, there - 1)[:, None].expand(-1, n_leads, -1)
    known_BLS = known_BLS.gather(2, index_BLS) & within_BS[:, None]
    return signal_BLS.gather(2, index_BLS) * within_BS[:, None], known_BLS


def drop_leads(known_BLS: torch.Tensor, keys_B: torch.Tensor, chance: float) -> torch.Tensor:
    """Hide each lead with this probability; of the leads with a reading one always stays."""
    draw_BL = uniform(keys_B, known_BLS.shape[1])
    has_reading_BL = known_BLS.any(dim=2)
    # Where chance would take all of them, the lead with the greatest draw stays.
    greatest_B = draw_BL.masked_fill(~has_reading_BL, -1).amax(dim=1, keepdim=True)
    stays_BL = (draw_BL >= chance) | (draw_BL == greatest_B)
    return known_BLS & stays_BL[:, :, None]


def scale_amplitude(
    signal_BLS: torch.Tensor, keys_B: torch.Tensor, strength: float
) -> torch.Tensor:
    """Multiply each record by one factor from 1 / (1 + strength) to 1 + strength."""
    exponent_B = uniform(keys_B, 1)[:, 0] * 2 - 1
    return signal_BLS * (exponent_B * math.log1p(strength)).exp()[:, None, None]


def add_wander(
    signal_BLS: torch.Tensor, keys_B: torch.Tensor, sd_mv: float, rate_hz: int
) -> torch.Tensor:
    """Add slow sines; leads share their frequencies, but not their amplitudes and phases."""
    n_records, n_leads, samples = signal_BLS.shape
    # A sine and a cosine with normal amplitudes are a sine of random phase. The frequencies use the
    # random numbers after those of the amplitudes.
    n_sizes = n_leads * _WANDER_SINES * 2
    sizes = normal(keys_B, n_sizes).view(n_records, n_leads, _WANDER_SINES, 2)
    low_hz, high_hz = _WANDER_HZ
    draw_BW = uniform(keys_B, n_sizes + _WANDER_SINES)[:, n_sizes:]
    turns_BW = (low_hz + (high_hz - low_hz) * draw_BW) * (2 * math.pi / rate_hz)
    time_S = torch.arange(samples, device=signal_BLS.device)
    for sine in range(_WANDER_SINES):
        angle_BS = turns_BW[:, sine, None] * time_S
        for part, wave_BS in enumerate((angle_BS.sin(), angle_BS.cos())):
            size_BL = sizes[:, :, sine, part] * (sd_mv / _WANDER_SINES**0.5)
            signal_BLS = signal_BLS + size_BL[:, :, None] * wave_BS[:, None]
    return signal_BLS


def add_mains(
    signal_BLS: torch.Tensor, keys_B: torch.Tensor, most_mv: float, rate_hz: int
) -> torch.Tensor:
    """Add mains noise of 50 or 60 Hz (Japan has both), with one phase in all leads.

    Raises:
        ValueError: the rate is too low for 60 Hz.
    """
    if rate_hz <= 2 * max(_MAINS_HZ):
        raise ValueError(
            f"mains noise of 60 Hz needs more than 120 samples a second, not {rate_hz}"
        )
    n_leads, samples = signal_BLS.shape[1:]
    draw_B2L = uniform(keys_B, 2 + n_leads)
    mains_hz_B = torch.where(draw_B2L[:, 0] < 0.5, *_MAINS_HZ)
    time_S = torch.arange(samples, device=signal_BLS.device)
    # Whole turns are subtracted first: float32 loses the phase of hundreds of turns.
    turns_BS = (mains_hz_B[:, None] * time_S % rate_hz) / rate_hz
    wave_BS = ((turns_BS + draw_B2L[:, 1, None]) * (2 * math.pi)).sin()
    return signal_BLS + most_mv * draw_B2L[:, 2:, None] * wave_BS[:, None]


def add_noise(signal_BLS: torch.Tensor, keys_B: torch.Tensor, sd_mv: float) -> torch.Tensor:
    """Add white noise."""
    noise = normal(keys_B, signal_BLS[0].numel()).view(signal_BLS.shape)
    return signal_BLS + sd_mv * noise
