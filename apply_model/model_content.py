"""All that a trained model needs to answer, whether it lies in a run or in an exported folder.

Owns its shape. Knows no file and no torch. D = joint width, W = width of a text vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.applied_task import AppliedTask
from ecgpipe.apply_model.contract import Contract
from ecgpipe.config.settings import Language
from ecgpipe.config.text import TextConfig
from ecgpipe.files import digest_of

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ModelContent:
    """A trained model without its weights."""

    name: str
    """Of the run."""

    notice: str
    """One line to show above every answer; often empty."""

    contract: Contract
    shape: Mapping[str, Any]
    """The fields of `ModelShape`."""

    weights_sha256: str
    """Of model.safetensors."""

    text: TextConfig
    """The language model, and the prompts of both languages."""

    vectors: str
    """Digest of the fingerprint of the language model's vectors."""

    tasks: Mapping[str, AppliedTask]
    """By name; findings first."""

    prompts: Mapping[str, Vectors]
    """Unit vectors by `prompts_name`: (wordings, D) of a task's classes in the order of
    `flattened(task.wordings(language))`, and those of their members."""

    prompt_nearness: Mapping[str, Vectors]
    """By `prompts_name`: (wordings,) cosine of each prompt to the nearest of `trained_texts`."""

    trained_texts: npt.NDArray[np.float16]
    """(n, W) vectors of the language model of texts that were trained on, minus their mean, or
    (n, K) on the model's axes, scaled to length 1; only of texts that several patients share. Not
    the texts themselves."""

    taxonomy: bytes
    """The CSV of the list of findings."""

    about: Mapping[str, Any]
    """Facts for the model's card: data, training, software; nothing of a single record."""

    @property
    def digest(self) -> str:
        """Changes when the vector of an ECG may: weights or preprocessing."""
        return digest_of({"weights": self.weights_sha256, "contract": self.contract.as_dict()})


def prompts_name(task: str, language: Language, *, members: bool = False) -> str:
    """The name of a task's vectors in one language."""
    return f"{task}/{language}/{'members' if members else 'classes'}"


def member_texts(task: AppliedTask, language: Language) -> list[str]:
    """The names of all members of a task's classes, in the order of their vectors."""
    return [names[language] for c in task.classes for names in c.member_names]
