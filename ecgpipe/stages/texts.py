"""Turn records and tasks into the sentences that the language model reads.

Owns what is said about an ECG: its findings in the taxonomy's order, so that equal sets give equal
sentences, its report, or that of its echocardiogram.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.settings import Language
from ecgpipe.config.text import TextConfig
from ecgpipe.config.train import StepText
from ecgpipe.embed_text.prompts import fill_prompt, join_findings, normalise
from ecgpipe.errors import TaxonomyError
from ecgpipe.evaluate.tasks.echo_definitions import EchoDefinitions
from ecgpipe.evaluate.tasks.ensemble import flattened
from ecgpipe.evaluate.tasks.finding_names import plain_name
from ecgpipe.evaluate.tasks.task import Task, load_task
from ecgpipe.evaluate.tasks.task_file import LANGUAGES
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.evaluate.tasks.wordings import load_bank

T = TypeVar("T")

# The ends of Japanese and Western sentences, and of lines. A period after a digit may belong to an
# ordinal or a decimal number (AV-Block 1. Grades), so it ends none: too few splits do no harm.
_SENTENCE_END = re.compile(r"[。．｡!?！？;；\r\n]+|(?<!\d)\.(?=\s|$)")


def record_sentence(record: Record, taxonomy: Taxonomy, config: TextConfig) -> str | None:
    """Return the sentence about one ECG; None if it lacks what text.source names."""
    if config.reads_reports:
        report = normalise(report_of(record, config) or "")
        return fill_prompt(config.prompt, report) if report else None
    if not record.findings:
        return None
    names = [taxonomy[finding].name(config.language) for finding in record.findings]
    return fill_prompt(config.prompt, join_findings(names, config.separator))


def report_of(record: Record, config: TextConfig) -> str | None:
    """Return the report that text.source names: the ECG's own, or its echocardiogram's."""
    return record.echo_report if config.source == "echo_report" else record.report


def class_sentences(
    wordings: Sequence[str], config: TextConfig, language: Language | None = None
) -> list[str]:
    """Put class names into the prompt of a language; None means the language of the reports."""
    prompt = config.prompt_in(language)
    return [fill_prompt(prompt, wording) for wording in wordings]


def task_sentences(task: Task, config: TextConfig) -> list[str]:
    """Return the sentences of every wording of a task's classes and of their members."""
    own, _ = flattened(task.wordings(config.language))
    members, _ = flattened(task.member_wording(config.language))
    return class_sentences([*own, *members], config, task.language)


def with_sentence(
    records: RecordsTable, taxonomy: Taxonomy, config: TextConfig
) -> tuple[RecordsTable, list[str]]:
    """Return the records that have a sentence, and their sentences."""
    said = _remembered(lambda record: record_sentence(record, taxonomy, config), config)
    pairs = [(r, said(r)) for r in records.records]
    kept = [(record, sentence) for record, sentence in pairs if sentence is not None]
    table = RecordsTable(tuple(record for record, _ in kept), records.about)
    return table, [sentence for _, sentence in kept]


def with_texts(
    records: RecordsTable,
    taxonomy: Taxonomy,
    config: TextConfig,
    style: StepText,
    echo: EchoDefinitions | None = None,
) -> tuple[RecordsTable, list[list[str]]]:
    """Return the records that have a text, and every text that a training step may use for each.

    With `style` "sentence" that is one sentence. Otherwise it is one for each finding, worded like
    the label prompts, or for each sentence of the report; one for each group of text.parents that
    its findings belong to; and for each finding that an ECG's echocardiogram shows, if there are
    definitions of these. With "all_findings" an ECG of which an
    echocardiogram is known to show nothing stays, without a text: it is what others are told from.

    Raises:
        TaxonomyError: as `parent_sentences`.
    """
    if style == "sentence":
        table, sentences = with_sentence(records, taxonomy, config)
        return table, [[sentence] for sentence in sentences]
    parents = parent_sentences(taxonomy, config)
    said = _remembered(lambda record: _single_sentences(record, taxonomy, config, parents), config)
    of_echo = echo_sentences(echo, config)
    pairs = [
        (r, [*said(r), *(of_echo[finding] for finding in r.echo_shown)] if of_echo else said(r))
        for r in records.records
    ]
    compares = bool(of_echo) and style == "all_findings"
    kept = [(r, texts) for r, texts in pairs if texts or (compares and r.echo_known)]
    table = RecordsTable(tuple(record for record, _ in kept), records.about)
    return table, [texts for _, texts in kept]


def with_answer(records: RecordsTable, taxonomy: Taxonomy, config: TextConfig) -> RecordsTable:
    """Return the records that can be scored: those with a sentence, and those whose
    echocardiogram says something."""
    said = _remembered(lambda record: record_sentence(record, taxonomy, config), config)
    kept = tuple(r for r in records.records if r.echo_known or said(r) is not None)
    return RecordsTable(kept, records.about)


def echo_sentences(
    echo: EchoDefinitions | None, config: TextConfig, language: Language | None = None
) -> dict[str, str]:
    """Return the sentence of each finding of echocardiography, by id; none without definitions."""
    spoken = language or config.language
    definitions = () if echo is None else echo.definitions
    names = [each.names[spoken] for each in definitions]
    sentences = class_sentences(names, config, language)
    return {each.id: sentence for each, sentence in zip(definitions, sentences, strict=True)}


def _remembered(say: Callable[[Record], T], config: TextConfig) -> Callable[[Record], T]:
    """`say`, called once for all records with the same findings, or the same report."""
    known: dict[tuple[str, ...] | str | None, T] = {}

    def said(record: Record) -> T:
        content = report_of(record, config) if config.reads_reports else record.findings
        if content not in known:
            known[content] = say(record)
        return known[content]

    return said


def _single_sentences(
    record: Record,
    taxonomy: Taxonomy,
    config: TextConfig,
    parents: Mapping[str, Sequence[str]],
) -> list[str]:
    if config.reads_reports:
        parts = report_sentences(report_of(record, config) or "")
    else:
        parts = [taxonomy[finding].name(config.language) for finding in record.findings]
    of_groups = (group for finding in record.findings for group in parents.get(finding, ()))
    return list(dict.fromkeys([*class_sentences(parts, config), *of_groups]))


def report_sentences(report: str) -> list[str]:
    """Split a report into sentences or lines, without the punctuation that ends them."""
    return [part.strip() for part in _SENTENCE_END.split(report) if normalise(part)]


def all_sentences(
    records: RecordsTable,
    taxonomy: Taxonomy,
    tasks: Sequence[Task],
    config: TextConfig,
    style: StepText,
    tried: bool = False,
    echo: EchoDefinitions | None = None,
) -> list[str]:
    """Return every text that needs a vector: of records, of classes and members, of a bank if it is
    trained on, or if its held-out wordings are `tried`, and of the findings of echocardiography.

    Prompts are in both languages, whatever the tasks score by: they are few, and an exported model
    answers in both.
    """
    _, sentences = with_sentence(records, taxonomy, config)
    if style != "sentence":
        _, texts = with_texts(records, taxonomy, config, style)
        sentences += [sentence for single in texts for sentence in single]
    if config.wordings == "bank":
        said = dict.fromkeys(sentences)
        for name, others in bank_sentences(taxonomy, config).items():
            sentences += others if name in said else ()
    if tried:
        sentences += _tried_sentences(records, taxonomy, config)
    for task in tasks:
        for language in LANGUAGES:
            for wordings in prompt_wordings(task, language):
                sentences += class_sentences(wordings, config, language)
    for language in LANGUAGES:
        sentences += echo_sentences(echo, config, language).values()
    return sentences


def parent_sentences(taxonomy: Taxonomy, config: TextConfig) -> dict[str, list[str]]:
    """Return the sentences of the groups of text.parents that each finding belongs to, by its id.

    A group is worded as its task words the class first. One that has the name of a finding has no
    sentence: that text is the finding's, and other findings of the group would not make it true.

    Raises:
        TaxonomyError: a task is missing, wrong or about echocardiograms, or the taxonomy lacks its
            groups.
    """
    found: dict[str, list[str]] = {}
    names = {plain_name(each) for f in taxonomy.findings for each in (f.japanese, f.english)}
    for name in config.parents:
        try:
            task = load_task(name, taxonomy, None)
        except TaxonomyError as error:
            raise TaxonomyError(
                f"text.parents: {error} Name a task whose classes are groups of findings of"
                f" {taxonomy.name}, or give that file the groups as a column (docs/tasks.md)."
            ) from None
        for group in task.classes:
            wording = group.wordings[task.language or config.language][0]
            if plain_name(wording) not in names:
                sentences = class_sentences([wording], config, task.language)
                for finding in group.members:
                    found.setdefault(finding, []).extend(sentences)
    return found


def bank_sentences(taxonomy: Taxonomy, config: TextConfig) -> dict[str, list[str]]:
    """Return the sentences that may stand for each finding in training, by that of its name: first
    that one, then its wordings in the prompt of their language.

    Raises:
        TaxonomyError: the taxonomy has no bank, or a wrong one.
    """
    bank, found = load_bank(taxonomy), {}
    for finding in taxonomy.findings:
        said = [(config.language, finding.name(config.language))]
        said += [(wording.language, wording.text) for wording in bank.trained[finding.id]]
        sentences = [fill_prompt(config.prompt_in(language), text) for language, text in said]
        found[sentences[0]] = list(dict.fromkeys(sentences))
    return found


def tries_bank(config: PipelineConfig) -> bool:
    """Whether findings are scored by a bank's held-out wordings, which therefore need vectors."""
    named, bank = config.eval.analyses, config.text.wordings == "bank"
    chosen = bank if named is None else "wordings" in named
    return (chosen or config.train.best_by == "wordings") and config.text.source == "findings"


def names_echos(config: PipelineConfig) -> bool:
    """Whether anything reads the names of the findings of echocardiography: training or a task."""
    return config.train.text != "sentence" or bool(config.eval.tasks)


def needs_bank(config: PipelineConfig) -> bool:
    """Whether the taxonomy must have a bank."""
    return config.text.wordings == "bank" or tries_bank(config)


def _tried_sentences(
    records: RecordsTable, taxonomy: Taxonomy, config: TextConfig
) -> Iterator[str]:
    """The prompts of the held-out wordings, and of both names, of the findings of records."""
    bank = load_bank(taxonomy)
    for finding_id in sorted(records.findings):
        said = [(each, taxonomy[finding_id].name(each)) for each in LANGUAGES]
        said += [(wording.language, wording.text) for wording in bank.held_out[finding_id]]
        for language, text in said:
            yield from class_sentences([text], config, language)


def prompt_wordings(task: Task, language: Language) -> tuple[list[str], list[str]]:
    """Return the wordings of a task's classes, and of their members, in one language."""
    spoken = dataclasses.replace(task, language=language)
    own, _ = flattened(spoken.wordings(language))
    members, _ = flattened(spoken.member_wording(language))
    return own, members
