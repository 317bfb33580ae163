"""The report of the nearest training ECG: whose it is, and what a draft says of it."""

import numpy as np
import pytest

from ecgpipe.write_report.nearest import NearestReports
from ecgpipe.write_report.rung import Ecgs
from ecgpipe.write_report.template import with_draft

# Unit vectors at 0, 10, 20 and 90 degrees, two of the same patient.
ANGLES = np.radians([0.0, 10.0, 20.0, 90.0])
KNOWN = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
TEXTS = [{"ja": f"文{n}", "en": f"text {n}"} for n in range(4)]
REPORTS = NearestReports("digest", KNOWN, ["p1", "p1", "p2", "p3"], TEXTS)


def asked(degrees: float, patient: str) -> Ecgs:
    angle = np.radians(degrees)
    vector = np.array([[np.cos(angle), np.sin(angle)]], np.float32)
    return Ecgs(np.zeros((1, 12, 1000), np.int16), vector, [patient])


@pytest.mark.parametrize(
    ("degrees", "patient", "text", "cosine"),
    [
        (1, "stranger", "text 0", np.cos(np.radians(1))),
        (1, "p1", "text 2", np.cos(np.radians(19))),  # both nearer ones are the patient's own
        (85, "p3", "text 2", np.cos(np.radians(65))),
    ],
)
def test_the_nearest_ecg_of_another_patient_gives_its_report(
    degrees: float, patient: str, text: str, cosine: float
) -> None:
    (body,) = REPORTS.bodies(asked(degrees, patient))
    assert body.texts["en"] == text
    assert body.about["cosine"] == pytest.approx(cosine, abs=1e-6)


def test_each_patient_of_a_batch_is_kept_from_their_own_reports() -> None:
    one, other = asked(1, "p1"), asked(1, "p2")
    both = Ecgs(
        np.concatenate([one.signal_uv, other.signal_uv]),
        np.concatenate([one.vectors_ND, other.vectors_ND]),
        ["p1", "p2"],
    )
    assert [body.texts["en"] for body in REPORTS.bodies(both)] == ["text 2", "text 0"]


def test_a_draft_says_that_it_is_one_and_whose_report_it_has() -> None:
    prediction = {
        "record_id": "1", "path": "1.dcm", "refused": "", "quality": "minor",
        "remarks": [{"texts": {"ja": "雑音。", "en": "Noise."}}],
        "draft": {"texts": {"ja": "所見：洞調律。", "en": "Findings: Sinus rhythm."},
                  "about": {"cosine": 0.87654}},
    }  # fmt: skip
    names = {"ja": "洞調律", "en": "Sinus rhythm"}
    line = with_draft(prediction, "nearest", [{"id": "2", "names": names}])
    assert line["reports"] == {
        "ja": "研究用モデルによる下書き。診断ではありません。"
        "最も似た、別の患者の心電図（コサイン 0.877）の判読文：所見：洞調律。記録について：雑音。",
        "en": "Draft by a research model. Not a diagnosis. The report of the most similar ECG of"
        " another patient (cosine 0.877): Findings: Sinus rhythm. On the recording: Noise.",
    }
    assert line["findings"] == [{"id": "2", "names": names}]


def test_a_refused_recording_has_no_report() -> None:
    prediction = {
        "record_id": "1", "path": "1.dcm", "refused": "no", "quality": "", "remarks": (),
    }  # fmt: skip
    assert with_draft(prediction, "nearest", ())["reports"] == {"ja": "", "en": ""}
