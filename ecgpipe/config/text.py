"""Settings of `text:`: the frozen language model, and what it reads."""

from dataclasses import dataclass
from typing import Literal

from ecgpipe.config.settings import Language, Settings, need

_PROMPTS: dict[Language, str] = {
    "ja": "この心電図は{text}を示しています。",
    "en": "This ECG shows {text}.",
}


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
        need(
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
        need(bool(self.model.strip()), "model must not be empty")
        need(self.prompt.count("{text}") == 1, "prompt must hold {text} exactly once")
        need(
            self.other_prompt is None or self.other_prompt.count("{text}") == 1,
            "other_prompt must be null or hold {text} exactly once",
        )
        need(bool(self.separator), "separator must not be empty")
        need(self.max_tokens >= 2, f"max_tokens must be at least 2, not {self.max_tokens}")
        need(
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
