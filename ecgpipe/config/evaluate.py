"""Settings of `eval:`: what is scored, on which part, and with which intervals."""

from dataclasses import dataclass
from typing import Literal

from ecgpipe.config.settings import Language, Settings, check_seed, need


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Settings):
    """What is scored, on which part, and how intervals are made."""

    tasks: tuple[str, ...] = ("findings", "superclass", "rhythm")
    """Names in evaluate/tasks/, or paths of your own YAML files (docs/tasks.md). NAME@en or
    NAME@ja scores the wordings of that language."""

    language: Language | None = None
    """The language of the class wordings, for tasks named without one. Null: text.language."""

    analyses: tuple[str, ...] | None = None
    """What is analysed beside the tasks; docs/evaluation.md says how each is done. Null: all.
    Names are checked against evaluate/analyses/registry.py when an experiment is opened."""

    split: Literal["train", "val", "test"] = "test"

    sources: tuple[str, ...] | None = None
    """Score only ECGs of these sources: their kind, or a table's file name. Null: all."""

    candidates: Literal["occurring", "taxonomy"] = "occurring"
    """Which findings compete: those that occur in the prepared records, or the whole taxonomy."""

    min_positives: int = 5
    """Macro averages are over classes with at least this many ECGs in the split; averages over
    all classes are given as well."""

    bootstrap_draws: int = 1000
    """Resamplings of patients behind each interval."""

    random_encoders: int = 5
    """Untrained models behind the random-encoder baseline."""

    seed: int = 0

    def __post_init__(self) -> None:
        need(len(self.tasks) > 0, "tasks must name at least one task")
        need(
            len(set(self.analyses or ())) == len(self.analyses or ()),
            f"analyses must name each only once, not {', '.join(self.analyses or ())}",
        )
        need(self.min_positives >= 1, f"min_positives must be at least 1, not {self.min_positives}")
        need(
            self.bootstrap_draws >= 100,
            f"bootstrap_draws must be at least 100, not {self.bootstrap_draws}",
        )
        check_seed(self.seed)
        need(
            self.random_encoders >= 1,
            f"random_encoders must be at least 1, not {self.random_encoders}",
        )
