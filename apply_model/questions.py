"""Findings of one's own wording: where the texts come from, and how far they lie from training.

Owns the file of questions. The vectors are the model's business.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.prediction import QuestionAnswer
from ecgpipe.apply_model.reach import SAME, Reach
from ecgpipe.config.settings import Language
from ecgpipe.errors import ConfigError
from ecgpipe.files import decode_text

if TYPE_CHECKING:
    from ecgpipe.apply_model.applied_model import AppliedModel

_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Questions:
    """Wordings with their vectors. Q = questions, D = joint width."""

    texts: tuple[str, ...]
    vectors_QD: npt.NDArray[np.float32]
    distances: tuple[float | None, ...]
    """1 - the highest cosine to a text that was trained on, where the model places texts."""

    reach: Reach | None = None

    @property
    def beyond(self) -> tuple[bool | None, ...]:
        """Whether each lies farther than was measured better than chance; None: not measured."""
        return tuple(
            None if distance is None or self.reach is None else self.reach.is_beyond(distance)
            for distance in self.distances
        )

    def warnings(self) -> Iterator[str]:
        """A line for each question that lies too far, or one that nobody measured how far is."""
        if self.reach is None:
            if any(distance is None or distance > SAME for distance in self.distances):
                yield (
                    "how far from the texts trained on a question may lie was not measured for this"
                    " model (analysis wordings): its answer may be worth nothing"
                )
            return
        limit, tried = self.reach.limit, self.reach.tried
        for text, distance, beyond in zip(self.texts, self.distances, self.beyond, strict=True):
            if beyond and limit is None:
                yield (
                    f"“{text}” is no text that was trained on, and of {tried:,} other wordings not"
                    " even the nearest were scored better than chance: its answer is worth nothing"
                )
            elif beyond:
                yield (
                    f"“{text}” lies {distance:.3f} from the nearest text trained on; beyond"
                    f" {limit:.3f} wordings were scored no better than chance ({tried:,} tried)"
                )

    def answers(self, ecg_D: npt.NDArray[np.float32]) -> tuple[QuestionAnswer, ...]:
        """How well one ECG fits each."""
        cosines = (self.vectors_QD @ ecg_D).tolist()
        return tuple(
            QuestionAnswer(text=text, cosine=cosine, distance=distance, beyond=beyond)
            for text, cosine, distance, beyond in zip(
                self.texts, cosines, self.distances, self.beyond, strict=True
            )
        )


def ask(model: "AppliedModel", texts: Sequence[str], language: Language | None = None) -> Questions:
    """Find the vectors of wordings.

    Args:
        model: whose kept prompts or language model know them.
        texts: such as 完全左脚ブロック; repeated ones count once.
        language: of the prompt; None: the one that each text is written in.

    Raises:
        ConfigError: a text is empty, or no Unicode.
        ModelError: a text has no kept vector, and the language model is not at hand; the message
            says which command would fetch it.
    """
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return Questions((), np.empty((0, 0), np.float32), ())
    vectors_QD = model.encode_texts(distinct, language)
    near = model.nearness(distinct, language)
    distances = tuple(None if np.isnan(n) else round(1 - float(n), 4) for n in near)
    reach = Reach.of(model.content.about)
    return Questions(tuple(distinct), vectors_QD, distances, reach)


def read_questions(path: Path) -> list[str]:
    """The questions of a text file, one a line; blank lines are skipped.

    Raises:
        ConfigError: it is missing, too large, no text, or empty.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"--ask-file {path} is larger than 1 MB. Write one question a line.")
        text = decode_text(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"--ask-file {path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise ConfigError(f"--ask-file {path} is no text in UTF-8 or Shift-JIS.") from None
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise ConfigError(f"--ask-file {path} holds no question. Write one a line.")
    return found
