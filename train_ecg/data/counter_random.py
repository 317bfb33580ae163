"""Random numbers that depend on what they are for, not on what was drawn before.

The n-th number of a record is a hash of (seed, epoch, record, stream, n), computed in integer
arithmetic on the tensor's own device. So a record gets the same numbers at any place in a batch, in
any process, and in a resumed run. A generator seeded for each record would do the same, but one
record after another.

The hash is splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators"), whose outputs pass BigCrush. torch has no unsigned 64-bit multiplication; the signed
one wraps to the same bits. B = records.
"""

import torch

# As signed numbers with the same bits.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FACTOR_1 = 0xBF58476D1CE4E5B9 - 2**64
_FACTOR_2 = 0x94D049BB133111EB - 2**64


def record_keys(
    seed: int, epoch: int | torch.Tensor, records_B: torch.Tensor, stream: int
) -> torch.Tensor:
    """(B,) int64: the key of each record's sequence.

    Args:
        seed: of the run; below 2^63, as epoch and stream.
        epoch: counted from 0.
        records_B: int64, a number of each record that does not change.
        stream: what the numbers are for; streams are independent.
    """
    keys_B = torch.zeros_like(records_B, dtype=torch.int64)
    for word in (seed, epoch, stream):
        keys_B = _mix(keys_B ^ _mix(torch.zeros_like(keys_B) + word + _GOLDEN))
    return _mix(keys_B ^ _mix(records_B + _GOLDEN))


def hashes(keys_B: torch.Tensor, n: int) -> torch.Tensor:
    """(B, n) int64 of 64 random bits each: the first n outputs of splitmix64 seeded with a key."""
    counter_n = torch.arange(1, n + 1, device=keys_B.device)
    return _mix(keys_B[:, None] + counter_n * _GOLDEN)


def uniform(keys_B: torch.Tensor, n: int) -> torch.Tensor:
    """(B, n) float32, at least 0 and below 1, in steps of 2^-24."""
    return _fraction(hashes(keys_B, n), 40)


def integers(keys_B: torch.Tensor, least: int, most: int) -> torch.Tensor:
    """(B,) int64 from `least` to `most`, both included, which are less than 2^31 apart."""
    bits_B = _shift_right(hashes(keys_B, 1)[:, 0], 32)
    return least + _shift_right(bits_B * (most - least + 1), 32)


def normal(keys_B: torch.Tensor, n: int) -> torch.Tensor:
    """(B, n) float32 of mean 0 and standard deviation 1, none beyond 5.8 (Box and Muller 1958)."""
    bits = hashes(keys_B, (n + 1) // 2)
    radius = (-2 * (1 - _fraction(bits, 40)).log()).sqrt_()  # 1 - u is never 0
    angle = _fraction(bits, 8).mul_(2 * torch.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :n]


def _mix(bits: torch.Tensor) -> torch.Tensor:
    """splitmix64's finishing steps."""
    bits = (bits ^ _shift_right(bits, 30)) * _FACTOR_1
    bits = (bits ^ _shift_right(bits, 27)) * _FACTOR_2
    return bits ^ _shift_right(bits, 31)


def _shift_right(bits: torch.Tensor, places: int) -> torch.Tensor:
    """A logical shift: torch's own copies the sign."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def _fraction(bits: torch.Tensor, place: int) -> torch.Tensor:
    """24 bits from `place` on as a fraction of 1; exact in float32."""
    return ((bits >> place) & 0xFFFFFF).float().mul_(2.0**-24)
