"""Results of a section of a lease, on disk the moment they are measured."""

import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.train_checks import Check


class Results:
    """A file of JSON lines, and whether all its checks hold."""

    def __init__(self, folder: Path, section: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{section}.jsonl"
        self._started = time.monotonic()
        self.missed: list[str] = []

    def add(self, what: str, **figures: Any) -> None:
        """Append one line, print it, and wait until the disk has it."""
        line = {"what": what, "after_s": round(time.monotonic() - self._started, 2), **figures}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(json.dumps(line), flush=True)

    def check(self, check: Check | str) -> None:
        """Append a comparison, or a line on one that could not be made."""
        if isinstance(check, str):
            self.add(check, holds=None)
            if "FAILED" in check:
                self.missed.append(check)
            return
        self.add(
            check.what, value=check.value, limit=check.limit, holds=check.holds, note=check.note
        )
        if not check.holds:
            self.missed.append(check.line())

    def keep(self, what: str, found: dict[str, Any] | str) -> None:
        """Append figures, or a line that says why there are none."""
        if isinstance(found, str):
            self.check(found)
        else:
            self.add(what, **found)
