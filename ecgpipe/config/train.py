"""Settings of `train:`: the ECG encoder, and how it is trained."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from ecgpipe.config.settings import Settings, check_seed, need


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Settings):
    """How training ECGs are augmented, differently in every epoch; a strength of 0 is off."""

    crop_s: float = 0.0
    """Length in seconds of a random crop; 0 keeps the whole recording. Scoring uses the whole."""

    shift_s: float = 0.0
    """The recording is shifted in time by up to this many seconds; the gap has no reading."""

    amplitude: float = 0.0
    """All leads are multiplied by one log-uniform factor between 1 / (1 + amplitude) and
    1 + amplitude. It blurs voltage criteria: keep it small."""

    wander_mv: float = 0.0
    """Standard deviation of baseline wander, three sines of 0.05 to 0.5 Hz in each lead."""

    mains_mv: float = 0.0
    """Largest amplitude of a 50 or 60 Hz sine; each lead draws its own. Needs more than 120 samples
    a second."""

    noise_mv: float = 0.0
    """Standard deviation of white Gaussian noise."""

    drop_lead: float = 0.0
    """The probability that each lead is hidden. At least one lead always stays."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            need(0 <= value < math.inf, f"{name} must be 0 or more, not {value}")
        need(
            self.crop_s == 0 or self.crop_s >= 1,
            f"crop_s must be 0 or at least 1, the shortest recording that an encoder takes, not"
            f" {self.crop_s}",
        )
        need(self.drop_lead <= 1, f"drop_lead is a probability, at most 1, not {self.drop_lead}")

    @property
    def is_off(self) -> bool:
        """Whether there is no augmentation."""
        return not any(asdict(self).values())


Preset = Literal["paper", "recommended"]


BestBy = Literal["macro_auroc", "hit@1_any", "hit@1_macro", "retrieval_mrr", "wordings"]


EncoderName = Literal["resnet1d18", "resnet1d34", "resnet1d50", "vit1d", "cnn1d"]


StepText = Literal["sentence", "sampled_finding", "all_findings"]


PlacementSetting = Literal["auto", "device", "memory", "stream"]


Duplicates = Literal["infonce", "mask", "unique", "soft"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """The ECG encoder, and how it is trained against the kept vectors."""

    preset: Preset = "paper"
    """A named set of the settings below; `recommended` if pipeline.yaml names none. Your own
    settings win over it."""

    init_from: Path | None = None
    """A folder that `ecgpipe export` wrote, or the folder of a run: training begins with its
    weights instead of random ones. Its shape must be the same; its taxonomy may be another."""

    encoder: EncoderName = "resnet1d18"

    encoder_pooling: Literal["mean", "attention"] = "mean"
    """How features over time become one vector; vit1d and cnn1d have the mean only."""

    encoder_norm: Literal["batch", "group"] = "batch"
    """batch: batch norm over each process's own rows. group: group norm, each ECG by itself."""

    beat_intervals: bool = False
    """Whether the model is also told what the intervals between beats are like. Beats are found by
    their slopes. From few ECGs an encoder alone learns rhythms late."""

    text: StepText = "sentence"
    """What an ECG is paired with in a step. sentence: one sentence of all its findings (the paper),
    or its whole report. sampled_finding: one of its findings, or one sentence of its report, drawn
    again in each epoch. all_findings: every finding of the training data, true or not."""

    unseen_findings: tuple[str, ...] = ()
    """Findings, by id or name, of which training reads no wording, so that `eval` can say how well
    a finding is scored that was never trained on. Their ECGs stay, with their other findings."""

    projection_dim: int = 128
    """Width of the joint embedding space."""

    text_axes: int = 0
    """all_findings with text.wordings: bank. Before its projection a text vector is put on this
    many axes, those on which findings differ most, compared with the wordings of one finding. From
    there come the chances that it words each finding, which are all that training sees of it. 0: it
    is only centred."""

    temperature: float = 0.07
    """The initial temperature."""

    learn_temperature: bool = True
    """Whether the temperature is trained (as a logarithm; 1/temperature stays <= 100)."""

    loss: Literal["clip", "siglip"] = "clip"
    """clip: cross-entropy over the global batch, mean of both directions. siglip: binary
    cross-entropy of each pair of ECG and text (arXiv 2303.15343); all_findings needs it."""

    duplicates: Duplicates = "infonce"
    """Rows of a batch with the same text. infonce: they are each other's negatives. mask: they are
    left out of each other's negatives. unique: one column per distinct text (clip only). soft:
    targets in proportion to the findings that two ECGs share (Jaccard)."""

    balance: Literal["none", "sqrt"] = "none"
    """all_findings: the weight of an ECG that has a finding. none: 1. sqrt: the square root of the
    number of ECGs without it over the number with it."""

    epochs: int = 200

    global_batch_size: int = 32
    """ECG-text pairs per step, over all processes."""

    lr: float = 1e-3

    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: falls to 0 at the last epoch, so a longer run is a different run."""

    warmup_epochs: float = 0.0
    """The learning rate rises from 0 over this many epochs."""

    weight_decay: float = 1e-3
    """Not applied to norms, biases and the temperature."""

    max_gradient_norm: float | None = None
    """Gradients are clipped to this norm; null: never."""

    normalisation: Literal["fixed", "record"] = "fixed"
    """fixed: millivolts as they are, which keeps voltage criteria. record: z-score over all leads
    together."""

    augment: AugmentConfig = field(default_factory=AugmentConfig)

    best_by: BestBy = "macro_auroc"
    """The validation metric by which the best epoch is chosen: over the findings task; wordings:
    macro AUROC of findings by the wordings that a bank holds out of training; or retrieval_mrr: the
    mean of 1 / rank of the right ECG for a text. Without findings it is this."""

    patience: int | None = None
    """Early stopping: end after this many epochs without improvement; null: never early."""

    seed: int = 0

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the encoder in training. auto: bfloat16 on a GPU that supports it, and on a CPU
    with amx_bf16 or avx512_bf16; else float32. A run keeps it on another machine."""

    placement: PlacementSetting = "auto"
    """Where training signals are kept. device: all on the GPU; memory: all in main memory; stream:
    read from the store batch by batch. auto: the first of these in which they fit."""

    compile: bool = False
    """Whether to compile the encoder with torch.compile; for long runs on a GPU."""

    cuda_graph: bool = True
    """Whether to capture a step once and replay it, on one GPU: with small batches, launching
    kernels takes most of the time."""

    log_every: int = 50
    """Steps between two lines of steps.jsonl."""

    checkpoint_minutes: float = 5.0
    """Time between checkpoints while no epoch improves; a stop always saves."""

    keep_checkpoints: int = 2
    """How many of the latest checkpoints to keep, besides the best epoch's."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("projection_dim", "epochs", "log_every", "keep_checkpoints"):
            need(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}")
        need(
            self.patience is None or self.patience >= 1,
            f"patience must be null or at least 1, not {self.patience}",
        )
        need(
            0 <= self.text_axes <= 4096, f"text_axes must be from 0 to 4,096, not {self.text_axes}"
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
            f"temperature must be from 0.01 to 1, not {self.temperature}",
        )
        need(
            len(set(self.unseen_findings)) == len(self.unseen_findings),
            f"unseen_findings must name each only once, not {', '.join(self.unseen_findings)}",
        )
        self._check_encoder()
        self._check_loss()

    def _check_encoder(self) -> None:
        need(
            self.encoder_pooling == "mean" or self.encoder.startswith("resnet"),
            f"encoder_pooling is {self.encoder_pooling}, but {self.encoder} only supports mean",
        )
        need(
            self.encoder_norm == "batch" or self.encoder != "vit1d",
            f"encoder_norm is {self.encoder_norm}, but {self.encoder} has its own; leave it out",
        )

    def _check_loss(self) -> None:
        need(
            self.text != "all_findings" or self.loss == "siglip",
            "text: all_findings decides about each finding separately, so it needs"
            f" loss: siglip, not {self.loss}",
        )
        need(
            self.loss != "siglip" or self.duplicates != "unique",
            "duplicates: unique is about the columns of a softmax, which loss: siglip does not"
            " have; use mask or soft",
        )
        need(
            self.balance == "none" or self.text == "all_findings",
            f"balance: {self.balance} applies to text: all_findings only, not {self.text}",
        )
        need(
            self.text_axes == 0 or self.text == "all_findings",
            f"text_axes: {self.text_axes} applies to text: all_findings only, not {self.text}",
        )
