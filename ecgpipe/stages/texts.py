"""Records and tasks to the sentences that the language model reads.

Owns what is said of an ECG: its findings in the taxonomy's order, so that equal sets are equal
sentences, or its report.
"""

from collections.abc import Sequence

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.config import TextConfig
from ecgpipe.embed_text.prompts import fill_prompt, join_findings, normalise
from ecgpipe.evaluate.tasks import Task
from ecgpipe.evaluate.taxonomy import Taxonomy


def record_sentence(record: Record, taxonomy: Taxonomy, config: TextConfig) -> str | None:
    """The sentence about one ECG; None if it has nothing of the kind that text.source names."""
    if config.source == "report":
        report = normalise(record.report or "")
        return fill_prompt(config.prompt, report) if report else None
    if not record.findings:
        return None
    names = [taxonomy[finding].name(config.language) for finding in record.findings]
    return fill_prompt(config.prompt, join_findings(names, config.separator))


def class_sentences(wordings: Sequence[str], config: TextConfig) -> list[str]:
    """The sentences about classes, in the prompt that reports get."""
    return [fill_prompt(config.prompt, wording) for wording in wordings]


def with_sentence(
    records: RecordsTable, taxonomy: Taxonomy, config: TextConfig
) -> tuple[RecordsTable, list[str]]:
    """The records that have a sentence, and their sentences."""
    pairs = [(r, record_sentence(r, taxonomy, config)) for r in records.records]
    kept = [(record, sentence) for record, sentence in pairs if sentence is not None]
    table = RecordsTable(tuple(record for record, _ in kept), records.about)
    return table, [sentence for _, sentence in kept]


def all_sentences(
    records: RecordsTable, taxonomy: Taxonomy, tasks: Sequence[Task], config: TextConfig
) -> list[str]:
    """Everything that needs a vector: every record's sentence and every class's."""
    _, sentences = with_sentence(records, taxonomy, config)
    classes = [s for task in tasks for s in class_sentences(task.wording(config.language), config)]
    return sentences + classes
