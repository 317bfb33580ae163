"""How far a question may lie from what was trained on, and what is said beyond that."""

from typing import Any

import numpy as np
import pytest

from ecgpipe.apply_model.questions import Questions
from ecgpipe.apply_model.reach import Reach

MEASURED = Reach.of({"reach": {"limit": 0.4, "tried": 87}})


def asked(reach: Reach | None, **distances: float | None) -> Questions:
    vectors_QD = np.eye(len(distances), 4, dtype=np.float32)
    return Questions(tuple(distances), vectors_QD, tuple(distances.values()), reach)


def test_a_question_is_beyond_if_it_lies_farther_than_was_better_than_chance() -> None:
    questions = asked(MEASURED, same=0.0, near=0.4, far=0.41)
    assert questions.beyond == (False, False, True)
    (line,) = questions.warnings()
    assert line == (
        "“far” lies 0.410 from the nearest text trained on; beyond 0.400 wordings were scored no"
        " better than chance (87 tried)"
    )
    answers = questions.answers(np.zeros(4, np.float32))
    assert tuple(one.beyond for one in answers) == questions.beyond


def test_where_no_other_wording_was_better_than_chance_only_trained_texts_are_within() -> None:
    none = Reach.of({"reach": {"limit": None, "tried": 87}})
    questions = asked(none, rounded=0.0004, near=0.1)
    assert questions.beyond == (False, True)
    (line,) = questions.warnings()
    assert line.startswith("“near” is no text that was trained on, and of 87 other wordings not")


@pytest.mark.parametrize("about", [{}, {"reach": None}], ids=["older export", "not measured"])
def test_what_was_never_measured_is_said_once(about: dict[str, Any]) -> None:
    questions = asked(Reach.of(about), same=0.0, one=0.3, other=0.9)
    assert questions.beyond == (None, None, None)
    (line,) = questions.warnings()
    assert "was not measured for this model" in line


def test_a_text_that_was_trained_on_needs_no_warning() -> None:
    assert list(asked(None, same=0.0004).warnings()) == []
    assert list(asked(MEASURED, same=0.0004).warnings()) == []


def test_a_model_that_kept_no_text_cannot_tell_how_far() -> None:
    questions = asked(MEASURED, any=None)
    assert questions.beyond == (None,)
    assert "not measured" in next(asked(None, any=None).warnings())
