"""Sheets that show what a score hangs on: one file for each ECG and finding.

Owns file names and the language. What is found and where it is drawn belongs to
`apply_model.explain`.
"""

from collections.abc import Sequence
from pathlib import Path

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.explain.explanation import explain, explanation_sheet, find_subject
from ecgpipe.apply_model.reading import Window
from ecgpipe.config.settings import Language
from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.rendering import render
from ecgpipe.files import digest_of, make_folder, write_atomic
from ecgpipe.stages.show.show import free_name


class Explainer:
    """Explains some findings of one ECG after the other."""

    def __init__(
        self,
        model: AppliedModel,
        findings: Sequence[str],
        folder: Path,
        task: str | None = None,
        language: Language | None = None,
    ) -> None:
        """Find what is asked for, before the first ECG is read.

        Args:
            model: the model.
            findings: ids or names of classes, or wordings of one's own.
            folder: where the sheets go; made if it is missing.
            task: whose classes; None: the model's first.
            language: of the sheets, and of the prompt of a wording; None: the model's own for
                sheets, and for a wording the one it is written in.

        Raises:
            ConfigError: there is no such task.
            ModelError: a wording has no kept vector, and the language model is not at hand.
            StoreError: the folder cannot be made.
        """
        self._model, self._folder = model, folder
        self._language: Language = language or model.content.text.language
        self._subjects = [find_subject(model, each, task, language) for each in findings]
        self._fonts = find_fonts(None)
        self._taken: set[str] = set()
        make_folder(folder)

    def draw(self, window: Window) -> list[Path]:
        """Write the sheets of an ECG; none of one that was refused.

        Raises:
            StoreError: the disk is full or not writable.
        """
        if window.signal_uv is None:
            return []
        model, files = self._model, []
        # A recording's id is its path, whose end says which it is.
        record_id = window.record_id.encode(errors="backslashreplace").decode()  # may be no UTF-8
        *folder, name = Path(record_id).parts[-2:]
        # Tells ECGs of one name in two folders apart, also when a later command draws the second.
        mark = f" {digest_of(record_id)[:8]}" if folder else ""
        for subject in self._subjects:
            sheet = explanation_sheet(
                explain(model, window.signal_uv, subject),
                window.signal_uv,
                model.contract.rate_hz,
                "/".join([*folder, name]),
                self._language,
                model.content.notice,
            )
            title = f"{name}{mark} {subject.names[self._language]}"
            path = self._folder / free_name(title, "png", self._taken)
            write_atomic(path, render(sheet, self._fonts, "png"))
            files.append(path)
        return files
