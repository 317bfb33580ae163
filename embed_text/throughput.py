"""How busy the device is: texts per second, padding, and the share of its peak.

Owns the arithmetic and the table of peaks. Pure: the caller has the clock.
"""

from dataclasses import dataclass

# Dense bfloat16 peaks from the data sheets, FLOP/s. The first name contained in the device's name
# counts, so longer names come first.
_PEAKS = (
    ("B200", 2.25e15),
    ("GH200", 9.9e14),
    ("H200", 9.89e14),
    ("H100 PCIe", 7.56e14),
    ("H100 NVL", 8.35e14),
    ("H100", 9.89e14),
    ("H800", 9.89e14),
    ("A100", 3.12e14),
    ("A800", 3.12e14),
    ("L40S", 3.62e14),
    ("L40", 1.81e14),
    ("L4", 1.21e14),
    ("A40", 1.50e14),
    ("A30", 1.65e14),
    ("A10", 1.25e14),
    ("RTX 6000 Ada", 3.64e14),
    ("RTX A6000", 1.55e14),
    ("RTX 4090", 1.65e14),
    ("RTX 3090", 7.1e13),
)


def peak_flops(device_name: str, dtype: str) -> float | None:
    """Dense bfloat16 peak of a GPU in FLOP/s; None if unknown or not bfloat16."""
    if dtype != "bfloat16":
        return None
    return next((peak for name, peak in _PEAKS if name in device_name), None)


@dataclass
class Throughput:
    """What the model has computed so far."""

    flops_per_token: float
    peak_flops: float | None
    texts: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    """Including padding, and rows that fill up a batch."""

    def add(self, texts: int, tokens: int, computed_tokens: int) -> None:
        """Count one batch."""
        self.texts += texts
        self.tokens += tokens
        self.computed_tokens += computed_tokens

    @property
    def padding_share(self) -> float:
        """The fraction of computed tokens that was not text."""
        return 1 - self.tokens / self.computed_tokens if self.computed_tokens else 0.0

    def utilisation(self, elapsed_s: float) -> float | None:
        """The fraction of the device's peak spent on real tokens; None if the peak is unknown.

        This is model FLOPs utilisation: padding counts as waste.
        """
        if self.peak_flops is None or elapsed_s <= 0:
            return None
        return self.tokens * self.flops_per_token / elapsed_s / self.peak_flops

    def note(self, elapsed_s: float) -> str:
        """One line: texts/s, padding, and utilisation if the peak is known."""
        parts = [f"{self.texts / elapsed_s:,.1f} texts/s" if elapsed_s > 0 else ""]
        parts.append(f"padding {self.padding_share:.0%}")
        share = self.utilisation(elapsed_s)
        parts.append("" if share is None else f"{share:.0%} of the GPU's peak")
        return ", ".join(part for part in parts if part)
