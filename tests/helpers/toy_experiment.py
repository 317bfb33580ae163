"""One small experiment on disk, and functions that run commands on it.

Most tests run the command in their own process, because a new Python would spend three quarters of
its time on importing torch. Tests of signals, kills, closed outputs and several processes start
real ones. An evaluation there draws no charts unless it `draws`: that is three quarters of its
time, and the same for every model.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from click.testing import CliRunner

from ecgpipe.commands.main import main
from ecgpipe.drawing.plot_rendering import DrawnPlots
from ecgpipe.evaluate.report import html

# One thread, as the tests themselves have (conftest): sums in another order are other weights.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def python(processes: int = 1) -> list[str]:
    """Return the words that start Python, or several processes by torchrun."""
    if processes == 1:
        return [sys.executable]
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)),
    ]


@contextlib.contextmanager
def nothing_drawn() -> Iterator[None]:
    """In a report the charts are empty and no font is embedded."""
    empty = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    with (
        mock.patch.object(DrawnPlots, "bytes_of", return_value=empty),
        mock.patch.object(html, "_font_style", return_value=""),
    ):
        yield


def ecgpipe(config: Path, *arguments: str) -> tuple[int, str, str]:
    """The exit code, output and messages of the command, run in this process beside its settings.

    What the command does not handle itself is raised.
    """
    with contextlib.chdir(config.parent):
        done = CliRunner(catch_exceptions=False).invoke(main, [*arguments, "-c", str(config)])
    return done.exit_code, done.stdout, done.stderr


class Experiment:
    """A pipeline.yaml on disk and the command run on it."""

    draws = False

    def __init__(self, folder: Path, model: Path, ecgs: Path) -> None:
        self.folder = folder
        self.path = folder / "pipeline.yaml"
        settings = {
            "name": "toy",
            "notice": "SIMULATED",
            "data": {
                "sources": [{"kind": "table", "table": str(ecgs / "records.csv")}],
                "taxonomy": "findings98",
                "rate_hz": 100,
                "split": {"fractions": [0.6, 0.2, 0.2]},
            },
            "text": {"model": str(model), "dtype": "float32"},
            "train": {
                "preset": "paper",
                "epochs": 2,
                "global_batch_size": 16,
                "precision": "float32",  # auto is bfloat16 on some of the machines that test
            },
            "eval": {
                "bootstrap_draws": 100,
                "random_encoders": 2,
                "min_positives": 2,
                "analyses": ["subgroups"],  # the others take longer than all that comes before
            },
        }
        self.path.write_text(yaml.safe_dump(settings, allow_unicode=True))
        self._model, self._ecgs = model, ecgs

    def copy(self, folder: Path) -> "Experiment":
        """The same experiment with all that it has made, in another folder."""
        shutil.copytree(self.folder / "work", folder / "work", symlinks=True)
        return Experiment(folder, self._model, self._ecgs)

    def start(self, *arguments: str, launcher: Sequence[str] = ()) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        command = [*(launcher or (*python(), "-m", "ecgpipe")), *arguments]
        return subprocess.Popen(
            [*command, "-c", str(self.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=self.folder,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """The command in this process."""
        with contextlib.nullcontext() if self.draws else nothing_drawn():
            return ecgpipe(self.path, *arguments)

    def did(self, *arguments: str) -> dict[str, Any]:
        """What `run` did, by stage."""
        code, out, err = self.run("run", "--json", *arguments)
        assert code == 0, err
        summary: dict[str, Any] = json.loads(out.splitlines()[-1])
        return summary

    @property
    def eval_folder(self) -> Path:
        return self.folder / "work" / "runs" / "toy" / "eval"

    def results(self) -> dict[str, Any]:
        results: dict[str, Any] = json.loads((self.eval_folder / "results.json").read_text())
        return results

    def report(self) -> str:
        return (self.eval_folder / "report.md").read_text(encoding="utf-8")


def worked(summary: dict[str, Any]) -> list[str]:
    return [stage for stage, entry in summary.items() if entry["did_work"]]
