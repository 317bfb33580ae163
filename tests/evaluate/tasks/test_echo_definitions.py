"""Echo definitions: each threshold worked out by hand on both sides, and what stays unknown."""

import itertools
from pathlib import Path

import pytest

from ecgpipe.echo_measurements import MEASUREMENTS, Interval
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.echo_definitions import load_echo_definitions

STANDARD = load_echo_definitions("standard")


def shown(finding: str, sex: str | None = None, **measured: float | Interval) -> bool | None:
    """What the shipped definitions say; None for unknown."""
    intervals = {
        name: value if isinstance(value, tuple) else (value, value)
        for name, value in measured.items()
    }
    return STANDARD.judge(intervals, sex).get(finding)


@pytest.mark.parametrize(
    ("finding", "measurement", "met", "not_met"),
    [
        ("LVEF_LE_40", "lvef", 40, 40.1),
        ("LVEF_LE_45", "lvef", 45, 45.1),
        ("WALL_GE_13", "ivsd", 13, 12.9),
        ("WALL_GE_13", "lvpwd", 13, 12.9),
        ("AS_MODERATE", "as_grade", 2, 1),
        ("AR_MODERATE", "ar_grade", 2, 1),
        ("MR_MODERATE", "mr_grade", 2, 1),
        ("TR_MODERATE", "tr_grade", 2, 1),
        ("PASP_GE_45", "pasp", 45, 44.9),
        ("TR_VMAX_GE_3_2", "tr_vmax", 3.2, 3.19),
        ("RV_DYSFUNCTION", "rv_function", 2, 1),
        ("EFFUSION", "effusion", 2, 1),
        ("LA_ENLARGEMENT", "lavi", 34.1, 34),
    ],
)
def test_a_finding_is_shown_from_its_threshold_on(
    finding: str, measurement: str, met: float, not_met: float
) -> None:
    other = {"ivsd": "lvpwd", "lvpwd": "ivsd"}.get(measurement)
    beside = {} if other is None else {other: 9.0}
    assert shown(finding, **{measurement: met}) is True
    assert shown(finding, **beside, **{measurement: not_met}) is False
    assert shown(finding) is None


@pytest.mark.parametrize(
    ("lvmi", "male", "female", "unknown"),
    [
        (115.1, True, True, True),
        (115, False, True, None),
        (95.1, False, True, None),
        (95, False, False, False),
    ],
)
def test_hypertrophy_by_mass_has_a_limit_for_each_sex_and_none_where_they_differ(
    lvmi: float, male: bool, female: bool, unknown: bool | None
) -> None:
    assert shown("LVH_MASS", "male", lvmi=lvmi) is male
    assert shown("LVH_MASS", "female", lvmi=lvmi) is female
    assert shown("LVH_MASS", None, lvmi=lvmi) is unknown
    assert shown("LVH_MASS", "other", lvmi=lvmi) is unknown


def test_one_thin_wall_says_nothing_about_the_other() -> None:
    assert shown("WALL_GE_13", ivsd=9.0) is None
    assert shown("WALL_GE_13", ivsd=14.0) is True


def test_what_limits_do_not_decide_is_unknown() -> None:
    assert shown("LVEF_LE_45", lvef=(40, 45)) is True
    assert shown("LVEF_LE_40", lvef=(40, 45)) is None
    assert shown("LVEF_LE_40", lvef=(55, 60)) is False
    assert shown("MR_MODERATE", mr_grade=(1, 2)) is None
    assert shown("LA_ENLARGEMENT", lavi=(34, 40)) is None
    assert shown("LA_ENLARGEMENT", lavi=(20, 34)) is False


NORMAL = {
    "lvef": 62.0, "lvmi": 80.0, "ivsd": 9.0, "lvpwd": 9.0, "as_grade": 0.0, "ar_grade": 1.0,
    "mr_grade": 1.0, "tr_grade": 0.0, "pasp": 28.0, "tr_vmax": 2.2, "rv_function": 0.0,
    "effusion": 0.0, "lavi": 25.0,
}  # fmt: skip


def test_any_is_not_shown_only_if_every_finding_is_known_not_to_be() -> None:
    assert shown("ANY", **NORMAL) is False
    for measurement in NORMAL:
        rest = {name: value for name, value in NORMAL.items() if name != measurement}
        assert shown("ANY", **rest) is None, measurement
    assert shown("ANY", lvef=30.0) is True


def test_every_finding_of_a_normal_heart_is_known_and_none_shown() -> None:
    every = {name: (value, value) for name, value in NORMAL.items()}
    assert STANDARD.judge(every, None) == dict.fromkeys(STANDARD.ids, False)


def test_every_shipped_finding_has_names_in_both_languages_and_a_source() -> None:
    for each in STANDARD.definitions:
        assert each.ja != each.en
        assert each.source


def test_no_value_is_possible_in_two_units() -> None:
    for each in MEASUREMENTS.values():
        spans = sorted((each.least / unit.size, each.most / unit.size) for unit in each.units)
        for (_, most), (least, _) in itertools.pairwise(spans):
            assert most < least, each.name


def own(folder: Path, text: str) -> str:
    (folder / "own.yaml").write_text(f"definitions:\n{text}\n", encoding="utf-8")
    return str(folder / "own.yaml")


def test_a_hospital_may_write_its_own_definitions(tmp_path: Path) -> None:
    text = """
  - {id: HFPEF, ja: 充満圧上昇, en: Raised filling pressure, source: ours,
     rule: {e_e_prime: "> 14"}}
  - {id: HEART, ja: 心不全, en: Heart failure, source: ours, any_of: [HFPEF]}"""
    ours = load_echo_definitions(own(tmp_path, text))
    assert ours.judge({"e_e_prime": (15, 15)}, None) == {"HFPEF": True, "HEART": True}
    assert ours.judge({"lvef": (15, 15)}, None) == {}
    changed = load_echo_definitions(own(tmp_path, text.replace("> 14", "> 15")))
    assert changed.digest != ours.digest


NAMES = "ja: 左, en: Left, source: ours"


@pytest.mark.parametrize(
    ("definition", "told"),
    [
        (
            f'id: M, {NAMES}, rule: {{lvm: "> 115"}}',
            r"definition M names 'lvm', which no echo.* Did you mean 'lvmi'\? Known are lvef, ivsd",
        ),
        (f'id: M, {NAMES}, rule: {{lvmi: "115"}}', "has the limit '115' for lvmi"),
        (f'id: M, {NAMES}, rule: {{lvmi: {{men: "> 115"}}}}', "number 1, rule, lvmi"),
        (f"id: M, {NAMES}", "M needs either a `rule` or `any_of`"),
        (f"id: M, {NAMES}, any_of: [N]", "names 'N', which has no rule"),
        (f"id: M, {NAMES}, any_of: [M]", "names 'M', which has no rule"),
        ("id: M, ja: 左, en: Left", "number 1, source"),
        (f'id: M, {NAMES}, rules: {{lvmi: "> 115"}}', "number 1, rules"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused_at_loading(
    tmp_path: Path, definition: str, told: str
) -> None:
    with pytest.raises(TaxonomyError, match=told) as found:
        load_echo_definitions(own(tmp_path, f"  - {{{definition}}}"))
    assert "\n" not in str(found.value)


def test_a_file_that_is_no_list_of_definitions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="under `definitions:`"):
        load_echo_definitions(own(tmp_path, "  LVEF: 40"))
    twice = f'  - {{id: M, {NAMES}, rule: {{lvmi: "> 1"}}}}\n' * 2
    with pytest.raises(TaxonomyError, match="M is there twice"):
        load_echo_definitions(own(tmp_path, twice))
    with pytest.raises(TaxonomyError, match="There is no file of echo definitions 'mine'"):
        load_echo_definitions("mine")
