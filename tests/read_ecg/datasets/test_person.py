"""Ages and sexes as hospitals write them: understood, unknown, or refused; never guessed."""

import pytest

from ecgpipe.read_ecg.datasets.person import parse_age, understand_sexes


@pytest.mark.parametrize(
    ("cell", "years"),
    [
        ("63", 63.0),
        ("63.5", 63.5),
        ("６３", 63.0),
        ("45歳", 45.0),
        ("４５ 才", 45.0),
        ("45 years old", 45.0),
        ("045Y", 45.0),
        ("1歳6か月", 1.5),
        ("6ヶ月", 0.5),
        ("018M", 1.5),
        ("10日", 10 / 365.25),
        ("3 weeks", 21 / 365.25),
        ("0", 0.0),
        ("130", 130.0),
        *((word, None) for word in ("", " ", "不明", "？", "N/A", "nan", "-", "ー")),
    ],
)
def test_an_age_is_understood_or_says_that_it_is_unknown(cell: str, years: float | None) -> None:
    assert parse_age(cell) == (None if years is None else pytest.approx(years))


@pytest.mark.parametrize(
    "cell",
    [
        *("六十五", "60代", "６０歳代", "300", "131", "−5", "-5", "－5", "1960", "1960-01-02"),
        *("60-64", ">89", "1e1", "inf", "M", "45歳13", "63,5", "63 64"),
    ],
)
def test_an_age_that_is_no_age_is_refused_not_guessed(cell: str) -> None:
    with pytest.raises(ValueError, match=r"no age|so old"):
        parse_age(cell)


def test_all_spellings_of_a_sex_are_one() -> None:
    men = ["男", "男性", "Ｍ", "M", "m", "Male", "1", "１", "1.0", " 男 ", "男児"]
    women = ["女", "女性", "Ｆ", "f", "FEMALE", "2", "2.0", "女子"]
    others, unknown = ["O", "その他"], ["0", "9", "U", "不明", "unknown", "N/A", "？"]
    refused = ["山田", "M/F", "3", "11", "w"]
    assert understand_sexes([*men, *women, *others, *unknown, *refused]) == {
        **dict.fromkeys(men, "male"),
        **dict.fromkeys(women, "female"),
        **dict.fromkeys(others, "other"),
        **dict.fromkeys(unknown, None),
    }


def test_codes_that_could_mean_either_are_refused() -> None:
    # PTB-XL writes 0 for men and 1 for women; elsewhere 1 is "is male"; ISO 5218 has 1 and 2.
    assert understand_sexes(["0", "1", "男"]) == {"男": "male"}
    assert understand_sexes(["0", "1", "2"]) == {"0": None, "1": "male", "2": "female"}
    assert understand_sexes(["1", "9"]) == {"1": "male", "9": None}
