"""What a draft says: findings above their thresholds, in the taxonomy's order and wording."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from ecgpipe.apply_model.applied_task import AppliedClass, AppliedTask
from ecgpipe.apply_model.prediction import _MEANING, _remark
from ecgpipe.config.settings import Language
from ecgpipe.evaluate.statements.report_parser import ReportParser, Statements
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.write_report.template import LANGUAGES, report_text, with_report

TAXONOMY = load_taxonomy("findings98")
PARSER = ReportParser(TAXONOMY)
NAMES = {f.id: {"ja": f.japanese, "en": f.english} for f in TAXONOMY.findings}


def class_of(class_id: str, threshold: float | None = 0.1) -> AppliedClass:
    return AppliedClass(
        id=class_id, names=NAMES[class_id], wordings={}, member_names=(), n_val=9,
        threshold=threshold, slope=None, offset=None,
    )  # fmt: skip


def task_of(*classes: AppliedClass) -> AppliedTask:
    return AppliedTask(
        name="findings", title={}, source="", kind="multi_label", ensemble="mean", language="ja",
        classes=classes, min_positives=5, n_val=90, scale=None, evaluation={},
    )  # fmt: skip


def answer(*ids: str, remarks: tuple[Any, ...] = (), refused: str = "") -> Mapping[str, Any]:
    findings = [
        {"id": i, "names": NAMES[i], "cosine": 0.5, "probability": 0.7, "above_threshold": True}
        for i in ids
    ]
    return {
        "record_id": "1", "path": "1.dcm", "refused": refused, "quality": "good",
        "findings": findings, "remarks": remarks,
    }  # fmt: skip


def test_findings_stand_in_the_taxonomys_order_and_wording_behind_the_mark_of_a_draft() -> None:
    found = with_report(answer("66", "2"), task_of(class_of("2"), class_of("6"), class_of("66")))
    assert found["reports"] == {
        "ja": "研究用モデルによる下書き。診断ではありません。所見：洞調律、左室肥大。",
        "en": "Draft by a research model. Not a diagnosis."
        " Findings: Sinus rhythm; Left ventricular hypertrophy.",
    }
    assert [one["id"] for one in found["findings"]] == ["2", "66"]


def test_a_finding_below_its_threshold_is_not_in_the_report() -> None:
    prediction = dict(answer("2", "6"))
    prediction["findings"][1]["above_threshold"] = False
    assert with_report(prediction, task_of(class_of("2"), class_of("6")))["reports"]["ja"].endswith(
        "所見：洞調律。"
    )


def test_an_ecg_without_findings_is_not_called_normal() -> None:
    assert report_text([], 0, 98, "", "ja").endswith(
        "閾値を超えた所見はない。異常がないことを示すものではない。"
    )
    for language in LANGUAGES:
        assert PARSER.read(report_text([], 0, 98, "", language)) == Statements((), (), ())


def test_a_report_says_how_many_findings_it_cannot_judge() -> None:
    task = task_of(class_of("2"), class_of("31", threshold=None))
    found = with_report(answer("2"), task)
    assert found["unjudged"] == 1
    assert found["reports"]["ja"].endswith(
        "所見：洞調律。2所見のうち1は、検証した心電図が少ないため判定していない。"
    )


def test_a_model_without_any_threshold_says_only_that() -> None:
    text = report_text([], 98, 98, "", "en")
    assert text.endswith(
        "diagnosis. No finding is judged, because too few validation ECGs show any."
    )


def test_a_remark_on_the_recording_stands_at_the_end() -> None:
    remark = {"texts": {"ja": "[重要] 欠けている誘導: V1。", "en": "[serious] V1 is missing."}}
    found = with_report(answer("2", remarks=(remark,)), task_of(class_of("2")))
    assert found["reports"]["ja"].endswith("洞調律。記録について：[重要] 欠けている誘導: V1。")
    assert found["reports"]["en"].endswith("rhythm. On the recording: [serious] V1 is missing.")


def test_a_refused_recording_has_no_report() -> None:
    found = with_report(answer(refused="it lasts 1.0 s"), task_of(class_of("2")))
    assert found["reports"] == {"ja": "", "en": ""}
    assert found["refused"] == "it lasts 1.0 s"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_is_read_back_as_the_findings_it_was_written_of(language: Language) -> None:
    remarks = " ".join(_remark(kind, "V1, V2").texts[language] for kind in _MEANING)
    order = list(NAMES)
    sets = [{one} for one in order] + [set(order)]
    sets += [set(random.Random(seed).sample(order, 6)) for seed in range(100)]
    for ids in sets:
        written = [i for i in order if i in ids]
        text = report_text([NAMES[i][language] for i in written], 3, 98, remarks, language)
        assert PARSER.read(text) == Statements(tuple(written), (), ())
