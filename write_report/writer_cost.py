"""What training a writer takes, before it begins: memory and arithmetic.

Owns the formulas, which `eval-reports` and `check` share. Knows a language model by its size alone.
"""

from dataclasses import dataclass

from ecgpipe.write_report.writer import N_TOKENS
from ecgpipe.write_report.writer_training import BATCH, n_epochs

MOST_TOKENS = 256
"""Of a text that is learned; those behind them are cut off."""


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A frozen language model that writes, and the width of the encoder in front of it."""

    parameters: int
    multiplied: int
    """Parameters that every token is multiplied with: without the table of embeddings, unless the
    head uses it."""

    width: int
    inner: int
    """Width of the feed-forward layers."""

    layers: int
    vocabulary: int
    bytes_each: int
    """Of a weight."""

    features: int
    """Width of the encoder."""

    @property
    def trained(self) -> int:
        """Numbers of the connector: two linear layers with biases."""
        return (self.features + 1) * self.width + (self.width + 1) * self.width


@dataclass(frozen=True, kw_only=True)
class ReportTokens:
    """How much there is to learn from."""

    reports: int
    tokens: int
    """Of all reports."""

    longest: int


def memory_bytes(writer: Writer, learned: ReportTokens) -> int:
    """The most memory that a step takes, to a tenth for a Llama of many layers.

    - The weights of the language model, once: they have no gradient.
    - 20 bytes for each number of the connector: itself, its best copy, its gradient and AdamW's two
      moments, all float32.
    - What each layer keeps for the backward pass, for each token of a batch. Frozen products keep
      nothing but their weights. Two norms keep their input in float32 (8 W bytes); attention keeps
      queries, keys, values and result (4 W numbers; fewer where heads share keys); the feed-forward
      layer keeps both sides of its gate and the gate's result (3 I numbers). Llama-3 8B in
      bfloat16: 37 W bytes; Korthikanti et al. 2022 (arXiv 2205.05198, equation 1) have 34.
    - The logits of each token of a report: in the model's precision, in float32 and as logarithms.
    """
    behind = learned.longest + 1  # the end of a text is a token too
    tokens, n_bytes = BATCH * (N_TOKENS + 1 + behind), writer.bytes_each
    kept_each = 8 * writer.width + n_bytes * (4 * writer.width + 3 * writer.inner)
    logits = BATCH * behind * writer.vocabulary * (n_bytes + 8)
    kept = tokens * writer.layers * kept_each
    return writer.parameters * n_bytes + 20 * writer.trained + kept + logits


def operations(writer: Writer, learned: ReportTokens) -> int:
    """The arithmetic of all epochs: for each token and weight two operations forward, and two for
    the gradient of what the weight was given."""
    tokens = learned.tokens + learned.reports * (1 + N_TOKENS)
    return 4 * writer.multiplied * tokens * n_epochs(learned.reports)
