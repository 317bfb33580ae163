"""Results to report.md: what was scored, the summary with baselines, every class.

Owns the report's order and wording. Drawn from the results file alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ecgpipe.evaluate.results import Results, area, percent, shown

_NAMES = {
    "hit@1_any": "any-hit@1",
    "hit@1_macro": "hit@1, macro",
    "hit@1_micro": "hit@1, micro",
    "hit@5_any": "any-hit@5",
    "hit@5_macro": "hit@5, macro",
    "hit@5_micro": "hit@5, micro",
    "macro_auroc": "AUROC, macro",
}
_SINGLE_LABEL_NAMES = {
    "hit@1_micro": "accuracy",
    "hit@1_macro": "mean recall",
    "macro_auroc": "AUROC, macro",
}
_MEMBER_NAMES = {"max": "greatest", "mean": "mean", "logsumexp": "log-sum-exp"}
LEGEND = (
    "hit@k of a class: the share of its ECGs for which it is among the k best candidates."
    " any-hit@k: the share of ECGs with one of their findings among the k best. macro: the mean"
    " over classes; micro: over all pairs of ECG and finding."
)


def summary_rows(task: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row a figure: its name, the model, untrained models, the class prior."""
    names = _SINGLE_LABEL_NAMES if task["kind"] == "single_label" else _NAMES
    rows = [(names[name], *_beside(task, name)) for name in names if name in task["summary"]]
    rows += member_rows(task)
    if any(0 < entry["n"] < task["min_positives"] for entry in task["classes"].values()):
        rows += [
            (f"{names[name]}, all classes", *_beside(task, f"{name}_all"))
            for name in ("hit@1_macro", "macro_auroc")
        ]
    return rows


def member_rows(task: dict[str, Any]) -> list[tuple[str, ...]]:
    """The same figures where a class is scored by its members' prompts; the prior is as before."""
    names = _SINGLE_LABEL_NAMES if task["kind"] == "single_label" else _NAMES
    prior = task["baselines"]["class_prior"]["summary"]
    return [
        (
            f"{names[name]}, by the {_MEMBER_NAMES[how]} of the members",
            shown(name, entry["summary"].get(name)),
            shown(name, entry["random_encoder"]["summary"].get(name)),
            shown(name, prior.get(name)),
        )
        for how, entry in task.get("from_members", {}).items()
        for name in names
        if name in entry["summary"]
    ]


def _beside(task: dict[str, Any], name: str) -> tuple[str, ...]:
    """A figure of the model and of both baselines."""
    baselines = task["baselines"]
    tables = (task, baselines["random_encoder"], baselines["class_prior"])
    return tuple(shown(name, table["summary"].get(name)) for table in tables)


def class_columns(task: dict[str, Any]) -> tuple[str, ...]:
    """The columns of `class_rows`; hit@5 only where there are more candidates than five."""
    hits = ("hit@1", "hit@5") if len(task["classes"]) > 5 else ("hit@1",)
    people = ("patients",) if _counts_patients(task) else ()
    return ("id", "class", "n", *people, *hits, "AUROC")


def class_rows(task: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row a class that occurs, the commonest first."""
    hits = [column for column in class_columns(task) if column.startswith("hit@")]
    people = ("patients",) if _counts_patients(task) else ()
    entries = sorted(task["classes"].items(), key=lambda item: -item[1]["n"])
    return [
        (
            class_id,
            entry["names"]["ja"],
            str(entry["n"]),
            *(str(entry[column]) for column in people),
            *(percent(entry[hit]) for hit in hits),
            area(entry["auroc"]),
        )
        for class_id, entry in entries
        if entry["n"]
    ]


def _counts_patients(task: dict[str, Any]) -> bool:
    """Whether the file says how many people each class is of; those of older versions do not."""
    return all("patients" in entry for entry in task["classes"].values())


def absent_classes(task: dict[str, Any]) -> list[str]:
    """Names of the candidates that no scored ECG shows."""
    return [entry["names"]["ja"] for entry in task["classes"].values() if not entry["n"]]


def render_report(results: Results) -> str:
    """The whole report as Markdown."""
    parts = [f"# {results['run']}", _notice(results), *_data(results), LEGEND]
    for name, task in results["tasks"].items():
        parts += _task(name, task)
    parts += [
        f"Task {name} was left out: {why}." for name, why in results["tasks_left_out"].items()
    ]
    parts += _made(results)
    return "\n\n".join(part for part in parts if part) + "\n"


def _notice(results: Results) -> str:
    return f"**{results['notice']}**" if results["notice"] else ""


def _data(results: Results) -> list[str]:
    data, text, training = results["data"], results["text"], results["training"]
    rejected = ", ".join(f"{reason} {n:,}" for reason, n in data["rejected_by_reason"].items())
    rows = [
        ("records planned", f"{data['planned']:,}"),
        ("records prepared", f"{data['prepared']:,} of {data['patients']:,} patients"),
        ("records rejected", f"{data['rejected']:,}" + (f" ({rejected})" if rejected else "")),
        ("split by patient", ", ".join(f"{k} {n:,}" for k, n in data["splits"].items())),
        ("notes on signals", ", ".join(f"{k} {n:,}" for k, n in data["notes"].items()) or "none"),
        (
            "distinct texts embedded",
            f"{text['distinct']:,} ({text['distinct_of_records']:,} of records, the rest of"
            f" classes), {text['width']} wide",
        ),
        ("language model", f"`{text['model']}`"),
        ("prompt", text["prompt"]),
        (
            "training",
            f"{training['epochs']} epochs; epoch {training['best_epoch']} kept, by validation"
            f" {training['best_by']}",
        ),
    ]
    return ["## Data, texts, training", _table(("", ""), rows)]


def _task(name: str, task: dict[str, Any]) -> list[str]:
    classes = task["classes"]
    n_macro = sum(entry["n"] >= task["min_positives"] for entry in classes.values())
    parts = [
        f"## {name} ({task['title']['ja']})",
        f"{task['n']:,} ECGs of the {task['split']} split, {len(classes)} candidates;"
        f" {task['n_left_out']:,} ECGs left out ({_why_left_out(task)}). Macro figures are over the"
        f" {n_macro} classes with at least {task['min_positives']} ECGs. Intervals are 95 %: of"
        " summaries and AUROC by resampling patients, of hit@k by Wilson. Source:"
        f" {task['source']}.",
        _table(("figure", "model", _random_name(task), "class prior"), summary_rows(task), right=3),
        _table(class_columns(task), class_rows(task), right=len(class_columns(task)) - 2),
    ]
    if absent := absent_classes(task):
        parts.append(f"Candidates that no scored ECG shows: {'、'.join(absent)}.")
    return parts


def _random_name(task: dict[str, Any]) -> str:
    return f"random encoder ({task['baselines']['random_encoder']['models']} untrained models)"


def _why_left_out(task: dict[str, Any]) -> str:
    if task["kind"] == "single_label":
        return "none or several of these classes"
    return "none of these classes"


def _made(results: Results) -> list[str]:
    made = results["provenance"]
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    return [
        "## How this was made",
        f"ecgpipe {made['ecgpipe']} (commit {made['git_commit'] or 'unknown'}) on"
        f" {made['created']}, Python {made['python']}, {packages}. Fingerprint of the text vectors:"
        f" `{results['text']['fingerprint'][:16]}`. The settings stand in results.json.",
        "Not a medical device: for research, not for the care of a patient.",
    ]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], right: int = 0) -> str:
    """A Markdown table; the last `right` columns are set to the right."""
    left = len(header) - right
    rule = ["---"] * left + ["---:"] * right
    lines = [header, rule, *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
