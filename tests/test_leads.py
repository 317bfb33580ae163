"""Leads by name, and the limb leads that follow from others."""

import numpy as np
import pytest

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.leads import arrange_leads, canonical_lead
from ecgpipe.read_ecg.record import LEADS


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ("AVR", "aVR"),
        ("avf", "aVF"),
        ("Lead I", "I"),
        ("lead II", "II"),
        ("ECG Lead V3", "V3"),
        ("v6", "V6"),
        ("Ｖ１", "V1"),
        ("DIII", "III"),
        ("C4", "V4"),
        ("a V L", "aVL"),
        ("Lead 1", "I"),
        ("ECG1", None),
        ("1", None),
        ("MLII", None),
        ("RESP", None),
        ("V7", None),
        ("", None),
    ],
)
def test_a_lead_is_known_by_its_name(spelt: str, meant: str | None) -> None:
    assert canonical_lead(spelt) == meant


def test_leads_go_to_their_place_whatever_the_order_in_the_file() -> None:
    order = ["V6", "aVF", "aVL", "I", "II", "III", "aVR", "V1", "V2", "V3", "V4", "V5"]
    signals = [np.full(4, number, np.float32) for number in range(12)]
    arranged, notes = arrange_leads(order, signals)
    assert arranged[:, 0].tolist() == [order.index(lead) for lead in LEADS]
    assert notes == ()


def test_missing_limb_leads_follow_einthoven_and_goldberger() -> None:
    rng = np.random.default_rng(0)
    right, left, foot = rng.normal(size=(3, 100)).astype(np.float32)
    truth = {
        "I": left - right,
        "II": foot - right,
        "III": foot - left,
        "aVR": right - (left + foot) / 2,
        "aVL": left - (right + foot) / 2,
        "aVF": foot - (right + left) / 2,
    }
    for given in (("I", "II"), ("I", "III"), ("II", "III")):
        arranged, notes = arrange_leads(given, [truth[lead] for lead in given])
        assert notes == ("limb lead derived",)
        for lead, expected in truth.items():
            np.testing.assert_allclose(arranged[LEADS.index(lead)], expected, atol=1e-5)
        assert np.isnan(arranged[6:]).all()


def test_a_lead_that_is_there_is_not_derived() -> None:
    signals = [np.full(3, value, np.float32) for value in (1.0, 2.0, 99.0)]
    arranged, _ = arrange_leads(["I", "II", "III"], signals)
    assert arranged[LEADS.index("III")].tolist() == [99.0] * 3


def test_other_signals_are_left_out_and_noted() -> None:
    arranged, notes = arrange_leads(["V1", "RESP"], [np.ones(3, np.float32)] * 2)
    assert notes == ("other signals left out",)
    assert np.isfinite(arranged).any(axis=1).sum() == 1


def test_unknown_names_are_refused_and_said() -> None:
    with pytest.raises(RecordError, match=r"none of its signals \(ECG1, ECG2\) is a known lead"):
        arrange_leads(["ECG1", "ECG2"], [np.ones(3, np.float32)] * 2)


def test_one_lead_twice_is_refused() -> None:
    with pytest.raises(RecordError, match="lead II is there more than once"):
        arrange_leads(["II", "lead ii"], [np.ones(3, np.float32)] * 2)


@pytest.mark.parametrize("spelt", ["-aVR", "−aVR", " - aVR", "-I"])
def test_an_inverted_lead_is_not_taken_for_the_upright_one(spelt: str) -> None:
    assert canonical_lead(spelt) is None


def test_nothing_is_derived_from_a_lead_that_is_flat() -> None:
    moving = np.sin(np.arange(50, dtype=np.float32))
    arranged, notes = arrange_leads(["I", "II"], [np.zeros(50, np.float32), moving])
    absent = [lead for lead, row in zip(LEADS, arranged, strict=True) if np.isnan(row).all()]
    assert absent == [lead for lead in LEADS if lead not in ("I", "II")]
    assert notes == ()
