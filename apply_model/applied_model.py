"""A trained model that answers: encode ECGs, encode texts, score.

Owns the arithmetic between a window and a score, which is evaluation's own; where a text's vector
comes from; and loading an exported folder. Does not know how its content was made.
N = ECGs, S = samples, D = joint width, W = width of a text vector, C = classes.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.applied_task import AppliedTask, FindingScore
from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.ecg import Ecg, ecg_of_array, read_ecg
from ecgpipe.apply_model.export.model_folder import WEIGHTS, read_folder
from ecgpipe.apply_model.export.model_hub import hub_folder, is_hub_name
from ecgpipe.apply_model.model_content import ModelContent, Vectors, member_texts, prompts_name
from ecgpipe.apply_model.text_model import load_language_model
from ecgpipe.config.settings import Language
from ecgpipe.embed_text.prompts import fill_prompt, language_of, normalise
from ecgpipe.errors import CheckpointError, ConfigError
from ecgpipe.evaluate.metrics.nearness import nearest
from ecgpipe.evaluate.tasks.ensemble import class_scores, flattened
from ecgpipe.evaluate.tasks.task_file import LANGUAGES
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.train_ecg.trained_model import ModelEncoder, load_tensors
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers

if TYPE_CHECKING:
    from ecgpipe.embed_text.direct import SentenceEncoder

_NO_SIGNALS = np.empty((0, len(LEADS), 0), np.int16)


class AppliedModel:
    """A trained model with its prompts, thresholds and calibration."""

    def __init__(
        self, content: ModelContent, model: TwoTowers, text_model: str | None = None
    ) -> None:
        """Put a model to use.

        Args:
            content: what it needs besides weights.
            model: the weights.
            text_model: a folder or file of its language model; None: where its name leads. Looked
                at only when a text without a kept vector is asked for.
        """
        self.content = content
        self._model = model.eval()
        self._text_model = text_model

    @property
    def contract(self) -> Contract:
        """The preprocessing it demands."""
        return self.content.contract

    @property
    def tasks(self) -> Mapping[str, AppliedTask]:
        """By name; findings first."""
        return self.content.tasks

    @property
    def digest(self) -> str:
        """Changes when the vector of an ECG may."""
        return self.content.digest

    def read(self, path: str | Path) -> Ecg:
        """Read a recording of any format that the project reads.

        Raises:
            RecordError: it cannot be read, or does not give the window that the model demands.
        """
        return read_ecg(Path(path), self.contract)

    def window(
        self,
        signal_mv: npt.NDArray[np.float32],
        rate_hz: float,
        leads: Sequence[str] = LEADS,
    ) -> Ecg:
        """Take an array (leads, samples) in millivolts; NaN is no reading.

        Raises:
            RecordError: it does not give the window that the model demands.
            ValueError: the array's shape does not fit `leads`.
        """
        return ecg_of_array(signal_mv, rate_hz, self.contract, leads)

    def encode_ecg(self, signal_uv: npt.NDArray[np.int16]) -> Vectors:
        """(N, D) unit vectors of windows.

        Args:
            signal_uv: (N, 12, S) int16 in µV, as `Ecg.signal_uv`.

        Raises:
            ValueError: it has another shape or type than the contract demands.
        """
        self._check(signal_uv)
        return self._encoder(signal_uv).encode_ecg(np.arange(len(signal_uv)))

    def feature_tokens(self, signal_uv: npt.NDArray[np.int16], n_tokens: int) -> Vectors:
        """(N, n_tokens, F) the encoder's features of windows, as means over equal parts of the
        time. Raises as `encode_ecg`."""
        self._check(signal_uv)
        return self._encoder(signal_uv).feature_tokens(np.arange(len(signal_uv)), n_tokens)

    def _check(self, signal_uv: npt.NDArray[np.int16]) -> None:
        wanted = (len(LEADS), self.contract.samples)
        if signal_uv.shape[1:] != wanted or signal_uv.dtype != np.int16:
            raise ValueError(
                f"windows of (N, {wanted[0]}, {wanted[1]}) int16 µV are needed, not"
                f" {signal_uv.shape} {signal_uv.dtype}"
            )

    def encode_texts(self, texts: Sequence[str], language: Language | None = None) -> Vectors:
        """(N, D) unit vectors of wordings such as 完全左脚ブロック, each put into its prompt.

        Wordings of the model's own tasks, in upper or lower case, have kept vectors; others are
        read by the language model.

        Args:
            texts: one or more.
            language: of the prompt; None: the one that each text is written in.

        Raises:
            ConfigError: a text is empty, or no Unicode.
            ModelError: a text has no kept vector, and the language model is not at hand.
        """
        sentences = self._sentences(texts, language)
        kept = self._kept
        found = {s: kept[s.casefold()] for s in sentences if s.casefold() in kept}
        if missing := [s for s in dict.fromkeys(sentences) if s not in found]:
            vectors = self._encoder().encode_vectors(self._language_model.vectors(missing))
            found |= dict(zip(missing, vectors, strict=True))
        width = int(self.content.shape["projection_dim"])
        return np.array([found[s] for s in sentences], np.float32).reshape(-1, width)

    def nearness(self, texts: Sequence[str], language: Language | None = None) -> Vectors:
        """(N,) cosine of each text to the nearest one trained on, where the model places texts.

        NaN if the model keeps no trained texts. Raises as `encode_texts`.
        """
        sentences = self._sentences(texts, language)
        kept = self._kept_nearness
        found = {s: kept[s.casefold()] for s in sentences if s.casefold() in kept}
        if missing := [s for s in dict.fromkeys(sentences) if s not in found]:
            placed = self._encoder().place_texts(self._language_model.vectors(missing))
            near = nearest(placed, self.content.trained_texts)
            found |= dict(zip(missing, near, strict=True))
        return np.array([found[s] for s in sentences], np.float32)

    def scores(
        self, ecgs_ND: Vectors, task: str | None = None, language: Language | None = None
    ) -> Vectors:
        """(N, C) cosines of ECGs and a task's classes, computed as evaluation computes them.

        Args:
            ecgs_ND: as `encode_ecg` gives them.
            task: its name; None: the first, which is `findings` if the model has it.
            language: of the prompts; None: the one that the task was evaluated in, to which alone
                its thresholds and calibration belong.

        Raises:
            ConfigError: there is no such task.
        """
        one = self.task(task)
        spoken = language or one.language
        _, class_of_M = flattened(one.wordings(spoken))
        texts_MD = self.content.prompts[prompts_name(one.name, spoken)]
        return class_scores(ecgs_ND, texts_MD, class_of_M, one.ensemble)

    def probabilities(self, scores_NC: Vectors, task: str | None = None) -> npt.NDArray[np.float64]:
        """(N, C) calibrated probabilities of a task's scores in its own language; NaN for a class
        without calibration. Raises as `scores`."""
        return self.task(task).probabilities(scores_NC)

    def score(self, ecg: Ecg, task: str | None = None) -> list[FindingScore]:
        """All classes of a task for one ECG, the best first. Raises as `scores`."""
        one = self.task(task)
        scores_NC = self.scores(self.encode_ecg(ecg.signal_uv[None]), task)
        return one.ranked(scores_NC[0], one.probabilities(scores_NC)[0])

    def task(self, name: str | None = None) -> AppliedTask:
        """A task by its name; the first for None.

        Raises:
            ConfigError: there is none.
        """
        if not self.tasks or (name is not None and name not in self.tasks):
            known = ", ".join(self.tasks) or "none"
            raise ConfigError(f"This model has no task {name or 'at all'}. It has: {known}.")
        return self.tasks[name] if name is not None else next(iter(self.tasks.values()))

    def _encoder(self, signal_uv: npt.NDArray[np.int16] = _NO_SIGNALS) -> ModelEncoder:
        return ModelEncoder(self._model, signal_uv.__getitem__)

    def _sentences(self, texts: Sequence[str], language: Language | None) -> list[str]:
        for text in texts:
            if not normalise(text):
                raise ConfigError("A wording is empty. Write a finding, such as 完全左脚ブロック.")
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ConfigError("A wording is no text in UTF-8. Write it anew.")
        prompt_in = self.content.text.prompt_in
        return [fill_prompt(prompt_in(language or language_of(text)), text) for text in texts]

    @cached_property
    def _kept(self) -> dict[str, Vectors]:
        """The vectors of all prompts, by their sentence in lower case."""
        return self._by_sentence(self.content.prompts)

    @cached_property
    def _kept_nearness(self) -> dict[str, Vectors]:
        return self._by_sentence(self.content.prompt_nearness)

    def _by_sentence(self, rows_of: Mapping[str, Vectors]) -> dict[str, Vectors]:
        """Rows of arrays named by `prompts_name`, by the sentence of each in lower case."""
        found: dict[str, Vectors] = {}
        for task in self.tasks.values():
            for language in LANGUAGES:
                own, _ = flattened(task.wordings(language))
                for texts, members in ((own, False), (member_texts(task, language), True)):
                    rows = rows_of[prompts_name(task.name, language, members=members)]
                    sentences = map(str.casefold, self._sentences(texts, language))
                    found |= dict(zip(sentences, rows, strict=True))
        return found

    @cached_property
    def _language_model(self) -> "SentenceEncoder":
        return load_language_model(self.content.text, self.content.vectors, self._text_model)


def load_model(folder: str | Path, *, text_model: str | None = None) -> AppliedModel:
    """Load a model that `ecgpipe export` wrote.

    Args:
        folder: checked against its manifest before anything is read; or a model on the Hugging
            Face hub with its commit, such as hospital/model@0123..., downloaded once.
        text_model: a folder or file of its language model, for texts without a kept vector.

    Raises:
        CheckpointError: it is no exported folder, damaged, or of another format or contract; or it
            cannot be downloaded.
        ConfigError: a hub model without a commit.
    """
    folder = hub_folder(str(folder)) if is_hub_name(str(folder)) else Path(folder)
    content = read_folder(folder)
    model = TwoTowers(ModelShape(**content.shape))
    try:
        model.load_state_dict(load_tensors(folder / WEIGHTS))
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} is not the model that its config.json describes: {error}"
        ) from error
    return AppliedModel(content, model, text_model)
