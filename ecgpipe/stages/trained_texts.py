"""The texts that a run was trained on, as vectors that may leave it.

Owns which are kept, to tell how far another text lies from them, and which tasks ask for groups of
findings in words that were trained on.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.evaluate.metrics.nearness import unit_rows
from ecgpipe.evaluate.tasks.ensemble import flattened
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.texts import (
    bank_sentences,
    class_sentences,
    parent_sentences,
    with_texts,
)

PlaceTexts = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Vectors of the language model to where they lie for a model."""

SHARED_BY = 5
"""Patients that must share a text before its vector leaves the run."""

_MOST_TEXTS = 4096


def trained_texts(
    experiment: Experiment, vectors: VectorCache, place_texts: PlaceTexts
) -> npt.NDArray[np.float16]:
    """(n, W or K) where texts lie that at least SHARED_BY training patients have, as unit vectors.

    A language model's vector can give its text away, and a text of one patient may say who it is;
    one that several patients share cannot. Of more than 4,096 those with the smallest keys.
    """
    split = experiment.taught.of_split("train")
    text, style = experiment.config.text, experiment.config.train.text
    echo = experiment.echo_definitions
    records, texts = with_texts(split, experiment.taxonomy, text, style, echo)
    patients: dict[str, set[str]] = {}
    for patient, sentences in zip(records.patients, texts, strict=True):
        for sentence in sentences:
            patients.setdefault(sentence, set()).add(patient)
    shared = [sentence for sentence, who in patients.items() if len(who) >= SHARED_BY]
    if not shared:
        return place_texts(np.empty((0, vectors.dim), np.float32)).astype(np.float16)
    if text.wordings == "bank":
        said = bank_sentences(experiment.taxonomy, text)
        shared = [sentence for name in shared for sentence in said.get(name, [name])]
    keys = keys_of(shared)
    order = np.argsort(keys.view("V32").reshape(-1))[:_MOST_TEXTS]
    return unit_rows(place_texts(vectors.vectors(keys[order]))).astype(np.float16)


def tasks_trained_on(experiment: Experiment) -> frozenset[str]:
    """The names of the tasks that are not zero-shot: training read a wording of one of their
    classes, in the language it is scored in, as a group of text.parents.

    The names of findings, which training reads anyway, make no task one of these.
    """
    text = experiment.config.text
    parents = parent_sentences(experiment.taxonomy, text)
    shown = experiment.taught.of_split("train").findings
    read = {sentence for finding in shown for sentence in parents.get(finding, ())}
    asked = {
        task.name: class_sentences(flattened(task.wordings(text.language))[0], text, task.language)
        for task in experiment.tasks
    }
    return frozenset(name for name, sentences in asked.items() if not read.isdisjoint(sentences))
