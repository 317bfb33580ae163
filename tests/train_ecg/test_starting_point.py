"""Another model's weights to begin with: what is taken over, what is not, what is refused."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from toy_training import SHAPE, run

from ecgpipe.errors import ConfigError
from ecgpipe.train_ecg.starting_point import StartingPoint
from ecgpipe.train_ecg.trained_model import load_model
from ecgpipe.train_ecg.two_towers import TEXT_MAP, ModelShape, TwoTowers, initialised


def _start(shape: ModelShape = SHAPE, same_texts: bool = True, seed: int = 1) -> StartingPoint:
    model = initialised(shape, seed)
    with torch.no_grad():
        model.log_scale.fill_(3.0)
        model.text_mean_W.fill_(2.0)
        if shape.pair_bias:
            model.bias.fill_(-5.0)
    return StartingPoint("the source", shape, model.state_dict(), same_texts)


def _changed(model: TwoTowers, fresh: TwoTowers) -> set[str]:
    """Names of the tensors that are no longer those of `fresh`."""
    before = fresh.state_dict()
    return {name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> StartingPoint:
    folder = tmp_path_factory.mktemp("source")
    run(folder)
    model, card = load_model(folder / "model")
    return StartingPoint("the source", card.shape, model.state_dict(), same_texts=True)


def test_every_weight_of_a_model_of_the_same_texts_is_taken_over() -> None:
    start, model = _start(), initialised(SHAPE, seed=2)
    start.load_into(model)
    assert all(tensor.equal(start.weights[name]) for name, tensor in model.state_dict().items())


def test_with_another_language_model_the_text_side_begins_anew() -> None:
    own = dataclasses.replace(SHAPE, text_axes=3)
    other = dataclasses.replace(own, text_width=7)
    start, model = _start(other, same_texts=False), initialised(own, seed=2)
    start.load_into(model)
    kept = {"text_projection.weight", "text_projection.bias", "text_mean_W", "text_axes_WK"}
    assert not kept & _changed(model, initialised(own, seed=2))
    assert model.ecg_projection.weight.equal(start.weights["ecg_projection.weight"])
    assert "another language model" in start.described(model)


OF_BANK = dataclasses.replace(SHAPE, text_axes=3, text_meanings=4)


def _of_findings(places: tuple[float, ...], seed: int) -> TwoTowers:
    """A model whose training named findings in these places."""
    model = initialised(OF_BANK, seed)
    model.meaning_weights_MK.copy_(torch.tensor(places)[:, None].expand(-1, 3))
    return model


def test_a_model_of_the_same_findings_takes_the_whole_text_side() -> None:
    source = _of_findings((1, 2, 3, 4), seed=1)
    start = StartingPoint("the source", OF_BANK, source.state_dict(), same_texts=True)
    model = _of_findings((1, 2, 3, 4.000001), seed=2)
    start.load_into(model)
    assert all(tensor.equal(start.weights[name]) for name, tensor in model.state_dict().items())
    assert start.described(model) == "the weights of the source"


@pytest.mark.parametrize(
    "other",
    [
        _of_findings((1, 2, 4, 3), seed=1),
        initialised(dataclasses.replace(OF_BANK, text_meanings=5), 1),
        initialised(dataclasses.replace(OF_BANK, text_meanings=0), 1),  # from before there were any
    ],
    ids=["others in these places", "more", "none"],
)
def test_a_model_of_other_findings_begins_its_text_side_anew(other: TwoTowers) -> None:
    """What the text projection makes of the third finding would be said of another."""
    start = StartingPoint("the source", other.shape, other.state_dict(), same_texts=True)
    model = _of_findings((1, 2, 3, 4), seed=2)
    start.load_into(model)
    kept = {"text_projection.weight", "text_projection.bias", *TEXT_MAP}
    assert not kept & _changed(model, _of_findings((1, 2, 3, 4), seed=2))
    assert model.ecg_projection.weight.equal(start.weights["ecg_projection.weight"])
    assert "training names other findings" in start.described(model)


def test_a_temperature_that_is_not_learned_stays_as_it_is_set() -> None:
    model = initialised(dataclasses.replace(SHAPE, learn_temperature=False), seed=2)
    _start().load_into(model)
    assert float(model.log_scale.exp()) == pytest.approx(1 / SHAPE.temperature)


def test_a_bias_is_taken_over_only_between_two_models_that_have_one() -> None:
    with_bias = dataclasses.replace(SHAPE, pair_bias=True)
    to_bias = initialised(with_bias, seed=2)
    _start().load_into(to_bias)
    assert to_bias.bias.item() == 0.0
    _start(with_bias).load_into(to_bias)
    assert to_bias.bias.item() == -5.0
    _start(with_bias).load_into(initialised(SHAPE, seed=2))


def test_a_run_begins_where_the_other_ended(tmp_path: Path, source: StartingPoint) -> None:
    run(tmp_path / "cold", epochs=1)
    run(tmp_path / "warm", epochs=1, start=source)
    first = {
        name: json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[0])["loss"]
        for name in ("cold", "warm")
    }
    assert first["warm"] < 0.7 * first["cold"]


def test_a_stopped_run_goes_on_from_its_checkpoint_not_from_the_source(
    tmp_path: Path, source: StartingPoint
) -> None:
    run(tmp_path / "whole", epochs=2, start=source)
    run(tmp_path / "pieces", epochs=1, start=source)
    assert run(tmp_path / "pieces", epochs=2, start=source).resumed_from > 0
    whole, pieces = (load_model(tmp_path / name / "model")[0] for name in ("whole", "pieces"))
    assert not _changed(whole, pieces)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("encoder", "cnn1d", "train.encoder is resnet1d18, not cnn1d"),
        ("rate_hz", 500, "data.rate_hz is 100, not 500"),
        ("samples", 640, "data.duration_s is 64, not 640"),
        ("n_leads", 8, "the number of leads is 12, not 8"),
        ("projection_dim", 32, "train.projection_dim is 16, not 32"),
        ("text_axes", 3, "train.text_axes is 0, not 3"),
        ("beat_intervals", True, "train.beat_intervals is False, not True"),
        ("normalisation", "record", "train.normalisation is fixed, not record"),
    ],
)
def test_a_model_of_another_shape_is_refused_before_anything_is_written(
    tmp_path: Path, field: str, value: str | int, named: str
) -> None:
    start = _start()
    start = dataclasses.replace(start, shape=dataclasses.replace(SHAPE, **{field: value}))
    with pytest.raises(ConfigError, match=r"the source has another shape") as refused:
        run(tmp_path, start=start, on_begin=lambda: pytest.fail("the run began"))
    assert named in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_model_that_measures_no_intervals_begins_none_that_does(tmp_path: Path) -> None:
    """Such as any from before beats were looked for."""
    shape = dataclasses.replace(SHAPE, beat_intervals=True)
    with pytest.raises(ConfigError, match=r"train\.beat_intervals is True, not False\. Give these"):
        run(tmp_path, start=_start(), shape=shape)
    assert not list(tmp_path.iterdir())
