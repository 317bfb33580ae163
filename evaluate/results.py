"""The results file, `ecgpipe-results/3`: what was scored, how well, against which baselines.

Owns its format, which docs/results.schema.json describes. Reports and tables are made from it
alone. The block of an analysis is described beside the analysis.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast

from ecgpipe.errors import StoreError
from ecgpipe.evaluate.words import Words
from ecgpipe.files import read_json_object, write_json_atomic

FORMAT = "ecgpipe-results/3"

_NAMES = ("format", "run", "notice", "tasks", "data", "text", "training", "provenance")


class Metric(TypedDict):
    """A number with its 95 % interval; None where it does not exist."""

    value: float | None
    low: float | None
    high: float | None


NO_METRIC: Metric = {"value": None, "low": None, "high": None}

Summary = dict[str, Metric]
"""The metrics of a whole task by name, such as macro_auroc."""


class Scores(TypedDict):
    """The summary of one way of scoring, and how it was made."""

    summary: Summary
    models: NotRequired[int]
    """Untrained models behind it."""

    records: NotRequired[int]
    """Training records behind it."""

    permutations: NotRequired[int]
    answer: NotRequired[str]
    """The class that scores highest for a blank recording."""

    members: NotRequired[dict[str, int]]
    """Prompts of each class."""

    random_encoder: NotRequired["Scores"]


NO_SCORES: Scores = {"summary": {}}

ClassMetrics = TypedDict(
    "ClassMetrics",
    {
        "n": int,
        "hit@1": NotRequired[Metric | None],
        "hit@5": NotRequired[Metric | None],
        "auroc": Metric | None,
        "auprc": Metric | None,
        "f1": Metric | None,
        "n_known": NotRequired[int],
        "n_val_known": NotRequired[int],
        "unseen": NotRequired[bool],
    },
)
"""The metrics of one class; None where no scored ECG shows it. Of a partly_known task also the
scored and the validation ECGs of which it is known whether they show it. `unseen`: training named
none of its findings."""


class ClassResults(ClassMetrics):
    """One class of a task."""

    names: Words
    wordings: list[str]
    patients: int
    n_val: int
    prevalence: float | None
    """Among the ECGs of which it is known."""

    threshold: float | None


class Confusion(TypedDict):
    """Counts of ECGs with exactly one class: row = truth, column = first choice."""

    n: int
    classes: list[str]
    counts: list[list[int]]


class Bin(TypedDict):
    """One bar of a reliability diagram."""

    low: float
    high: float
    n: int
    confidence: float | None
    share: float | None


class Sigmoid(TypedDict):
    """A class's probability is 1 / (1 + exp(-(slope x cosine + offset)))."""

    slope: float
    offset: float


class Calibration(TypedDict):
    """What turns a cosine into a probability, and how far that is from the share that is right."""

    method: Literal["temperature", "platt"]
    n_val: int
    scale: float | None
    """temperature: probabilities are the softmax of scale x cosine."""

    sigmoids: dict[str, Sigmoid]
    """platt: by class, of those that some validation ECG shows."""

    ece: Metric
    ece_uncalibrated: Metric
    bins: list[Bin]


Curves = dict[str, dict[str, list[float]]]
"""{roc: {fpr, tpr}, pr: {recall, precision}}."""


class TaskResults(TypedDict):
    """One task."""

    title: Words
    source: str
    kind: Literal["multi_label", "single_label", "partly_known"]
    split: str
    n: int
    n_left_out: int
    min_positives: int
    language: str
    ensemble: str
    trained_on: NotRequired[bool]
    """Whether training read the wording of one of its groups; the title then says so."""

    classes: dict[str, ClassResults]
    summary: Summary
    baselines: dict[str, Scores]
    from_members: dict[str, Scores]
    adjusted: dict[str, Scores]
    confusion: Confusion | None
    calibration: Calibration | None
    curves: dict[str, Curves]


Tasks = Mapping[str, TaskResults]


class Epoch(TypedDict):
    """One line of the training log."""

    epoch: int
    loss: float
    val: dict[str, float | None]


class DataFacts(TypedDict):
    """What `prepare` made of the records."""

    planned: int
    prepared: int
    patients: int
    rejected: int
    rejected_by_reason: dict[str, int]
    splits: dict[str, int]
    notes: dict[str, int]


class TextFacts(TypedDict):
    """What the language model read."""

    model: str
    fingerprint: str
    fingerprint_fields: dict[str, Any]
    width: int
    prompt: str
    distinct: int
    distinct_of_records: int


class Results(TypedDict):
    """The whole file."""

    format: NotRequired[str]
    """Written and checked here; always `FORMAT`."""

    run: str
    notice: str
    key: str
    """Digest of everything the metrics depend on."""

    tasks: dict[str, TaskResults]
    analyses: dict[str, Any]
    """The block of each analysis, as its module in analyses/ describes it."""

    tasks_left_out: dict[str, str]
    analyses_left_out: dict[str, str]
    training_log: list[Epoch]
    data: DataFacts
    text: TextFacts
    training: dict[str, Any]
    config: dict[str, Any]
    provenance: dict[str, Any]


def write_results(path: Path, results: Results) -> None:
    """Write results.json, whole or not at all."""
    write_json_atomic(path, {"format": FORMAT, **results})


def read_results(path: Path) -> Results:
    """Read a results file.

    Raises:
        StoreError: it is missing, damaged, or of a different format.
    """
    results = read_json_object(path, _NAMES, "Run `ecgpipe eval`.")
    if results["format"] != FORMAT:
        raise StoreError(
            f"{path} has the format {results['format']!r}; this version reads {FORMAT}. Run"
            " `ecgpipe eval`."
        )
    return cast(Results, results)


def has_enough(entry: ClassResults, least: int) -> bool:
    """Whether a class counts in macro metrics: so many ECGs show it, and where some are unknown, as
    many are known not to."""
    return entry["n"] >= least and entry.get("n_known", entry["n"] + least) - entry["n"] >= least


def headline_metrics(task: TaskResults) -> tuple[str, ...]:
    """The metrics a reader looks at first."""
    single = task["kind"] == "single_label"
    wanted = ("hit@1_macro", "macro_auroc") if single else ("macro_auroc", "hit@1_any", "macro_f1")
    return tuple(name for name in wanted if name in task["summary"])
