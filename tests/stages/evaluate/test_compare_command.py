"""`ecgpipe compare`: which runs are laid side by side, and what is said where that cannot be."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from toy_experiment import Experiment


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory, finished: tuple[Experiment, dict[str, Any]]
) -> Experiment:
    """The finished toy run, and two seeds of another with a greater learning rate."""
    experiment = finished[0].copy(tmp_path_factory.mktemp("compared"))
    for name, settings in (
        ("toy", ()),
        ("fast+seed=0", ("train.lr=0.01",)),
        ("fast+seed=1", ("train.lr=0.01", "train.seed=1")),
    ):
        sets = [f"--set={setting}" for setting in (*settings, f"name={name}")]
        experiment.did(*sets)
    return experiment


def test_seeds_are_one_column_and_every_form_says_the_same(compared: Experiment) -> None:
    out = compared.folder / "comparison.json"
    code, shown, err = compared.run("compare", "--paper", "-o", str(out), "toy", "fast+*")
    assert code == 0, err
    found = json.loads(out.read_text())
    assert [(c["name"], len(c["runs"])) for c in found["contenders"]] == [("toy", 1), ("fast", 2)]
    summary = found["tasks"]["findings"]["summary"]["macro_auroc"]
    assert summary["between_runs"][0] is None
    assert summary["between_runs"][1] > 0
    assert {"low", "high", "p", "p_holm"} <= set(summary["differences"][0])
    assert "other data" in shown
    assert "±" in shown
    page = compared.folder / "comparison.md"
    assert compared.run("compare", "-o", str(page), "toy", "fast+*")[0] == 0
    assert "# toy · fast" in page.read_text(encoding="utf-8")
    own = json.loads((compared.folder / "work/runs/toy/eval/results.json").read_text())
    value = own["tasks"]["findings"]["summary"]["macro_auroc"]["value"]
    assert summary["values"][0]["value"] == pytest.approx(value, abs=1e-12)


def test_each_seed_by_itself_and_a_run_by_its_folder(compared: Experiment, tmp_path: Path) -> None:
    code, out, err = compared.run("compare", "--json", "--each", "fast+*")
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])["compare"]
    assert [c["name"] for c in found["contenders"]] == ["seed=0", "seed=1"]
    moved = tmp_path / "elsewhere"
    shutil.copytree(compared.folder / "work" / "runs" / "toy", moved)
    code, out, _ = compared.run("compare", str(moved), "fast+seed=0")
    assert code == 0
    assert "elsewhere" not in out or "toy" not in out


def test_a_run_before_and_after_its_labels_changed_is_not_averaged(
    compared: Experiment, tmp_path: Path
) -> None:
    """Only the data differ: the settings and the seed are equal."""
    before = tmp_path / "before"
    shutil.copytree(compared.folder / "work" / "runs" / "toy", before)
    code, out, err = compared.run("compare", "--json", str(before), "toy")
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])["compare"]
    assert [len(contender["runs"]) for contender in found["contenders"]] == [1, 1]
    assert len(found["tasks"]["findings"]["summary"]["macro_auroc"]["differences"]) == 1


def test_seeds_of_one_setting_alone_are_summed_up(compared: Experiment) -> None:
    page = compared.folder / "seeds.md"
    code, out, err = compared.run("compare", "--json", "-o", str(page), "fast+*")
    assert code == 0, err
    assert "±" in out
    assert "fast (2 runs)" in out
    assert "differ" not in out.casefold().splitlines()[0] + page.read_text().casefold()
    beside = compared.run("compare", "--json", "toy", "fast+*")[1]
    alone, both = (json.loads(each.splitlines()[-1])["compare"] for each in (out, beside))
    assert [(c["name"], len(c["runs"])) for c in alone["contenders"]] == [("fast", 2)]
    summaries = (found["tasks"]["findings"]["summary"] for found in (alone, both))
    for ours, theirs in zip(*(each.values() for each in summaries), strict=True):
        assert ours["differences"] == []
        assert ours["values"] == theirs["values"][1:]
        assert ours["between_runs"] == theirs["between_runs"][1:]


def test_a_run_that_was_set_aside_is_compared_if_it_is_named(compared: Experiment) -> None:
    runs = compared.folder / "work" / "runs"
    shutil.copytree(runs / "fast+seed=1", runs / "toy.old-1")
    try:
        code, out, err = compared.run("compare", "--json", "toy", "toy.old-1")
        assert code == 0, err
        found = json.loads(out.splitlines()[-1])["compare"]
        assert [c["runs"] for c in found["contenders"]] == [["toy"], ["toy.old-1"]]
        assert "toy.old-1" not in compared.run("compare", "toy*", "fast+*")[1]
    finally:
        shutil.rmtree(runs / "toy.old-1")


def test_a_comparison_opens_in_a_spreadsheet_with_exact_numbers(compared: Experiment) -> None:
    files = {ending: compared.folder / f"comparison.{ending}" for ending in ("json", "csv", "xlsx")}
    for file in files.values():
        assert compared.run("compare", "-o", str(file), "toy", "fast+*")[0] == 0
    found = json.loads(files["json"].read_text())["tasks"]["findings"]["summary"]["macro_auroc"]
    with files["csv"].open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    [change] = [
        row for row in rows
        if (row["task"], row["class"], row["metric"], row["run"])
        == ("findings", "", "macro_auroc", "fast")
    ]  # fmt: skip
    assert float(change["value"]) == found["values"][1]["value"]
    assert float(change["difference low"]) == found["differences"][0]["low"]
    assert float(change["p (Holm)"]) == found["differences"][0]["p_holm"]
    sheet = openpyxl.load_workbook(files["xlsx"]).active
    assert sheet is not None
    header, *cells = sheet.iter_rows(values_only=True)
    assert list(header) == list(rows[0])
    assert len(cells) == len(rows)
    assert [["" if cell is None else str(cell) for cell in row[:6]] for row in cells] == [
        list(row.values())[:6] for row in rows
    ]
    for row, of_csv in zip(cells, rows, strict=True):
        for key, cell in list(zip(header, row, strict=True))[6:]:
            # Excel's files hold 16 digits.
            assert cell == (pytest.approx(float(of_csv[key]), rel=1e-14) if of_csv[key] else None)


def test_what_cannot_be_compared_says_why(compared: Experiment) -> None:
    for names, message in (
        (("toy",), "A comparison needs two runs"),
        (("toy", "none"), "holds no run of that name"),
    ):
        code, _, err = compared.run("compare", *names)
        assert code == 1
        assert message in err
    assert compared.run("compare", "-o", "x.pdf", "toy", "fast+*")[0] == 2


def test_damaged_scores_and_other_ecgs_are_refused(compared: Experiment, tmp_path: Path) -> None:
    moved = tmp_path / "damaged"
    shutil.copytree(compared.folder / "work" / "runs" / "toy", moved)
    scores = moved / "eval" / "scores.h5"
    kept = bytearray(scores.read_bytes())
    kept[len(kept) // 2] ^= 1
    scores.write_bytes(kept)
    code, _, err = compared.run("compare", str(moved), "fast+seed=0")
    assert code == 1
    assert "Run `ecgpipe eval` again" in err
    compared.did("--set=eval.split=val", "--set=eval.sources=[records]", "--set=name=toy")
    code, _, err = compared.run("compare", "toy", "fast+seed=0")
    assert code == 1
    assert "ECGs, fast+seed=0 on" in err
    told = " ".join(err.split())
    assert "Scored on: toy, val of records; fast+seed=0, test of all sources." in told
