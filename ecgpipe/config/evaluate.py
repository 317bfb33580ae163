"""Settings of `eval:`: what is scored, on which part, and how certainly."""

from dataclasses import dataclass
from typing import Literal, get_args

from ecgpipe.config.settings import Language, Settings, check_seed, need

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
        need(len(self.tasks) > 0, "tasks must name at least one task")
        need(
            len(set(self.analyses)) == len(self.analyses),
            f"analyses must name each only once, not {', '.join(self.analyses)}",
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
