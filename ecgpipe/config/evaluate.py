"""Settings of `eval:`: what is scored, on which part, and with which intervals."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ecgpipe.config.settings import Language, Seed, Settings, need

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Settings):
    """What is scored, on which part, and how intervals are made."""

    tasks: tuple[str, ...] = ("findings", "superclass", "rhythm")
    """Names in evaluate/tasks/, or paths of your own YAML files (docs/tasks.md). NAME@en or
    NAME@ja scores the wordings of that language. Empty: nothing is asked by the name of a finding,
    so no name needs a vector, and only retrieval measures the model."""

    language: Language | None = None
    """The language of the class wordings, for tasks named without one. Null: text.language."""

    analyses: tuple[str, ...] | None = None
    """What is analysed beside the tasks; docs/evaluation.md says how each is done. Null: all.
    Names are checked against evaluate/analyses/registry.py when an experiment is opened."""

    split: Literal["train", "val", "test"] = "test"

    sources: tuple[str, ...] | None = None
    """Score only ECGs of these sources, by their names. Null: all."""

    candidates: Literal["occurring", "taxonomy"] = "occurring"
    """Which findings compete: those that occur in the prepared records, or the whole taxonomy."""

    min_positives: Count = 5
    """Macro averages are over classes with at least this many ECGs in the split; averages over
    all classes are given as well."""

    bootstrap_draws: Annotated[int, Field(ge=100)] = 1000
    """Resamplings of patients behind each interval."""

    random_encoders: Count = 5
    """Untrained models behind the random-encoder baseline."""

    seed: Seed = 0

    def __post_init__(self) -> None:
        need(
            len(set(self.analyses or ())) == len(self.analyses or ()),
            f"analyses must name each only once, not {', '.join(self.analyses or ())}",
        )
