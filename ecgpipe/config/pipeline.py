"""One experiment, complete: all blocks of pipeline.yaml."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from ecgpipe.config.cluster import ClusterConfig
from ecgpipe.config.data import DataConfig
from ecgpipe.config.evaluate import EvalConfig
from ecgpipe.config.settings import Settings, need
from ecgpipe.config.text import TextConfig
from ecgpipe.config.train import TrainConfig


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(Settings):
    """One experiment, complete."""

    name: str
    """The run's folder under work_dir/runs."""

    data: DataConfig
    text: TextConfig

    work_dir: Path = Path("work")
    """Folder for all outputs."""

    notice: str = ""
    """One line shown above every result, for example that the ECGs are simulated."""

    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)

    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    """How `ecgpipe submit` queues the stages; no result depends on it."""

    def __post_init__(self) -> None:
        good = (
            bool(self.name) and self.name.isprintable() and not set(self.name) & set('/\\:*?"<>|')
        )
        need(
            good and self.name[0] not in ". ",
            f"name must be a plain folder name, not {self.name!r}",
        )
        need(len(self.name.encode()) <= 200, "name must be at most 200 bytes long")
        self._check_scored_sources()
        need(
            self.text.wordings == "name" or self.train.text != "sentence",
            "text.wordings: bank words single findings, but train.text: sentence joins all findings"
            " of an ECG. Set train.text to all_findings or sampled_finding (preset: recommended)",
        )
        need(
            not self.text.parents or self.train.text != "sentence",
            "text.parents are texts beside those of single findings, but train.text: sentence joins"
            " all findings of an ECG. Set train.text to all_findings or sampled_finding (preset:"
            " recommended)",
        )
        need(
            self.text.wordings == "bank" or not self.train.text_axes,
            f"train.text_axes: {self.train.text_axes} tells what findings say from how they are"
            " worded, so it needs several wordings of each. Set text.wordings=bank, or"
            " train.text_axes=0",
        )
        need(
            not self.train.unseen_findings or self.text.source == "findings",
            "train.unseen_findings leaves findings out of what training reads, but text.source:"
            f" {self.text.source} reads whole reports. Set text.source to findings",
        )
        need(
            self.text.source == "findings" or self.train.best_by != "wordings",
            "train.best_by: wordings words findings in other ways, so it needs text.source:"
            f" findings, not {self.text.source}",
        )
        need(
            self.text.source != "echo_report" or self.data.echo is not None,
            "text.source: echo_report takes the reports of echocardiograms as texts, but data.echo"
            " names no table of them. Set data.echo.table to a table with a column report"
            " (docs/echo.md), or text.source to findings or report",
        )
        need(
            bool(self.eval.tasks) or self.train.best_by == "retrieval_mrr",
            "eval.tasks is empty, so no finding is asked for, but train.best_by:"
            f" {self.train.best_by} asks for them. Set train.best_by to retrieval_mrr, or name a"
            " task",
        )
        augment = self.train.augment
        need(
            augment.mains_mv == 0 or self.data.rate_hz > 120,
            f"train.augment.mains_mv needs data.rate_hz above 120, not {self.data.rate_hz}: a sine"
            " of 60 Hz would alias",
        )
        need(
            augment.crop_s <= self.data.duration_s,
            f"train.augment.crop_s {augment.crop_s} is longer than data.duration_s"
            f" {self.data.duration_s}",
        )

    def _check_scored_sources(self) -> None:
        """Refuse a name in eval.sources that no source has, before hours of work."""
        known = [source.called for source in self.data.sources]
        for name in self.eval.sources or ():
            near = difflib.get_close_matches(name, known, 1)
            need(
                name in known,
                f"eval.sources names {name!r}, which is no source."
                + (f" Did you mean {near[0]!r}?" if near else "")
                + f" The names are: {', '.join(known)}",
            )
