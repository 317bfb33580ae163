"""What all stages of one experiment share: settings, paths, findings, records, texts, tasks.

Owns how they are found, and does no stage's work.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ecgpipe.cache.records_table import RecordsTable, read_records
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.places import without_places
from ecgpipe.config.text import TextView
from ecgpipe.config.train import TrainConfig
from ecgpipe.embed_text.model_files import (
    ModelFiles,
    find_model,
    fingerprint_of,
    weights_are_known,
)
from ecgpipe.errors import SourceError, StoreError, TaxonomyError
from ecgpipe.evaluate.analyses.registry import chosen_analyses
from ecgpipe.evaluate.tasks.echo_definitions import (
    EchoDefinitions,
    check_other_names,
    load_echo_definitions,
)
from ecgpipe.evaluate.tasks.task import Task, check_other_name, load_task, misfit
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy, load_taxonomy
from ecgpipe.evaluate.tasks.wordings import Bank, load_bank
from ecgpipe.read_ecg.prepare.preparation import (
    Prepared,
    find_prepared,
    find_signals,
    inputs_digest,
    planned_signals,
)
from ecgpipe.stages.local_inputs import local_signals
from ecgpipe.stages.texts import (
    all_sentences,
    class_sentences,
    names_echos,
    needs_bank,
    parent_sentences,
    tries_bank,
    with_sentence,
)
from ecgpipe.workspace import Workspace


@dataclass(frozen=True)
class Experiment:
    """One pipeline.yaml, opened."""

    config: PipelineConfig

    may_download: bool = True
    """Whether a missing language model may be downloaded."""

    def __post_init__(self) -> None:
        # What is wrong here is refused before hours of work.
        chosen_analyses(self.config.eval.analyses)
        _ = self.unseen
        if needs_bank(self.config):
            load_bank(self.taxonomy)
        parent_sentences(self.taxonomy, self.config.text)

    @cached_property
    def workspace(self) -> Workspace:
        """The paths of work_dir."""
        return Workspace(self.config.work_dir, self.config.name)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The list of findings."""
        return load_taxonomy(self.config.data.taxonomy)

    @cached_property
    def echo_definitions(self) -> EchoDefinitions | None:
        """What an echocardiogram shows; None if there are none."""
        name = self.config.data.echo_definitions
        if name is None:
            return None
        definitions = load_echo_definitions(name)
        check_other_names(definitions, self.taxonomy)
        return definitions

    @cached_property
    def inputs_digest(self) -> str:
        """Digest of what the prepared data depend on. Raises SourceError if a table is missing."""
        return inputs_digest(self.config.data, self.taxonomy, self.workspace, self.echo_definitions)

    def find_prepared(self) -> Prepared | None:
        """Find the prepared data of these settings; None if they are missing or out of date.

        Raises:
            SourceError: a table is missing.
            StoreError: the data are damaged.
        """
        return find_prepared(self.config.data, self.inputs_digest, self.workspace)

    def find_signals(self) -> Path:
        """Return where the signal store is or would be, in whatever state.

        Raises:
            SourceError: no records table names the store and no source can be read.
        """
        return find_signals(self.config.data, self.inputs_digest, self.workspace)

    def planned_signals(self) -> Path:
        """Return where the signal store named after the plan is or would be.

        Raises:
            SourceError: a source cannot be read.
        """
        return planned_signals(self.config.data, self.workspace)

    @cached_property
    def prepared(self) -> Prepared:
        """The prepared data of these settings.

        Raises:
            StoreError: they are missing, out of date or damaged.
        """
        found = self.find_prepared()
        if found is None:
            raise StoreError(
                f"The data of {self.config.name} are not prepared, or a table, a setting or a"
                " rejected recording has changed since. Run `ecgpipe prepare`."
            )
        return found

    @cached_property
    def records(self) -> RecordsTable:
        """All prepared records."""
        return read_records(self.workspace.records(self.prepared.digest))

    @property
    def scored(self) -> RecordsTable:
        """The records to score: those of eval.split and eval.sources.

        Raises:
            SourceError: eval.sources names a source of which no record could be prepared.
        """
        wanted = self.config.eval.sources
        found = {record.source for record in self.records.records}
        if unknown := set(wanted or ()) - found:
            raise SourceError(
                f"eval.sources names {', '.join(sorted(unknown))}, of which no record could be"
                f" prepared. There are records of {', '.join(sorted(found))}."
            )
        return self.records.of_split(self.config.eval.split).of_sources(wanted)

    @cached_property
    def unseen(self) -> tuple[str, ...]:
        """Ids of the findings of train.unseen_findings, in the taxonomy's order.

        Raises:
            TaxonomyError: the taxonomy has none of that name.
        """
        try:
            return self.taxonomy.resolve_all(self.config.train.unseen_findings)
        except TaxonomyError as error:
            raise TaxonomyError(f"train.unseen_findings: {error}") from None

    @cached_property
    def taught(self) -> RecordsTable:
        """All prepared records as training sees them: without the findings that it never names."""
        return self.records.without_findings(self.unseen)

    @cached_property
    def train_config(self) -> TrainConfig:
        """The settings of `train`, with the measure that these records have."""
        return measurable(self.config.train, self.records)

    @cached_property
    def texts(self) -> list[str]:
        """Every distinct text that needs a vector: of all records, classes and class members."""
        text, style, tried = self.config.text, self.config.train.text, tries_bank(self.config)
        ranks = self.train_config.best_by != "retrieval_mrr"
        found = all_sentences(
            self.records,
            self.taxonomy,
            [*self.tasks, self.ranking_task] if ranks else self.tasks,
            text,
            style,
            tried,
            self.echo_definitions if names_echos(self.config) else None,
        )
        if self.unseen:
            found += with_sentence(self.taught, self.taxonomy, text)[1]
            found += class_sentences(
                [self.taxonomy[f].name(text.language) for f in self.unseen], text
            )
        return list(dict.fromkeys(found))

    @cached_property
    def tried_bank(self) -> Bank | None:
        """The bank whose held-out wordings are scored; None if none are."""
        return load_bank(self.taxonomy) if tries_bank(self.config) else None

    @cached_property
    def signals(self) -> SignalStore:
        """The prepared signals, from this node's local copy if it has one."""
        return SignalStore.open(local_signals(self.workspace.signals(self.prepared.signals_digest)))

    @cached_property
    def model_files(self) -> ModelFiles:
        """The language model's files."""
        return find_model(self.config.text, download=self.may_download)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What the text vectors used in training depend on."""
        return self.fingerprint_of(self.config.text.view)

    def fingerprint_of(self, view: TextView) -> Fingerprint:
        """What the text vectors of a view depend on."""
        text, memo = self.config.text, self._digest_memo
        return fingerprint_of(self.model_files, text, view, memo, lambda: self.texts)

    def known_fingerprint_of(self, view: TextView) -> Fingerprint | None:
        """The same without reading weights; None if they were never hashed for this work_dir."""
        known = weights_are_known(self.model_files, self._digest_memo)
        return self.fingerprint_of(view) if known else None

    @property
    def _digest_memo(self) -> Path:
        return self.workspace.embeddings / "file-digests.json"

    def open_vectors(self) -> VectorCache:
        """Open the text vectors stored so far."""
        return VectorCache.open(self.workspace.embeddings, self.fingerprint)

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks that can be scored with this taxonomy and these records."""
        return [task for task in self._tried_tasks.values() if isinstance(task, Task)]

    @cached_property
    def ranking_task(self) -> Task:
        """The task that ranks checkpoints on the validation split; it needs vectors whether
        eval.tasks names it or not, unless retrieval ranks them."""
        return ranking_task(self.taxonomy, self.taught, self.echo_definitions)

    @cached_property
    def tasks_left_out(self) -> dict[str, str]:
        """Tasks that cannot be scored, and why."""
        return {name: why for name, why in self._tried_tasks.items() if isinstance(why, str)}

    @cached_property
    def _tried_tasks(self) -> dict[str, Task | str]:
        """Each task of eval.tasks, or why it cannot be scored."""
        tried: dict[str, Task | str] = {}
        for name, found in try_tasks(
            self.config, self.taxonomy, self.records, self.echo_definitions
        ):
            if isinstance(found, TaxonomyError):
                raise found
            has_classes = isinstance(found, str) or found.classes
            tried[name] = found if has_classes else "no record has a finding"
        return tried

    def settings(self, block: str, *without: str) -> dict[str, Any]:
        """One block of the settings as plain values, for a digest; of files only the names."""
        values: dict[str, Any] = without_places(asdict(getattr(self.config, block)))
        return {key: value for key, value in values.items() if key not in without}


def try_tasks(
    config: PipelineConfig,
    taxonomy: Taxonomy,
    records: RecordsTable,
    echo: EchoDefinitions | None,
) -> Iterator[tuple[str, Task | str | TaxonomyError]]:
    """Read each task of eval.tasks: the task, why the data do not fit it, or its mistake."""
    candidates = candidate_findings(records, config)
    tasks: list[Task] = []
    for name in config.eval.tasks:
        try:
            if why := misfit(name, taxonomy, echo):
                yield name, why
                continue
            task = load_task(name, taxonomy, candidates, config.eval.language, echo)
            check_other_name(task, tasks)
        except TaxonomyError as error:
            yield name, error
            continue
        tasks.append(task)
        yield name, task


def ranking_task(taxonomy: Taxonomy, records: RecordsTable, echo: EchoDefinitions | None) -> Task:
    """The task by which the best epoch is chosen: over all findings of these records; where they
    have none and no report, over those of echocardiography."""
    if _only_echos(records):
        return load_task("echo", taxonomy, None, echo=echo)
    return load_task("findings", taxonomy, records.findings)


def measurable(train: TrainConfig, records: RecordsTable) -> TrainConfig:
    """The settings of `train`; without any finding, retrieval chooses the best epoch, and without
    any report either, the mean AUROC of what echocardiograms say."""
    if records.findings:
        return train
    return replace(train, best_by="macro_auroc" if _only_echos(records) else "retrieval_mrr")


def _only_echos(records: RecordsTable) -> bool:
    """Whether echocardiograms are all that is known of these records."""
    known = any(record.echo_known for record in records.records)
    said = any(r.findings or r.report or r.echo_report for r in records.records)
    return known and not said


def candidate_findings(records: RecordsTable, config: PipelineConfig) -> frozenset[str] | None:
    """The findings that compete as answers (eval.candidates); None for the whole taxonomy."""
    return records.findings if config.eval.candidates == "occurring" else None
