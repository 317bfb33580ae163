"""Augmentation: each change does what its name says, and depends on the record alone."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from ecgpipe.config.train import AugmentConfig
from ecgpipe.train_ecg.data.augmentation import (
    Augmentation,
    add_mains,
    add_wander,
    drop_leads,
    scale_amplitude,
    turned,
)
from ecgpipe.train_ecg.data.counter_random import (
    counters,
    hashes,
    integers,
    normal_pairs,
    record_keys,
    uniform,
)

EVERYTHING = AugmentConfig(
    crop_s=1.5,
    shift_s=0.4,
    amplitude=0.2,
    wander_mv=0.1,
    mains_mv=0.05,
    noise_mv=0.02,
    drop_lead=0.3,
)
RATE_HZ = 250
CPU = torch.device("cpu")


def keys(records: int, stream: int = 0, epoch: int = 0, seed: int = 0) -> torch.Tensor:
    return record_keys(seed, epoch, torch.arange(records), stream)


def bits(keys_B: torch.Tensor, n: int) -> torch.Tensor:
    """(B, n): the first hashes of each key's sequence."""
    return hashes(keys_B[:, None] + counters(n))


def normal(keys_B: torch.Tensor, n: int) -> torch.Tensor:
    """(B, n): all first halves of the pairs, then all second ones."""
    found = bits(keys_B, (n + 1) // 2)
    return torch.cat(normal_pairs(found, uniform(found)), dim=1)[:, :n]


def augmented(
    signal: torch.Tensor,
    known: torch.Tensor,
    records: torch.Tensor,
    settings: AugmentConfig = EVERYTHING,
    *,
    seed: int = 0,
    epoch: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch as training changes it in an epoch."""
    n_records, (n_leads, samples) = int(records.max()) + 1, signal.shape[1:]
    changes = Augmentation(settings, seed, n_records, n_leads, samples, RATE_HZ, CPU)
    changes.begin_epoch(epoch)
    return changes(signal, known, records)


def signals(records: int, leads: int = 12, samples: int = 500) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, of which some leads, the ends of some records and some samples have no reading."""
    generator = torch.Generator().manual_seed(records)
    signal = torch.randn(records, leads, samples, generator=generator)
    known = torch.rand(records, leads, samples, generator=generator) > 0.01
    known[1::3, 2:5] = False
    known[2::3, :, 400:] = False
    return signal * known, known


def test_the_hash_is_splitmix64() -> None:
    # The published sequence of seed 1234567, and one step written with Python's whole numbers.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    found = bits(torch.tensor([1234567, -1]), 3).numpy().view(np.uint64)
    assert found[0].tolist() == published
    state = (2**64 - 1 + 3 * 0x9E3779B97F4A7C15) % 2**64
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
    assert int(found[1, 2]) == state ^ state >> 31


def test_numbers_are_uniform_and_normal() -> None:
    spread = uniform(bits(keys(64), 3000)).double().numpy().ravel()
    bell = normal(keys(64), 3000).double().numpy().ravel()
    assert 0 <= spread.min() < 1e-4
    assert 1 - 1e-4 < spread.max() < 1
    assert stats.kstest(spread, "uniform").pvalue > 0.001
    assert stats.kstest(bell, "norm").pvalue > 0.001
    # Also of few numbers for many records, which is another direction through the hash.
    first = uniform(bits(keys(100_000), 1)).double().numpy().ravel()
    assert stats.kstest(first, "uniform").pvalue > 0.001


def test_whole_numbers_are_equally_frequent_within_their_bounds() -> None:
    found = integers(bits(keys(70_000), 1)[:, 0], -3, 3)
    assert found.unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    counts = torch.bincount(found + 3).numpy()
    assert stats.chisquare(counts).pvalue > 0.001
    assert integers(bits(keys(5), 1)[:, 0], 4, 4).tolist() == [4] * 5
    assert int(integers(bits(keys(100_000), 1), 0, 2**31 - 2).max()) <= 2**31 - 2


def test_neighbouring_records_epochs_streams_and_seeds_are_independent() -> None:
    n = 20_000
    sequences = [
        keys(n),
        keys(n + 1)[1:],
        keys(n, epoch=1),
        keys(n, stream=1),
        keys(n, seed=1),
        record_keys(0, 0, torch.arange(n) * 2**20, 0),
    ]
    drawn = [normal(sequence, 2) for sequence in sequences]
    columns = torch.cat(drawn, dim=1).T
    correlation = torch.corrcoef(columns) - torch.eye(len(columns))
    assert correlation.abs().max() < 5 / math.sqrt(n)
    assert len(torch.cat(sequences).unique()) >= n * 5


def plainly(
    signal: torch.Tensor,
    known: torch.Tensor,
    record: int,
    seed: int,
    epoch: int,
    settings: AugmentConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One record's (L, S), one change after another, every number drawn when it is needed."""

    def key(stream: int) -> torch.Tensor:
        return record_keys(seed, epoch, torch.tensor([record]), stream)

    def from_start(start: int, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        moved, left = torch.zeros(len(signal), samples), torch.zeros(len(signal), samples).bool()
        for n in range(samples):
            if 0 <= start + n < signal.shape[1]:
                moved[:, n], left[:, n] = signal[:, start + n], known[:, start + n]
        return moved, left

    most = round(settings.shift_s * RATE_HZ)
    start = int(integers(bits(key(1), 1), -most, most))
    signal, known = from_start(start, signal.shape[1])
    left = round(settings.crop_s * RATE_HZ)
    signal, known = from_start(int(integers(bits(key(2), 1), 0, signal.shape[1] - left)), left)
    draws = uniform(bits(key(3), len(signal)))[0]
    stays = draws >= settings.drop_lead
    with_reading = known.any(dim=1)
    if not (stays & with_reading).any() and with_reading.any():
        stays[int(draws.masked_fill(~with_reading, -1).argmax())] = True
    known = known & stays[:, None]
    exponent = (uniform(bits(key(4), 1))[0, 0] * 2 - 1) * math.log1p(settings.amplitude)
    signal = signal * exponent.exp()
    time = torch.arange(left)
    sizes = normal(key(5), len(signal) * 6).view(len(signal), 3, 2)
    draws = uniform(bits(key(5), len(signal) * 6 + 3))[0, -3:]
    for sine in range(3):
        angle = time.double() * (0.05 + 0.45 * float(draws[sine])) * 2 * math.pi / RATE_HZ
        for part, wave in enumerate((angle.sin(), angle.cos())):
            signal = signal + settings.wander_mv / 3**0.5 * sizes[:, sine, part, None] * wave
    draws = uniform(bits(key(6), 2 + len(signal)))[0]
    turns = time.double() * (50 if draws[0] < 0.5 else 60) / RATE_HZ + float(draws[1])
    signal = signal + settings.mains_mv * draws[2:, None] * (turns * 2 * math.pi).sin()
    signal = signal + settings.noise_mv * normal(key(7), signal.numel()).view(signal.shape)
    return signal * known, known


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (3, 1), (3, 17), (2**40, 0)])
def test_a_batch_gets_what_each_record_gets_alone(seed: int, epoch: int) -> None:
    """Whose keys come from a table, and whose numbers are drawn together with all others'."""
    signal, known = signals(9)
    records = torch.tensor([4, 0, 399, 17, 18, 250, 3, 2, 1])
    found, found_known = augmented(signal, known, records, seed=seed, epoch=epoch)
    for row, record in enumerate(records.tolist()):
        plain, plain_known = plainly(signal[row], known[row], record, seed, epoch, EVERYTHING)
        assert torch.equal(found_known[row], plain_known)
        assert (found[row] - plain).abs().max() < 2e-6


def test_going_back_to_an_epoch_gives_its_numbers_again() -> None:
    signal, known = signals(5)
    changes = Augmentation(EVERYTHING, 1, 5, 12, 500, RATE_HZ, CPU)
    drawn = {}
    for epoch in (0, 1, 2, 1, 0):
        changes.begin_epoch(epoch)
        found, _ = changes(signal, known, torch.arange(5))
        assert torch.equal(found, drawn.setdefault(epoch, found))
    assert not torch.equal(drawn[0], drawn[1])


def test_a_record_gets_the_same_wherever_it_stands() -> None:
    signal, known = signals(16)
    records = torch.arange(16) * 37 + 5
    whole, whole_known = augmented(signal, known, records, seed=3, epoch=7)
    for places in ([3], [15, 3, 8], list(reversed(range(16))), [1, 1, 2, 3, 5]):
        part, part_known = augmented(
            signal[places], known[places], records[places], seed=3, epoch=7
        )
        assert torch.equal(part, whole[places])
        assert torch.equal(part_known, whole_known[places])


def test_other_seeds_epochs_and_records_get_other_numbers() -> None:
    signal, known = (tensor[:1].expand(4, -1, -1) for tensor in signals(1))
    records = torch.arange(4)
    first, _ = augmented(signal, known, records)
    again, _ = augmented(signal, known, records)
    assert torch.equal(first, again)
    for seed, epoch in ((1, 0), (0, 1)):
        other, _ = augmented(signal, known, records, seed=seed, epoch=epoch)
        assert all(not torch.equal(first[row], other[row]) for row in range(4))
    assert all(not torch.equal(first[0], first[row]) for row in (1, 2, 3))


def test_with_all_off_the_very_inputs_come_back() -> None:
    signal, known = signals(4)
    assert AugmentConfig().is_off
    same, same_known = augmented(signal, known, torch.arange(4), AugmentConfig())
    assert same is signal
    assert same_known is known


@pytest.mark.parametrize(
    "settings",
    [
        EVERYTHING,
        AugmentConfig(shift_s=0.5),
        AugmentConfig(crop_s=1),
        AugmentConfig(amplitude=0.5),
        AugmentConfig(wander_mv=0.1),
        AugmentConfig(mains_mv=0.1),
        AugmentConfig(noise_mv=0.1),
        AugmentConfig(drop_lead=0.5),
    ],
)
def test_what_has_no_reading_stays_without_and_inputs_are_not_written_to(
    settings: AugmentConfig,
) -> None:
    signal, known = signals(12)
    signal_before, known_before = signal.clone(), known.clone()
    changed, left = augmented(signal, known, torch.arange(12), settings)
    assert torch.equal(signal, signal_before)
    assert torch.equal(known, known_before)
    assert torch.isfinite(changed).all()
    assert (changed[~left] == 0).all()
    absent = ~known.any(dim=2)
    assert absent.any()
    assert not left.any(dim=2)[absent].any()
    assert left.any(dim=(1, 2)).all()
    assert not torch.equal(changed, signal)


def test_a_shift_moves_all_leads_and_leaves_a_gap() -> None:
    signal = torch.arange(1.0, 101).repeat(40, 2, 1)
    known = torch.ones_like(signal, dtype=torch.bool)
    moved, left = augmented(signal, known, torch.arange(40), AugmentConfig(shift_s=10 / RATE_HZ))
    starts = []
    for row in range(40):
        # Sample 50 held 51; what stands there now says by how much the recording moved.
        start = int(moved[row, 0, 50]) - 51
        starts.append(start)
        expected = [float(n + start) if 1 <= n + start <= 100 else 0.0 for n in range(1, 101)]
        assert moved[row].tolist() == [expected, expected]
        assert torch.equal(left[row], moved[row] > 0)
    assert min(starts) < -5
    assert max(starts) > 5
    assert all(abs(start) <= 10 for start in starts)


def test_a_crop_is_a_stretch_from_anywhere() -> None:
    signal = torch.arange(500.0).repeat(200, 3, 1)
    known = signal != 300
    settings = AugmentConfig(crop_s=490 / RATE_HZ)
    cut, left = augmented(signal, known, torch.arange(200), settings)
    assert cut.shape == (200, 3, 490)
    first = cut[:, 0, 0]
    expected = first[:, None, None] + torch.arange(490.0).expand(200, 3, 490)
    assert torch.equal(left, expected != 300)
    assert torch.equal(cut, expected * left)
    assert first.unique().tolist() == list(range(11))
    whole, _ = augmented(signal, known, torch.arange(200), AugmentConfig(crop_s=2))
    assert torch.equal(whole, signal * known)
    with pytest.raises(ValueError, match="501 samples cannot be cut from 500"):
        augmented(signal, known, torch.arange(200), AugmentConfig(crop_s=501 / RATE_HZ))


def test_a_factor_is_one_for_all_leads_and_symmetric_in_its_logarithm() -> None:
    signal = torch.rand(5000, 2, 3) + 1
    factors = scale_amplitude(signal, uniform(bits(keys(5000), 1))[:, 0], 0.25) / signal
    assert (factors.amax(dim=(1, 2)) - factors.amin(dim=(1, 2))).max() < 1e-6
    logarithms = factors[:, 0, 0].log() / math.log(1.25)
    assert logarithms.abs().max() <= 1 + 1e-6
    assert stats.kstest(logarithms.double().numpy(), "uniform", args=(-1, 2)).pvalue > 0.001


def test_noise_has_the_stated_spread_and_no_memory() -> None:
    silence = torch.zeros(20, 12, 501)
    known = torch.ones_like(silence, dtype=torch.bool)
    noise, _ = augmented(silence, known, torch.arange(20), AugmentConfig(noise_mv=0.05))
    assert noise.std().item() == pytest.approx(0.05, rel=0.01)
    flat = noise.reshape(20, -1)
    for step in (1, 501, 12 * 501 // 2):
        assert abs(float((flat[:, step:] * flat[:, :-step]).mean())) < 0.05**2 * 0.02


def test_wander_is_slow_has_the_stated_spread_and_differs_between_leads() -> None:
    sizes, draws = normal(keys(400), 72), uniform(bits(keys(400, 1), 3))
    wander = add_wander(
        torch.zeros(400, 12, 4000), sizes, draws, 0.1, turned(torch.arange(4000), 100)
    )
    assert wander.std().item() == pytest.approx(0.1, rel=0.03)
    window = torch.hann_window(4000)
    power = torch.fft.rfft((wander * window).double()).abs().square().sum(dim=(0, 1))
    hz = torch.fft.rfftfreq(4000, 1 / 100)
    assert power[hz > 0.6].sum() / power.sum() < 1e-6
    assert power[hz < 0.3].sum() / power.sum() > 0.2
    assert abs(float((wander[:, 0] * wander[:, 1]).mean())) < 0.1**2 * 0.2


def test_mains_noise_is_one_line_at_50_or_60_hz() -> None:
    draws = uniform(bits(keys(40), 14))
    noise = add_mains(torch.zeros(40, 12, 5000), draws, 0.2, 500, torch.arange(5000))
    spectrum = torch.fft.rfft(noise.double()).abs() / 2500
    hz = spectrum.argmax(dim=2) / 10
    assert hz.unique().tolist() == [50, 60]
    assert torch.equal(hz.amin(dim=1), hz.amax(dim=1))
    size = spectrum.amax(dim=2)
    assert size.max() <= 0.2
    assert stats.kstest(size.numpy().ravel() / 0.2, "uniform").pvalue > 0.001
    # Nothing elsewhere: the phase is right to the last sample.
    rest = spectrum.clone().scatter_(2, spectrum.argmax(dim=2, keepdim=True), 0)
    assert rest.max() < 1e-6
    with pytest.raises(ValueError, match="not 100"):
        add_mains(torch.zeros(1, 12, 1000), draws, 0.2, 100, torch.arange(1000))


def leads_drawn(records: int) -> torch.Tensor:
    return uniform(bits(keys(records), 12))


def test_leads_are_dropped_as_often_as_stated_and_never_all() -> None:
    known = torch.ones(5000, 12, 4, dtype=torch.bool)
    left = drop_leads(known, leads_drawn(5000), 0.3)
    assert torch.equal(left.any(dim=2), left.all(dim=2))
    dropped = ~left.any(dim=2)
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert abs(float(torch.corrcoef(dropped.float().T)[0, 1])) < 0.05
    sure = drop_leads(known, leads_drawn(5000), 1.0).any(dim=2)
    assert (sure.sum(dim=1) == 1).all()
    assert sure.float().mean(dim=0).max() < 0.1


def test_a_lead_that_stays_is_one_with_a_reading() -> None:
    known = torch.zeros(500, 12, 4, dtype=torch.bool)
    known[:, [3, 8], 1:] = True
    left = drop_leads(known, leads_drawn(500), 1.0)
    assert torch.equal(left.sum(dim=(1, 2)), torch.full((500,), 3))
    assert not left[~known].any()
    assert {int(lead) for lead in left.any(dim=2).int().argmax(dim=1)} == {3, 8}
    nothing = drop_leads(torch.zeros(3, 12, 4, dtype=torch.bool), leads_drawn(3), 0.5)
    assert not nothing.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_mv": -0.1}, "noise_mv must be 0 or more, not -0.1"),
        ({"drop_lead": 1.5}, "at most 1"),
        ({"shift_s": math.nan}, "shift_s must be 0 or more, not nan"),
        ({"wander_mv": math.inf}, "wander_mv must be 0 or more, not inf"),
    ],
)
def test_impossible_strengths_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**settings)
