"""What is kept of each ECG that was dropped, and what can be asked about it.

Owns the answers, as JSON or a PNG. An ECG's window and vector are kept in memory until others take
their place; its file is not. Every method may take seconds and is called in one thread.
"""

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.applied_task import AppliedTask
from ecgpipe.apply_model.archive import Archive
from ecgpipe.apply_model.explain.explanation import explanation_of, explanation_sheet
from ecgpipe.apply_model.explain.occlusion import Occlusion, occlude
from ecgpipe.apply_model.questions import ask
from ecgpipe.apply_model.server.reading import Reading, prepare, read_folder
from ecgpipe.apply_model.server.turns import Deadline, Refused
from ecgpipe.apply_model.server.uploads import File, placed
from ecgpipe.apply_model.server.words import word
from ecgpipe.config.settings import Language
from ecgpipe.drawing.ecg_chart import Ecg
from ecgpipe.drawing.ecg_sheet import chart_sheet
from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.rendering import render
from ecgpipe.drawing.shapes import Sheet
from ecgpipe.errors import EcgpipeError
from ecgpipe.evaluate.words import in_both
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.read_ecg.signal.window import in_millivolts

KEPT = 64
"""ECGs; with their explanations some 200 kB each."""

N_SIMILAR = 10
_DPI = 150
_LONGEST_QUESTION = 200

Json = dict[str, Any]


@dataclass
class _Kept:
    """One ECG in memory."""

    name: str
    """Of its file; drawn on its sheet, and nowhere else."""

    signal_uv: npt.NDArray[np.int16]
    vector_D: npt.NDArray[np.float32]
    explained: dict[str, Occlusion] = field(default_factory=dict)
    """By task."""


class Desk:
    """A model, an archive perhaps, and the ECGs that were dropped last."""

    def __init__(self, model: AppliedModel, archive: Archive | None, folder: Path) -> None:
        """Begin with no ECG.

        Args:
            model: what is asked.
            archive: of the same model.
            folder: private; the readers' files lie there while they are read.
        """
        prepare()
        self._model = model
        self._archive = archive
        self._folder = folder
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def about(self) -> Json:
        """What the page shows before anything was dropped."""
        content = self._model.content
        return {
            "model": content.name,
            "notice": content.notice,
            "language": content.text.language,
            "n_archive": len(self._archive) if self._archive is not None else None,
            "tasks": [
                {"name": task.name, "title": dict(task.title)}
                for task in self._model.tasks.values()
            ],
        }

    def receive(self, files: Sequence[File], deadline: Deadline) -> Json:
        """Read and score an upload; a bad recording has its reason, and the rest goes on."""
        with placed(files, self._folder) as folder:
            readings = list(read_folder(folder, self._model.contract, deadline))
        return {"ecgs": [self._answer(reading) for reading in readings]}

    def forget(self) -> None:
        """Keep nothing of what was dropped."""
        self._kept.clear()

    def sheet(self, ecg: str, language: Language) -> bytes:
        """A PNG of an ECG.

        Raises:
            Refused: it is not kept.
        """
        signal_uv = self._find(ecg).signal_uv
        signal_mv = in_millivolts(signal_uv)
        return _png(chart_sheet(Ecg(signal_mv, self._model.contract.rate_hz, LEADS), language))

    def explained(
        self, ecg: str, task: str, class_id: str, language: Language, deadline: Deadline
    ) -> bytes:
        """A PNG of an ECG with what a class's score hangs on.

        Raises:
            Refused: the ECG is not kept, there is no such class, or it took too long.
        """
        kept = self._find(ecg)
        classes = self._model.tasks[task].classes if task in self._model.tasks else ()
        ids = [one.id for one in classes]
        if class_id not in ids:
            raise Refused(404, word("not_there"))
        place = ids.index(class_id)
        found = self._occlusion(kept, task, deadline)
        explanation = explanation_of(found, place, classes[place].names)
        rate_hz, notice = self._model.contract.rate_hz, self._model.content.notice
        return _png(
            explanation_sheet(explanation, kept.signal_uv, rate_hz, kept.name, language, notice)
        )

    def ask(self, ecg: str, text: str) -> Json:
        """How well an ECG fits a wording of the user's own.

        Raises:
            Refused: the ECG is not kept, the wording is empty or too long, or it has no vector and
                the language model is not at hand.
        """
        kept, text = self._find(ecg), text.strip()
        if not text or len(text) > _LONGEST_QUESTION:
            raise Refused(400, word("no_question"))
        try:
            (answer,) = ask(self._model, [text]).answers(kept.vector_D)
        except EcgpipeError as error:
            raise Refused(422, word("not_asked", reason=str(error))) from None
        return asdict(answer)

    def similar(self, ecg: str) -> Json:
        """The closest ECGs of the archive, best first.

        Raises:
            Refused: the ECG is not kept, or there is no archive.
        """
        kept = self._find(ecg)
        if self._archive is None:
            raise Refused(404, word("no_archive"))
        cosines, rows = self._archive.closest(kept.vector_D[None], N_SIMILAR)
        pairs = zip(rows[0].tolist(), cosines[0].tolist(), strict=True)
        return {"ecgs": [{"record": self._archive.named(r)[0], "cosine": c} for r, c in pairs]}

    def _find(self, ecg: str) -> _Kept:
        if ecg not in self._kept:
            raise Refused(404, word("forgotten"))
        self._kept.move_to_end(ecg)
        return self._kept[ecg]

    def _answer(self, reading: Reading) -> Json:
        """What is said of a recording; it is kept if it was read."""
        if reading.signal_uv is None:
            return {"name": reading.name, "refusal": reading.refusal}
        vector_D = self._model.encode_ecg(reading.signal_uv[None])[0]
        ecg = secrets.token_hex(8)
        self._kept[ecg] = _Kept(reading.name, reading.signal_uv, vector_D)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return {
            "id": ecg,
            "name": reading.name,
            "remarks": list(reading.remarks),
            "notes": [in_both(note) for note in reading.notes],
            "rate_hz": reading.rate_hz,
            "duration_s": reading.duration_s,
            "heart_rate_bpm": reading.heart_rate_bpm,
            "tasks": {name: self._scores(task, vector_D) for name, task in self._tasks()},
        }

    def _tasks(self) -> Iterable[tuple[str, AppliedTask]]:
        return self._model.tasks.items()

    def _scores(self, task: AppliedTask, vector_D: npt.NDArray[np.float32]) -> list[Json]:
        """All classes of a task, the best first, with what is known of each."""
        scores_NC = self._model.scores(vector_D[None], task.name)
        n_val = {one.id: one.n_val for one in task.classes}
        evaluated: Mapping[str, Mapping[str, Any]] = task.evaluation["classes"]
        return [
            {**asdict(row), "n_val": n_val[row.id], "auroc": evaluated.get(row.id, {}).get("auroc")}
            for row in task.ranked(scores_NC[0], task.probabilities(scores_NC)[0])
        ]

    def _occlusion(self, kept: _Kept, task: str, deadline: Deadline) -> Occlusion:
        """Of all classes of a task at once, for they share every pass of the model."""
        if task not in kept.explained:

            def score(windows: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
                deadline.check()
                return self._model.scores(self._model.encode_ecg(windows), task)

            kept.explained[task] = occlude(score, kept.signal_uv, self._model.contract.rate_hz)
        return kept.explained[task]


def _png(sheet: Sheet) -> bytes:
    return render(sheet, find_fonts(), "png", _DPI)
