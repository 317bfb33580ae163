"""Why a model fails, as tables: measurements, the texts' own space, what is taken for what.

Owns their columns. Drawn from the results file alone; what an older file lacks makes no table.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ecgpipe.evaluate.report.table import Table, column
from ecgpipe.evaluate.report.words import Words, class_names, same, word
from ecgpipe.evaluate.results import Results

FAILURE_BLOCKS = ("measurements", "text_space", "failures")


def failure_tables(results: Results, name: str) -> Iterator[Table]:
    """The tables of one of FAILURE_BLOCKS; none where the results lack it."""
    make = {"measurements": _measurements, "text_space": _text_space, "failures": _failures}
    if results.get(name):
        yield from make[name](results)


def _measurements(results: Results) -> Iterator[Table]:
    block = results["measurements"]
    quantities = {
        name: {lang: f"{each[lang]} ({each['unit']})" if each["unit"] else each[lang]
               for lang in ("ja", "en")}
        for name, each in block["quantities"].items()
    }  # fmt: skip
    yield Table(
        "measurements-findings",
        word("sections", "measurements"),
        (
            column("class", "words"), column("quantity", "words"), column("criterion", "text"),
            column("n", "count"), column("n_positive", "count"), column("model_auroc", "area"),
            column("ruler_auroc", "area"), column("correlation", "number"),
            column("median_positive", "number"), column("median_negative", "number"),
        ),
        tuple(
            (
                each["names"], quantities[each["quantity"]], each["criterion"],
                each["n"], each["n_positive"], each["model_auroc"],
                each["ruler_auroc"], each["correlation"],
                _rounded(each["median_positive"]), _rounded(each["median_negative"]),
            )
            for each in block["findings"]
        ),
    )  # fmt: skip
    yield Table(
        "measurements-quantities",
        word("sections", "quantities"),
        (
            column("quantity", "words"), column("n", "count"), column("p5", "number"),
            column("median", "number"), column("p95", "number"),
        ),
        tuple(
            (quantities[name], each["n"], *(_rounded(each[key]) for key in ("p5", "median", "p95")))
            for name, each in block["quantities"].items()
        ),
    )  # fmt: skip


def _text_space(results: Results) -> Iterator[Table]:
    block = results["text_space"]
    task = _task(results, block["task"])
    yield Table(
        "text_space-spaces",
        word("sections", "text_space"),
        (
            column("space", "words"), column("mean_cosine", "number"),
            column("effective_dimensions", "number"),
        ),
        tuple(
            (word("spaces", name), _rounded(each["mean_cosine"], 4),
             _rounded(each["effective_dimensions"], 1))
            for name, each in block["anisotropy"].items()
        ),
    )  # fmt: skip
    for which in ("nearest", "opposites"):
        if block[which]:
            yield _pairs(f"text_space-{which}", word("sections", which), block[which], task)


def _pairs(name: str, title: Words, pairs: list[dict[str, Any]], task: Mapping[str, Any]) -> Table:
    spaces = ("raw", "centred", "projected")
    return Table(
        name,
        title,
        (
            column("class", "words"), column("other_class", "words"),
            *(column(space, "number", word("spaces", space)) for space in spaces),
            column("alike_than", "number"),
        ),
        tuple(
            (
                *(class_names(task, each) for each in pair["classes"]),
                *(_rounded(pair[space], 3) for space in spaces),
                _rounded(pair["alike_than"], 3),
            )
            for pair in pairs
        ),
    )  # fmt: skip


def _failures(results: Results) -> Iterator[Table]:
    block = results["failures"]
    yield Table(
        "failures-texts",
        word("sections", "text_correlation"),
        (column("task", "words"), column("correlation", "number"), column("p", "number"),
         column("pairs", "count")),
        tuple(
            (
                results["tasks"][task]["title"] if task in results["tasks"] else same(task),
                _rounded(each["text_correlation"]["value"], 3),
                _rounded(each["text_correlation"]["p"], 3),
                each["text_correlation"]["pairs"],
            )
            for task, each in block.items()
        ),
    )  # fmt: skip
    for task, each in block.items():
        if each["taken_for"]:
            yield _taken_for(results, task, each["taken_for"])
        if each.get("by_coarse_class"):
            yield _by_coarse_class(results, task, each["by_coarse_class"])


def _taken_for(results: Results, task: str, entries: list[dict[str, Any]]) -> Table:
    return Table(
        f"failures-{task}-taken_for",
        word("sections", "taken_for", task=results["tasks"][task]["title"]),
        (
            column("class", "words"), column("taken_for", "words"), column("n", "count"),
            column("rate", "share"), column("text_cosine", "number"),
        ),
        tuple(
            (
                class_names(_task(results, task), each["shown"]),
                class_names(_task(results, task), each["taken_for"]), each["n"], each["rate"],
                _rounded(each["text_cosine"], 3),
            )
            for each in entries
        ),
    )  # fmt: skip


def _by_coarse_class(results: Results, task: str, entries: list[dict[str, Any]]) -> Table:
    return Table(
        f"failures-{task}-by_coarse_class",
        word("sections", "by_coarse_class", task=results["tasks"][task]["title"]),
        (
            column("class", "text"), column("n", "count"), column("any_hit", "share"),
            column("median_rank", "number"), column("first_guess", "text"),
        ),
        tuple(
            (
                each["class"], each["n"], each["any_hit"], each["median_rank"],
                ", ".join(f"{name} {n}" for name, n in each["first_guess"].items()),
            )
            for each in entries
        ),
    )  # fmt: skip


def _task(results: Results, name: str) -> Mapping[str, Any]:
    """A task of the results; one without classes where they lack it."""
    task: Mapping[str, Any] = results["tasks"].get(name, {"classes": {}})
    return task


def _rounded(value: float | None, places: int = 2) -> float | None:
    return None if value is None else round(value, places)
