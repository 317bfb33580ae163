"""How an artefact was made: versions, commit, host, time.

Owns the provenance block that every stage writes with its output. It never decides whether an
artefact may be used: digests and fingerprints do.
"""

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import ecgpipe

_PACKAGES = ("torch", "transformers", "accelerate", "h5py", "zarr", "numpy", "wfdb", "soxr")


def provenance() -> dict[str, Any]:
    """The software and the machine that made an artefact, ready for JSON."""
    return {
        "ecgpipe": ecgpipe.__version__,
        "git_commit": git_commit(),
        "created": utc_now(),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "job": os.environ.get("SLURM_JOB_ID") or os.environ.get("PBS_JOBID"),
    }


def utc_now() -> str:
    """The time now, in UTC, to the second, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def git_commit() -> str | None:
    """The commit of the checkout this code runs from, with '+changes' if it is modified.

    None if it does not run from a checkout, or git is not installed.
    """
    root = Path(ecgpipe.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    return commit + ("+changes" if _git(root, "status", "--porcelain", "-uno") else "")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
