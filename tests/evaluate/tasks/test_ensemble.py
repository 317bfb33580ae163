"""Several wordings of a class: the two ways to one score, on hand-worked vectors."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.config.evaluate import EvalConfig
from ecgpipe.config.text import TextConfig
from ecgpipe.evaluate.evaluation import EvaluationInputs, evaluate, validation_metrics
from ecgpipe.evaluate.tasks.ensemble import class_scores, flattened, mean_vectors
from ecgpipe.evaluate.tasks.task import Task, TaskClass
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.stages.texts import all_sentences, class_sentences, task_sentences
from ecgpipe.stopping import Stop

ECGS = np.array([[1, 0], [0.6, 0.8]], np.float32)
TEXTS = np.array([[1, 0], [0, 1], [0, -1]], np.float32)
TWO_AND_ONE = np.array([0, 0, 1])


def test_wordings_lie_in_a_row_with_their_classes() -> None:
    texts, class_of = flattened([["a", "b"], ["c"]])
    assert texts == ["a", "b", "c"]
    assert class_of.tolist() == [0, 0, 1]


def test_the_mean_vector_is_of_length_one() -> None:
    scores = class_scores(ECGS, TEXTS, TWO_AND_ONE, "mean")
    half = np.sqrt(0.5)  # (1, 0) and (0, 1) average to (half, half)
    assert scores == pytest.approx(np.array([[half, 0], [1.4 * half, -0.8]]), abs=1e-7)


def test_the_best_wording_counts() -> None:
    scores = class_scores(ECGS, TEXTS, TWO_AND_ONE, "max")
    assert scores == pytest.approx(np.array([[1, 0], [0.8, -0.8]]), abs=1e-7)


@pytest.mark.parametrize("how", ["mean", "max"])
def test_with_one_wording_each_both_are_the_plain_cosine_to_the_bit(how: str) -> None:
    rng = np.random.default_rng(0)
    ecgs, texts = (rng.normal(size=(n, 128)).astype(np.float32) for n in (50, 7))
    assert np.array_equal(class_scores(ecgs, texts, np.arange(7), how), ecgs @ texts.T)


def test_wordings_that_cancel_out_score_zero_and_not_nan() -> None:
    texts = np.array([[1, 0], [-1, 0]], np.float32)
    assert mean_vectors(texts, np.array([0])).tolist() == [[0, 0]]


# --- through the evaluation: what is embedded is what is asked for


def task(language: str | None, ensemble: str = "mean") -> Task:
    classes = (
        TaskClass("N", {"ja": ("正常",), "en": ("normal", "healthy")}, frozenset({"NORM"})),
        TaskClass("S", {"ja": ("洞",), "en": ("sinus",)}, frozenset({"SR"})),
    )
    title = {"ja": "x", "en": "x"}
    return Task("t", title, "s", "multi_label", classes, ensemble, language)


RECORDS = RecordsTable(
    tuple(
        Record(
            slot=n, record_id=f"r{n}", patient_id=f"p{n // 3}", source="t", split="test",
            findings=("NORM",) if n % 2 else ("SR",),
        )
        for n in range(12)
    )
)  # fmt: skip
VECTORS = {"正常": (1, 0), "洞": (0, 1), "normal": (-1, 0), "healthy": (1, 0), "sinus": (0, 1)}


class Coder:
    """Normal ECGs lie at (1, 0), the others at (0, 1); notes what it is asked."""

    def __init__(self) -> None:
        self.asked: set[tuple[str, str | None]] = set()

    def encode_ecg(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        found = [(1, 0) if slot % 2 else (0, 1) for slot in slots]
        return np.array(found, np.float32).reshape(-1, 2)

    def encode_blank(self) -> npt.NDArray[np.float32]:
        return np.zeros(2, np.float32)

    def encode_text(
        self, texts: Sequence[str], language: str | None = None
    ) -> npt.NDArray[np.float32]:
        self.asked |= {(text, language) for text in texts}
        return np.array([VECTORS[text] for text in texts], np.float32)


def results(one: Task) -> dict:
    coder = Coder()
    config = EvalConfig(bootstrap_draws=100)
    given = EvaluationInputs(
        model=coder, untrained=[Coder()], tasks=[one], scored=RECORDS, trained_on=RECORDS,
        config=config, language="ja", stop=Stop(),
    )  # fmt: skip
    return {**evaluate(given).tasks["t"], "asked": coder.asked}


def test_a_task_is_scored_in_the_models_language_unless_it_has_its_own() -> None:
    found = results(task(None))
    assert found["asked"] == {("正常", None), ("洞", None)}
    assert (found["language"], found["ensemble"]) == ("ja", "mean")
    assert found["summary"]["hit@1_any"]["value"] == 1
    english = results(task("en"))
    assert english["asked"] == {("normal", "en"), ("healthy", "en"), ("sinus", "en")}
    assert english["language"] == "en"
    assert english["classes"]["N"]["wordings"] == ["normal", "healthy"]


def test_the_ensemble_decides_in_the_test_and_in_the_validation_alike() -> None:
    # 'normal' says the opposite of 'healthy': their mean is nothing, their best is right.
    for how, value in (("mean", 0.5), ("max", 1.0)):
        one = task("en", how)
        assert results(one)["classes"]["N"]["hit@1"]["value"] == 2 * value - 1
        assert validation_metrics(Coder(), one, RECORDS, 1, "ja")["hit@1_any"] == value


def test_patients_are_counted_for_each_class() -> None:
    classes = results(task(None))["classes"]
    # Slots 0 to 11, three a patient: every patient has an odd and an even one.
    assert {c: entry["patients"] for c, entry in classes.items()} == {"N": 4, "S": 4}
    assert {c: entry["n"] for c, entry in classes.items()} == {"N": 6, "S": 6}


TEXT = TextConfig(model="m", prompt="これは{text}です")


def test_each_language_has_its_own_sentence() -> None:
    assert class_sentences(["洞"], TEXT) == class_sentences(["洞"], TEXT, "ja") == ["これは洞です"]
    assert class_sentences(["sinus"], TEXT, "en") == ["This ECG shows sinus."]
    own = TextConfig(model="m", other_prompt="ECG: {text}")
    assert class_sentences(["sinus"], own, "en") == ["ECG: sinus"]
    english = TextConfig(model="m", language="en", prompt="It is {text}")
    assert class_sentences(["洞"], english, "ja") == ["この心電図は洞を示しています。"]
    assert class_sentences(["sinus"], english) == ["It is sinus"]
    with pytest.raises(ValueError, match="other_prompt must be null or contain"):
        TextConfig(model="m", other_prompt="ECG")


def test_every_wording_of_either_language_gets_a_vector() -> None:
    assert task_sentences(task(None), TEXT) == ["これは正常です", "これは洞です"]
    for spoken in (None, "ja", "en"):  # whatever it scores by
        tasks = [task(spoken)]
        both = all_sentences(RecordsTable(()), load_taxonomy("ptbxl"), tasks, TEXT, "sentence")
        assert set(both) == BOTH


BOTH = {
    "これは正常です",
    "これは洞です",
    "This ECG shows normal.",
    "This ECG shows healthy.",
    "This ECG shows sinus.",
}
