"""The intervals between beats: against lists worked by hand, annotated beats and diagnoses."""

import ast
import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
import wfdb
from onnxruntime import InferenceSession
from sklearn.metrics import roc_auc_score
from torch import nn

from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.export.onnx_encoder import as_millivolts, encoder_onnx
from ecgpipe.config.train import AugmentConfig
from ecgpipe.train_ecg.data.augmentation import Augmentation
from ecgpipe.train_ecg.data.inputs import to_millivolts, to_model_input
from ecgpipe.train_ecg.encoders.beat_intervals import beat_intervals
from ecgpipe.train_ecg.encoders.build import build_encoder
from ecgpipe.train_ecg.trained_model import load_model, save_model
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers, initialised

Signal = npt.NDArray[np.float64]

RATES = (100, 250, 257, 360, 500)
BEATS = set("NLRBAaJSVrFejnE/fQ?")  # of MIT-BIH annotations, those that are beats

# Intervals in seconds, and by hand: their mean, SD/mean, RMSSD/mean, how much the longest is longer
# and the shortest shorter than the mean, and the share of neighbours that differ by over a tenth.
BY_HAND = {
    "regular": ([0.8] * 10, (0.8, 0, 0, 0, 0, 0)),
    # 1, 1, 1/2, 3/2, 1, 1, 1, 1 of 0.8 s; steps 0, 1/2, 1, 1/2, 0, 0, 0.
    "a premature beat": (
        [0.8, 0.8, 0.4, 1.2, 0.8, 0.8, 0.8, 0.8],
        (0.8, (0.5 / 8) ** 0.5, (1.5 / 7) ** 0.5, 0.5, 0.5, 3 / 7),
    ),
    # 3/4, 5/4, 1, 3/4, 5/4, 1, 3/4, 5/4, 1 of 0.8 s; steps 1/2, 1/4, 1/4, 1/2, 1/4, 1/4, 1/2, 1/4.
    "irregular": (
        [0.6, 1.0, 0.8] * 3,
        (0.8, (6 / 16 / 9) ** 0.5, ((3 / 4 + 5 / 16) / 8) ** 0.5, 0.25, 0.25, 1),
    ),
    # 11/12 and 13/12 of 0.6 s in turn: all steps a sixth. Twice as far, and none would be missed.
    "in twos": ([0.55, 0.65] * 6, (0.6, 1 / 12, 1 / 6, 1 / 12, 1 / 12, 1)),
    "hardly in twos": ([0.99, 1.01] * 4, (1.0, 0.01, 0.02, 0.01, 0.01, 0)),
    "fast": ([0.4] * 22, (0.4, 0, 0, 0, 0, 0)),
    "slow": ([1.8] * 4, (1.8, 0, 0, 0, 0, 0)),
}
IRREGULAR, EXPECTED = BY_HAND["a premature beat"]


def drawn(
    intervals: list[float], rate_hz: int, t_mv: float = 0.25, first_s: float = 0.5
) -> tuple[Signal, Signal]:
    """(12, S) ten seconds of P, Q, R, S and T in mV, up in some leads and down in others; times."""
    beats = first_s + np.concatenate([[0], np.cumsum(intervals)])
    times = np.arange(10 * rate_hz) / rate_hz
    lead = np.zeros_like(times)
    for after, width, height in (
        (-0.16, 0.03, 0.1), (-0.03, 0.012, -0.15), (0, 0.014, 1.0), (0.03, 0.014, -0.25),
        (0.27, 0.07, t_mv),
    ):  # fmt: skip
        for beat in beats:
            lead += height * np.exp(-(((times - beat - after) / width) ** 2))
    return np.outer(np.linspace(1.2, -0.9, 12), lead), times


def numbers(signal: Signal, rate_hz: int) -> npt.NDArray[np.float32]:
    """The seven of one ECG."""
    batch = torch.from_numpy(signal.astype(np.float32))[None]
    return beat_intervals(batch, rate_hz)[0].numpy()


def told(by_hand: tuple[float, ...]) -> Signal:
    """The seven numbers for what is known by hand."""
    mean, *others = by_hand
    return np.array([np.log(mean), *others, 1])


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("case", BY_HAND)
def test_the_numbers_are_those_worked_by_hand(case: str, rate_hz: int) -> None:
    intervals, by_hand = BY_HAND[case]
    found = numbers(drawn(intervals, rate_hz)[0], rate_hz)
    # A beat is placed to a hundredth of a second.
    np.testing.assert_allclose(found, told(by_hand), atol=0.02 / by_hand[0])


@pytest.mark.parametrize("scale", [1e3, 1e6, -1.0, 0.2])
def test_neither_unit_nor_polarity_matters(scale: float) -> None:
    """mV, µV, nV; electrodes that are exchanged; a low voltage."""
    signal, _ = drawn(IRREGULAR, 500)
    np.testing.assert_allclose(numbers(scale * signal, 500), told(EXPECTED), atol=0.02)


def test_an_ecg_normalised_by_itself_has_the_same_beats() -> None:
    stored = np.round(1000 * drawn(IRREGULAR, 250)[0]).astype(np.int16)
    stored[:, :300] = -32768
    fixed, record = (
        beat_intervals(to_model_input(torch.from_numpy(stored[None]), way), 250)
        for way in ("fixed", "record")
    )
    torch.testing.assert_close(fixed, record)
    assert fixed[0, 6] == 1


DISTURBED: dict[str, Callable[[Signal, Signal], Signal]] = {
    "wandering baseline": lambda ecg, time: ecg + 0.5 * np.sin(2 * np.pi * 0.3 * time),
    "50 Hz hum": lambda ecg, time: ecg + 0.05 * np.sin(2 * np.pi * 50 * time),
    "60 Hz hum": lambda ecg, time: ecg + 0.05 * np.sin(2 * np.pi * 60 * time),
    "noise": lambda ecg, time: ecg + np.random.default_rng(0).normal(0, 0.02, ecg.shape),
    "one lead alone": lambda ecg, time: ecg[:1],
    "leads hidden": lambda ecg, time: np.where(np.arange(12)[:, None] % 3 == 0, ecg, 0),
    "an offset": lambda ecg, time: ecg + np.linspace(-1, 1, 12)[:, None],
}


# At 100 Hz there is no hum: it ends at 50 Hz.
@pytest.mark.parametrize(
    ("how", "rate_hz"),
    [(how, rate) for how in DISTURBED for rate in RATES if rate > 100 or "hum" not in how],
)
@pytest.mark.parametrize("case", ["a premature beat", "irregular", "slow"])
def test_what_disturbs_an_ecg_does_not_change_its_beats(case: str, how: str, rate_hz: int) -> None:
    intervals, by_hand = BY_HAND[case]
    found = numbers(DISTURBED[how](*drawn(intervals, rate_hz)), rate_hz)
    np.testing.assert_allclose(found, told(by_hand), atol=0.05)


@pytest.mark.parametrize("rate_hz", RATES)
def test_t_waves_as_tall_as_the_qrs_are_no_beats(rate_hz: int) -> None:
    found = numbers(drawn(IRREGULAR, rate_hz, t_mv=1.0)[0], rate_hz)
    np.testing.assert_allclose(found, told(EXPECTED), atol=0.05)


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("gap_s", [(0, 2.0), (8.1, 10), (0, 0.013)])
def test_the_edge_of_a_gap_is_no_beat(gap_s: tuple[float, float], rate_hz: int) -> None:
    """What was not recorded is 0; a baseline beside 0 makes a step as steep as any QRS."""
    signal, time = drawn([1.0] * 9, rate_hz)
    signal += np.linspace(-2, 2, 12)[:, None]
    signal[:, (time >= gap_s[0]) & (time < gap_s[1])] = 0
    np.testing.assert_allclose(numbers(signal, rate_hz), told((1.0, 0, 0, 0, 0, 0)), atol=0.02)


def test_leads_that_come_off_for_a_while_add_no_beats() -> None:
    signal, time = drawn(IRREGULAR, 500)
    signal += np.linspace(-2, 2, 12)[:, None]
    signal[:5, (time > 3.3) & (time < 5.2)] = 0
    np.testing.assert_allclose(numbers(signal, 500), told(EXPECTED), atol=0.02)


@pytest.mark.parametrize(
    "make",
    [
        lambda rate: torch.zeros(1, 12, 10 * rate),
        lambda rate: torch.full((1, 12, 10 * rate), 0.7),
        lambda rate: torch.from_numpy(drawn([2.0], rate)[0]).float()[None],  # two beats
        lambda rate: torch.from_numpy(drawn([], rate)[0]).float()[None],  # one
    ],
    ids=["blank", "constant", "two beats", "one beat"],
)
@pytest.mark.parametrize("rate_hz", RATES)
def test_fewer_than_three_beats_say_nothing(
    make: Callable[[int], torch.Tensor], rate_hz: int
) -> None:
    assert (beat_intervals(make(rate_hz), rate_hz) == 0).all()


@pytest.mark.parametrize("rate_hz", RATES)
def test_no_signal_makes_a_number_that_is_none(rate_hz: int) -> None:
    random = torch.randn(3, 12, rate_hz, generator=torch.Generator().manual_seed(0))
    assert beat_intervals(random, rate_hz).isfinite().all()
    assert beat_intervals(torch.full((1, 1, rate_hz), -4.0), rate_hz).isfinite().all()


def test_an_ecg_has_the_numbers_it_has_alone() -> None:
    batch = torch.stack(
        [torch.from_numpy(drawn(intervals, 250)[0]).float() for intervals, _ in BY_HAND.values()]
    )
    batch = torch.cat([batch, torch.zeros_like(batch[:1])])
    together = beat_intervals(batch, 250)
    torch.testing.assert_close(together, torch.cat([beat_intervals(x[None], 250) for x in batch]))


# Real ECGs.


def annotated(record: str) -> tuple[torch.Tensor, list[Signal]]:
    """(180, 2, 3600) the ten-second windows of a record of MIT-BIH, and each one's intervals."""
    signal = wfdb.rdrecord(record).p_signal.T.astype(np.float32)
    notes = wfdb.rdann(record, "atr")
    beats = [at for at, symbol in zip(notes.sample, notes.symbol, strict=True) if symbol in BEATS]
    window = np.array(beats) // 3600
    n_windows = signal.shape[1] // 3600
    cut = signal[:, : n_windows * 3600].reshape(2, n_windows, 3600).swapaxes(0, 1)
    of_each = [np.diff(np.array(beats)[window == n]) / 360 for n in range(n_windows)]
    return torch.from_numpy(cut.copy()), of_each


@pytest.mark.parametrize(
    ("record", "least"),
    # 104, paced, is full of noise of muscles. 201: fibrillation; 209: atrial beats; 230: WPW.
    [("101", 0.95), ("104", 0.85), ("201", 0.95), ("209", 0.98), ("220", 0.98), ("230", 0.98)],
)
def test_the_intervals_are_those_between_annotated_beats(
    real_data: Path, record: str, least: float
) -> None:
    windows, intervals = annotated(str(real_data / "mitdb" / record))
    found = beat_intervals(windows, 360).numpy()
    mean = np.array([each.mean() for each in intervals])
    relative = [each / each.mean() for each in intervals]
    irregularity = np.array([np.sqrt(np.square(np.diff(each)).mean()) for each in relative])
    deviation = np.array([each.std() for each in relative])
    assert (np.abs(found[:, 0] - np.log(mean)) < 0.05).mean() >= least
    assert (np.abs(found[:, 1] - deviation) < 0.1).mean() >= least
    assert (np.abs(found[:, 2] - irregularity) < 0.1).mean() >= least


@pytest.fixture(scope="module")
def ptbxl(real_data: Path) -> tuple[torch.Tensor, list[set[str]]]:
    """(N, 12, 1000) ECGs at 100 Hz, in mV, and the codes of each."""
    folder = real_data / "ptbxl"
    with (folder / "ptbxl_database.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["filename_hr"]]
    signals = [wfdb.rdrecord(str(folder / row["filename_hr"])).p_signal.T for row in rows]
    plain = np.stack(signals).astype(np.float32)
    tens = plain.reshape(*plain.shape[:2], -1, 5).mean(axis=3)
    return torch.from_numpy(tens), [set(ast.literal_eval(row["scp_codes"])) for row in rows]


def auroc(codes: list[set[str]], code: str, score: npt.NDArray[np.float32]) -> float:
    return float(roc_auc_score([code in each for each in codes], score))


def test_rates_and_fibrillation_are_told_from_the_numbers_alone(
    ptbxl: tuple[torch.Tensor, list[set[str]]],
) -> None:
    signals, codes = ptbxl
    found = beat_intervals(signals, 100).numpy()
    assert auroc(codes, "STACH", -found[:, 0]) > 0.95
    assert auroc(codes, "SBRAD", found[:, 0]) > 0.95
    assert auroc(codes, "AFIB", found[:, 2]) > 0.90
    assert (found[:, 6] == 1).mean() > 0.99


def test_augmentation_leaves_most_ecgs_their_beats(
    ptbxl: tuple[torch.Tensor, list[set[str]]],
) -> None:
    """As preset recommended changes them in training: the rate of nearly none may be another."""
    stored = torch.round(ptbxl[0][:200] * 1000).to(torch.int16)
    signal, known = to_millivolts(stored, torch.float32)
    settings = AugmentConfig(
        shift_s=0.5, amplitude=0.1, wander_mv=0.05, noise_mv=0.02, drop_lead=0.1
    )
    augmentation = Augmentation(settings, 0, 200, 12, 1000, 100, torch.device("cpu"))
    changed, _ = augmentation(signal, known, torch.arange(200))
    before, after = beat_intervals(signal, 100), beat_intervals(changed, 100)
    assert ((before - after)[:, 0].abs() < 0.05).float().mean() > 0.95


# The encoder around them.

SHAPE = ModelShape(
    encoder="resnet1d18", n_leads=12, samples=1000, rate_hz=100, normalisation="fixed",
    text_width=8, projection_dim=16, temperature=0.07, learn_temperature=True, beat_intervals=True,
)  # fmt: skip


def ecgs() -> torch.Tensor:
    """(4, 12, 1000) float: regular, irregular, fast, blank."""
    kinds = ("regular", "irregular", "fast")
    signals = [torch.from_numpy(drawn(BY_HAND[kind][0], 100)[0]).float() for kind in kinds]
    return torch.stack([*signals, torch.zeros(12, 1000)])


def built(name: str = "resnet1d18", pooling: str = "mean", norm: str = "batch") -> Any:
    torch.manual_seed(0)
    return build_encoder(name, 12, 100, pooling, norm, True)


@pytest.mark.parametrize(
    ("name", "norm"),
    [("resnet1d18", "batch"), ("resnet1d18", "group"), ("cnn1d", "group"), ("vit1d", "batch")],
)
def test_features_are_the_encoders_followed_by_those_of_the_intervals(name: str, norm: str) -> None:
    encoder = built(name, norm=norm).eval()
    with torch.no_grad():
        features = encoder(ecgs())
        assert features.shape == (4, encoder.width)
        torch.testing.assert_close(features[:, :-64], encoder.encoder(ecgs()))
        of_intervals = features[:, -64:]
        assert not torch.allclose(of_intervals[0], of_intervals[1], atol=1e-2)
        # A blank ECG says what the bias says, not what a mean of zero seconds would.
        torch.testing.assert_close(of_intervals[3], encoder.interval_features.bias.relu())


@pytest.mark.parametrize("name", ["resnet1d18", "cnn1d"])
def test_the_mean_over_the_map_of_features_is_the_features(name: str) -> None:
    encoder = built(name).eval()
    with torch.no_grad():
        torch.testing.assert_close(encoder.feature_map(ecgs()).mean(dim=2), encoder(ecgs()))


def test_under_bfloat16_the_numbers_are_those_of_float32() -> None:
    """In bfloat16 two beats after 8 s could not be told apart."""
    encoder = built().eval()
    with torch.no_grad():
        plain = encoder(ecgs())
        with torch.autocast("cpu", torch.bfloat16):
            handed = []
            encoder.interval_features.register_forward_hook(
                lambda module, taken, given: handed.append((taken[0], given))
            )
            encoder(ecgs())
    ((numbers_in, features_out),) = handed
    assert (numbers_in.dtype, features_out.dtype) == (torch.float32, torch.float32)
    assert torch.equal(features_out.relu(), plain[:, -64:])


def test_every_weight_learns_and_no_gradient_is_lost_in_a_blank_ecg() -> None:
    encoder = cast(nn.Module, built())
    encoder(ecgs()).square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    learned = encoder.get_parameter("interval_features.weight").grad
    assert learned is not None
    assert learned.abs().sum() > 0


def stored() -> npt.NDArray[np.int16]:
    """As in a signal store: one ECG begins late, and one has leads missing."""
    signal_uv = np.round(ecgs().numpy() * 1000).astype(np.int16)
    signal_uv[0, :, :150] = -32768
    signal_uv[1, 3:6] = -32768
    return signal_uv


def vectors(model: TwoTowers, signal_uv: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        return model.encode_ecg(torch.from_numpy(signal_uv)).numpy()


@pytest.mark.parametrize("encoder", ["resnet1d18", "cnn1d"])
def test_an_exported_model_measures_the_same_intervals(encoder: str) -> None:
    model = initialised(dataclasses.replace(SHAPE, encoder=encoder), seed=0).eval()
    session = InferenceSession(encoder_onnx(model, Contract(rate_hz=100, duration_s=10.0)))
    for rows in (slice(0, 1), slice(0, 3), slice(3, 4), slice(0, 4)):
        (found,) = session.run(None, {"signal_mv": as_millivolts(stored()[rows])})
        np.testing.assert_allclose(found, vectors(model, stored()[rows]), atol=1e-5)


@pytest.mark.parametrize("rate_hz", [250, 257, 500])
def test_an_exported_model_measures_them_at_any_rate(rate_hz: int) -> None:
    shape = dataclasses.replace(SHAPE, encoder="cnn1d", rate_hz=rate_hz, samples=10 * rate_hz)
    model = initialised(shape, seed=0).eval()
    cases = [drawn(intervals, rate_hz)[0] for intervals, _ in BY_HAND.values()]
    signal_uv = np.round(1000 * np.stack(cases)).astype(np.int16)
    signal_uv[2, :, : 2 * rate_hz] = -32768
    session = InferenceSession(encoder_onnx(model, Contract(rate_hz=rate_hz, duration_s=10.0)))
    (found,) = session.run(None, {"signal_mv": as_millivolts(signal_uv)})
    np.testing.assert_allclose(found, vectors(model, signal_uv), atol=1e-5)


def test_a_saved_model_encodes_as_before(tmp_path: Path) -> None:
    model = initialised(SHAPE, seed=3).eval()
    save_model(tmp_path, model.state_dict(), SHAPE, {})
    loaded, card = load_model(tmp_path)
    assert card.shape.beat_intervals
    np.testing.assert_array_equal(vectors(loaded.eval(), stored()), vectors(model, stored()))


def test_the_same_beats_in_another_rhythm_lie_elsewhere_and_later_beats_do_not() -> None:
    model = initialised(SHAPE, seed=0).eval()
    with torch.no_grad():
        model.ecg_projection.weight[:, :-64] = 0  # the intervals alone
    rhythms = (BY_HAND["regular"][0], BY_HAND["irregular"][0])
    regular, irregular, later = (
        np.round(1000 * drawn(intervals, 100, first_s=first_s)[0]).astype(np.int16)
        for intervals, first_s in zip((*rhythms, rhythms[1]), (0.5, 0.5, 0.8), strict=True)
    )
    found = vectors(model, np.stack([regular, irregular, later]))
    assert np.abs(found[0] - found[1]).max() > 0.01
    np.testing.assert_allclose(found[1], found[2], atol=1e-3)
