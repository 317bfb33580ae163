"""The reports of an experiment's own ECGs: what drafts are compared with, taken from, trained on.

Owns what the report of an ECG is: its report where training learns from reports, and otherwise its
findings, worded as the template words them.
"""

from collections.abc import Mapping, Sequence

from ecgpipe.cache.records_table import Record
from ecgpipe.embed_text.prompts import normalise
from ecgpipe.errors import SourceError
from ecgpipe.evaluate.tasks.taxonomy import Taxonomy
from ecgpipe.stages.experiment import Experiment
from ecgpipe.write_report.template import LANGUAGES, findings_text

Texts = Mapping[str, str]
"""One report by language; the same in both if it is somebody's text."""


def with_reports(
    experiment: Experiment, records: Sequence[Record]
) -> tuple[list[Record], list[Texts]]:
    """The records that have a report, and their reports.

    Raises:
        SourceError: text.source names no reports of ECGs.
    """
    source = experiment.config.text.source
    if source == "echo_report":
        raise SourceError(_OF_ECHOS)
    pairs = [(record, report_texts(record, experiment.taxonomy, source)) for record in records]
    kept = [(record, texts) for record, texts in pairs if texts is not None]
    return [record for record, _ in kept], [texts for _, texts in kept]


_OF_ECHOS = (
    "text.source is echo_report, so this run learnt from reports of echocardiograms, and those are"
    " no reports of ECGs that a draft could be taken from or compared with. Use `ecgpipe report"
    " --rung template`, or a run with text.source: report or findings."
)


def report_texts(record: Record, taxonomy: Taxonomy, source: str) -> Texts | None:
    """The report of one ECG, by text.source; None if it has none."""
    if source == "report":
        report = normalise(record.report or "")
        return dict.fromkeys(LANGUAGES, report) if report else None
    if not record.findings:
        return None
    found = [taxonomy[finding] for finding in record.findings]
    return {
        language: findings_text([each.name(language) for each in found], language)
        for language in LANGUAGES
    }
