"""Augmentation: changes to an ECG, new in every epoch, that leave its findings as they are.

Owns the changes and their order; all on the device, on millivolts, before any normalisation. The
random numbers of a record depend on (seed, epoch, record) alone, so a resumed run, another number
of processes or another batch size draws the same. A sample without a reading stays without one.

The numbers of all changes are drawn together, from keys computed once an epoch: on a GPU with small
batches, an operation costs its launch, however little it computes.

N = records, B = batch, L = leads, S = samples, K = random streams, n = numbers of a record in each.
`known_BLS` is true where there is a reading; elsewhere a signal
is 0.
"""

import math
from functools import cached_property

import torch

from ecgpipe.config.train import AugmentConfig
from ecgpipe.train_ecg.data.counter_random import (
    counters,
    hashes,
    integers,
    normal_pairs,
    record_keys,
    uniform,
)

_WANDER_SINES = 3
_WANDER_HZ = (0.05, 0.5)
_MAINS_HZ = (50.0, 60.0)

# The number of a stream decides what is drawn: it must not change.
_SHIFT, _CROP, _DROP, _AMPLITUDE, _WANDER, _MAINS, _NOISE = range(1, 8)


class Augmentation:
    """The changes of one run, with what is the same in all steps, or in all of an epoch."""

    def __init__(
        self,
        settings: AugmentConfig,
        seed: int,
        n_records: int,
        n_leads: int,
        samples: int,
        rate_hz: int,
        device: torch.device,
    ) -> None:
        """Prepare for epoch 0.

        Args:
            settings: how strongly. If all are off, a call returns its inputs.
            seed: of the run.
            n_records: N; they are numbered in an order that does not change between runs.
            n_leads: L.
            samples: S, before a crop.
            rate_hz: of the signals.
            device: of the signals.

        Raises:
            ValueError: the signal is shorter than the crop.
        """
        self._settings, self._seed, self._rate_hz = settings, seed, rate_hz
        self._samples_left = round(settings.crop_s * rate_hz) if settings.crop_s else samples
        if self._samples_left > samples:
            raise ValueError(f"{self._samples_left} samples cannot be cut from {samples}")
        self._n_sizes = n_leads * _WANDER_SINES * 2
        self._n_few = max(self._n_sizes + _WANDER_SINES, n_leads + 2)
        if settings.is_off:
            return
        n_noise = -(-n_leads * self._samples_left // 2) if settings.noise_mv else 0
        self._n_noise = n_noise
        self._counters_n = counters(max(self._n_few, n_noise), device)
        self._time_S = torch.arange(samples, device=device)
        self._turned_2S = turned(self._time_S[: self._samples_left], rate_hz)
        self._records_N = torch.arange(n_records, device=device)
        self._keys_KN = torch.empty(_NOISE, n_records, dtype=torch.int64, device=device)
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        """Compute each record's keys for an epoch, counted from 0."""
        if self._settings.is_off:
            return
        for stream in range(1, _NOISE + 1):
            # Into the same memory, which a captured CUDA graph reads.
            keys_N = record_keys(self._seed, epoch, self._records_N, stream)
            self._keys_KN[stream - 1].copy_(keys_N)

    def __call__(
        self, signal_BLS: torch.Tensor, known_BLS: torch.Tensor, records_B: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augmented signals and which samples are readings; neither input is written to.

        Args:
            signal_BLS: float, mV, 0 where there is no reading.
            known_BLS: bool.
            records_B: int64, the number of each record.

        Returns:
            (B, L, S) of both; with `crop_s` S is that many seconds.

        Raises:
            ValueError: the rate is too low for a 60 Hz sine.
        """
        settings, signal, known = self._settings, signal_BLS, known_BLS
        if settings.is_off:
            return signal, known
        draws, rate_hz = self._draw(records_B), self._rate_hz
        left_S = self._time_S[: self._samples_left]
        if settings.shift_s:
            most = round(settings.shift_s * rate_hz)
            start_B = integers(draws.bits(_SHIFT)[:, 0], -most, most)
            signal, known = window(signal, known, start_B, self._time_S)
        if settings.crop_s:
            surplus = signal.shape[2] - self._samples_left
            start_B = integers(draws.bits(_CROP)[:, 0], 0, surplus)
            signal, known = window(signal, known, start_B, left_S)
        if settings.drop_lead:
            known = drop_leads(known, draws.uniform(_DROP), settings.drop_lead)
        if settings.amplitude:
            signal = scale_amplitude(signal, draws.uniform(_AMPLITUDE)[:, 0], settings.amplitude)
        if settings.wander_mv:
            sizes = draws.normal(_WANDER, self._n_sizes)
            draw_BW = draws.uniform(_WANDER)[:, self._n_sizes : self._n_sizes + _WANDER_SINES]
            signal = add_wander(signal, sizes, draw_BW, settings.wander_mv, self._turned_2S)
        if settings.mains_mv:
            draw_Bn = draws.uniform(_MAINS)
            signal = add_mains(signal, draw_Bn, settings.mains_mv, rate_hz, left_S)
        if settings.noise_mv:
            signal = signal + settings.noise_mv * draws.noise(signal[0].numel()).view(signal.shape)
        return torch.where(known, signal, 0.0), known

    def _draw(self, records_B: torch.Tensor) -> "_Draws":
        keys_KB = self._keys_KN[:, records_B]
        few_KBn = keys_KB[: _NOISE - 1, :, None] + self._counters_n[: self._n_few]
        noise_Bn = keys_KB[_NOISE - 1, :, None] + self._counters_n[: self._n_noise]
        return _Draws(few_KBn, noise_Bn)


class _Draws:
    """The random numbers of a batch: a few of each stream, and noise."""

    def __init__(self, few_KBn: torch.Tensor, noise_Bn: torch.Tensor) -> None:
        self._shapes = few_KBn.shape, noise_Bn.shape
        self._bits = hashes(torch.cat([few_KBn.flatten(), noise_Bn.flatten()]))

    def bits(self, stream: int) -> torch.Tensor:
        """(B, n) int64."""
        return self._few(self._bits)[stream - 1]

    def uniform(self, stream: int) -> torch.Tensor:
        """(B, n) from 0 to 1."""
        return self._few(self._uniform)[stream - 1]

    def normal(self, stream: int, n: int) -> torch.Tensor:
        """(B, n) of standard deviation 1; `n` may be no more than twice that of `uniform`."""
        half = (n + 1) // 2
        pair = [self._few(part)[stream - 1][:, :half] for part in self._normal]
        return torch.cat(pair, dim=1)[:, :n]

    def noise(self, n: int) -> torch.Tensor:
        """(B, n) of standard deviation 1."""
        pair = [part[self._shapes[0].numel() :].view(self._shapes[1]) for part in self._normal]
        return torch.cat(pair, dim=1)[:, :n]

    def _few(self, values: torch.Tensor) -> torch.Tensor:
        return values[: self._shapes[0].numel()].view(self._shapes[0])

    @cached_property
    def _uniform(self) -> torch.Tensor:
        return uniform(self._bits)

    @cached_property
    def _normal(self) -> tuple[torch.Tensor, torch.Tensor]:
        return normal_pairs(self._bits, self._uniform)


def window(
    signal_BLS: torch.Tensor, known_BLS: torch.Tensor, start_B: torch.Tensor, time_S: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The samples `time_S` after the start; what is outside the signal has no reading.

    Args:
        signal_BLS: float.
        known_BLS: bool.
        start_B: int64.
        time_S: int64, from 0 on, in samples.

    Returns:
        (B, L, S) of both; a sample without reading may be anything.
    """
    place_BS = start_B[:, None] + time_S
    inside_BS = place_BS.clamp(0, signal_BLS.shape[2] - 1)
    index_BLS = inside_BS[:, None].expand(-1, signal_BLS.shape[1], -1)
    known_BLS = known_BLS.gather(2, index_BLS) & (place_BS == inside_BS)[:, None]
    return signal_BLS.gather(2, index_BLS), known_BLS


def drop_leads(known_BLS: torch.Tensor, draw_Bn: torch.Tensor, chance: float) -> torch.Tensor:
    """Hide each lead with this probability; of the leads with a reading one always stays.

    Args:
        known_BLS: bool.
        draw_Bn: from 0 to 1, at least one a lead.
        chance: 0 to 1.
    """
    draw_BL = draw_Bn[:, : known_BLS.shape[1]]
    # Where chance would take all of them, the lead with the greatest draw stays.
    greatest_B = torch.where(known_BLS.any(dim=2), draw_BL, -1.0).amax(dim=1, keepdim=True)
    return known_BLS & (draw_BL >= greatest_B.clamp(max=chance))[:, :, None]


def scale_amplitude(
    signal_BLS: torch.Tensor, draw_B: torch.Tensor, strength: float
) -> torch.Tensor:
    """Multiply each record by one factor from 1 / (1 + strength) to 1 + strength.

    Args:
        signal_BLS: float.
        draw_B: from 0 to 1; .5 leaves a record as it is.
        strength: 0 or more.
    """
    exponent_B = draw_B * 2 - 1
    return signal_BLS * (exponent_B * math.log1p(strength)).exp()[:, None, None]


def add_wander(
    signal_BLS: torch.Tensor,
    sizes_Bn: torch.Tensor,
    draw_BW: torch.Tensor,
    sd_mv: float,
    turned_2S: torch.Tensor,
) -> torch.Tensor:
    """Add slow sines; leads share their frequencies, but not their amplitudes and phases.

    Args:
        signal_BLS: float.
        sizes_Bn: normal, two a lead and sine: a sine and a cosine with normal amplitudes are a sine
            of random phase.
        draw_BW: from 0 to 1, of each of W sines.
        sd_mv: of all together.
        turned_2S: from `turned`.
    """
    n_records, n_leads, _ = signal_BLS.shape
    angle_BWS = torch.addcmul(turned_2S[0], draw_BW[:, :, None], turned_2S[1])
    wave_BnS = torch.stack([angle_BWS.sin(), angle_BWS.cos()], dim=2).flatten(1, 2)
    sizes_BLn = sizes_Bn.view(n_records, n_leads, -1).to(signal_BLS.dtype)
    share_mv = sd_mv / draw_BW.shape[1] ** 0.5
    return torch.baddbmm(signal_BLS, sizes_BLn, wave_BnS.to(signal_BLS.dtype), alpha=share_mv)


def turned(time_S: torch.Tensor, rate_hz: int) -> torch.Tensor:
    """(2, S) float32: the slowest wander's angle at each time, and how far the fastest is ahead."""
    low_S, high_S = (time_S.float() * (2 * math.pi * hz / rate_hz) for hz in _WANDER_HZ)
    return torch.stack([low_S, high_S - low_S])


def add_mains(
    signal_BLS: torch.Tensor,
    draw_Bn: torch.Tensor,
    most_mv: float,
    rate_hz: int,
    time_S: torch.Tensor,
) -> torch.Tensor:
    """Add mains noise of 50 or 60 Hz (Japan has both), with one phase in all leads.

    Args:
        signal_BLS: float.
        draw_Bn: from 0 to 1: one for the frequency, one for the phase, and one a lead.
        most_mv: the largest amplitude.
        rate_hz: of the signals.
        time_S: in samples.

    Raises:
        ValueError: the rate is too low for 60 Hz.
    """
    if rate_hz <= 2 * max(_MAINS_HZ):
        raise ValueError(
            f"mains noise of 60 Hz needs more than 120 samples a second, not {rate_hz}"
        )
    n_leads = signal_BLS.shape[1]
    mains_hz_B = torch.where(draw_Bn[:, 0] < 0.5, *_MAINS_HZ)
    # Whole turns are subtracted first: float32 loses the phase of hundreds of turns.
    turns_BS = (mains_hz_B[:, None] * time_S % rate_hz) / rate_hz
    wave_BS = ((turns_BS + draw_Bn[:, 1, None]) * (2 * math.pi)).sin()
    return signal_BLS + most_mv * draw_Bn[:, 2 : 2 + n_leads, None] * wave_BS[:, None]
