"""Draw suspicious recordings on pages of small charts, each with the reasons.

Owns which are shown and in which order: serious kinds first, and one recording of every kind before
the second of any. What is suspicious is decided by `check`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.drawing.contact_sheet import Thumbnail, contact_sheets
from ecgpipe.drawing.ecg_chart import SHOWN_S, Ecg
from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.rendering import render
from ecgpipe.errors import RecordError, SourceError
from ecgpipe.files import write_atomic
from ecgpipe.language.choice import Language, chosen_language
from ecgpipe.language.translation import told
from ecgpipe.read_ecg.prepare.shard_job import read_planned
from ecgpipe.read_ecg.quality.suspicion import duplicates, suspicions
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stages.check.check import read_all_rows
from ecgpipe.stages.check.recordings import LookedAt, chosen_rows, look_at_recordings
from ecgpipe.stages.check.report import Problem
from ecgpipe.stages.check.table_rows import CheckedRow
from ecgpipe.stages.show.records import cropped_start_s, shown_part
from ecgpipe.stages.show.show import ShowResult, Style, choose_output


@dataclass(frozen=True)
class Suspect:
    """A recording, and every suspicion about it."""

    row: CheckedRow
    reasons: tuple[str, ...]


def run_show_suspects(
    config: PipelineConfig,
    most: int,
    sample: int | None,
    out: Path | None,
    style: Style,
) -> ShowResult:
    """Draw pages of suspicious recordings.

    Args:
        config: the experiment.
        most: how many to show.
        sample: how many recordings to open, as in `check`; None for all.
        out: a file name ending in .png or .svg, or a folder; None: this folder. Several pages are
            numbered.
        style: format, font and resolution; the text is in the language of messages, like that of
            `check`.

    Raises:
        SourceError: a table cannot be read.
        ConfigError: `out` or the font cannot be used.
    """
    file, folder, format = choose_output(out, style.format, one=True)
    problems: list[Problem] = []
    rows, _ = read_all_rows(config, problems)
    if not rows:
        raise SourceError(" ".join(["No row can be read.", *(p.summary for p in problems)]))
    looked_at = look_at_recordings(chosen_rows(rows, sample), config.data)
    language = chosen_language()
    found = suspects(looked_at, config, language)
    shown = ShowResult()
    thumbnails = []
    for suspect in found[:most]:
        try:
            thumbnails.append(_thumbnail(suspect, config, language))
        except (RecordError, OSError) as error:
            shown.failed[suspect.row.row.record_id] = str(error)
    chosen = f"{config.name}: {len(thumbnails):,} of {len(found):,} suspects"
    seen = f"{len(looked_at):,} of {len(rows):,} opened"
    heading = _joined(language, ", ", chosen, seen)
    pages = contact_sheets(thumbnails, heading, config.notice, language)
    fonts = find_fonts(style.font)
    name = file or folder / f"suspects.{format}"
    for number, page in enumerate(pages, 1):
        path = name.with_stem(f"{name.stem}-{number}") if len(pages) > 1 else name
        write_atomic(path, render(page, fonts, format, style.dpi))
        shown.files.append(path)
    unreadable = sum(look.facts is None for look in looked_at)
    left = f"; {unreadable:,} could not be read" if unreadable else ""
    shown.remark(heading + told(left, language))
    return shown


def suspects(
    looked_at: Sequence[LookedAt], config: PipelineConfig, language: Language
) -> list[Suspect]:
    """Suspicious recordings with their reasons, in the order in which to look at them."""
    with_facts = [look for look in looked_at if look.facts is not None]
    reasons: dict[int, list[str]] = {}
    queues = [*_queues(with_facts, config)]
    for queue in queues:
        for number, *reason in queue:
            reasons.setdefault(number, []).append(_joined(language, ": ", *reason))
    order: dict[int, None] = {}
    for turn in range(max(map(len, queues), default=0)):
        order |= {queue[turn][0]: None for queue in queues if turn < len(queue)}
    return [Suspect(with_facts[number].row, tuple(reasons[number])) for number in order]


def _queues(
    looked_at: Sequence[LookedAt], config: PipelineConfig
) -> Iterator[list[tuple[int, str, str]]]:
    """For each kind of suspicion, serious kinds first: the recordings, with what is suspicious and
    a detail, or ''."""
    facts = [look.facts for look in looked_at if look.facts is not None]
    found = suspicions(facts, config.data)
    for suspicion in sorted(found, key=lambda s: not s.grave):
        yield [(case.number, suspicion.summary, case.detail) for case in suspicion.cases]
    same = duplicates([look.digest for look in looked_at])
    yield [
        (number, f"waveform is identical to that of {looked_at[group[0]].row.row.record_id}", "")
        for group in same
        for number in group[1:]
    ]
    yield [
        (number, f"would be rejected: {look.reason}", "")
        for number, look in enumerate(looked_at)
        if look.reason is not None
    ]


def _joined(language: Language, separator: str, *texts: str) -> str:
    """Finished English texts, those that are not empty, as one in a language."""
    own = {", ": "、", ": ": "："}[separator] if language == "ja" else separator
    return own.join(told(text, language) for text in texts if text)


def _thumbnail(suspect: Suspect, config: PipelineConfig, language: Language) -> Thumbnail:
    row, source = suspect.row.row, suspect.row.source
    record = read_planned(row, source, config.data)
    part, flat = shown_part(record, cropped_start_s(record, config.data), SHOWN_S)
    reasons = suspect.reasons
    if flat and not any(told("a lead is flat", language) in reason for reason in reasons):
        reasons = (*reasons, told(f"flat, so not drawn: {', '.join(flat)}", language))
    return Thumbnail(Ecg(part.signal_mv, part.rate_hz, LEADS), row.record_id, reasons)
