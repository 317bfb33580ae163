"""A finding's explanation: which finding is meant, what the numbers are, what the sheet shows."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_experiment import Experiment

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.ecg import Ecg
from ecgpipe.apply_model.explain.explanation import (
    Explanation,
    explain,
    explanation_sheet,
    find_subject,
)
from ecgpipe.apply_model.reading import Window
from ecgpipe.config.settings import Language
from ecgpipe.errors import ConfigError
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.read_ecg.signal.window import NO_READING
from ecgpipe.stages.apply.explain import Explainer


@pytest.fixture(scope="module")
def ecg(applied: AppliedModel, ecgs: Path) -> Ecg:
    return applied.read(min(ecgs.rglob("*.hea")))


@pytest.mark.parametrize("word", ["id", "ja", "en", "shouted"])
def test_a_class_is_found_by_its_id_and_by_either_name(
    applied: AppliedModel, ecg: Ecg, word: str
) -> None:
    c = applied.task().classes[3]
    words = {"id": c.id, **c.names, "shouted": f" {c.names['en'].upper()} "}
    subject = find_subject(applied, words[word])
    assert subject.names == c.names
    cosine = next(row.cosine for row in applied.score(ecg) if row.id == c.id)
    assert subject.score(ecg.signal_uv[None])[0, 0] == pytest.approx(cosine, abs=1e-6)


def test_a_wording_of_ones_own_is_read_by_the_language_model(
    applied: AppliedModel, ecg: Ecg
) -> None:
    subject = find_subject(applied, "右脚ブロックの疑い")
    expected = (
        applied.encode_ecg(ecg.signal_uv[None]) @ applied.encode_texts(["右脚ブロックの疑い"])[0]
    )
    assert subject.score(ecg.signal_uv[None])[:, 0] == pytest.approx(expected, abs=1e-6)
    assert subject.names["en"] == "右脚ブロックの疑い"


def test_a_class_of_another_task_is_asked_for_with_that_task(applied: AppliedModel) -> None:
    c = applied.task("superclass").classes[0]
    assert find_subject(applied, c.id, "superclass").names == c.names
    with pytest.raises(ConfigError, match="no task rhythms"):
        find_subject(applied, c.id, "rhythms")


def test_shares_and_drops_are_those_of_the_models_own_scores(
    applied: AppliedModel, ecg: Ecg
) -> None:
    subject = find_subject(applied, applied.task().classes[0].id)
    window = ecg.signal_uv.copy()
    window[LEADS.index("V4")] = NO_READING
    found = explain(applied, window, subject)
    whole, blank = subject.score(np.stack([window, np.full_like(window, NO_READING)]))[:, 0]
    assert found.score == pytest.approx(whole, abs=1e-6)
    assert sum(found.lead_shares.values()) == pytest.approx(whole - blank, abs=1e-5)
    assert found.lead_shares["V4"] == 0
    assert len(found.tenth_drops) == 100


def _explained(tenths: dict[int, float], leads: dict[str, float]) -> Explanation:
    return Explanation(
        names={"ja": "心房細動", "en": "Atrial fibrillation"},
        score=0.62,
        lead_shares={lead: leads.get(lead, 0.0) for lead in LEADS},
        tenth_drops=tuple(tenths.get(number, 0.0) for number in range(100)),
    )


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ja", ["心房細動のモデルスコア .62", "最大 −.080", "SIMULATED"]),
        ("en", ["the model's score for Atrial fibrillation: .62", "by −.080 at most"]),
    ],
)
def test_a_sheet_says_what_it_shows_in_either_language(
    language: Language, words: list[str]
) -> None:
    signal = np.zeros((12, 1000), np.int16)
    explanation = _explained({20: 0.08}, {"V1": 0.3, "II": -0.05})
    sheet = explanation_sheet(explanation, signal, 100, "a/0001", language, "SIMULATED")
    text = " | ".join(text.text for text in sheet.all_texts())
    for word in [*words, "a/0001", "+.30", "−.05"]:
        assert word in text


def test_a_model_that_knows_nothing_gives_a_white_sheet() -> None:
    # The largest drops of untrained models (docs/lab-log.md) are a fraction of the full scale.
    signal = np.zeros((12, 1000), np.int16)
    noise = _explained({n: 0.002 for n in range(100)}, {lead: 0.005 for lead in LEADS})
    bands = explanation_sheet(noise, signal, 100, "r", "en").charts[0].bands
    assert not [band for band in bands if band.grey and not band.outlined]
    assert max(band.box.width_mm for band in bands if band.outlined and band.grey) < 3


def test_a_lead_without_a_reading_has_no_bar() -> None:
    signal = np.zeros((12, 1000), np.int16)
    signal[6] = NO_READING
    sheet = explanation_sheet(_explained({}, {"V1": 0.0, "V2": 0.2}), signal, 100, "r", "en")
    hollow_or_full = [b for b in sheet.charts[0].bands if b.outlined and b.box.height_mm < 2]
    assert len(hollow_or_full) == 11


def test_predict_draws_a_sheet_for_each_ecg_and_finding(
    finished: tuple[Experiment, dict[str, Any]], ecgs: Path, tmp_path: Path
) -> None:
    toy, (one, two, *_) = finished[0], sorted(ecgs.rglob("*.hea"))
    (tmp_path / "bad.csv").write_text("no ECG")
    given = [str(one), str(two), str(tmp_path / "bad.csv")]
    wanted = ["--explain", "洞性頻脈", "--explain", "Atrial fibrillation"]
    sheets = tmp_path / "sheets"
    code, _, messages = toy.run("predict", "toy", *given, *wanted, "--sheets", str(sheets))
    assert code == 1, "bad.csv was not refused"
    assert "4 sheets drawn" in messages
    marked = re.compile(r"_[0-9a-f]{8}_")  # which tells folders apart
    files = sorted(marked.sub("_", path.name) for path in sheets.iterdir())
    assert files == sorted(
        f"{ecg.stem}_{name}.png" for ecg in (one, two) for name in ("洞性頻脈", "心房細動")
    )
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in sheets.iterdir())


def test_an_ecg_of_the_same_name_in_another_folder_does_not_replace_a_sheet(
    applied: AppliedModel, ecg: Ecg, tmp_path: Path
) -> None:
    for record_id in ("ward-1/0001", "ward-2/0001", "0001", "ward-1/0001", "w/\udc83"):
        explainer = Explainer(applied, ["心房細動"], tmp_path)  # each as by another command
        explainer.draw(Window(record_id, "", ecg.signal_uv))
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--explain", "心房細動"], "belong together"),
        (["--sheets", "out"], "belong together"),
        (["--explain", "心房細動", "--sheets", "pipeline.yaml"], "pipeline.yaml"),
    ],
)
def test_a_mistake_is_one_paragraph_before_any_ecg_is_read(
    experiment: Experiment, ecgs: Path, options: list[str], message: str
) -> None:
    code, out, messages = experiment.run("predict", "toy", str(ecgs), *options)
    assert code in (1, 2)
    assert message in messages
    assert not out
