"""The card's program scores classes of several wordings as evaluation does."""

import contextlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ecgpipe.apply_model.applied_task import AppliedClass, AppliedTask
from ecgpipe.apply_model.export.card import numpy_lines
from ecgpipe.evaluate.tasks.ensemble import class_scores

WORDINGS = (("a", "b"), ("c",), ("d", "e", "f"))
CLASS_OF_M = np.array([0, 0, 1, 2, 2, 2])


def unit(n: int) -> np.ndarray:
    rows = np.random.default_rng(n).normal(size=(n, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def task_of(ensemble: Any) -> AppliedTask:
    classes = tuple(
        AppliedClass(
            id=texts[0], names={"ja": texts[0], "en": texts[0]}, wordings={"ja": texts},
            member_names=(), n_val=0, threshold=None, slope=None, offset=None,
        )
        for texts in WORDINGS
    )  # fmt: skip
    return AppliedTask(
        name="t", title={}, source="", kind="multi_label", ensemble=ensemble, language="ja",
        classes=classes, min_positives=1, n_val=0, scale=None, evaluation={},
    )  # fmt: skip


@pytest.mark.parametrize("ensemble", ["mean", "max"])
def test_several_wordings_of_a_class_score_as_in_the_evaluation(
    ensemble: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ecgs, texts, task = unit(5), unit(6), task_of(ensemble)
    classes = [{"id": c.id, "names": c.names, "wordings": c.wordings} for c in task.classes]
    stated = {"tasks": [{"name": "t", "language": "ja", "classes": classes}]}
    (tmp_path / "config.json").write_text(json.dumps(stated))
    save_file({"t/en/classes": unit(3), "t/ja/classes": texts}, tmp_path / "prompts.safetensors")
    np.save(tmp_path / "ecg.npy", np.zeros(1))
    fake = types.ModuleType("onnxruntime")
    session = types.SimpleNamespace(run=lambda *_: [ecgs])
    vars(fake)["InferenceSession"] = lambda _: session
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path):
        exec(numpy_lines(task), names)
    expected = class_scores(ecgs, texts, CLASS_OF_M, ensemble)
    np.testing.assert_allclose(names["scores"], expected, atol=1e-6)
