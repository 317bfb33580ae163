"""What runs' words are worth, side by side: taken from their results, several seeds averaged."""

from typing import Any

import pytest

from ecgpipe.evaluate.compare.report import list_rows, word_columns, word_rows
from ecgpipe.evaluate.compare.words import words_beside


def metric(value: float, half: float | None = 0.1) -> dict[str, float | None]:
    if half is None:
        return {"value": value, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


def group(name: str, value: float, by_name: float) -> dict[str, Any]:
    found = {"macro_auroc": metric(value), "by_name": metric(by_name)}
    return {"group": name, "exchanged": metric(0.52, None), **found}


def run(held_out: float, unseen: float | None = None) -> Any:
    analyses: dict[str, Any] = {
        "wordings": {"groups": [group("held_out", held_out, 0.9), group("ja", 0.1, 0.1)]}
    }
    if unseen is not None:
        analyses["unseen"] = {"own": metric(unseen), "nearest": metric(0.6, None)}
    return {"analyses": analyses}


def comparison(columns: dict[str, list[Any]]) -> dict[str, Any]:
    contenders = [{"name": name, "runs": [name] * len(runs)} for name, runs in columns.items()]
    return {"contenders": contenders, "words": words_beside(columns), "tasks": {}}


def test_a_run_stands_with_its_own_figures_and_a_missing_one_is_a_dash() -> None:
    found = comparison({"model": [run(0.8, unseen=0.55)], "one-hot": [run(0.5)]})
    assert list(found["words"]) == [
        *("trained", "held_out", "held_out_exchanged", "unseen", "unseen_by_nearest"),
    ]
    assert len(word_columns(found)) == 6
    first, second = word_rows(found)
    assert first == (
        *("model", ".900 (.800–1.000)", ".800 (.700–.900)", ".520", ".550 (.450–.650)", ".600"),
    )
    assert second[2:] == (".500 (.400–.600)", ".520", "–", "–")


def test_seeds_have_the_mean_of_values_and_bounds_and_say_how_far_apart_they_are() -> None:
    found = words_beside({"model": [run(0.7), run(0.9)]})["held_out"]
    assert found["values"] == [pytest.approx({"value": 0.8, "low": 0.7, "high": 0.9})]
    assert found["between_runs"] == [pytest.approx(0.02**0.5)]


def test_runs_without_these_analyses_have_no_such_table() -> None:
    without: Any = {"a": [{"analyses": {}}], "b": [{"analyses": {"probe": {}}}]}
    assert words_beside(without) == {}


def test_every_figure_is_in_the_list_of_exact_numbers() -> None:
    rows = list(list_rows(comparison({"a": [run(0.8)], "b": [run(0.5)]}), "ja"))
    assert [(row[0], row[4], row[5], row[6]) for row in rows] == [
        ("words", "trained", "a", 0.9),
        ("words", "trained", "b", 0.9),
        ("words", "held_out", "a", 0.8),
        ("words", "held_out", "b", 0.5),
        ("words", "held_out_exchanged", "a", 0.52),
        ("words", "held_out_exchanged", "b", 0.52),
    ]
