"""Where torch meets the other rooms: building, training and applying a model.

Owns the translation from wording to vector: evaluation uses words, the model takes vectors of the
language model, and the cache finds these by key. Importing it imports torch, so stages do so late.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.settings import Language
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import CheckpointError, SourceError
from ecgpipe.evaluate.analyses.retrieval import mean_reciprocal_rank
from ecgpipe.evaluate.analyses.unread.spoken import held_out_auroc
from ecgpipe.evaluate.evaluation import validation_metrics
from ecgpipe.evaluate.metrics.calibration import PairLogits
from ecgpipe.evaluate.tasks.task import Task
from ecgpipe.evaluate.tasks.wordings import load_bank
from ecgpipe.processes import is_first
from ecgpipe.progress import say
from ecgpipe.provenance import provenance
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.init_from import SourceModel
from ecgpipe.stages.texts import (
    bank_sentences,
    class_sentences,
    echo_sentences,
    with_sentence,
    with_texts,
)
from ecgpipe.stopping import Stop
from ecgpipe.train_ecg.data.pairing import pad_rows
from ecgpipe.train_ecg.data.placement import TrainSignals
from ecgpipe.train_ecg.data.wording_draws import as_often_as_drawn
from ecgpipe.train_ecg.loop.step_profile import StepProfile, profile_step
from ecgpipe.train_ecg.loop.training import Trained, TrainingData, TrainInputs, train
from ecgpipe.train_ecg.losses.objective import RecordTexts, Unlabelled
from ecgpipe.train_ecg.starting_point import StartingPoint
from ecgpipe.train_ecg.trained_model import ChangeSignals, ModelEncoder, load_model, load_tensors
from ecgpipe.train_ecg.two_towers import ModelShape, initialised


class ScoringModel:
    """A model that encodes stored ECGs, and class wordings through the kept vectors."""

    def __init__(self, encoder: ModelEncoder, vectors: VectorCache, text: TextConfig) -> None:
        self._encoder = encoder
        self._vectors = vectors
        self._text = text

    def encode_ecg(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(n, D) unit vectors of the ECGs in these slots."""
        return self._encoder.encode_ecg(slots)

    def encode_blank(self) -> npt.NDArray[np.float32]:
        """(D,) unit vector of a recording that is 0 mV throughout."""
        return self._encoder.encode_blank()

    def encode_text(
        self, texts: Sequence[str], language: Language | None = None
    ) -> npt.NDArray[np.float32]:
        """(n, D) unit vectors of wordings, put into the prompt of a language."""
        return self.encode_sentences(class_sentences(texts, self._text, language))

    def encode_sentences(self, sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, D) unit vectors of whole sentences, which already are prompts."""
        return self._encoder.encode_vectors(self._vectors.vectors(keys_of(sentences)))


class TrainedModel(ScoringModel):
    """A model that no longer changes, so it remembers the features of ECGs it has encoded.

    Several analyses use the same splits, and encoding takes most of their time.
    """

    def __init__(self, encoder: ModelEncoder, vectors: VectorCache, text: TextConfig) -> None:
        super().__init__(encoder, vectors, text)
        self._features_of: dict[bytes, npt.NDArray[np.float32]] = {}

    def encode_ecg(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(n, D) unit vectors of the ECGs in these slots."""
        return self._encoder.project(self.features(slots))

    def features(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(n, F) the encoder's features of these ECGs, before the projection."""
        key = slots.tobytes()
        if key not in self._features_of:
            self._features_of[key] = self._encoder.features(slots)
        return self._features_of[key]

    def text_vectors(
        self, texts: Sequence[str], language: Language | None
    ) -> npt.NDArray[np.float32]:
        """(n, W) the language model's own vectors of wordings, put into their prompt."""
        return self._vectors.vectors(keys_of(class_sentences(texts, self._text, language)))

    @property
    def text_mean(self) -> npt.NDArray[np.float32]:
        """(W,) what is subtracted from a vector of the language model."""
        return self._encoder.text_mean

    def place_texts(self, text_NW: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, W) text vectors, centred; (n, K) on the model's axes if it has any."""
        return self._encoder.place_texts(text_NW)

    def encode_changed(
        self, slots: npt.NDArray[np.int64], change: ChangeSignals
    ) -> npt.NDArray[np.float32]:
        """(n, D) unit vectors of these ECGs after `change`."""
        return self._encoder.encode_changed(slots, change)

    @property
    def logits(self) -> PairLogits:
        """How the model turns a cosine into a logit."""
        return PairLogits(*self._encoder.pair_logits)


def train_model(
    experiment: Experiment,
    key: str,
    task: Task,
    stop: Stop,
    on_begin: Callable[[], None],
    source: SourceModel | None = None,
) -> Trained:
    """Train the experiment's model.

    Args:
        experiment: the settings and data.
        key: identifies the run.
        task: ranks checkpoints on the validation split.
        stop: checked between steps.
        on_begin: called once no setting can be refused any more, before the run's folder is read.
        source: the model to begin with, checked; None for random weights.

    Raises:
        SourceError: no training record has a text.
        Others as `ecgpipe.train_ecg.loop.training.train`.
    """
    config = experiment.config
    vectors = experiment.open_vectors()
    data = training_data(experiment, vectors)
    val = experiment.taught.of_split("val")
    validation, sentences = with_sentence(val, experiment.taxonomy, config.text)
    ranked = val if task.kind == "partly_known" else validation

    def on_validate(encoder: ModelEncoder) -> Mapping[str, float]:
        model = ScoringModel(encoder, vectors, config.text)
        if by == "retrieval_mrr":
            ecgs = model.encode_ecg(validation.slots)
            return {by: mean_reciprocal_rank(ecgs, sentences, model.encode_sentences)}
        least = config.eval.min_positives
        values = validation_metrics(model, task, ranked, least, config.text.language)
        if by == "wordings":
            bank = load_bank(experiment.taxonomy)
            taxonomy = experiment.taxonomy
            values[by] = held_out_auroc(model, validation, taxonomy, bank, least)
        return values

    by = experiment.train_config.best_by

    shape = model_shape(experiment, data.texts.vectors_RW.shape[1])
    return train(
        TrainInputs(
            config=experiment.train_config,
            shape=shape,
            data=data,
            folder=experiment.workspace.run,
            run_key=key,
            about=_about(experiment),
            on_validate=on_validate,
            stop=stop,
            start=_starting_point(experiment, source) if source else None,
            on_begin=on_begin,
        )
    )


def _starting_point(experiment: Experiment, source: SourceModel) -> StartingPoint:
    same_texts = source.vectors == experiment.fingerprint.digest
    shape, weights = ModelShape(**source.shape), load_tensors(source.weights)
    return StartingPoint(str(source.folder), shape, weights, same_texts)


def profile_training(experiment: Experiment, n_steps: int) -> StepProfile:
    """Where the time of a training step goes, with the experiment's model and data.

    Raises as `train_model`; nothing is written.
    """
    data = training_data(experiment, experiment.open_vectors())
    shape = model_shape(experiment, data.texts.vectors_RW.shape[1])
    return profile_step(experiment.config.train, shape, data, n_steps)


def training_data(experiment: Experiment, vectors: VectorCache) -> TrainingData:
    """The training split's signals, and the vectors of each record's texts.

    Raises:
        SourceError: no training record has a text.
        StoreError: a sentence has no vector yet.
    """
    text, style = experiment.config.text, experiment.config.train.text
    split = experiment.taught.of_split("train")
    if not split.records:
        raise SourceError(
            "The training split is empty. Check data.split and the table's split column."
        )
    echo = experiment.echo_definitions
    records, texts = with_texts(split, experiment.taxonomy, text, style, echo)
    distinct = list(dict.fromkeys(sentence for single in texts for sentence in single))
    if not distinct:
        raise SourceError(_nothing_to_learn(split, experiment.config))
    if len(distinct) == 1 and is_first():
        say(
            f"train: all {len(texts)} records of the training split have the same text, so"
            " there is nothing to learn. Check their findings, and text.source."
        )
    number_of_text = {sentence: number for number, sentence in enumerate(distinct)}
    sentences, wordings_FV = distinct, None
    if text.wordings == "bank":
        sentences, wordings_FV = _worded(distinct, bank_sentences(experiment.taxonomy, text))
    unknown_NU = unlabelled = None
    if echo is not None and style != "sentence":
        of_echo = echo_sentences(echo, text)
        numbers = {each: number_of_text.get(sentence) for each, sentence in of_echo.items()}
        unknown_NU = pad_rows([unknown_texts(record, numbers) for record in records.records])
        unlabelled = _unlabelled(experiment, records, distinct, of_echo)
    number_of = {finding.id: n for n, finding in enumerate(experiment.taxonomy.findings)}
    store = experiment.signals
    return TrainingData(
        signals=TrainSignals(store.read, records.slots, len(store.leads), store.samples),
        texts=RecordTexts(
            texts_NK=pad_rows(
                [[number_of_text[sentence] for sentence in single] for single in texts]
            ),
            labels_NL=pad_rows([[number_of[f] for f in r.findings] for r in records.records]),
            vectors_RW=vectors.vectors(keys_of(sentences)),
            unknown_NU=unknown_NU,
            unlabelled=unlabelled,
            wordings_FV=wordings_FV,
        ),
        read_signals=store.read,
        record_ids=[record.record_id for record in records.records],
    )


def _nothing_to_learn(split: RecordsTable, config: PipelineConfig) -> str:
    source = config.text.source
    if config.train.text == "sentence" and any(r.echo_known for r in split.records):
        return (
            f"No record of the training split has {source}, and with train.text: sentence nothing"
            " is learnt from echocardiograms. Set train.text to all_findings (preset: recommended)."
        )
    return (
        f"No record of the training split has {source}, so there is nothing to learn from. Check"
        " data.split and text.source."
    )


def _unlabelled(
    experiment: Experiment,
    records: RecordsTable,
    texts: Sequence[str],
    of_echo: Mapping[str, str],
) -> Unlabelled | None:
    """The records that are there for their echocardiogram only; None if all are labelled.

    Args:
        experiment: the settings and data.
        records: those of the training split that are learnt from.
        texts: all texts.
        of_echo: those of them that are findings of echocardiography, by finding.
    """
    # Of an ECG without a finding that may be named, somebody still looked for the others.
    all_of_split = experiment.records.of_split("train")
    labelled, _ = with_sentence(all_of_split, experiment.taxonomy, experiment.config.text)
    ids = {record.record_id for record in labelled.records}
    records_N = np.array([record.record_id not in ids for record in records.records], np.bool_)
    if not records_N.any():
        return None
    others = set(of_echo.values())
    return Unlabelled(records_N, np.array([text not in others for text in texts], np.bool_))


def _worded(
    texts: Sequence[str], said: Mapping[str, Sequence[str]]
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """All sentences that may stand for these texts, and which of them do for each, as often as they
    are drawn: itself if no others are known, as of a finding of echocardiography."""
    worded = [said.get(text, (text,)) for text in texts]
    sentences = list(dict.fromkeys(sentence for each in worded for sentence in each))
    row_of = {sentence: row for row, sentence in enumerate(sentences)}
    rows = [[row_of[sentence] for sentence in each] for each in worded]
    return sentences, pad_rows([as_often_as_drawn(each) for each in rows])


def unknown_texts(record: Record, number_of: Mapping[str, int | None]) -> list[int]:
    """The numbers of the texts of which an ECG's echocardiogram does not say whether they are true;
    all if it has none.

    Args:
        record: the ECG.
        number_of: by finding of echocardiography; None for one that no ECG shows, so it has no
            text.
    """
    return [
        number
        for finding, number in number_of.items()
        if number is not None and finding not in record.echo_known
    ]


def model_shape(experiment: Experiment, text_width: int) -> ModelShape:
    """The model these settings and vectors ask for."""
    config, signals = experiment.config, experiment.signals
    n_leads, samples = len(signals.leads), signals.samples
    return ModelShape.of(config.train, n_leads, samples, config.data.rate_hz, text_width)


def load_models(experiment: Experiment, folder: Path) -> tuple[TrainedModel, list[TrainedModel]]:
    """The trained model in `folder`, and untrained ones of its shape for the baseline.

    Raises:
        CheckpointError: the model is damaged, or was trained on other signals or vectors.
    """
    model, card = load_model(folder)
    vectors = experiment.open_vectors()
    expected = replace(
        model_shape(experiment, vectors.dim), text_meanings=card.shape.text_meanings
    )  # which the texts of the training decide
    if card.about["vectors"] != experiment.fingerprint.digest or card.shape != expected:
        raise CheckpointError(
            f"{folder} was trained with different signals, vectors or settings. Run"
            " `ecgpipe train`."
        )
    # What becomes of a text before its projection comes from the data, not from training: for a
    # fair comparison, untrained models get it too.
    seed = experiment.config.eval.seed
    untrained = []
    for number in range(experiment.config.eval.random_encoders):
        other = initialised(card.shape, seed=1_000_003 * (seed + 1) + number)
        other.take_text_map(model)
        untrained.append(_trained_model(experiment, other.eval(), vectors))
    return _trained_model(experiment, model, vectors), untrained


def _trained_model(experiment: Experiment, model: Any, vectors: VectorCache) -> TrainedModel:
    encoder = ModelEncoder(model, experiment.signals.read)
    return TrainedModel(encoder, vectors, experiment.config.text)


def _about(experiment: Experiment) -> dict[str, Any]:
    text = experiment.config.text
    return {
        "leads": list(experiment.signals.leads),
        "signals": experiment.prepared.signals_digest,
        "vectors": experiment.fingerprint.digest,
        "text": {
            "model": experiment.model_files.named,
            "revision": text.revision,
            "prompt": text.prompt,
            "language": text.language,
        },
        "notice": experiment.config.notice,
        "provenance": provenance(),
    }
