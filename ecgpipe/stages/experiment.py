"""What all stages of one experiment share: settings, paths, findings, prepared records, tasks.

Owns how they are found. Nothing here does a stage's work.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ecgpipe.cache.records_table import RecordsTable, read_records
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.text import TextView
from ecgpipe.embed_text.model_files import (
    ModelFiles,
    find_model,
    fingerprint_of,
    weights_are_known,
)
from ecgpipe.errors import SourceError, StoreError
from ecgpipe.evaluate.tasks.task import Task, check_other_name, load_task, misfit
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy, load_taxonomy
from ecgpipe.read_ecg.prepare.preparation import Prepared, find_prepared, inputs_digest
from ecgpipe.stages.local_inputs import local_signals
from ecgpipe.workspace import Workspace


@dataclass(frozen=True)
class Experiment:
    """One pipeline.yaml, opened."""

    config: PipelineConfig

    may_download: bool = True
    """Whether the network may be asked for a language model that is not here."""

    @cached_property
    def workspace(self) -> Workspace:
        """The paths of work_dir."""
        return Workspace(self.config.work_dir, self.config.name)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The list of findings."""
        return load_taxonomy(self.config.data.taxonomy)

    @cached_property
    def prepared(self) -> Prepared:
        """The prepared data that these settings ask for.

        Raises:
            StoreError: they are not there yet.
        """
        found = find_prepared(inputs_digest(self.config.data, self.taxonomy), self.workspace)
        if found is None:
            raise StoreError(
                f"The data of {self.config.name} are not prepared, or a table, a setting or a"
                " recording that was rejected has changed since. Run `ecgpipe prepare`."
            )
        return found

    @cached_property
    def records(self) -> RecordsTable:
        """All prepared records."""
        return read_records(self.workspace.records(self.prepared.digest))

    @property
    def scored(self) -> RecordsTable:
        """The records that are scored: of eval.split and eval.sources.

        Raises:
            SourceError: eval.sources names one that no record is of.
        """
        wanted = self.config.eval.sources
        found = {record.source for record in self.records.records}
        if unknown := set(wanted or ()) - found:
            raise SourceError(
                f"eval.sources names {', '.join(sorted(unknown))}; the prepared records are of"
                f" {', '.join(sorted(found))}."
            )
        return self.records.of_split(self.config.eval.split).of_sources(wanted)

    @cached_property
    def signals(self) -> SignalStore:
        """The prepared signals, from this node's copy where it has one."""
        return SignalStore.open(local_signals(self.workspace.signals(self.prepared.signals_digest)))

    @cached_property
    def model_files(self) -> ModelFiles:
        """The language model's files."""
        return find_model(self.config.text, download=self.may_download)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What the text vectors depend on that are trained on."""
        return self.fingerprint_of(self.config.text.view)

    def fingerprint_of(self, view: TextView) -> Fingerprint:
        """What the text vectors of a view depend on."""
        return fingerprint_of(self.model_files, self.config.text, view, self._digest_memo)

    def known_fingerprint_of(self, view: TextView) -> Fingerprint | None:
        """The same without reading weights; None where they were never read on this work_dir."""
        known = weights_are_known(self.model_files, self._digest_memo)
        return self.fingerprint_of(view) if known else None

    @property
    def _digest_memo(self) -> Path:
        return self.workspace.embeddings / "file-digests.json"

    def open_vectors(self) -> VectorCache:
        """The text vectors that are there now."""
        return VectorCache.open(self.workspace.embeddings, self.fingerprint)

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks that the taxonomy and the records allow, with the findings that may compete."""
        return [task for task in self._tried_tasks.values() if isinstance(task, Task)]

    @cached_property
    def tasks_left_out(self) -> dict[str, str]:
        """Tasks that cannot be scored, and why."""
        return {name: why for name, why in self._tried_tasks.items() if isinstance(why, str)}

    @cached_property
    def _tried_tasks(self) -> dict[str, Task | str]:
        """Each task of eval.tasks, or why it cannot be scored."""
        candidates = candidate_findings(self.records, self.config)
        tried: dict[str, Task | str] = {}
        for name in self.config.eval.tasks:
            if why := misfit(name, self.taxonomy):
                tried[name] = why
                continue
            task = load_task(name, self.taxonomy, candidates, self.config.eval.language)
            check_other_name(task, tried.values())
            tried[name] = task if task.classes else "no record has a finding"
        return tried

    def settings(self, block: str, *without: str) -> dict[str, Any]:
        """One block of the settings as plain values, for a digest."""
        values = asdict(getattr(self.config, block))
        return {key: value for key, value in values.items() if key not in without}


def candidate_findings(records: RecordsTable, config: PipelineConfig) -> frozenset[str] | None:
    """The findings that may compete (eval.candidates); None for the whole taxonomy."""
    return records.findings if config.eval.candidates == "occurring" else None
