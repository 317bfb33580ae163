"""The rung `written`: a connector between a run's encoder and its language model, trained once.

Owns what makes a writer stale, and the first line that says what training it takes.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.cache.records_table import Record
from ecgpipe.config.settings import Language
from ecgpipe.errors import CheckpointError, SourceError
from ecgpipe.files import digest_of, only_one
from ecgpipe.progress import progress, say
from ecgpipe.provenance import provenance
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.references import with_reports
from ecgpipe.stopping import Stop
from ecgpipe.write_report.writer import N_TOKENS, WrittenReports, read_writer, save_writer
from ecgpipe.write_report.writer_cost import (
    MOST_TOKENS,
    ReportTokens,
    Writer,
    memory_bytes,
    operations,
)
from ecgpipe.write_report.writer_training import Examples, n_epochs, train_connector

if TYPE_CHECKING:
    from ecgpipe.embed_text.causal_model import CausalModel

_VERSION = 1  # raised when the same key would give another writer
_ENCODED_AT_ONCE = 256
_GIB = 1 << 30


def written_reports(
    experiment: Experiment, model: AppliedModel, language: Language, stop: Stop | None
) -> WrittenReports:
    """What the run's language model writes of its encoder's ECGs.

    Args:
        experiment: whose run is trained and evaluated.
        model: of that run.
        language: of reports that are made of findings.
        stop: checked while the connector is trained if that was not done yet; None: it must have
            been.

    Raises:
        CheckpointError: it is not trained, and must have been.
        ModelError: text.model is no language model that can write.
        SourceError: no training ECG has a report.
        StoppedEarly: a stop was requested; what is trained is saved.
    """
    key = writer_key(experiment, model, language)
    folder = experiment.workspace.writer(key)
    found = read_writer(folder, key)
    if found is None and stop is None:
        raise CheckpointError(
            f"{experiment.workspace.run} has no trained writer of reports in the language"
            f" {language!r}. Run `ecgpipe eval-reports --language {language}`, which trains it."
        )
    writing = _load(experiment, stop)
    if found is None:
        assert stop is not None
        with only_one(experiment.workspace.run_lock, "trains this run"):
            _train(experiment, model, writing, language, key, stop)
        found = read_writer(folder, key)
        assert found is not None, "training ended without a writer"
    connector, card = found
    return WrittenReports(
        digest=card["sha256"],
        model=model,
        connector=connector.to(writing.device),
        writing=writing,
        limit=card["limit"],
    )


def writer_key(experiment: Experiment, model: AppliedModel, language: Language) -> str:
    """A digest of what a trained writer depends on."""
    return digest_of(
        {
            "version": _VERSION,
            "encoder": model.digest,
            "language_model": experiment.fingerprint.digest,
            "records": experiment.prepared.digest,
            "source": experiment.config.text.source,
            "language": language if experiment.config.text.source == "findings" else None,
        }
    )


def _load(experiment: Experiment, stop: Stop | None) -> "CausalModel":
    # Imported here because transformers takes seconds, and a rung may be left out before.
    import torch

    from ecgpipe.embed_text.causal_model import CausalModel
    from ecgpipe.torch_device import own_device
    from ecgpipe.train_ecg.loop.arithmetic import choose_arithmetic
    from ecgpipe.train_ecg.loop.ranks import Ranks

    device = own_device()
    precision = choose_arithmetic(experiment.config.train.precision, device, Ranks()).precision
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    with (Stop() if stop is None else stop).at_once("the language model was loading"):
        return CausalModel(experiment.model_files, dtype, device)


def _train(
    experiment: Experiment,
    model: AppliedModel,
    writing: "CausalModel",
    language: Language,
    key: str,
    stop: Stop,
) -> None:
    began = time.monotonic()
    train, validation = [
        _examples(experiment, model, writing, split, language) for split in ("train", "val")
    ]
    if not train.ids:
        raise SourceError(
            f"No record of the training split has {experiment.config.text.source}, so there is"
            " nothing to learn to write. Check data.split and text.source."
        )
    say(_estimate(writing, train))
    folder = experiment.workspace.writer(key)
    checkpoint = folder / "checkpoint.safetensors"
    trained = train_connector(writing, train, validation, checkpoint, key, stop)
    about = {
        "key": key,
        "encoder": {"run": experiment.config.name, "digest": model.digest},
        "language_model": {
            "name": experiment.model_files.named,
            "fingerprint": experiment.fingerprint.digest,
        },
        "data": {
            "records": experiment.prepared.digest,
            "source": experiment.config.text.source,
            "train": len(train.ids),
            "val": len(validation.ids),
        },
        "language": language,
        "tokens": N_TOKENS,
        "limit": max(map(len, train.ids)),
        "training": {
            "epochs": len(trained.losses),
            "best_epoch": trained.best_epoch,
            "val_loss": trained.losses,
            "minutes": round((time.monotonic() - began) / 60, 1),
        },
        "provenance": provenance(),
    }
    save_writer(folder, trained.connector, about)
    checkpoint.unlink(missing_ok=True)


def _examples(
    experiment: Experiment,
    model: AppliedModel,
    writing: "CausalModel",
    split: str,
    language: Language,
) -> Examples:
    """The ECGs of a split with a report: tokens of their feature maps, and of the report."""
    records, texts = with_reports(experiment, experiment.taught.of_split(split).records)
    ids = writing.token_ids([text[language] for text in texts]) if texts else []
    n_cut = sum(len(text) > MOST_TOKENS for text in ids)
    if n_cut:
        say(f"writer: {n_cut:,} reports of the {split} split are cut at {MOST_TOKENS} tokens")
    return Examples(
        _feature_tokens(experiment, model, records, split), [text[:MOST_TOKENS] for text in ids]
    )


def _feature_tokens(
    experiment: Experiment, model: AppliedModel, records: Sequence[Record], split: str
) -> npt.NDArray[np.float16]:
    slots = np.array([record.slot for record in records], np.int64)
    blocks = []
    with progress(f"writer {split}", len(slots), "ECGs") as tick:
        for start in range(0, len(slots), _ENCODED_AT_ONCE):
            some = slots[start : start + _ENCODED_AT_ONCE]
            signal_uv = experiment.signals.read(some)
            blocks.append(model.feature_tokens(signal_uv, N_TOKENS).astype(np.float16))
            tick(len(some))
    return np.concatenate(blocks) if blocks else np.empty((0, N_TOKENS, 0), np.float16)


def _estimate(writing: "CausalModel", train: Examples) -> str:
    """What training takes, before it begins; the line of progress then says how long."""
    writer = Writer(**asdict(writing.facts), features=train.tokens_NPF.shape[2])
    lengths = [len(text) for text in train.ids]
    learned = ReportTokens(reports=len(lengths), tokens=sum(lengths), longest=max(lengths))
    flop = operations(writer, learned)
    return (
        f"writer: {writer.trained / 1e6:,.1f} million numbers are trained through a frozen language"
        f" model of {writer.parameters / 1e6:,.0f} million, on {learned.reports:,} reports in"
        f" {n_epochs(learned.reports)} epochs: about"
        f" {memory_bytes(writer, learned) / _GIB:,.1f} GiB of memory and"
        f" {flop / 1e15:,.2f} PFLOP ({flop / 4e14 / 60:,.1f} min on a GPU that does 400 TFLOP/s,"
        " such as an H100 in bfloat16)"
    )
