"""How a sweep ends by how its runs ended."""

import gc
import weakref

import pytest

from ecgpipe.errors import ConfigError, EcgpipeError
from ecgpipe.stages.stage_result import StageResult, raise_failures, without_frames

DONE = StageResult("train", True, "2 epochs", {})


def test_failed_runs_are_named_and_bad_settings_alone_are_exit_code_2() -> None:
    raise_failures({"a": DONE, "b": DONE})
    failed, refused = EcgpipeError("the loss is not finite"), ConfigError("batch too large")
    with pytest.raises(EcgpipeError, match="1 of 2 runs failed, for the reasons above: b") as met:
        raise_failures({"a": DONE, "b": failed})
    assert met.value.exit_code == 1
    with pytest.raises(ConfigError, match="1 of 2 runs failed"):
        raise_failures({"a": DONE, "b": refused})
    with pytest.raises(EcgpipeError, match="2 of 2 runs failed") as met:
        raise_failures({"a": failed, "b": refused})
    assert met.value.exit_code == 1


def test_a_failed_run_does_not_keep_its_model_in_memory_until_the_sweep_ends() -> None:
    class Model:
        pass

    kept: list[Exception] = []

    def fail() -> weakref.ref[Model]:
        model = Model()
        try:
            try:
                raise RuntimeError(model)
            except RuntimeError as cause:
                raise EcgpipeError("the loss is not finite") from cause
        except EcgpipeError as error:
            kept.append(without_frames(error))
        return weakref.ref(model)

    held = fail()
    gc.collect()
    assert held() is None
    assert str(kept[0]) == "the loss is not finite"
