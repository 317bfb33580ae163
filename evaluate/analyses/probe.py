"""The linear probe on every task: how well a linear classifier does on the frozen features.

Owns the block and its table; the protocol is `linear_probe`'s.
"""

from collections.abc import Iterator
from typing import Any

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.analyses.linear_probe import PROTOCOL, LinearProbe
from ecgpipe.evaluate.results import Tasks
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.words import Words, both, same, word


def compute(context: AnalysisContext) -> dict[str, Any]:
    """Probes on the features of the model and of one untrained encoder, by task and share."""
    context.need_other_split("train", "val")
    tasks = [scored.task for scored in context.scorable_tasks]
    if not len(context.train):
        raise LeftOutError("no training record has a text")
    splits = (context.train, context.validation, context.scored)
    config = context.config
    probe = LinearProbe(tasks, splits, context.draws, config.min_positives, config.seed)
    model, untrained = [
        [each.features(split.slots) for split in splits]
        for each in (context.model, context.untrained[0])
    ]
    block: dict[str, Any] = {task.name: {"shares": {}} for task in tasks}
    for share in probe.shares:
        context.check_stop()
        trained, baseline = probe.metrics(share, model), probe.metrics(share, untrained)
        for name, entry in trained.items():
            random = {metric: baseline[name][metric] for metric in ("macro_auroc", "macro_auprc")}
            block[name]["shares"][f"{share:g}"] = {**entry, "random_encoder": random}
    return {"protocol": PROTOCOL, "tasks": block}


def about(block: Any, tasks: Tasks) -> Words:
    """The protocol in a sentence, and in full."""
    lead = both(
        "凍結したエンコーダの上に線形分類器だけを学習。",
        "Only a linear classifier is trained, on the frozen encoder.",
    )
    return {language: f"{text} {block['protocol']}" for language, text in lead.items()}


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """One row for each task and share of the labels."""
    rows = tuple(
        (
            tasks[name]["title"],
            f"{100 * float(share):g} %",
            found["n_train"],
            found["classes_scored"],
            found["macro_auroc"],
            found["macro_auprc"],
            found["random_encoder"]["macro_auroc"],
        )
        for name, entry in block["tasks"].items()
        for share, found in entry["shares"].items()
    )
    random = {lang: f"AUROC, {text}" for lang, text in word("baselines", "random_encoder").items()}
    columns = (
        column("task", "words"),
        column("training_share", "text", both("学習に使う割合", "Labels used")),
        column("n_train", "count", both("学習件数", "n (training)")),
        column("classes_scored", "count"),
        column("macro_auroc", "area", same("AUROC")),
        column("macro_auprc", "area", same("AUPRC")),
        column("random_encoder", "area", random),
    )
    yield Table("probe", ANALYSIS.title, columns, rows)


ANALYSIS = Analysis(
    title=both("線形プローブ", "Linear probe"), compute=compute, tables=tables, about=about
)
