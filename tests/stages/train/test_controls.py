"""The same pipeline without a language model, as on a command line."""

import json

import pytest
from toy_experiment import Experiment, worked

from ecgpipe.config.file import load_config
from ecgpipe.embed_text import language_model
from ecgpipe.errors import ModelError
from ecgpipe.stages.apply.content import applied_run
from ecgpipe.stages.experiment import Experiment as Opened


@pytest.mark.parametrize("control", ["random", "one-hot"])
def test_a_control_runs_to_its_report_and_says_what_it_is(
    experiment: Experiment, control: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(language_model, "LanguageModel", refuse)
    (experiment.folder / control).mkdir()  # a name is no path, whatever lies there
    setting = f"text.model={control}"
    assert worked(experiment.did("--set", setting)) == ["embed", "train", "eval"]
    assert worked(experiment.did("--set", setting)) == []
    text = experiment.results()["text"]
    assert text["model"] == control
    assert text["fingerprint_fields"]["control"] == control
    model = experiment.folder / "work" / "runs" / "toy" / "model" / "config.json"
    assert json.loads(model.read_text())["text"]["model"] == control
    code, out, _ = experiment.run("check", "--set", setting)
    assert code == 0
    assert f"{control} is a control, with vectors that know no language" in " ".join(out.split())
    applied = applied_run(Opened(load_config(experiment.path, [setting])))
    kept = [c.names["ja"] for c in applied.task().classes]
    assert len(applied.encode_texts(kept)) == len(kept)
    with pytest.raises(ModelError, match=f"{control} is a control, whose vectors know no language"):
        applied.encode_texts(["左脚ブロックの疑い"])
