"""The loop: it learns, it resumes exactly, it refuses what it must."""

import dataclasses
import hashlib
import itertools
import json
import shutil
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from toy_training import CLASSES, CONFIG, DATA, N_CLASSES, SHAPE, StopAfter, accuracy, run

from ecgpipe.errors import CheckpointError, ConfigError, EcgpipeError, StoppedEarly
from ecgpipe.train_ecg.data.pairing import epoch_batches
from ecgpipe.train_ecg.data.placement import PlacedSignals, Placement
from ecgpipe.train_ecg.loop.accelerator import make_accelerator
from ecgpipe.train_ecg.loop.checkpoint import read_checkpoint
from ecgpipe.train_ecg.loop.step import ForwardResult, Step, make_optimizer
from ecgpipe.train_ecg.loop.step_profile import profile_step
from ecgpipe.train_ecg.loop.training import Trained
from ecgpipe.train_ecg.text_axes import fit_text_axes
from ecgpipe.train_ecg.trained_model import ModelEncoder, load_model
from ecgpipe.train_ecg.two_towers import initialised


def weights_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy problem, trained undisturbed; not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def test_a_toy_problem_is_learnt(tmp_path: Path) -> None:
    trained = run(tmp_path, epochs=8)
    assert trained.best_value is not None
    assert trained.best_value >= 0.95
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert accuracy(ModelEncoder(load_model(tmp_path / "model")[0], DATA.read_signals))[
        "macro_auroc"
    ] == pytest.approx(trained.best_value)


def test_the_log_has_a_line_an_epoch(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert set(lines[0]) == {
        "epoch",
        "loss",
        "gradient_norm",
        "accuracy",
        "duplicate_share",
        "loss_floor",
        "temperature",
        "lr",
        "val",
        "processes",
        "seconds",
    }
    assert lines[0]["temperature"] == pytest.approx(0.07, rel=0.1)


def test_a_longer_run_continues_a_shorter_one_to_the_bit(tmp_path: Path) -> None:
    run(tmp_path / "whole", epochs=4)
    run(tmp_path / "parts", epochs=2)
    continued = run(tmp_path / "parts", epochs=4)
    assert continued.resumed_from == 10
    assert weights_hash(tmp_path / "parts") == weights_hash(tmp_path / "whole")
    losses = [
        [
            json.loads(line)["loss"]
            for line in (tmp_path / name / "log.jsonl").read_text().split("\n")[:-1]
        ]
        for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("n", [0, 1, 4, 5, 7, 12])
def test_a_stop_anywhere_loses_no_step(tmp_path: Path, whole: Path, n: int) -> None:
    with pytest.raises(StoppedEarly, match=f"in epoch {n // 5 + 1}, after step {n % 5} of 5"):
        run(tmp_path / "stopped", StopAfter(n))
    assert run(tmp_path / "stopped").resumed_from == n
    assert weights_hash(tmp_path / "stopped") == weights_hash(whole)
    assert logged(tmp_path / "stopped", "log") == logged(whole, "log")


@pytest.mark.parametrize("text", ["all_findings", "sampled_finding"])
def test_a_stop_leaves_the_wordings_that_are_drawn_as_they_would_be(
    tmp_path: Path, text: str
) -> None:
    random = np.random.default_rng(1)
    texts = dataclasses.replace(
        DATA.texts,
        vectors_RW=random.normal(5, 1, (12, 10)).astype(np.float32),
        wordings_FV=np.arange(12).reshape(3, 4).T.copy(),
    )
    settings: dict[str, Any] = {"text": text, "loss": "siglip", "duplicates": "mask"}
    settings["data"] = dataclasses.replace(DATA, texts=texts)
    settings["shape"] = dataclasses.replace(SHAPE, pair_bias=True)
    run(tmp_path / "whole", **settings)
    with pytest.raises(StoppedEarly):
        run(tmp_path / "stopped", StopAfter(7), **settings)
    assert run(tmp_path / "stopped", **settings).resumed_from == 7
    assert weights_hash(tmp_path / "stopped") == weights_hash(tmp_path / "whole")
    run(tmp_path / "other", **settings | {"data": DATA})
    assert weights_hash(tmp_path / "other") != weights_hash(tmp_path / "whole")


def logged(folder: Path, name: str) -> list[dict[str, Any]]:
    """The lines of a log, but for what differs between any two runs."""
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def test_the_log_of_steps_forgets_what_is_done_again(tmp_path: Path) -> None:
    run(tmp_path / "whole", log_every=2)
    steps = [line["step"] for line in logged(tmp_path / "whole", "steps")]
    assert steps == [2, 4, 5, 7, 9, 10, 12, 14, 15]
    with pytest.raises(StoppedEarly):
        run(tmp_path / "killed", StopAfter(9), log_every=2)
    log = tmp_path / "killed" / "steps.jsonl"
    # As a kill leaves it: steps behind the last checkpoint, and half a line.
    log.write_text(log.read_text() + '{"epoch": 2, "step": 10, "loss": 9}\n{"epoch": 3, "st')
    run(tmp_path / "killed", log_every=2)
    assert logged(tmp_path / "killed", "steps") == logged(tmp_path / "whole", "steps")


def test_fresh_weights_leave_the_random_numbers_of_gpus_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another run may be at work there, or captured."""
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("a GPU was seeded"))
    before = torch.get_rng_state()
    left, right = initialised(SHAPE, 3), initialised(SHAPE, 3)
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(left.parameters(), right.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_profile_lets_go_of_its_last_step_before_whole_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is left of it breaks the capture of a CUDA graph off."""
    results: list[weakref.ref[ForwardResult]] = []
    forward = Step.forward

    def watched(step: Step, *given: torch.Tensor) -> ForwardResult:
        result = forward(step, *given)
        results.append(weakref.ref(result))
        return result

    def whole_steps(*_: object) -> tuple[float, float]:
        assert len(results) > 2
        assert [each() for each in results] == [None] * len(results)
        return 1.0, 0.0

    monkeypatch.setattr(Step, "forward", watched)
    monkeypatch.setattr("ecgpipe.train_ecg.loop.step_profile._whole_steps", whole_steps)
    assert profile_step(CONFIG, SHAPE, DATA, 2).step_s == 1.0


def test_a_run_killed_while_it_was_validated_logs_what_an_undisturbed_one_does(
    tmp_path: Path,
) -> None:
    """The last step of the epoch is saved, the epoch is not; nothing sets a learning rate anew."""
    settings: dict[str, Any] = {"schedule": "cosine", "log_every": 1, "epochs": 3}
    run(tmp_path / "whole", **settings)
    asked = itertools.count()

    def killed(encoder: ModelEncoder) -> Mapping[str, float]:
        if next(asked) == 1:
            raise KeyboardInterrupt
        return accuracy(encoder)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", validate=killed, **settings)
    assert run(tmp_path / "killed", **settings).resumed_from == 10
    for log in ("log", "steps"):
        assert logged(tmp_path / "killed", log) == logged(tmp_path / "whole", log)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    """Losses and gradients of the steps up to then are; and a checkpoint is whole whatever it
    holds."""
    one_step: dict[str, Any] = {"global_batch_size": 32}
    run(tmp_path, epochs=1, **one_step)
    before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    with pytest.raises(EcgpipeError, match=r"weights are not finite.*were not saved"):
        run(tmp_path, epochs=2, lr=1e38, **one_step)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before
    assert read_checkpoint(tmp_path / "checkpoints" / before[0]).state["steps_done"] == 1


def test_nothing_is_begun_before_everything_that_may_be_refused(tmp_path: Path) -> None:
    begun: list[bool] = []

    def begin() -> None:
        begun.append(not tmp_path.joinpath("steps.jsonl").exists())

    with pytest.raises(ConfigError):
        run(tmp_path, on_begin=begin, global_batch_size=64)
    assert begun == []
    run(tmp_path, on_begin=begin)
    assert begun == [True]


def test_a_damaged_best_epoch_is_told_of_before_hours_of_training(tmp_path: Path) -> None:
    values = iter([0.9, 0.1, 0.1])

    def validate(encoder: ModelEncoder) -> Mapping[str, float]:
        return {"macro_auroc": next(values)}

    run(tmp_path, validate=validate)
    best = tmp_path / "checkpoints" / "step-00000005" / "model.safetensors"
    best.write_bytes(best.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"It held the best epoch so far, 1, .* from a copy"):
        run(tmp_path, epochs=9)


def test_an_undefined_figure_is_said_once_for_it_decides_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def validate(encoder: ModelEncoder) -> Mapping[str, float]:
        return {"macro_auroc": float("nan")}

    run(tmp_path, validate=validate)
    said = capsys.readouterr().err
    assert said.count("macro_auroc is undefined on the validation split") == 1


def test_a_resumed_run_says_from_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StoppedEarly):
        run(tmp_path, StopAfter(7))
    assert "continuing" not in capsys.readouterr().err
    run(tmp_path)
    assert "train: continuing in epoch 2, after step 2 of 5" in capsys.readouterr().err


def test_checkpoints_of_another_run_are_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(CheckpointError, match="other data or settings"):
        run(tmp_path, key="other", epochs=5)


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    run(tmp_path / "whole", epochs=3)
    run(tmp_path / "damaged", epochs=2)
    weights = tmp_path / "damaged" / "checkpoints" / "step-00000010" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert run(tmp_path / "damaged", epochs=3).resumed_from == 5
    assert weights_hash(tmp_path / "damaged") == weights_hash(tmp_path / "whole")


def test_checkpoints_that_are_all_damaged_are_an_error_not_a_fresh_start(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    (tmp_path / "checkpoints" / "step-00000005" / "state.json").unlink()
    with pytest.raises(CheckpointError, match=r"No checkpoint .* can be read"):
        run(tmp_path, epochs=2)


def test_the_best_epoch_is_kept_not_the_last(tmp_path: Path) -> None:
    values = iter([0.3, 0.9, 0.9, 0.1])

    def validate(encoder: ModelEncoder) -> dict[str, float]:
        return {"macro_auroc": next(values)}

    trained = run(tmp_path, validate=validate, epochs=4)
    assert (trained.best_epoch, trained.best_value) == (2, 0.9)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000010", "step-00000015", "step-00000020"]
    _, card = load_model(tmp_path / "model")
    assert card.about["training"]["best_epoch"] == 2


def test_an_undefined_validation_figure_is_never_the_best(tmp_path: Path) -> None:
    values = iter([float("nan"), 0.2, float("nan")])

    def validate(encoder: ModelEncoder) -> dict[str, float]:
        return {"macro_auroc": next(values)}

    trained = run(tmp_path, validate=validate)
    assert trained.best_epoch == 2
    lines = (tmp_path / "log.jsonl").read_text()
    assert "NaN" not in lines  # not JSON


def test_without_any_validation_figure_the_last_epoch_is_kept(tmp_path: Path) -> None:
    def validate(encoder: ModelEncoder) -> dict[str, float]:
        return {"macro_auroc": float("nan")}

    trained = run(tmp_path, validate=validate)
    assert (trained.best_epoch, trained.best_value) == (3, None)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    vectors = DATA.texts.vectors_RW.copy()
    vectors[2] = np.nan
    texts = dataclasses.replace(DATA.texts, vectors_RW=vectors)
    broken = dataclasses.replace(DATA, texts=texts)
    with pytest.raises(EcgpipeError, match=r"step 0 in epoch 1 is not finite.*not-finite\.json"):
        run(tmp_path, data=broken)
    assert not (tmp_path / "model").exists()


def test_a_gradient_that_is_not_finite_names_the_records_of_its_batch(tmp_path: Path) -> None:
    vectors = DATA.texts.vectors_RW.copy()
    vectors[1] = np.inf
    texts = dataclasses.replace(DATA.texts, vectors_RW=vectors)
    with pytest.raises(EcgpipeError, match="names the 8 records of its batch"):
        run(tmp_path, data=dataclasses.replace(DATA, texts=texts), log_every=3)
    found = json.loads((tmp_path / "not-finite.json").read_text())
    batch = epoch_batches(40, 8, CONFIG.seed, 0)[found["step"]]
    assert found["record_ids"] == [f"ecg {place}" for place in batch]
    assert 1 in CLASSES[batch]


def test_training_ends_when_it_has_been_no_better_for_long_enough(tmp_path: Path) -> None:
    values = iter([0.5, 0.7, 0.6, 0.7, 0.1, 0.9])

    def validate(encoder: ModelEncoder) -> dict[str, float]:
        return {"macro_auroc": next(values)}

    trained = run(tmp_path, validate=validate, epochs=9, patience=2)
    assert (trained.epochs, trained.best_epoch) == (4, 2)
    card = load_model(tmp_path / "model")[1].about["training"]
    assert card["epochs"] == 4


def test_wherever_the_signals_lie_the_weights_are_the_same(tmp_path: Path) -> None:
    for placement in ("memory", "stream"):
        run(tmp_path / placement, placement=placement)
    assert weights_hash(tmp_path / "memory") == weights_hash(tmp_path / "stream")


def test_fewer_records_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"40 records, fewer than train\.global_batch_size 64"):
        run(tmp_path, global_batch_size=64)


def test_norms_biases_and_the_temperature_are_not_decayed() -> None:
    model = initialised(SHAPE, 0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, plain = (
        {names[id(parameter)] for parameter in group["params"]}
        for group in make_optimizer(model, CONFIG, torch.device("cpu")).param_groups
    )
    assert "encoder.stem.0.weight" in decayed
    assert "text_projection.weight" in decayed
    assert {"encoder.stem.1.weight", "ecg_projection.bias", "log_scale"} <= plain
    assert len(decayed) + len(plain) == len(names)


def test_a_fixed_temperature_stays_fixed(tmp_path: Path) -> None:
    shape = dataclasses.replace(SHAPE, learn_temperature=False)
    run(tmp_path, shape=shape)
    model, _ = load_model(tmp_path / "model")
    assert model.log_scale.exp().item() == pytest.approx(1 / 0.07)


def test_the_text_mean_is_that_of_the_training_records(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    model, _ = load_model(tmp_path / "model")
    expected = DATA.texts.vectors_RW[CLASSES].mean(axis=0)
    np.testing.assert_allclose(model.text_mean_W.numpy(), expected, rtol=1e-5)


def test_a_model_keeps_the_axes_of_the_texts_it_was_trained_on(tmp_path: Path) -> None:
    """So whoever loads it need not know the bank."""
    wordings = dataclasses.replace(
        DATA.texts,
        vectors_RW=np.concatenate([DATA.texts.vectors_RW, DATA.texts.vectors_RW + 3]),
        wordings_FV=np.array([[text, text + N_CLASSES] for text in range(N_CLASSES)]),
    )
    data, shape = dataclasses.replace(DATA, texts=wordings), dataclasses.replace(SHAPE, text_axes=3)
    run(tmp_path, data=data, shape=shape, epochs=1, text="all_findings", loss="siglip")
    model, card = load_model(tmp_path / "model")
    assert card.shape.text_axes == 3
    axes = fit_text_axes(wordings.vectors_RW, wordings.chances(), 3)
    np.testing.assert_allclose(model.text_axes_WK, axes, rtol=1e-4)
    assert card.shape.text_meanings == N_CLASSES
    # What all second wordings have in common says nothing.
    said = ModelEncoder(model, DATA.read_signals).encode_vectors(wordings.vectors_RW)
    np.testing.assert_allclose(said[:N_CLASSES], said[N_CLASSES:], atol=0.05)


def test_texts_lie_where_the_model_tells_them_apart() -> None:
    """So a text's distance is not that of its language, which is most of its vector."""
    model = initialised(dataclasses.replace(SHAPE, text_axes=2), 0)
    model.text_mean_W[:] = 1
    model.text_axes_WK[:2] = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    text_NW = np.array([[2, 4, *[50] * 8], [2, 4, *[-50] * 8]], np.float32)
    placed = ModelEncoder(model, DATA.read_signals).place_texts(text_NW)
    np.testing.assert_array_equal(placed, [[2, 3], [2, 3]])
    plain = ModelEncoder(initialised(SHAPE, 0), DATA.read_signals)
    np.testing.assert_array_equal(plain.place_texts(text_NW), text_NW)


def test_a_wording_lies_between_the_texts_that_it_may_mean() -> None:
    """In the joint space, by their chances."""
    model = initialised(dataclasses.replace(SHAPE, text_axes=1, text_meanings=2), 0)
    model.text_axes_WK[0] = 1
    model.meaning_weights_MK[:, 0] = torch.tensor([-1.0, 1.0])
    with torch.no_grad():
        model.text_projection.bias.zero_()
        places_MD = model.text_projection.weight.T
        text_NW = torch.zeros(3, 10)
        text_NW[:, 0] = torch.tensor([-20.0, 20.0, np.log(3) / 2])
        said_ND = model.encode_text(text_NW)
        expected = torch.stack(
            [places_MD[0], places_MD[1], places_MD[0] / 4 + places_MD[1] * 3 / 4]
        )
        expected = torch.nn.functional.normalize(expected, dim=1)
    torch.testing.assert_close(said_ND, expected)


def test_texts_are_put_on_axes_in_full_precision_whatever_the_encoder_computes_in() -> None:
    model = initialised(dataclasses.replace(SHAPE, text_axes=3, text_meanings=2), 0)
    text_TW = torch.from_numpy(DATA.texts.vectors_RW)
    model.text_axes_WK.copy_(torch.linspace(-1, 1, 30).reshape(10, 3))
    model.meaning_weights_MK.copy_(torch.linspace(-1, 1, 6).reshape(2, 3))
    model.text_projection = torch.nn.Identity()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        half = model.encode_text(text_TW)
    torch.testing.assert_close(half, model.encode_text(text_TW), rtol=0, atol=0)


def test_an_epoch_is_timed(tmp_path: Path) -> None:
    started = time.monotonic()
    trained = run(tmp_path, epochs=1)
    assert 0 < trained.history[0]["seconds"] < time.monotonic() - started


def test_the_norms_learn_their_statistics(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    trained, fresh = load_model(tmp_path / "model")[0], initialised(SHAPE, CONFIG.seed)
    for name, statistics in trained.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            assert not torch.equal(statistics, dict(fresh.named_buffers())[name]), name


def test_the_best_epoch_survives_a_newer_best_that_proves_damaged(tmp_path: Path) -> None:
    figures = iter([0.9, 0.1, 0.1, 0.95])

    def validate(encoder: ModelEncoder) -> Mapping[str, float]:
        return {"macro_auroc": next(figures)}

    def go(epochs: int) -> Trained:
        return run(tmp_path, validate=validate, epochs=epochs)

    go(4)
    newest = tmp_path / "checkpoints" / "step-00000020" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-8])
    figures = iter([0.8])
    assert go(4).best_epoch == 1
    assert load_model(tmp_path / "model")[1].about["training"]["best_epoch"] == 1


def test_a_lost_best_epoch_says_what_to_do(tmp_path: Path) -> None:
    best = run(tmp_path).best_epoch
    for other in (tmp_path / "checkpoints").glob(f"step-{5 * best:08d}"):
        (other / "state.json").write_text("{")
    if best == 3:  # then the run goes on from epoch 2, and nothing is lost
        assert run(tmp_path).epochs == 3
    else:
        with pytest.raises(CheckpointError, match="It held the best epoch"):
            run(tmp_path)


def test_launch_defaults_of_precision_do_not_reach_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert Accelerator(cpu=True).mixed_precision == "fp16"
    AcceleratorState._reset_state(reset_partial_state=True)
    assert make_accelerator().mixed_precision == "no"


def test_signals_on_the_only_gpu_are_found_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    # One process alone is told "cuda", but a tensor on it says "cuda:0". There is no GPU here, so a
    # tensor that says so stands in for the signals.
    class OnGpu:
        device = torch.device("cuda", 0)

        def index_select(self, axis: int, places: torch.Tensor) -> str:
            return "resident"

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    signals = PlacedSignals(Placement("stream", "for the test"), DATA.signals, torch.device("cuda"))
    signals._resident_NLS = OnGpu()
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)
    assert list(signals.batches(np.zeros((2, 3), np.int64))) == ["resident", "resident"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own, in its compiler
def test_a_compiled_encoder_learns_what_an_eager_one_does(tmp_path: Path) -> None:
    """Its kernels round otherwise, so the first steps alone are alike; its weights keep names."""
    losses = {}
    for compiled in (False, True):
        folder = tmp_path / str(compiled)
        trained = run(folder, epochs=4, log_every=1, compile=compiled)
        lines = (folder / "steps.jsonl").read_text().splitlines()
        losses[compiled] = [json.loads(line)["loss"] for line in lines]
        model, _ = load_model(folder / "model")
        found = accuracy(ModelEncoder(model, DATA.read_signals))["macro_auroc"]
        assert found == pytest.approx(trained.best_value)
    assert losses[True][:2] == pytest.approx(losses[False][:2], rel=1e-3)
    assert losses[True][-1] < losses[True][0]
