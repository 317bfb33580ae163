"""Settings of `text:`: the frozen language model, and the texts it reads."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field

from ecgpipe.config.settings import Language, Settings, need

_PROMPTS: dict[Language, str] = {
    "ja": "この心電図は{text}を示しています。",
    "en": "This ECG shows {text}.",
}


Control = Literal["random", "one-hot"]
CONTROLS: tuple[Control, ...] = get_args(Control)

Pooling = Literal["last_token", "mean", "joined"]


@dataclass(frozen=True, kw_only=True)
class TextView(Settings):
    """One way to take a vector from the model: which layer, and which tokens."""

    layer: int = -1
    """Hidden layer, as transformers counts them; 0 is the embeddings, -1 the last layer (after the
    model's final norm)."""

    pooling: Pooling = "last_token"
    """The vector of the last token, or the mean of all tokens. joined: both, of the embeddings and
    of the layers at each quarter of the depth, side by side, each of length 1; nine times as wide.
    Padding never counts."""

    def __post_init__(self) -> None:
        need(
            self.pooling != "joined" or self.layer == -1,
            f"pooling: joined reads layers of its own; leave out layer: {self.layer}",
        )

    @property
    def width(self) -> int:
        """Of a vector, in widths of the model; less in a model of fewer than four layers."""
        return 9 if self.pooling == "joined" else 1


@dataclass(frozen=True, kw_only=True)
class TextConfig(Settings):
    """The frozen language model, and the texts it reads."""

    model: str
    """A hub id, a local folder with safetensors, a .gguf file, or package:NAME/FILE.gguf for a file
    in an installed Python package. random and one-hot are controls without a language model: a
    random vector for each text, or an axis of its own; they have no layer and no pooling."""

    revision: str | None = None
    """The commit of a hub model. Pin it, so that nobody can change the weights under you."""

    language: Language = "ja"
    """Language of the names of findings and classes in the prompt."""

    prompt: str = _PROMPTS["ja"]
    """The sentence for reports and labels alike, with {text} in their place."""

    other_prompt: str | None = None
    """The sentence for labels in the other language (eval.language, tasks named NAME@en).
    Null: この心電図は{text}を示しています。 or This ECG shows {text}."""

    separator: Annotated[str, Field(min_length=1)] = "、"
    """Joins several findings of one ECG."""

    source: Literal["findings", "report", "echo_report"] = "findings"
    """The text of an ECG: its findings, its report, or the report of its echocardiogram
    (data.echo). ECGs without it are there for what their echocardiogram measured, or not at all."""

    wordings: Literal["name", "bank"] = "name"
    """How training words a finding. name: by its name. bank: by its name or another wording of the
    taxonomy's bank, drawn again for each ECG in each epoch. A third of the bank is held out. Scores
    are by names either way. `preset: recommended` sets bank where the taxonomy ships with one."""

    parents: tuple[str, ...] = ()
    """Tasks whose classes are further texts of an ECG that shows one of their findings: with
    [superclass] a left anterior fascicular block is also a conduction disturbance. Such a task is
    no longer zero-shot, and is marked as trained on."""

    pooling: Pooling = "last_token"
    """The view used in training; see `TextView`. `preset: recommended` sets joined where it sets
    wordings: bank: the axes then find in which layer findings differ."""

    layer: int = -1

    views: tuple[TextView, ...] = ()
    """More views to compute in the same pass, for ablations: they cost nothing but disk space."""

    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Precision of the model and of the stored vectors."""

    max_tokens: Annotated[int, Field(ge=2)] = 512
    """Longer texts are cut; their number is reported."""

    max_tokens_per_batch: Annotated[int, Field(ge=16)] | None = None
    """Padded tokens in one forward pass. Null: 16384 on a GPU, 1024 on a CPU. Affects speed and
    memory; vectors only in their last bits, and on a CPU not at all. Halved if a GPU runs out of
    memory."""

    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = "auto"
    """Attention kernel. auto: flash_attention_2 if installed and supported, else sdpa."""

    def __post_init__(self) -> None:
        need(bool(self.model.strip()), "model must not be empty")
        need(self.prompt.count("{text}") == 1, "prompt must contain {text} exactly once")
        need(
            self.other_prompt is None or self.other_prompt.count("{text}") == 1,
            "other_prompt must be null or contain {text} exactly once",
        )

        _ = self.view  # refuses what does not go together
        need(
            self.model not in CONTROLS or not self.views,
            f"views are ways to read a language model, and {self.model} is none; leave them out",
        )
        need(
            self.wordings == "name" or self.source == "findings",
            "wordings: bank words findings in other ways, so it needs source: findings, not"
            f" {self.source}",
        )
        need(
            not self.parents or self.source == "findings",
            f"parents are groups of findings, so they need source: findings, not {self.source}",
        )

    @property
    def reads_reports(self) -> bool:
        """Whether the text of an ECG is somebody's text, not the names of findings."""
        return self.source != "findings"

    def prompt_in(self, language: Language | None) -> str:
        """The sentence for labels in `language`; None means the language of the texts."""
        if language in (None, self.language):
            return self.prompt
        return self.other_prompt or _PROMPTS[language]

    @property
    def view(self) -> TextView:
        """The view used in training."""
        return TextView(layer=self.layer, pooling=self.pooling)

    @property
    def all_views(self) -> tuple[TextView, ...]:
        """The view used in training, then the others, each once."""
        return tuple(dict.fromkeys((self.view, *self.views)))
