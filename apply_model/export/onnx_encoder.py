"""encoder.onnx: the ECG encoder for programs that have neither torch nor ecgpipe.

Owns the graph's one input and one output, and the proof that it computes what torch computes.
Input: signal_mv, float32 (N, 12, S) in mV at the contract's rate, leads in the order of LEADS, NaN
where there is no reading. Output: vectors, float32 (N, D) of length 1. Rounding to whole µV,
masking and normalisation are in the graph; resampling and cropping are not.
N = ECGs, S = samples, D = joint width.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime import InferenceSession

from ecgpipe.apply_model.contract import Contract
from ecgpipe.errors import CheckpointError
from ecgpipe.files import canonical_json
from ecgpipe.train_ecg.data.inputs import NO_READING, to_model_input
from ecgpipe.train_ecg.two_towers import TwoTowers

INPUT, OUTPUT = "signal_mv", "vectors"
TOLERANCE = 1e-4
"""Of each coordinate of a unit vector."""

_MAX_UV = 32767.0


class _FromMillivolts(torch.nn.Module):
    """The ECG tower behind the rounding that prepared signals have."""

    def __init__(self, model: TwoTowers) -> None:
        super().__init__()
        self.model = model

    def forward(self, signal_mv: torch.Tensor) -> torch.Tensor:
        microvolts = torch.clamp(torch.round(signal_mv * 1000), -_MAX_UV, _MAX_UV)
        stored = torch.where(torch.isnan(signal_mv), float(NO_READING), microvolts)
        encoded = self.model.encoder(to_model_input(stored, self.model.shape.normalisation))
        vectors: torch.Tensor = self.model.project_ecg(encoded)
        return vectors


def encoder_onnx(model: TwoTowers, contract: Contract) -> bytes:
    """The ONNX file of a model's ECG tower; any number of ECGs at once.

    Args:
        model: on the CPU.
        contract: is written into the file's metadata.
    """
    example = torch.zeros(2, model.shape.n_leads, model.shape.samples)
    with _quiet():
        program = torch.onnx.export(
            _FromMillivolts(model).eval(),
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    _forget_machine(graph)
    onnx.helper.set_model_props(graph, {"contract": canonical_json(contract.as_dict())})
    onnx.checker.check_model(graph)
    serialised: bytes = graph.SerializeToString()
    return serialised


def _forget_machine(graph: onnx.ModelProto) -> None:
    """Remove the exporter's stack traces, which name files of this machine."""
    for inner in (graph.graph, *graph.functions):
        del inner.metadata_props[:]
        for node in inner.node:
            del node.metadata_props[:]
            node.doc_string = ""
        for value in inner.value_info:
            del value.metadata_props[:]
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        del value.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about itself and about packages that nobody needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def largest_difference(
    encoder: bytes, signal_uv: npt.NDArray[np.int16], vectors_ND: npt.NDArray[np.float32]
) -> float:
    """How far an ONNX file's vectors are from torch's, at most, in any coordinate.

    Args:
        encoder: the file.
        signal_uv: (N, 12, S) prepared ECGs.
        vectors_ND: of torch.

    Raises:
        CheckpointError: farther than TOLERANCE.
    """
    session = InferenceSession(encoder, providers=["CPUExecutionProvider"])
    found = session.run([OUTPUT], {INPUT: as_millivolts(signal_uv)})[0]
    difference = float(np.abs(found - vectors_ND).max(initial=0))
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"encoder.onnx computes other vectors than torch: they differ by {difference:.2g},"
            f" more than {TOLERANCE}, on {len(signal_uv)} ECGs of this run. Nothing was written."
            " Try the versions of torch, onnx and onnxruntime in constraints.txt."
        )
    return difference


def as_millivolts(signal_uv: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Prepared ECGs in mV, NaN where there is no reading."""
    signal_mv = signal_uv.astype(np.float32) / np.float32(1000)
    return np.where(signal_uv == NO_READING, np.float32(np.nan), signal_mv)
