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
# Tensors, since a whole number times a Python number has torch's default dtype.
_STEP = torch.tensor(2.0**-24, dtype=torch.float32)
_STEP_OF_TURN = torch.tensor(2 * torch.pi * 2.0**-24, dtype=torch.float32)


def record_keys(seed: int, epoch: int, records_B: torch.Tensor, stream: int) -> torch.Tensor:
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


def counters(n: int, device: torch.device | None = None) -> torch.Tensor:
    """(n,) int64: what is added to a key for the first n places of its sequence."""
    return torch.arange(1, n + 1, device=device) * _GOLDEN


def hashes(starts: torch.Tensor) -> torch.Tensor:
    """int64 of 64 random bits each, from keys plus `counters`: the outputs of splitmix64."""
    return _mix(starts)


def uniform(bits: torch.Tensor) -> torch.Tensor:
    """At least 0 and below 1, in steps of 2^-24, from `hashes`; float32."""
    return _fraction(bits, 40, _STEP)


def normal_pairs(bits: torch.Tensor, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two float32 of mean 0 and standard deviation 1 from each hash, none beyond 5.8.

    Args:
        bits: from `hashes`.
        uniform: of the same bits.

    Source: Box and Muller 1958.
    """
    radius = (1 - uniform).log_().mul_(-2).sqrt_()  # 1 - u is never 0
    angle = _fraction(bits, 8, _STEP_OF_TURN)
    return radius * angle.cos(), radius * angle.sin()


def integers(bits: torch.Tensor, least: int, most: int | torch.Tensor) -> torch.Tensor:
    """int64 from `least` to `most`, both included and less than 2^31 apart, from `hashes`; a tensor
    gives each place its own most."""
    return least + (_shift_right(bits, 32) * (most - least + 1) >> 32)


def _mix(bits: torch.Tensor) -> torch.Tensor:
    """splitmix64's finishing steps."""
    bits = (bits ^ _shift_right(bits, 30)) * _FACTOR_1
    bits = (bits ^ _shift_right(bits, 27)) * _FACTOR_2
    return bits ^ _shift_right(bits, 31)


def _shift_right(bits: torch.Tensor, places: int) -> torch.Tensor:
    """A logical shift: torch's own copies the sign."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def _fraction(bits: torch.Tensor, place: int, step: torch.Tensor) -> torch.Tensor:
    """24 bits from `place` on as so many steps, float32; exact in steps of 2^-24."""
    return ((bits >> place) & 0xFFFFFF) * step
