"""Sweeps: every combination once, names that fit a folder, nonsense refused first."""

from pathlib import Path

import pytest

from ecgpipe.errors import ConfigError
from ecgpipe.variants import load_variants

SETTINGS = """
name: trial
data:
  sources: [{kind: table, table: records.csv}]
text: {model: some/model}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.yaml").write_text(SETTINGS)
    return tmp_path / "pipeline.yaml"


def test_without_seeds_and_grids_it_is_the_experiment_itself(path: Path) -> None:
    configs, refused = load_variants(path, ["train.epochs=3"], None, [])
    assert [(config.name, config.train.epochs) for config in configs] == [("trial", 3)]
    assert refused == []


def test_every_combination_is_a_run_of_its_own_name(path: Path) -> None:
    configs, _ = load_variants(path, [], "0..1", ["train.lr=1e-3,1e-4", "train.encoder=cnn1d"])
    assert [(c.name, c.train.lr, c.train.seed, c.train.encoder) for c in configs] == [
        ("trial+lr=1e-3+encoder=cnn1d+seed=0", 1e-3, 0, "cnn1d"),
        ("trial+lr=1e-3+encoder=cnn1d+seed=1", 1e-3, 1, "cnn1d"),
        ("trial+lr=1e-4+encoder=cnn1d+seed=0", 1e-4, 0, "cnn1d"),
        ("trial+lr=1e-4+encoder=cnn1d+seed=1", 1e-4, 1, "cnn1d"),
    ]


def test_what_the_settings_refuse_is_left_out_and_named(path: Path) -> None:
    configs, refused = load_variants(
        path, [], None, ["train.text=sentence,all_findings", "train.loss=clip,siglip"]
    )
    assert len(configs) == 3
    assert len(refused) == 1
    assert "train.text=all_findings train.loss=clip" in refused[0]
    assert "needs loss: siglip" in refused[0]


def test_a_value_that_no_folder_may_hold_still_makes_a_name(path: Path) -> None:
    configs, _ = load_variants(path, [], None, ["text.prompt=心電図：{text},a/b {text}"])
    assert [config.name for config in configs] == [
        "trial+prompt=心電図-text-",
        "trial+prompt=a-b-text-",
    ]


def test_no_two_runs_of_a_sweep_share_a_folder(path: Path) -> None:
    """The second would set the first aside."""
    configs, _ = load_variants(path, [], None, ["text.separator=、,;", "train.lr=1e-3,1e-4"])
    names = [config.name for config in configs]
    assert len(set(names)) == 4, names
    assert all(name.startswith("trial+separator=--") for name in names)
    again, _ = load_variants(path, [], None, ["text.separator=;,、", "train.lr=1e-4,1e-3"])
    assert {c.name: c.text.separator for c in again} == {c.name: c.text.separator for c in configs}


@pytest.mark.parametrize(
    ("seeds", "grids", "message"),
    [
        ("4..0", [], "write it as 0..4"),
        ("1,1", [], "each seed once"),
        ("a", [], "write it as 0..4"),
        (None, ["train.loss"], "KEY=A,B"),
        (None, ["train.loss=clip,"], "KEY=A,B"),
        (None, ["train.loss=clip,clip"], "repeats a value"),
        (None, ["train.loss=clap"], "No run of the sweep is possible"),
        ("0..1500", [], "more than 1,000 runs"),
        ("0..9999999999999999", [], "more than 1,000 runs"),
        ("0, 0", [], "each seed once"),
        ("0,00", [], "each seed once"),
        (None, ["train.lr=1e-3,0.001"], "repeats a value"),
        ("0..1", ["train.seed=0,1"], r"name train\.seed twice"),
        (None, ["train.lr=1,2", "train.lr=3,4"], r"name train\.lr twice"),
        ("0..99", ["train.lr=1,2,3,4,5,6,7,8,9,10,11"], "1,100 runs"),
    ],
)
def test_nonsense_is_refused(path: Path, seeds: str | None, grids: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_variants(path, [], seeds, grids)
