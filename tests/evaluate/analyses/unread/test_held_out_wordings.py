"""Findings scored by words that training never saw: the arithmetic, on cases worked by hand."""

import numpy as np
import pytest

from ecgpipe.evaluate.analyses.unread.spoken import NAME, Spoken, SpokenScores, spoken_of
from ecgpipe.evaluate.analyses.unread.wordings import bins_of, groups, limit_of
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.tasks.taxonomy import parse_taxonomy
from ecgpipe.evaluate.tasks.wordings import parse_bank

# Two findings of four ECGs: A of the first two, B of the second alone.
TRUTH = np.array([[1, 0], [1, 1], [0, 0], [0, 0]], np.bool_)
SPOKEN = [
    Spoken(0, "ja", NAME, "A"),
    Spoken(0, "en", NAME, "A in English"),
    Spoken(0, "ja", "synonym", "A1"),
    Spoken(0, "en", "definition", "A2"),
    Spoken(1, "ja", NAME, "B"),
    Spoken(1, "en", NAME, "B in English"),
    Spoken(1, "en", "synonym", "B1"),
]
SCORES = np.array(
    [
        [4, 3, 2, 1],  # A: both above both others, 1
        [1, 1, 1, 1],  # all ties, 1/2
        [4, 1, 2, 3],  # 2 of 4 pairs
        [1, 2, 3, 4],  # none
        [0, 1, 0, 0],  # B: above all three
        [1, 0, 2, 2],  # below all
        [1, 1, 0, 0],  # one tie and two above: 2.5 of 3
    ],
    np.float32,
).T
AUROCS = [1, 1 / 2, 1 / 2, 0, 1, 0, 2.5 / 3]


def scored(draws: int = 100) -> SpokenScores:
    return SpokenScores.of(SPOKEN, SCORES, TRUTH, PatientDraws.of(list("wxyz"), draws, 0))


def test_each_wording_is_scored_by_itself() -> None:
    assert scored().found.by_class["auroc"][0] == pytest.approx(AUROCS)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("held_out", ((1 / 2 + 0) / 2 + 2.5 / 3) / 2),  # B's one wording weighs as much as A's two
        ("ja", 1 / 2),
        ("en", (0 + 2.5 / 3) / 2),
        ("synonym", (1 / 2 + 2.5 / 3) / 2),
        ("definition", 0),
        ("other_name", (1 / 2 + 0) / 2),
    ],
)
def test_a_groups_auroc_is_the_mean_over_findings(group: str, expected: float) -> None:
    found = scored().macro_auroc(groups(SPOKEN, "ja")[group])
    assert found["value"] == pytest.approx(expected)
    assert found["low"] <= found["value"] <= found["high"]


def test_without_draws_there_is_a_value_and_no_interval() -> None:
    found = scored(0).macro_auroc([2, 3, 6])
    assert found["value"] == pytest.approx(((1 / 2 + 0) / 2 + 2.5 / 3) / 2)
    assert (found["low"], found["high"]) == (None, None)


def test_an_epoch_is_chosen_by_what_is_held_out_alone() -> None:
    assert scored(0).macro_auroc_D([2, 3, 6]) == pytest.approx([((1 / 2 + 0) / 2 + 2.5 / 3) / 2])


def test_a_group_without_a_wording_is_left_out() -> None:
    """No abbreviation was held out; and names are in no group but the other language's."""
    found = groups(SPOKEN, "en")
    assert set(found) == {"held_out", "ja", "en", "synonym", "definition", "other_name"}
    assert found["other_name"] == [0, 4]
    assert found["held_out"] == [2, 3, 6]


def test_of_a_bank_only_what_is_held_out_is_scored() -> None:
    taxonomy = parse_taxonomy("id,japanese,english\nA,左室肥大,LVH\n", "small")
    rows = "".join(f"A,ja,synonym,言い方{number}\n" for number in range(6))
    bank = parse_bank("id,language,kind,text\n" + rows, taxonomy)
    spoken = spoken_of(taxonomy.findings, bank)
    assert [(each.kind, each.text) for each in spoken[:2]] == [(NAME, "左室肥大"), (NAME, "LVH")]
    assert {each.text for each in spoken[2:]} == {each.text for each in bank.held_out["A"]}
    assert len(spoken) == 4


def test_bins_are_of_equal_numbers_from_the_nearest_on_and_none_is_small() -> None:
    distances = [k / 100 for k in np.random.default_rng(0).permutation(43)]
    bins = bins_of(distances)
    assert [len(places) for places in bins] == [11, 11, 11, 10]
    assert [distances[place] for places in bins for place in places] == sorted(distances)
    assert [len(places) for places in bins_of(distances * 5)] == [43] * 5
    assert [len(places) for places in bins_of(distances[:7])] == [7]


def bin_up_to(high: float, value: float, low: float | None, chance: float | None) -> dict:
    """A bin with its AUROC and lower bound, beside the upper bound at the wrong findings."""
    metric = {"value": value, "low": low, "high": 0.9}
    exchanged = None if chance is None else {"value": 0.5, "low": 0.4, "high": chance}
    return {"low": 0.0, "high": high, "macro_auroc": metric, "exchanged": exchanged}


GOOD, BY_CHANCE = (0.7, 0.6, 0.65), (0.65, 0.6, 0.65)


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        ([bin_up_to(0.1, *GOOD), bin_up_to(0.2, *GOOD), bin_up_to(0.3, *BY_CHANCE)], 0.2),
        ([bin_up_to(0.1, *BY_CHANCE), bin_up_to(0.2, *GOOD)], None),  # the nearest must be good
        ([bin_up_to(0.1, *GOOD), bin_up_to(0.2, *BY_CHANCE), bin_up_to(0.3, *GOOD)], 0.1),
        ([bin_up_to(0.1, 0.6, 0.49, 0.4)], None),  # no success below .5, whatever chance is
        ([bin_up_to(0.1, 0.6, 0.51, None)], 0.1),  # of one finding there is no wrong one
        ([bin_up_to(0.1, 0.7, None, 0.6)], None),
        ([], None),
    ],
)
def test_the_limit_is_where_a_bin_is_no_longer_better_than_chance(
    bins: list[dict], expected: float | None
) -> None:
    assert limit_of(bins) == expected
