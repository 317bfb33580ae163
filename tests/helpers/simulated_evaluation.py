"""Records of a simulated evaluation, a model that knows everything and one that knows nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.config.evaluate import EvalConfig
from ecgpipe.evaluate.evaluation import EvaluationInputs
from ecgpipe.evaluate.tasks.task import load_task
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.stopping import Stop

TAXONOMY = load_taxonomy("ptbxl")
CHOICES = ("NORM", "IMI", "LVH", "CLBBB", "AFIB", "SR", "STACH", "1AVB")
TASKS = [load_task(name, TAXONOMY, set(CHOICES)) for name in ("findings", "superclass", "rhythm")]
CONFIG = EvalConfig(bootstrap_draws=200)


def records(n: int, split: str, seed: int = 0) -> RecordsTable:
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        chosen = rng.choice(len(CHOICES), rng.integers(1, 3), replace=False)
        rows.append(
            Record(
                slot=number,
                record_id=f"{split}{number}",
                patient_id=f"{split}-p{number // 2}",
                source="t",
                split=split,
                findings=TAXONOMY.resolve_all([CHOICES[place] for place in chosen]),
            )
        )
    return RecordsTable(tuple(rows), {})


class Oracle:
    """Knows every record's findings; a wording's vector is that of the findings it covers."""

    def __init__(self, table: RecordsTable) -> None:
        self._ids = [finding.id for finding in TAXONOMY.findings]
        self._table = table

    def encode_ecg(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        rows = [self._vector(self._table.records[slot].findings) for slot in slots]
        return np.array(rows, np.float32).reshape(len(slots), len(self._ids))

    def encode_blank(self) -> npt.NDArray[np.float32]:
        return self._vector(())

    def encode_text(
        self, texts: Sequence[str], language: str | None = None
    ) -> npt.NDArray[np.float32]:
        members = {finding.japanese: frozenset({finding.id}) for finding in TAXONOMY.findings}
        members |= {c.names["ja"]: c.members for task in TASKS for c in task.classes}
        return np.stack([self._vector(tuple(members[text])) for text in texts])

    def _vector(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        # Unequal weights, so that two findings of one ECG do not tie: a tie counts as a miss.
        vector = np.array(
            [(i in ids) * (1 + n / 1000) for n, i in enumerate(self._ids)], np.float32
        )
        return vector / max(np.linalg.norm(vector), 1)


class Noise:
    """Looks at nothing."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def encode_ecg(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return np.random.default_rng(self._seed).normal(size=(len(slots), 8)).astype(np.float32)

    def encode_blank(self) -> npt.NDArray[np.float32]:
        return np.ones(8, np.float32)

    def encode_text(
        self, texts: Sequence[str], language: str | None = None
    ) -> npt.NDArray[np.float32]:
        return np.random.default_rng(9).normal(size=(len(texts), 8)).astype(np.float32)


SCORED, TRAINED_ON = records(400, "test"), records(800, "train", seed=1)


def inputs(model: object, **changed: Any) -> EvaluationInputs:
    """What `evaluate` is given: the simulated records and one untrained model."""
    usual = {
        "untrained": [Noise(1)], "tasks": TASKS, "scored": SCORED, "trained_on": TRAINED_ON,
        "config": CONFIG, "language": "ja", "stop": Stop(),
    }  # fmt: skip
    return EvaluationInputs(model=model, **(usual | changed))
