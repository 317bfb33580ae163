"""What the GPU benchmarks need beside torch and transformers, found on a machine that lacks it.

Owns `needed.txt`. Never touches the machine's own packages: what is missing is unpacked into a
folder for PYTHONPATH. A wheel is a zip file, so not even pip is needed; without wheels pip fetches
them, without their dependencies, since one of those is torch. Standard library only.
"""

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

_NEEDED = Path(__file__).with_name("needed.txt")


def needed() -> list[str]:
    """The distributions that must be there."""
    return _NEEDED.read_text(encoding="utf-8").split()


def missing(names: list[str]) -> list[str]:
    """Those that this Python does not have."""
    return [name for name in names if not _is_here(name)]


def provide(wheels: Path | None, folder: Path) -> list[Path]:
    """Make the needed distributions importable; returns what belongs on PYTHONPATH.

    Args:
        wheels: a folder with a wheel of each, or None to fetch them with pip.
        folder: to unpack into.

    Raises:
        SystemExit: one is neither here nor in `wheels`, or pip cannot fetch it.
    """
    absent = missing(needed())
    if not absent:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    if wheels is None:
        _fetch(absent, folder)
    else:
        for name in absent:
            with zipfile.ZipFile(_wheel_of(name, wheels)) as wheel:
                wheel.extractall(folder)
    return [folder]


def _is_here(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _wheel_of(name: str, wheels: Path) -> Path:
    """The wheel that fits this Python, by its name: cp312, abi3 or py3."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    for path in sorted(wheels.glob("*.whl")):
        parts = path.stem.split("-")
        if parts[0].lower() == name.lower().replace("-", "_") and (
            parts[-3] == tag or parts[-2] == "abi3" or parts[-3].startswith(("py3", "py2.py3"))
        ):
            return path
    raise SystemExit(
        f"{name} is not installed, and {wheels} has no wheel of it for {tag}. Fill the folder with"
        f" `bash benchmarks/gpu/wheels.sh {wheels}` where a package registry can be reached."
    )


def _fetch(names: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    if subprocess.run([*command, str(folder), *names]).returncode:
        raise SystemExit(
            f"Not installed, and not to be fetched here: {', '.join(names)}. Fill a folder with"
            " `bash benchmarks/gpu/wheels.sh DIR` elsewhere, and bring it along with --wheels."
        )
