"""What a leak would fail: permuted truth brings every metric down to its baseline."""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import make_ecgs
import numpy as np
import pytest
import tiny_models
from simulated_evaluation import Noise, Oracle, inputs, records
from toy_experiment import Experiment

from ecgpipe.cache.records_table import RecordsTable
from ecgpipe.evaluate import evaluation
from ecgpipe.evaluate.evaluation import evaluate


class TwoTables(Oracle):
    """Sees, of a scored record, the findings of `seen` at its slot; validation records truly."""

    def __init__(self, seen: RecordsTable, validation: RecordsTable) -> None:
        super().__init__(RecordsTable((*seen.records, *validation.records)))


def tables(n: int) -> tuple[RecordsTable, RecordsTable]:
    """Scored records in slots 0 to n - 1, validation records behind them."""
    scored = records(n, "test")
    validation = records(n, "val", seed=2)
    moved = [dataclasses.replace(r, slot=n + r.slot) for r in validation.records]
    return scored, RecordsTable(tuple(moved))


def metrics(model: Any, scored: RecordsTable, validation: RecordsTable) -> dict[str, Any]:
    noise = [Noise(seed) for seed in range(3)]
    return evaluate(inputs(model, untrained=noise, scored=scored, validation=validation)).tasks


def above_baselines(tasks: dict[str, Any]) -> list[str]:
    """Metrics whose interval is above every baseline's."""
    found = []
    for task_name, task in tasks.items():
        for name, entry in task["summary"].items():
            others = [b["summary"][name] for b in task["baselines"].values()]
            if entry["value"] is not None and entry["low"] > max(o["high"] for o in others):
                found.append(f"{task_name} {name}")
    return found


def permuted(table: RecordsTable) -> RecordsTable:
    order = np.random.default_rng(0).permutation(len(table))
    return RecordsTable(tuple(table.records[place] for place in order))


def test_permuted_truth_brings_every_metric_of_every_task_to_its_baselines() -> None:
    scored, validation = tables(400)
    honest = metrics(TwoTables(scored, validation), scored, validation)
    assert len(above_baselines(honest)) > 20  # the check can tell
    nothing = metrics(TwoTables(permuted(scored), validation), scored, validation)
    assert above_baselines(nothing) == []
    for task in nothing.values():
        area = task["summary"]["macro_auroc"]
        assert area["low"] < 0.5 < area["high"]


def test_a_threshold_chosen_on_the_scored_records_would_be_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # F1 must not move when the scored records' truth alone changes what could be chosen.
    scored, validation = tables(60)

    def thresholds(truth: RecordsTable) -> list[float | None]:
        found = metrics(Noise(5), truth, validation)["findings"]["classes"]
        return [entry["threshold"] for entry in found.values()]

    others = permuted(scored)
    swapped = RecordsTable(
        tuple(
            dataclasses.replace(mine, findings=other.findings)
            for mine, other in zip(scored.records, others.records, strict=True)
        )
    )
    assert thresholds(scored) == thresholds(swapped)
    real = evaluation._Setting.scored
    monkeypatch.setattr(evaluation._Setting, "validation", real)  # the leak
    assert thresholds(scored) != thresholds(swapped)


def test_a_record_that_is_scored_cannot_be_chosen_on() -> None:
    scored, _ = tables(20)
    with pytest.raises(ValueError, match="validation records"):
        metrics(Noise(0), scored, scored)


def flat(value: Any) -> Sequence[float]:
    """All numbers in a block, in the order of its names."""
    if isinstance(value, dict):
        return [x for key in sorted(value) for x in flat(value[key])]
    if isinstance(value, list):
        return [x for each in value for x in flat(each)]
    return [value] if isinstance(value, float | int) else []


def test_the_order_of_records_does_not_matter() -> None:
    scored, validation = tables(150)
    model = TwoTables(scored, validation)
    one = metrics(model, scored, validation)
    for name in one:
        again = metrics(model, permuted(scored), permuted(validation))[name]
        for block in ("classes", "summary", "confusion", "calibration", "curves", "adjusted"):
            np.testing.assert_allclose(flat(again[block]), flat(one[name][block]), atol=1e-9)


@pytest.mark.slow
def test_permuted_training_texts_leave_a_trained_model_at_its_baselines(tmp_path: Path) -> None:
    # If a scored record or its text reached training by another way, the model would still know.
    make_ecgs.make_ecgs(tmp_path / "ecgs", n_patients=300, seed=0)
    areas = {}
    for name in ("true", "permuted"):
        folder = tmp_path / name
        folder.mkdir()
        rows = read_rows(tmp_path / "ecgs" / "records.csv")
        training = [row for row in rows if row["split"] == "train"]
        if name == "permuted":
            order = np.random.default_rng(0).permutation(len(training))
            texts = [training[place]["findings"] for place in order]
            for row, text in zip(training, texts, strict=True):
                row["findings"] = text
        table = tmp_path / "ecgs" / f"{name}.csv"
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        experiment = Experiment(folder, tiny_models.save_llama(folder / "llama"), tmp_path / "ecgs")
        experiment.did(
            "--set", f"data.sources.0.table={table}",
            "--set", "train.preset=recommended",
            "--set", "train.epochs=8",
            "--set", "eval.tasks=[findings]",
        )  # fmt: skip
        task = experiment.results()["tasks"]["findings"]
        areas[name] = task["summary"]["macro_auroc"], task["baselines"]["random_encoder"]
    assert areas["true"][0]["low"] > areas["true"][1]["summary"]["macro_auroc"]["high"]
    permuted_area, random = areas["permuted"]
    assert permuted_area["low"] < random["summary"]["macro_auroc"]["high"]
    assert permuted_area["value"] < 0.6


def read_rows(path: Path) -> list[dict[str, str]]:
    """The simulator's table with a split of its own: every fifth patient is scored."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    people = {patient: n for n, patient in enumerate(dict.fromkeys(r["patient_id"] for r in rows))}
    for row in rows:
        row["split"] = ("test", "val", "train", "train", "train")[people[row["patient_id"]] % 5]
    return rows
