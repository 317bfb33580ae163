"""export: a run's trained model -> a folder that travels.

Owns what is checked before anything is written: that the ONNX encoder computes what torch does, on
ECGs of the run itself.
"""

from pathlib import Path

from ecgpipe.apply_model.export.card import card
from ecgpipe.apply_model.export.model_folder import (
    CARD,
    ENCODER,
    PATIENTS,
    WEIGHTS,
    Files,
    check_target,
    content_files,
    write_folder,
)
from ecgpipe.apply_model.export.onnx_encoder import encoder_onnx, largest_difference
from ecgpipe.apply_model.export.patients import SPLITS, patients_json
from ecgpipe.stages.apply.content import content_and_model
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.train_ecg.trained_model import ModelEncoder

_ECGS_CHECKED = 64


def run_export(experiment: Experiment, folder: Path, *, with_patients: bool = True) -> StageResult:
    """Export the model of an evaluated run; a folder of an older export is replaced.

    Args:
        experiment: of the run.
        folder: to write; absent, empty, or an export.
        with_patients: whether salted digests of patient ids go along.

    Raises:
        CheckpointError: the run is not trained and evaluated, or its ONNX encoder computes other
            vectors. Nothing is written.
        StoreError: the folder holds other files or cannot be written, or a prompt has no vector.
    """
    check_target(folder)
    content, model = content_and_model(experiment)
    slots = experiment.scored.slots[:_ECGS_CHECKED]
    signals, of_torch = experiment.signals.read, ModelEncoder(model, experiment.signals.read)
    vectors = of_torch.encode_ecg(slots)
    encoder = encoder_onnx(model.cpu(), content.contract)
    difference = largest_difference(encoder, signals(slots), vectors)
    files: dict[str, bytes | Path] = {
        **content_files(content),
        WEIGHTS: experiment.workspace.model / "model.safetensors",
        ENCODER: encoder,
        CARD: card(content).encode(),
    }
    if with_patients:
        # Training kept them, with those of the models it began with; before, it kept none.
        kept = experiment.workspace.run / PATIENTS
        parts = {split: experiment.records.of_split(split).patients for split in SPLITS}
        files[PATIENTS] = kept if kept.exists() else patients_json(parts)
    write_folder(folder, files)
    return _result(folder, files, difference, len(slots))


def _result(folder: Path, files: Files, difference: float, n_checked: int) -> StageResult:
    size = sum((folder / name).stat().st_size for name in files)
    line = (
        f"{len(files) + 1} files ({size / 1e6:,.1f} MB) written to {folder}; encoder.onnx differs"
        f" from torch by at most {difference:.1g} on {n_checked} ECGs of the run. Read"
        f" {folder / CARD} and answer its question about the licence before you pass it on"
    )
    summary = {
        "folder": str(folder),
        "files": sorted(files),
        "bytes": size,
        "onnx_difference": difference,
        "onnx_ecgs": n_checked,
    }
    return StageResult("export", True, line, summary)
