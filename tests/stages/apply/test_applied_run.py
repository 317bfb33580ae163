"""A run's model answers as the run's own evaluation did."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_experiment import Experiment as Toy

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.model_content import prompts_name
from ecgpipe.config.file import load_config
from ecgpipe.errors import CheckpointError, ConfigError, ModelError, StoreError
from ecgpipe.evaluate.score_file import read_scores
from ecgpipe.stages.apply.content import applied_run
from ecgpipe.stages.apply.runs import open_run
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.texts import with_texts
from ecgpipe.stages.trained_texts import SHARED_BY


def opened(toy: Toy, *overrides: str) -> Experiment:
    return Experiment(load_config(toy.path, overrides))


def test_scores_of_every_task_are_those_of_the_evaluation(
    finished: tuple[Toy, Any], applied: AppliedModel
) -> None:
    experiment, kept = opened(finished[0]), read_scores(finished[0].eval_folder / "scores.h5")
    slot_of = {r.record_id: r.slot for r in experiment.records.records}
    slots = np.array([slot_of[record_id] for record_id in kept.record_ids])
    ecgs = applied.encode_ecg(experiment.signals.read(slots))
    assert list(applied.tasks) == list(kept.tasks)
    for name, task in kept.tasks.items():
        assert tuple(c.id for c in applied.tasks[name].classes) == task.class_ids
        np.testing.assert_allclose(applied.scores(ecgs, name), task.scores_NC, atol=1e-6)


def test_thresholds_and_calibration_are_those_of_results_json(
    finished: tuple[Toy, Any], applied: AppliedModel
) -> None:
    for name, found in finished[0].results()["tasks"].items():
        least = found["min_positives"]
        for c in applied.tasks[name].classes:
            stated = found["classes"][c.id]
            assert c.n_val == stated["n_val"]
            assert c.threshold == (stated["threshold"] if c.n_val >= least else None)
            assert (c.slope is None) == (
                c.n_val < least or found["calibration"]["method"] == "temperature"
            )


def test_a_recording_gets_the_scores_of_its_stored_window(
    finished: tuple[Toy, Any], applied: AppliedModel, ecgs: Path
) -> None:
    experiment = opened(finished[0])
    record = experiment.scored.records[0]
    (header,) = ecgs.rglob(f"{record.record_id}.hea")
    ecg = applied.read(header)
    stored = experiment.signals.read(np.array([record.slot]))
    np.testing.assert_array_equal(ecg.signal_uv, stored[0])
    rows = applied.score(ecg)
    assert [row.cosine for row in rows] == sorted((row.cosine for row in rows), reverse=True)
    assert all((row.threshold is None) == (row.above_threshold is None) for row in rows)
    same = applied.window(ecg.record.signal_mv[::-1], ecg.record.rate_hz, LEADS_BACKWARDS)
    assert applied.score(same) == rows


LEADS_BACKWARDS = ("V6", "V5", "V4", "V3", "V2", "V1", "aVF", "aVL", "aVR", "III", "II", "I")


def test_prompts_of_both_languages_need_no_language_model(applied: AppliedModel) -> None:
    without = AppliedModel(applied.content, applied._model, "/nowhere")
    task = applied.task()
    for language, names in (("ja", "japanese"), ("en", "english")):
        texts = [c.names[language] for c in task.classes]
        kept = applied.content.prompts[prompts_name(task.name, language)]
        np.testing.assert_array_equal(without.encode_texts(texts, language), kept, names)
    with pytest.raises(ModelError, match=r"no kept vector.*ecgpipe fetch-model"):
        without.encode_texts(["左脚ブロックの疑い"])


def test_a_wording_is_put_into_the_prompt_of_its_own_language(applied: AppliedModel) -> None:
    without = AppliedModel(applied.content, applied._model, "/nowhere")
    c = applied.task().classes[0]
    texts = [c.names["ja"], c.names["en"], c.names["en"].lower()]
    ja, en, shouted = without.encode_texts(texts)
    np.testing.assert_array_equal(ja, without.encode_texts([c.names["ja"]], "ja")[0])
    np.testing.assert_array_equal(en, without.encode_texts([c.names["en"]], "en")[0])
    np.testing.assert_array_equal(shouted, en)
    assert without.nearness(texts).tolist()[1:] == [without.nearness(texts[1:], "en")[0]] * 2


@pytest.mark.parametrize("text", ["", " 。 ", "左脚\ud800"])
def test_what_is_no_wording_is_refused_before_the_language_model_is_asked(
    applied: AppliedModel, text: str
) -> None:
    with pytest.raises(ConfigError, match="Write"):
        AppliedModel(applied.content, applied._model, "/nowhere").encode_texts([text])


def test_the_language_model_gives_a_prompt_the_vector_that_was_kept(applied: AppliedModel) -> None:
    texts = [c.names["ja"] for c in applied.task().classes][:3]
    kept = applied.encode_texts(texts)
    asked = applied._encoder().encode_vectors(
        applied._language_model.vectors(applied._sentences(texts, None))
    )
    np.testing.assert_allclose(asked, kept, atol=1e-6)
    assert applied.encode_texts(["左脚ブロックの疑い", texts[0]]).shape == (2, kept.shape[1])


def test_another_language_model_is_refused(applied: AppliedModel, tiny_bert: Path) -> None:
    wrong = AppliedModel(applied.content, applied._model, str(tiny_bert))
    with pytest.raises(ModelError, match="is not the one whose vectors"):
        wrong.encode_texts(["左脚ブロックの疑い"])


def test_only_texts_of_several_patients_are_kept_and_never_as_text(
    finished: tuple[Toy, Any], applied: AppliedModel
) -> None:
    experiment = opened(finished[0])
    records, texts = with_texts(
        experiment.records.of_split("train"),
        experiment.taxonomy,
        experiment.config.text,
        experiment.config.train.text,
    )
    who: dict[str, set[str]] = {}
    for record, sentences in zip(records.records, texts, strict=True):
        for sentence in sentences:
            who.setdefault(sentence, set()).add(record.patient_id)
    shared = [s for s, patients in who.items() if len(patients) >= SHARED_BY]
    assert 0 < len(shared) < len(who)
    assert len(applied.content.trained_texts) == len(shared)


def test_a_text_that_was_trained_on_is_as_near_as_can_be(applied: AppliedModel) -> None:
    names = [c.names["ja"] for c in applied.task().classes]
    near = applied.nearness(names)
    assert near.max() == pytest.approx(1, abs=2e-3)  # kept in half precision
    assert applied.nearness(["あ"])[0] < near.max()


def test_windows_of_another_shape_and_unknown_tasks_are_refused(applied: AppliedModel) -> None:
    with pytest.raises(ValueError, match=r"\(N, 12, 1000\) int16"):
        applied.encode_ecg(np.zeros((1, 12, 500), np.int16))
    with pytest.raises(ConfigError, match=r"no task nonsense\. It has: findings, "):
        applied.scores(np.zeros((1, 128), np.float32), "nonsense")


# Which run ---------------------------------------------------------------------------------------


def test_a_run_is_found_by_folder_and_by_name_wherever_its_work_dir_lies(
    finished: tuple[Toy, Any], tmp_path: Path
) -> None:
    shutil.copytree(finished[0].folder / "work", tmp_path / "moved")
    experiment = open_run(str(tmp_path / "moved" / "runs" / "toy"), None)
    assert experiment.workspace.run == tmp_path / "moved" / "runs" / "toy"
    assert applied_run(experiment).digest
    assert open_run(None, lambda: opened(finished[0])).config.name == "toy"
    assert open_run("toy", lambda: opened(finished[0])).config.name == "toy"


def test_what_is_no_evaluated_run_is_refused_by_name(finished: tuple[Toy, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"holds no evaluated run of that name.*there: toy"):
        open_run("tay", lambda: opened(finished[0]))
    with pytest.raises(CheckpointError, match=r"no pipeline\.yaml here"):
        open_run("tay", None)
    with pytest.raises(CheckpointError, match="No run was named"):
        open_run(None, None)


def test_a_run_without_evaluation_or_prompt_vector_says_which_command_is_missing(
    experiment: Toy,
) -> None:
    for part in (experiment.folder / "work" / "embeddings").glob("*/*.h5"):
        part.unlink()
    with pytest.raises(StoreError, match="Run `ecgpipe embed`"):
        applied_run(opened(experiment))
    (experiment.eval_folder / "results.json").unlink()
    with pytest.raises(CheckpointError, match="Run `ecgpipe run`"):
        applied_run(opened(experiment))
    run = experiment.eval_folder.parent
    run.rename(run.with_name("toy.old-1"))
    with pytest.raises(
        CheckpointError, match=r"was set aside.*Put them back, write `ecgpipe export"
    ):
        applied_run(opened(experiment, "name=toy.old-1"))
