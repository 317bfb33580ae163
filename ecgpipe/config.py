"""The settings of one experiment, as frozen dataclasses that mirror pipeline.yaml.

Owns every setting's name, meaning, default and limits; each has its sentence under it. Reading the
file, overrides and the messages for a typing mistake are `ecgpipe.config_file`'s.
"""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from ecgpipe.cluster_config import ClusterConfig
from ecgpipe.settings import Settings
from ecgpipe.settings import need as _need

PRESETS: dict[str, dict[str, Any]] = {
    # arXiv 2504.09302 section 3; what the paper leaves open is settled in docs/decisions.md.
    "paper": {
        "encoder": "resnet1d18",
        "text": "sentence",
        "projection_dim": 128,
        "temperature": 0.07,
        "learn_temperature": True,
        "loss": "clip",
        "epochs": 200,
        "global_batch_size": 32,
        "lr": 1e-3,
        "weight_decay": 1e-3,
    },
    # What did best on validation records (docs/lab-log.md): every finding's own prompt, true or
    # not, instead of one sentence of all.
    "recommended": {
        "text": "all_findings",
        "loss": "siglip",
        "schedule": "cosine",
        "epochs": 50,
        "augment": {
            "shift_s": 0.5,
            "amplitude": 0.1,
            "wander_mv": 0.05,
            "noise_mv": 0.02,
            "drop_lead": 0.1,
        },
    },
}
# Reports have as many sentences as there are records: one is drawn, not all compared.
RECOMMENDED_FOR_REPORTS = {"text": "sampled_finding", "loss": "clip", "duplicates": "mask"}
DEFAULT_PRESET = "recommended"
Language = Literal["ja", "en"]
_PROMPTS: dict[Language, str] = {
    "ja": "この心電図は{text}を示しています。",
    "en": "This ECG shows {text}.",
}


@dataclass(frozen=True, kw_only=True)
class PtbxlSource(Settings):
    """The PTB-XL data set as PhysioNet ships it."""

    kind: Literal["ptbxl"]

    root: Path
    """The folder that holds ptbxl_database.csv."""

    files: Literal["records500", "records100"] = "records500"
    """Which of the two copies of each recording is read: 500 Hz or 100 Hz."""

    split_column: str | None = "strat_fold"
    """Where the split stands. strat_fold: folds 1-8 train, 9 val, 10 test, as its authors advise.
    Null: drawn by patient, by data.split."""

    min_likelihood: float = 0.0
    """Statements below this likelihood are dropped. 0 keeps all: form and rhythm statements carry 0
    by design."""


@dataclass(frozen=True, kw_only=True)
class TableSource(Settings):
    """A hospital's own table: one row an ECG."""

    kind: Literal["table"]

    table: Path
    """CSV, TSV, Parquet or Excel. Columns: record_id, patient_id, path, and findings or report;
    optional split, age, sex, recorded_at, site."""

    root: Path | None = None
    """The folder that `path` is relative to. Null: the table's own folder."""

    split_column: str | None = None
    """The column with train, val or test. Null: `split` where the table has it, else drawn by
    patient, by data.split."""


CincDatabase = Literal[
    "cpsc2018", "cpsc2018-extra", "incart", "ptb", "ptb-xl", "georgia", "chapman-ningbo"
]


@dataclass(frozen=True, kw_only=True)
class Cinc2021Source(Settings):
    """The training set of the PhysioNet/CinC Challenge 2021: records with SNOMED CT codes."""

    kind: Literal["cinc2021"]

    root: Path
    """The folder with the records, at any depth below it."""

    databases: tuple[CincDatabase, ...] = (
        "cpsc2018",
        "cpsc2018-extra",
        "incart",
        "ptb",
        "ptb-xl",
        "georgia",
        "chapman-ningbo",
    )
    """Which of its seven databases are read. ptb and ptb-xl are left out where a source of kind
    ptbxl is given too."""

    def __post_init__(self) -> None:
        _need(len(self.databases) > 0, "databases must name at least one")


@dataclass(frozen=True, kw_only=True)
class MitbihSource(Settings):
    """The MIT-BIH Arrhythmia Database: windows of its half-hour recordings, each about one beat."""

    kind: Literal["mitbih"]

    root: Path
    """The folder with 100.hea, 100.dat, 100.atr and so on."""

    classes: tuple[Literal["N", "S", "V", "F", "Q"], ...] = ("N", "S", "V", "F", "Q")
    """AAMI classes of beats that windows are centred on."""

    windows_per_beat: int = 20
    """At most so many windows of each kind of beat (N, L, R, A, V...) from each record."""

    window_s: float = 10.0
    """Length of a window. All beats in it are of its kind or normal; no two windows overlap."""

    exclude: tuple[str, ...] = ("102", "104", "107", "217")
    """Records left out: these four have paced beats, as AAMI advises."""

    split: Literal["de_chazal", "drawn", "test"] = "de_chazal"
    """de_chazal: DS1 is for training, DS2 is the test; 202 goes with 201, they are one person.
    drawn: by patient, by data.split. test: all are the test of a model trained on other sources."""

    val_records: tuple[str, ...] = ("106", "118", "207", "220")
    """Records of DS1 set aside for validation; together they show all five classes of METS."""

    seed: int = 0
    """Another seed draws other windows."""

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        _need(len(self.classes) > 0, "classes must name at least one of N, S, V, F, Q")
        _need(
            self.windows_per_beat >= 1,
            f"windows_per_beat must be at least 1, not {self.windows_per_beat}",
        )
        _need(
            1 <= self.window_s <= 600, f"window_s must lie in 1 to 600, not {self.window_s} seconds"
        )


@dataclass(frozen=True, kw_only=True)
class MimicIvEcgSource(Settings):
    """MIMIC-IV-ECG: 800,000 ECGs with the machine's own report; set text.source to report."""

    kind: Literal["mimic-iv-ecg"]

    root: Path
    """The folder with machine_measurements.csv, record_list.csv and files/."""

    separator: str = "; "
    """What joins the up to 18 lines of a report."""

    def __post_init__(self) -> None:
        _need(bool(self.separator), "separator must not be empty")


Source = Annotated[
    PtbxlSource | TableSource | Cinc2021Source | MitbihSource | MimicIvEcgSource,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Settings):
    """How records whose source states no split are divided: by patient, never by record."""

    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of patients for train, val and test; they sum to 1."""

    seed: int = 0
    """Another seed draws another division. A patient keeps its part when others are added."""

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        _need(
            all(0 <= share <= 1 for share in self.fractions), "fractions must lie between 0 and 1"
        )
        _need(
            abs(sum(self.fractions) - 1) < 1e-6,
            f"fractions must sum to 1, not {sum(self.fractions)}",
        )


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """Which recordings, and what becomes of each signal."""

    sources: tuple[Source, ...]
    """One or more data sets or tables, read into one store."""

    taxonomy: str = "ptbxl"
    """The list of findings: ptbxl (71 statements), findings98, or the path of a CSV of your own."""

    rate_hz: int = 500
    """Samples a second after resampling."""

    duration_s: float = 10.0
    """Seconds kept of each recording; shorter ones are padded with 'no reading'."""

    crop: Literal["first", "centre"] = "first"
    """Which part of a longer recording is kept."""

    min_leads: int = 12
    """Recordings with fewer leads, after deriving limb leads, are rejected. A flat lead counts as
    there; it is masked. MIT-BIH has two leads, so it needs 2 here."""

    min_duration_s: float = 5.0
    """Shorter recordings are rejected."""

    max_missing_fraction: float = 0.1
    """A lead with a larger share of missing samples counts as absent; smaller gaps are filled."""

    max_rejected_fraction: float = 0.1
    """More rejected records than this share stops the run, after all have been tried."""

    split: SplitConfig = field(default_factory=SplitConfig)

    limit: int | None = None
    """Only the first so many rows of each source, for a try; null: all."""

    workers: int | None = None
    """Processes that read recordings; null: one for each core. Changes nothing but the time."""

    def __post_init__(self) -> None:
        for name in ("limit", "workers"):
            value = getattr(self, name)
            _need(value is None or value >= 1, f"{name} must be at least 1 or null, not {value}")
        _need(len(self.sources) > 0, "sources must name at least one data set or table")
        _need(50 <= self.rate_hz <= 2000, f"rate_hz must lie in 50 to 2000, not {self.rate_hz}")
        _need(
            0 < self.duration_s <= 3600, f"duration_s must lie in 0 to 3600, not {self.duration_s}"
        )
        samples = self.rate_hz * self.duration_s
        _need(
            samples == int(samples), f"rate_hz x duration_s must be a whole number, not {samples}"
        )
        _need(1 <= self.min_leads <= 12, f"min_leads must lie in 1 to 12, not {self.min_leads}")
        _need(
            self.min_leads <= 2 or not any(isinstance(s, MitbihSource) for s in self.sources),
            f"min_leads is {self.min_leads}, but the recordings of a source of kind mitbih have two"
            " leads, so all would be rejected: set min_leads to 2",
        )
        _need(self.min_duration_s >= 0, f"min_duration_s must be 0 or more: {self.min_duration_s}")
        for share in (self.max_missing_fraction, self.max_rejected_fraction):
            _need(0 <= share <= 1, f"a fraction must lie between 0 and 1, not {share}")

    @property
    def samples(self) -> int:
        """Samples of each lead in the store."""
        return int(self.rate_hz * self.duration_s)


Pooling = Literal["last_token", "mean", "weighted_mean", "eos"]


@dataclass(frozen=True, kw_only=True)
class TextView(Settings):
    """One way to read a vector off the model: which layer, and which token."""

    layer: int = -1
    """Which hidden layer, as transformers counts them; 0 are the embeddings, -1 is the last."""

    pooling: Pooling = "last_token"
    """Whose vector stands for the text: the last real token's; the mean of all real ones; their
    mean weighted by position (SGPT); or that of an end-of-text token put behind the text."""

    final_norm: bool = True
    """Whether the last layer is taken after the model's final norm, or before it."""

    def __post_init__(self) -> None:
        _need(
            self.final_norm or self.layer == -1,
            f"final_norm: false is about the last layer (-1), not layer {self.layer}",
        )


@dataclass(frozen=True, kw_only=True)
class TextConfig(Settings):
    """The frozen language model, and what it reads."""

    model: str
    """A hub id, a local folder with safetensors, a .gguf file, or package:NAME/FILE.gguf for one
    that an installed Python package carries."""

    revision: str | None = None
    """The commit of a hub model; pin it, so that nobody can change the weights under you."""

    language: Language = "ja"
    """Which names of findings and classes are put into the prompt."""

    prompt: str = _PROMPTS["ja"]
    """The sentence for reports and labels alike; {text} is where they go."""

    other_prompt: str | None = None
    """The sentence for labels in the language that is not text.language (eval.language, tasks named
    NAME@en). Null: この心電図は{text}を示しています。 or This ECG shows {text}."""

    separator: str = "、"
    """What joins several findings of one ECG."""

    source: Literal["findings", "report"] = "findings"
    """What is said of an ECG: its findings, or its report."""

    pooling: Pooling = "last_token"
    """The view that is trained on; see `TextView`."""

    layer: int = -1
    final_norm: bool = True

    views: tuple[TextView, ...] = ()
    """More views to fill in the same pass, for ablations: they cost nothing but disk."""

    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """The precision the model computes in and its vectors are kept in."""

    max_tokens: int = 512
    """Longer texts are cut there; how many were cut is reported."""

    max_tokens_per_batch: int | None = None
    """Padded tokens in one forward pass. Null: 16384 on a GPU, 1024 on a CPU. Changes speed and
    memory; vectors only in the last bits, and on a CPU not at all. Where a GPU's memory is too
    small it is halved on the way."""

    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = "auto"
    """Which attention kernel. auto: flash_attention_2 where it is installed and fits, else sdpa."""

    def __post_init__(self) -> None:
        _need(bool(self.model.strip()), "model must not be empty")
        _need(self.prompt.count("{text}") == 1, "prompt must hold {text} exactly once")
        _need(
            self.other_prompt is None or self.other_prompt.count("{text}") == 1,
            "other_prompt must be null or hold {text} exactly once",
        )
        _need(bool(self.separator), "separator must not be empty")
        _need(self.max_tokens >= 2, f"max_tokens must be at least 2, not {self.max_tokens}")
        _need(
            self.max_tokens_per_batch is None or self.max_tokens_per_batch >= 16,
            f"max_tokens_per_batch must be at least 16, not {self.max_tokens_per_batch}",
        )
        _ = self.view  # checks it

    def prompt_in(self, language: Language | None) -> str:
        """The sentence for labels in a language; None: in that of the texts."""
        if language in (None, self.language):
            return self.prompt
        return self.other_prompt or _PROMPTS[language]

    @property
    def view(self) -> TextView:
        """The view that is trained on."""
        return TextView(layer=self.layer, pooling=self.pooling, final_norm=self.final_norm)

    @property
    def all_views(self) -> tuple[TextView, ...]:
        """The view that is trained on, then the others, each once."""
        return tuple(dict.fromkeys((self.view, *self.views)))


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
    """Chance of each lead, or group of leads, to be without a reading. One always stays."""

    drop_lead_groups: Literal["each", "limb_or_chest"] = "each"
    """What is dropped together: nothing, or the first six leads and the last six."""

    def __post_init__(self) -> None:
        for name, value in self._strengths().items():
            _need(0 <= value < math.inf, f"{name} must be 0 or more, not {value}")
        _need(
            self.crop_s == 0 or self.crop_s >= 1,
            f"crop_s must be 0 or at least 1, the shortest stretch that an encoder takes, not"
            f" {self.crop_s}",
        )
        _need(self.drop_lead <= 1, f"drop_lead is a chance, at most 1, not {self.drop_lead}")

    def _strengths(self) -> dict[str, float]:
        return {name: v for name, v in asdict(self).items() if name != "drop_lead_groups"}

    @property
    def is_off(self) -> bool:
        """Whether nothing is done at all."""
        return not any(self._strengths().values())


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

    encoder_norm: Literal["batch", "sync_batch", "group"] = "batch"
    """batch: each part's own statistics. sync_batch: of all processes together (GPUs only). group:
    of each ECG alone."""

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

    balance: Literal["none", "sqrt", "inverse"] = "none"
    """all_findings: what an ECG that has a finding weighs; none: as one without; inverse: all with
    it as much as all without; sqrt: the root of that."""

    epochs: int = 200

    global_batch_size: int = 32
    """ECG-text pairs a step, over all processes together."""

    batch_parts: int | None = None
    """Equal parts in which a batch is computed, each with its own batch norm. Null: one a process.
    With a number, any number of processes that divides it trains the same model: on CPUs to the
    bit, where each then has 1, 2, 4, ... parts and equally many threads."""

    lr: float = 1e-3

    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: falls to 0 at the last epoch, so that a longer run is another run."""

    warmup_epochs: float = 0.0
    """The learning rate rises from 0 over so many epochs."""

    weight_decay: float = 1e-3
    """Not applied to norms, biases and the temperature."""

    max_gradient_norm: float | None = None
    """Longer gradients are shortened to it; null: never."""

    normalisation: Literal["fixed", "record", "minmax"] = "fixed"
    """fixed: millivolts as they are, which keeps voltage criteria. record: z-score over all leads.
    minmax: whole record to 0..1."""

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
        _check_seed(self.seed)
        for name in ("projection_dim", "epochs", "log_every", "keep_checkpoints"):
            _need(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}")
        _need(
            self.patience is None or self.patience >= 1,
            f"patience must be null or at least 1, not {self.patience}",
        )
        _need(
            self.projection_dim <= 65_536,
            f"projection_dim must be at most 65,536, not {self.projection_dim}",
        )
        _need(
            self.global_batch_size >= 2,
            f"global_batch_size must be at least 2, not {self.global_batch_size}:"
            " a contrastive loss needs a negative",
        )
        _need(
            self.batch_parts is None
            or (self.batch_parts >= 1 and self.global_batch_size % self.batch_parts == 0),
            f"batch_parts must be null or divide global_batch_size {self.global_batch_size}, not"
            f" {self.batch_parts}",
        )
        _need(self.lr > 0, f"lr must be above 0, not {self.lr}")
        for name in ("weight_decay", "warmup_epochs", "checkpoint_minutes"):
            _need(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")
        _need(
            self.max_gradient_norm is None or self.max_gradient_norm > 0,
            f"max_gradient_norm must be null or above 0, not {self.max_gradient_norm}",
        )
        _need(
            0.01 <= self.temperature <= 1,
            f"temperature must lie in 0.01 to 1, not {self.temperature}",
        )
        self._check_encoder()
        self._check_loss()

    def _check_encoder(self) -> None:
        _need(
            self.encoder_pooling == "mean" or self.encoder.startswith("resnet"),
            f"encoder_pooling is {self.encoder_pooling}, but {self.encoder} only has mean",
        )
        _need(
            self.encoder_norm == "batch" or self.encoder != "vit1d",
            f"encoder_norm is {self.encoder_norm}, but {self.encoder} has its own; leave it out",
        )

    def _check_loss(self) -> None:
        _need(
            self.text != "all_findings" or self.loss == "siglip",
            "text: all_findings asks of each finding by itself whether it is true, so it needs"
            f" loss: siglip, not {self.loss}",
        )
        _need(
            self.loss != "siglip" or self.duplicates != "unique",
            "duplicates: unique is about the columns of a softmax, which loss: siglip has not; take"
            " mask or soft",
        )
        _need(
            self.balance == "none" or self.text == "all_findings",
            f"balance: {self.balance} is about the findings of text: all_findings, not {self.text}",
        )


Analysis = Literal[
    "retrieval",
    "probe",
    "neighbours",
    "robustness",
    "subgroups",
    "failures",
    "text_space",
    "measurements",
    "map",
    "examples",
]


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Settings):
    """What is scored, on which part, and how certain the figures are."""

    tasks: tuple[str, ...] = ("findings", "superclass", "rhythm")
    """Names in evaluate/tasks/, or paths of YAML files of your own (docs/tasks.md). NAME@en or
    NAME@ja scores the wordings of that language, beside or instead of the other."""

    language: Language | None = None
    """Whose wordings of the classes are scored, where a task is not named with one. Null:
    text.language."""

    analyses: tuple[Analysis, ...] = get_args(Analysis)
    """What is made beside the tasks; docs/evaluation.md says how each is done."""

    split: Literal["train", "val", "test"] = "test"

    sources: tuple[str, ...] | None = None
    """Only ECGs of these sources are scored: their kind, or a table's file name. Null: all."""

    candidates: Literal["occurring", "taxonomy"] = "occurring"
    """Which findings compete: those that occur in the prepared records, or the whole taxonomy."""

    min_positives: int = 5
    """Macro averages are over classes with at least so many ECGs in the split; the others are
    listed, and averaged beside."""

    bootstrap_draws: int = 1000
    """Resamplings of patients behind each interval."""

    random_encoders: int = 5
    """Untrained models behind the random-encoder baseline."""

    seed: int = 0

    def __post_init__(self) -> None:
        _need(len(self.tasks) > 0, "tasks must name at least one task")
        _need(
            len(set(self.analyses)) == len(self.analyses),
            f"analyses must name each only once, not {', '.join(self.analyses)}",
        )
        _need(
            self.min_positives >= 1, f"min_positives must be at least 1, not {self.min_positives}"
        )
        _need(
            self.bootstrap_draws >= 100,
            f"bootstrap_draws must be at least 100, not {self.bootstrap_draws}",
        )
        _check_seed(self.seed)
        _need(
            self.random_encoders >= 1,
            f"random_encoders must be at least 1, not {self.random_encoders}",
        )


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(Settings):
    """One experiment, complete."""

    name: str
    """The run's folder under work_dir/runs."""

    data: DataConfig
    text: TextConfig

    work_dir: Path = Path("work")
    """Where everything made is kept."""

    notice: str = ""
    """One line shown above every result, for example that the ECGs are simulated."""

    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)

    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    """How `ecgpipe submit` queues the stages; nothing that is made depends on it."""

    def __post_init__(self) -> None:
        good = (
            bool(self.name) and self.name.isprintable() and not set(self.name) & set('/\\:*?"<>|')
        )
        _need(
            good and self.name[0] not in ". ",
            f"name must be a plain folder name, not {self.name!r}",
        )
        _need(len(self.name.encode()) <= 200, "name must be at most 200 bytes long")
        augment = self.train.augment
        _need(
            augment.mains_mv == 0 or self.data.rate_hz > 120,
            f"train.augment.mains_mv needs data.rate_hz above 120, not {self.data.rate_hz}: a sine"
            " of 60 Hz would alias",
        )
        _need(
            augment.crop_s <= self.data.duration_s,
            f"train.augment.crop_s {augment.crop_s} is longer than data.duration_s"
            f" {self.data.duration_s}",
        )


def _check_seed(seed: int) -> None:
    _need(0 <= seed < 2**63, f"seed must be 0 or a positive number below 2^63, not {seed}")
