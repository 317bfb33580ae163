"""encoder.onnx computes what torch computes, for every encoder and whatever is missing."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession

from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.export import onnx_encoder
from ecgpipe.apply_model.export.onnx_encoder import as_millivolts, encoder_onnx, largest_difference
from ecgpipe.errors import CheckpointError
from ecgpipe.read_ecg.signal.record import EcgRecord
from ecgpipe.read_ecg.signal.window import to_window
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers, initialised

CONTRACT = Contract(rate_hz=100, duration_s=2.0, min_duration_s=0.5)
RNG = np.random.default_rng(0)


def model_of(encoder: str, normalisation: str = "fixed", pooling: str = "mean") -> TwoTowers:
    shape = ModelShape(
        encoder=encoder, n_leads=12, samples=CONTRACT.samples, rate_hz=CONTRACT.rate_hz,
        normalisation=normalisation, text_width=8, projection_dim=16, temperature=0.07,
        learn_temperature=True, encoder_pooling=pooling,
    )  # fmt: skip
    return initialised(shape, seed=0).eval()


def windows() -> np.ndarray:
    """Five windows: whole, without two leads, padded, at the limits of int16, and all together."""
    signal_uv = RNG.integers(-3000, 3000, (5, 12, CONTRACT.samples)).astype(np.int16)
    signal_uv[1, [3, 9]] = -32768
    signal_uv[2, :, 120:] = -32768
    signal_uv[3, 0, :50] = 32767
    signal_uv[3, 1, :50] = -32767
    signal_uv[4] = signal_uv[1]
    signal_uv[4, :, 180:] = -32768
    return signal_uv


def of_torch(model: TwoTowers, signal_uv: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model.encode_ecg(torch.from_numpy(signal_uv)).numpy()


@pytest.mark.parametrize(
    ("encoder", "normalisation"),
    [("resnet1d18", "fixed"), ("resnet1d18", "record"), ("vit1d", "fixed"), ("cnn1d", "record")],
)
def test_vectors_are_torchs_with_leads_and_samples_missing(
    encoder: str, normalisation: str
) -> None:
    model, signal_uv = model_of(encoder, normalisation), windows()
    content = encoder_onnx(model, CONTRACT)
    assert largest_difference(content, signal_uv, of_torch(model, signal_uv)) < 1e-5
    # One ECG or many: the file takes any number.
    session = InferenceSession(content)
    (one,) = session.run(None, {"signal_mv": as_millivolts(signal_uv[:1])})
    np.testing.assert_allclose(one, of_torch(model, signal_uv[:1]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)


def test_millivolts_are_rounded_as_a_prepared_recording_is() -> None:
    model = model_of("cnn1d")
    signal_mv = RNG.normal(0, 1, (12, CONTRACT.samples)).astype(np.float32)
    signal_mv[0] *= 20  # some of it is clipped
    window_uv, _ = to_window(EcgRecord(signal_mv, 100.0), CONTRACT)
    session = InferenceSession(encoder_onnx(model, CONTRACT))
    (found,) = session.run(None, {"signal_mv": signal_mv[None]})
    np.testing.assert_allclose(found, of_torch(model, window_uv[None]), atol=1e-5)


def test_the_file_says_what_it_takes_and_nothing_of_this_machine() -> None:
    graph = onnx.load_from_string(encoder_onnx(model_of("cnn1d"), CONTRACT))
    stated = {entry.key: entry.value for entry in graph.metadata_props}
    assert json.loads(stated["contract"])["rate_hz"] == 100
    (taken,) = graph.graph.input
    assert (taken.name, taken.type.tensor_type.shape.dim[0].dim_param) == ("signal_mv", "N")
    content = graph.SerializeToString()
    for word in (b"site-packages", b"apply_model", b".py"):
        assert word not in content


def test_a_file_that_computes_other_vectors_is_refused() -> None:
    signal_uv = windows()
    content = encoder_onnx(model_of("cnn1d"), CONTRACT)
    other = of_torch(model_of("cnn1d", "record"), signal_uv)
    with pytest.raises(CheckpointError, match="computes other vectors than torch"):
        largest_difference(content, signal_uv, other)
    with pytest.raises(CheckpointError, match="differ by nan"):
        largest_difference(content, signal_uv, other * np.float32(np.nan))
    assert onnx_encoder.TOLERANCE == 1e-4
