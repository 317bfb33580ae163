"""The ECGs that fit a sentence, or that resemble an ECG, best first.

Owns where vectors come from: an archive that `predict --vectors` wrote, or the experiment's
prepared signals. The search itself belongs to `apply_model.archive`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.archive import Archive, closest, read_archive
from ecgpipe.apply_model.contract import Contract
from ecgpipe.apply_model.questions import ask
from ecgpipe.cache.records_table import Record
from ecgpipe.config.settings import Language
from ecgpipe.drawing.contact_sheet import Thumbnail, contact_sheets
from ecgpipe.drawing.ecg_chart import SHOWN_S, Ecg
from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.rendering import render
from ecgpipe.errors import CheckpointError, ConfigError, EcgpipeError, SourceError
from ecgpipe.files import write_atomic
from ecgpipe.progress import progress, say
from ecgpipe.read_ecg.formats.recording import read_recording, recording_state
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord
from ecgpipe.read_ecg.signal.window import in_millivolts
from ecgpipe.spreadsheet import csv_bytes
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.show.records import shown_part
from ecgpipe.stages.show.show import choose_output

_ENCODED_AT_ONCE = 512

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is searched for: a text or an ECG."""

    text: str | None = None
    like: str | None = None
    """A record id among those that are searched, or the path of a recording."""

    language: Language | None = None
    """Of the prompt that the text is put into."""


@dataclass(frozen=True)
class Match:
    """An ECG that was found."""

    rank: int
    record_id: str
    path: str
    cosine: float


@dataclass
class SearchResult:
    """The best matches, and what was written of them."""

    matches: list[Match]
    n_searched: int
    distance: float | None
    """Of the text from all that were trained on; None for an ECG, or if it is not known."""

    files: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Matches that could not be drawn, with the reason."""


class Searched(Protocol):
    """ECGs with vectors."""

    def __len__(self) -> int: ...

    def named(self, row: int) -> tuple[str, str]:
        """The id and path of an ECG."""

    def row_of(self, record_id: str) -> int | None:
        """The row of a record, if it is there."""

    def vector(self, row: int) -> Vectors:
        """(D,) its vector."""

    def blocks(self) -> Iterator[Vectors]:
        """All vectors, (any, D) at a time."""


class PreparedEcgs:
    """The prepared signals of an experiment, encoded when they are first needed."""

    def __init__(
        self,
        model: AppliedModel,
        experiment: Experiment,
        split: str | None,
        command: str = "search",
    ) -> None:
        """Take the records of a split, or all; progress is shown under the name of `command`.

        Raises:
            CheckpointError: they were prepared otherwise than the model demands.
            SourceError: there is no record.
        """
        if Contract.of(experiment.config.data) != model.contract:
            raise CheckpointError(
                f"The signals of {experiment.config.name} were prepared otherwise than this model"
                f" demands ({model.contract.rate_hz} Hz, {model.contract.duration_s:g} s). Make an"
                " archive of them instead: `ecgpipe predict MODEL -c PIPELINE --vectors FILE`, then"
                " search with --archive."
            )
        table = experiment.records if split is None else experiment.records.of_split(split)
        if not table.records:
            raise SourceError(f"{experiment.config.name} has no record to search.")
        self._model, self._experiment = model, experiment
        self._command = command
        self.records: Sequence[Record] = table.records
        self._row_of = {record.record_id: row for row, record in enumerate(self.records)}

    def __len__(self) -> int:
        return len(self.records)

    def named(self, row: int) -> tuple[str, str]:
        """The id of an ECG; it has no path."""
        return self.records[row].record_id, ""

    def row_of(self, record_id: str) -> int | None:
        """The row of a record, if it is there."""
        return self._row_of.get(record_id)

    def vector(self, row: int) -> Vectors:
        """(D,) its vector."""
        encoded: Vectors = self._encoded(row, row + 1)[0]
        return encoded

    def blocks(self) -> Iterator[Vectors]:
        """All vectors, (any, D) at a time."""
        with progress(self._command, len(self), "ECGs") as tick:
            for start in range(0, len(self), _ENCODED_AT_ONCE):
                block = self._encoded(start, start + _ENCODED_AT_ONCE)
                tick(len(block))
                yield block

    def recording(self, row: int) -> EcgRecord:
        """The prepared window, for a picture."""
        window_uv = self._experiment.signals.read(np.array([self.records[row].slot]))[0]
        return EcgRecord(in_millivolts(window_uv), float(self._experiment.config.data.rate_hz))

    def _encoded(self, start: int, end: int) -> Vectors:
        slots = np.array([record.slot for record in self.records[start:end]])
        return self._model.encode_ecg(self._experiment.signals.read(slots))


def open_searched(
    model: AppliedModel,
    archive: Path | None,
    split: str | None,
    open_experiment: Callable[[], Experiment] | None,
) -> "Archive | PreparedEcgs":
    """What is to be searched.

    Args:
        model: which asks.
        archive: a file of vectors; None for the experiment's prepared signals.
        split: of the prepared records; None for all.
        open_experiment: opens the experiment; None if there is none.

    Raises:
        ConfigError: nothing was named, or a split of an archive.
        StoreError: the archive is missing or damaged, or nothing is prepared.
        CacheMismatchError: another model made the archive.
        CheckpointError: the signals were prepared otherwise than the model demands.
    """
    if archive is not None:
        if split is not None:
            raise ConfigError("--split chooses among the records of -c; an archive has none.")
        return read_archive(archive, model.digest)
    if open_experiment is None:
        raise ConfigError(
            "Nothing was named to search. Name an archive with --archive (`ecgpipe predict MODEL"
            " INPUT... --vectors FILE` writes one), or an experiment with -c."
        )
    return PreparedEcgs(model, open_experiment(), split)


def run_search(
    model: AppliedModel,
    searched: "Archive | PreparedEcgs",
    query: Query,
    most: int,
    out: Path | None,
    sheet: Path | None,
) -> SearchResult:
    """Find the best matches, and write what is asked for.

    Args:
        model: which encodes the query.
        searched: where to look.
        query: what for; the ECG itself is not among those that resemble it.
        most: how many.
        out: a CSV file.
        sheet: a picture of the matches; several pages are numbered.

    Raises:
        ConfigError: `sheet` is no .png or .svg.
        ModelError: the text needs the language model, and it is not at hand.
        RecordError, SourceError: the ECG to compare with cannot be read, or is unknown.
        StoreError: a file cannot be written.
    """
    vector_D, own_row, distance = _query_vector(model, searched, query)
    wanted = most if own_row is None else most + 1
    scores, rows = closest(searched.blocks(), vector_D[None], wanted)
    pairs = [
        (row, cosine)
        for row, cosine in zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        if row != own_row
    ][:most]
    matches = [
        Match(rank, *searched.named(row), cosine) for rank, (row, cosine) in enumerate(pairs, 1)
    ]
    result = SearchResult(matches, len(searched), distance)
    if out is not None:
        write_atomic(out, _csv_of(matches))
        result.files.append(out)
    if sheet is not None:
        _draw(searched, [row for row, _ in pairs], query, model.content.notice, sheet, result)
    return result


def _query_vector(
    model: AppliedModel, searched: Searched, query: Query
) -> tuple[Vectors, int | None, float | None]:
    """(D,) the vector to search with; its own row, if it has one; and a text's distance."""
    if query.text is not None:
        asked = ask(model, [query.text], query.language)
        for line in asked.warnings():
            say("search: " + line)
        return asked.vectors_QD[0], None, asked.distances[0]
    assert query.like is not None
    row = searched.row_of(query.like)
    if row is not None:
        return searched.vector(row), row, None
    path = Path(query.like)
    if not recording_state(path):
        raise SourceError(
            f"--like {query.like}: among the {len(searched):,} ECGs searched none has this id, and"
            " there is no recording of that name."
        )
    return model.encode_ecg(model.read(path).signal_uv[None])[0], None, None


def _csv_of(matches: Sequence[Match]) -> bytes:
    rows = [(match.rank, match.cosine, match.record_id, match.path) for match in matches]
    return csv_bytes(("rank", "cosine", "record_id", "path"), rows)


def _draw(
    searched: "Archive | PreparedEcgs",
    rows: Sequence[int],
    query: Query,
    notice: str,
    sheet: Path,
    result: SearchResult,
) -> None:
    """Draw the matches on pages of small charts; one that cannot be read is named."""
    file, folder, form = choose_output(sheet, None, one=True)
    thumbnails = []
    for row, match in zip(rows, result.matches, strict=True):
        try:
            if isinstance(searched, PreparedEcgs):
                record = searched.recording(row)
            else:
                record = read_recording(Path(match.path))
            part, _ = shown_part(record, 0.0, SHOWN_S)
        except (EcgpipeError, OSError) as error:
            result.failed[match.record_id] = str(error)
            continue
        title = f"{match.rank}. {match.record_id}"
        chart = Ecg(part.signal_mv, part.rate_hz, LEADS)
        thumbnails.append(Thumbnail(chart, title, (f"cosine {match.cosine:.3f}",)))
    heading = f"{query.text or 'like ' + str(query.like)}: the best of {result.n_searched:,} ECGs"
    pages = contact_sheets(thumbnails, heading, notice)
    name = file or folder / f"search.{form}"
    fonts = find_fonts(None)
    for number, page in enumerate(pages, 1):
        path = name.with_stem(f"{name.stem}-{number}") if len(pages) > 1 else name
        write_atomic(path, render(page, fonts, form))
        result.files.append(path)


def as_rows(result: SearchResult) -> list[dict[str, Any]]:
    """The matches, ready for JSON."""
    return [vars(match) for match in result.matches]
