"""Settings of `train:`: the ECG encoder, and how it is trained."""

import math
from dataclasses import asdict, dataclass, field
from typing import Literal

from ecgpipe.config.settings import Settings, check_seed, need


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Settings):
    """How training ECGs are varied, anew in every epoch; with every strength 0 nothing is done."""

    crop_s: float = 0.0
    """Seconds of a stretch that is cut out at a random place; 0 keeps the whole. Scoring sees the
    whole."""

    shift_s: float = 0.0
    """The recording moves in time by up to so many seconds either way; what is new has no
    reading."""

    amplitude: float = 0.0
    """All leads together are multiplied by a factor between 1 / (1 + amplitude) and 1 + amplitude,
    uniform in its logarithm. It blurs voltage criteria: keep it small."""

    wander_mv: float = 0.0
    """Standard deviation of a baseline wander of three sines of 0.05 to 0.5 Hz, in each lead."""

    mains_mv: float = 0.0
    """Greatest amplitude of a 50 or 60 Hz sine; each lead has its own between 0 and this. Needs
    more than 120 samples a second."""

    noise_mv: float = 0.0
    """Standard deviation of Gaussian noise, independent in every sample."""

    drop_lead: float = 0.0
    """The probability that each lead is hidden. At least one lead always stays."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            need(0 <= value < math.inf, f"{name} must be 0 or more, not {value}")
        need(
            self.crop_s == 0 or self.crop_s >= 1,
            f"crop_s must be 0 or at least 1, the shortest stretch that an encoder takes, not"
            f" {self.crop_s}",
        )
        need(self.drop_lead <= 1, f"drop_lead is a chance, at most 1, not {self.drop_lead}")

    @property
    def is_off(self) -> bool:
        """Whether nothing is done at all."""
        return not any(asdict(self).values())


Preset = Literal["paper", "recommended"]


EncoderName = Literal["resnet1d18", "resnet1d34", "resnet1d50", "vit1d", "cnn1d"]


StepText = Literal["sentence", "sampled_finding", "all_findings"]


PlacementSetting = Literal["auto", "device", "memory", "stream"]


Duplicates = Literal["infonce", "mask", "unique", "soft"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """The ECG encoder and how it is trained against the kept vectors."""

    preset: Preset = "paper"
    """A named set of the settings below; a pipeline.yaml without one gets `recommended`. What you
    set yourself wins over it."""

    encoder: EncoderName = "resnet1d18"

    encoder_pooling: Literal["mean", "attention"] = "mean"
    """How an encoder's features over time become one vector; vit1d always takes the mean."""

    encoder_norm: Literal["batch", "group"] = "batch"
    """batch: batch norm over each process's own rows. group: group norm, each ECG by itself."""

    text: StepText = "sentence"
    """What an ECG is paired with in a step. sentence: one sentence of all its findings (the paper),
    or its whole report. sampled_finding: one of its findings, or one sentence of its report, drawn
    anew in each epoch. all_findings: every finding of the training data, true or not."""

    projection_dim: int = 128
    """Width of the space in which ECGs and texts meet."""

    temperature: float = 0.07
    """The temperature training starts from."""

    learn_temperature: bool = True
    """Whether the temperature is a parameter (its log is; the scale 1/temperature stays <= 100)."""

    loss: Literal["clip", "siglip"] = "clip"
    """clip: the mean of both directions' cross-entropy over the global batch. siglip: each pair of
    ECG and text by itself, true or not (arXiv 2303.15343); all_findings needs it."""

    duplicates: Duplicates = "infonce"
    """Rows of a batch with the very same text. infonce: each other's negatives. mask: left out of
    each other's negatives. unique: one column for each distinct text (clip only). soft: targets in
    proportion to the findings that two ECGs share (Jaccard)."""

    balance: Literal["none", "sqrt"] = "none"
    """all_findings: the weight of an ECG that has a finding. none: 1. sqrt: the square root of the
    number of ECGs without it over the number with it."""

    epochs: int = 200

    global_batch_size: int = 32
    """ECG-text pairs a step, over all processes together."""

    lr: float = 1e-3

    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: falls to 0 at the last epoch, so that a longer run is another run."""

    warmup_epochs: float = 0.0
    """The learning rate rises from 0 over so many epochs."""

    weight_decay: float = 1e-3
    """Not applied to norms, biases and the temperature."""

    max_gradient_norm: float | None = None
    """Longer gradients are shortened to it; null: never."""

    normalisation: Literal["fixed", "record"] = "fixed"
    """fixed: millivolts as they are, which keeps voltage criteria. record: z-score over all leads
    together."""

    augment: AugmentConfig = field(default_factory=AugmentConfig)

    best_by: Literal["macro_auroc", "hit@1_any", "hit@1_macro"] = "macro_auroc"
    """The validation figure by which the kept model is chosen, over the findings task."""

    patience: int | None = None
    """Training ends after so many epochs without a better validation figure; null: never early."""

    seed: int = 0

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the encoder computes in. auto: bfloat16 on a GPU that has it, else float32."""

    placement: PlacementSetting = "auto"
    """Where the training signals lie. device: all on the GPU; memory: all in main memory; stream:
    read from the store batch by batch. auto: the first of these in which they fit."""

    compile: bool = False
    """Whether the encoder goes through torch.compile; pays off in long runs on a GPU."""

    cuda_graph: bool = True
    """Whether a step is captured once and replayed, on one GPU: launches are most of a small
    batch's time."""

    log_every: int = 50
    """Steps between two lines of steps.jsonl."""

    checkpoint_minutes: float = 5.0
    """Time between checkpoints where no epoch improves; a stop saves at once."""

    keep_checkpoints: int = 2
    """How many of the last checkpoints stay, besides the best epoch's."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("projection_dim", "epochs", "log_every", "keep_checkpoints"):
            need(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}")
        need(
            self.patience is None or self.patience >= 1,
            f"patience must be null or at least 1, not {self.patience}",
        )
        need(
            self.projection_dim <= 65_536,
            f"projection_dim must be at most 65,536, not {self.projection_dim}",
        )
        need(
            self.global_batch_size >= 2,
            f"global_batch_size must be at least 2, not {self.global_batch_size}:"
            " a contrastive loss needs a negative",
        )
        need(self.lr > 0, f"lr must be above 0, not {self.lr}")
        for name in ("weight_decay", "warmup_epochs", "checkpoint_minutes"):
            need(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")
        need(
            self.max_gradient_norm is None or self.max_gradient_norm > 0,
            f"max_gradient_norm must be null or above 0, not {self.max_gradient_norm}",
        )
        need(
            0.01 <= self.temperature <= 1,
            f"temperature must lie in 0.01 to 1, not {self.temperature}",
        )
        self._check_encoder()
        self._check_loss()

    def _check_encoder(self) -> None:
        need(
            self.encoder_pooling == "mean" or self.encoder.startswith("resnet"),
            f"encoder_pooling is {self.encoder_pooling}, but {self.encoder} only has mean",
        )
        need(
            self.encoder_norm == "batch" or self.encoder != "vit1d",
            f"encoder_norm is {self.encoder_norm}, but {self.encoder} has its own; leave it out",
        )

    def _check_loss(self) -> None:
        need(
            self.text != "all_findings" or self.loss == "siglip",
            "text: all_findings asks of each finding by itself whether it is true, so it needs"
            f" loss: siglip, not {self.loss}",
        )
        need(
            self.loss != "siglip" or self.duplicates != "unique",
            "duplicates: unique is about the columns of a softmax, which loss: siglip has not; take"
            " mask or soft",
        )
        need(
            self.balance == "none" or self.text == "all_findings",
            f"balance: {self.balance} is about the findings of text: all_findings, not {self.text}",
        )
