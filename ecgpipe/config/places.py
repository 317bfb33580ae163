"""Settings without the place in which things lie on this machine.

Owns which settings only say where to find something. A digest of settings, or a comparison of two,
leaves them out: files count by their content, so a moved folder or another mount changes nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FOLDERS = ("root", "work_dir")
_FILES = ("table", "taxonomy", "definitions", "tasks", "parents", "model", "init_from")


def without_places(settings: Any) -> Any:
    """Plain settings without folders, and with the mere name of each file that is named by its full
    path; a name, such as that of a built-in task, stays."""
    if isinstance(settings, Mapping):
        return {
            key: _file_names(value) if key in _FILES else without_places(value)
            for key, value in settings.items()
            if key not in _FOLDERS
        }
    if isinstance(settings, list | tuple):
        return [without_places(inner) for inner in settings]
    return settings


def _file_names(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_file_names(inner) for inner in value]
    if isinstance(value, str | Path) and Path(value).is_absolute():
        return Path(value).name
    return without_places(value)
