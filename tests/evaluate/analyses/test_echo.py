"""Echocardiography told by the model, the ECG's label and voltages: worked out by hand."""

import numpy as np
import pytest

from ecgpipe.evaluate.analyses.delineation import QUANTITIES
from ecgpipe.evaluate.analyses.echo import ANALYSIS, Contender, compared, echo_comparisons
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.evaluate.words import both

VOLTAGES, COMPARISONS = echo_comparisons()
TRUTH = np.array([True, True, False, False, False])
NAMES = both("名", "name")


def contender(name: str, scores: list[float], met: list[bool] | None = None) -> Contender:
    return Contender(
        name=name, names=NAMES, scores_N=np.array(scores),
        met_N=None if met is None else np.array(met),
    )  # fmt: skip


def draws(n: int = 5) -> PatientDraws:
    return PatientDraws.of([f"p{number}" for number in range(n)], 200, 0)


def test_what_is_compared_exists() -> None:
    known = {each.id for each in load_echo_definitions("standard").definitions}
    ids = {f.id for name in ("findings98", "ptbxl", "csn") for f in load_taxonomy(name).findings}
    for each in COMPARISONS:
        assert each.echo in known
        assert ids >= set(each.ecg)
        assert set(each.voltages) <= set(VOLTAGES) <= set(QUANTITIES)


@pytest.mark.parametrize(
    ("name", "sex", "mv", "met"),
    [
        ("sokolow_lyon_mv", "male", 3.5, True),
        ("sokolow_lyon_mv", None, 3.4, False),  # its limit does not depend on the sex
        ("cornell_mv", "male", 2.8, False),
        ("cornell_mv", "male", 2.9, True),
        ("cornell_mv", "female", 2.1, True),
        ("cornell_mv", "female", 2.0, False),
    ],
)
def test_a_criterion_is_met_as_its_source_says(
    name: str, sex: str | None, mv: float, met: bool
) -> None:
    over_N = VOLTAGES[name].over_limit(np.array([mv]), [sex])
    assert VOLTAGES[name].is_met(over_N).tolist() == [met]


def test_a_limit_of_ones_sex_is_unknown_without_the_sex() -> None:
    over_N = VOLTAGES["cornell_mv"].over_limit(np.array([2.5, 2.5, 2.5]), ["male", None, "female"])
    assert over_N.tolist() == pytest.approx([-0.3, np.nan, 0.5], nan_ok=True)


def test_areas_differences_and_shares_are_those_counted_by_hand() -> None:
    model = contender("model", [0.9, 0.4, 0.5, 0.1, 0.2])  # 5 of 6 pairs
    label = contender("ecg_label", [1, 0, 0, 0, 1], [True, False, False, False, True])
    first, second = compared([model, label], TRUTH, draws())
    assert first["auroc"]["value"] == pytest.approx(5 / 6)
    # Right: one of two shown against two of three, ties half: (2 + 1/2 + 2/2) / 6.
    assert second["auroc"]["value"] == pytest.approx(3.5 / 6)
    assert second["model_minus_it"]["value"] == pytest.approx(1.5 / 6)
    assert second["sensitivity"]["value"] == pytest.approx(1 / 2)
    assert second["specificity"]["value"] == pytest.approx(2 / 3)
    assert first["model_minus_it"] is None
    assert first["sensitivity"] is None


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.4
    scores = (truth + rng.normal(size=200)).tolist()
    near = [score + 0.01 * number % 0.02 for number, score in enumerate(scores)]
    model, same, alike = compared(
        [contender("model", scores), contender("same", scores), contender("alike", near)],
        truth,
        draws(200),
    )
    assert same["model_minus_it"] == {"value": 0, "low": 0, "high": 0}
    width = alike["model_minus_it"]["high"] - alike["model_minus_it"]["low"]
    assert width < 0.2 * (model["auroc"]["high"] - model["auroc"]["low"])


def test_the_table_has_a_row_for_each_score() -> None:
    scores = compared(
        [contender("model", [1, 2, 3, 4, 5]), contender("ecg_label", [1, 0, 0, 0, 1])],
        TRUTH,
        draws(),
    )
    entry = {"class": "LVH_MASS", "names": dict(NAMES), "n_known": 5, "n": 2, "scores": scores}
    (table,) = ANALYSIS.tables({"findings": [entry]}, {})
    assert table.title["en"] == "name (2 of 5 ECGs)"
    assert [row[3] for row in table.rows] == ["–", "–"]
    assert table.columns[2].kind == "area", "a difference is written as what it is one of"
