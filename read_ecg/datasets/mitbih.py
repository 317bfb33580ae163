"""Adapter: windows of the MIT-BIH Arrhythmia Database, each centred on a beat.

Owns which beats get a window, the finding of each, and that this data set's modified lead II (MLII)
is taken as II. Elsewhere MLII is not a standard lead.

A window's finding is that of its central beat, by the symbol the cardiologists gave it. AAMI's five
classes are not used, because METS's set divides AAMI's class N into normal, left and right bundle
branch block. A window counts only if
- it lies within the recording,
- every other beat in it is normal or has the central beat's symbol, and none is unreadable,
- the rhythm is sinus throughout, or one that consists of such beats: beats in atrial fibrillation
  are N too, and a run of A is a tachycardia.
Windows of a record do not overlap; rare symbols are drawn first, by a hash of seed and beat.

Source: Moody & Mark 2001, doi 10.13026/C2F305; AAMI EC57; de Chazal et al. 2004 (DS1, DS2).
"""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.config.data import MitbihSource
from ecgpipe.errors import RecordError, SourceError
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows
from ecgpipe.read_ecg.formats.recording import recording_state
from ecgpipe.read_ecg.formats.wfdb import read_wfdb
from ecgpipe.read_ecg.formats.wfdb_header import Header, parse_header
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

_DS1 = (
    "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230"
).split()
_DS2 = (
    "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234"
).split()
_PACED = "102 104 107 217".split()
RECORDS = tuple(sorted((*_DS1, *_DS2, *_PACED)))
_SAME_PERSON = {"202": "201"}

# AAMI EC57's classes of the database's symbols, and the finding of each symbol: the first one in
# findings98 with it in the column mitbih. S, J, e, f and Q have no finding, so no window.
AAMI = {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}
FINDINGS = {
    "N": "Sinus rhythm",
    "L": "Complete left bundle branch block",
    "R": "Complete right bundle branch block",
    "j": "Junctional escape beat",
    "A": "Premature atrial contraction",
    "a": "Aberrantly conducted premature atrial contraction",
    "V": "Premature ventricular contraction",
    "E": "Ventricular escape rhythm",
    "F": "Fusion beat",
    "/": "Pacemaker rhythm",
}

# The rhythms a window may have: sinus (N); sinus bradycardia (SBR), but not for normal beats, whose
# finding would be a different one; and, by symbol, bigeminy and the like.
_SINUS = ("(N", "(SBR")
_RHYTHMS = {
    "N": ("(N",),
    "A": (*_SINUS, "(AB"),
    "V": (*_SINUS, "(B", "(T"),
    "E": (*_SINUS, "(IVR"),
    "j": (*_SINUS, "(NOD"),
    "/": (*_SINUS, "(P"),
}
_NO_BEATS = frozenset('+~|"')  # changes of rhythm or noise, artefacts, comments
_RATE_HZ = 360.0


@dataclass(frozen=True)
class _Annotations:
    """What the cardiologists annotated in one record."""

    samples: npt.NDArray[np.int64]
    symbols: tuple[str, ...]
    rhythms: tuple[tuple[int, str], ...]
    """The sample at which a rhythm begins, and its name: (0, '(N')."""


def read_mitbih(source: MitbihSource) -> SourceRows:
    """The windows of all records in the root; their ids end in the beat's sample, as in
    mitbih-201-012345.

    Raises:
        SourceError: there is no record, or a header or annotation file cannot be read.
    """
    rows = RowTable.of(row for name in _records(source) for row in _rows(name, source))
    if not rows:
        raise SourceError(
            f"No beat of the MIT-BIH records in {source.root} has a usable window. Add classes to"
            " data.sources.N.classes."
        )
    return SourceRows(
        name=source.called,
        kind=source.kind,
        root=source.root,
        table=source.root,
        rows=rows,
        read=read_mitbih_recording,
    )


def mitbih_annotations(source: MitbihSource) -> list[Path]:
    """The headers and annotation files of all records. Raises SourceError: there is none."""
    return [source.root / f"{n}.{suffix}" for n in _records(source) for suffix in ("hea", "atr")]


def read_mitbih_recording(path: Path) -> EcgRecord:
    """A whole recording, with MLII as II.

    The last one is cached: a recording's windows follow one another, and reading takes longer than
    cutting.

    Raises:
        RecordError: a file is missing or damaged.
    """
    return _read_recording(path, recording_state(path))


@functools.lru_cache(maxsize=1)
def _read_recording(path: Path, state: str) -> EcgRecord:
    return read_wfdb(_hea(path), _header(path))


def _hea(path: Path) -> Path:
    return path.with_name(f"{path.name}.hea")


def _header(path: Path) -> Header:
    """The header with MLII renamed to II, so that its gain must be stated."""
    file = _hea(path)
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise RecordError(Reason.MISSING_FILE, f"{file} does not exist") from None
    lines = [
        f"{line.removesuffix('MLII')}II" if line.endswith(" MLII") else line
        for line in (line.rstrip() for line in text.splitlines())
    ]
    return parse_header("\n".join(lines), file.name)


def _records(source: MitbihSource) -> list[str]:
    found = [
        name
        for name in RECORDS
        if name not in source.exclude and (source.root / f"{name}.hea").is_file()
    ]
    if found:
        return found
    raise SourceError(
        f"{source.root} has no record of MIT-BIH, such as 101.hea with 101.atr and 101.dat. Set"
        " data.sources.N.root to the unpacked folder of PhysioNet's archive."
    )


def _rows(record: str, source: MitbihSource) -> Iterator[SourceRow]:
    marks, n_samples = _read_annotations(record, source.root)
    half = round(source.window_s * _RATE_HZ / 2)
    for place, symbol in _draw(record, marks, n_samples, half, source):
        sample = int(marks.samples[place])
        yield SourceRow(
            record_id=f"mitbih-{record}-{sample:06d}",
            patient_id=f"mitbih-{_SAME_PERSON.get(record, record)}",
            path=record,
            findings=(FINDINGS[symbol],),
            split=_split(record, source),
            start_s=(sample - half) / _RATE_HZ,
            length_s=source.window_s,
            place=f"the beat at sample {sample:,} of {record} of {source.called}",
        )


def _split(record: str, source: MitbihSource) -> str | None:
    person = _SAME_PERSON.get(record, record)
    if source.split != "de_chazal":
        return None if source.split == "drawn" else source.split
    if person in source.val_records:
        return "val"
    return "test" if person in _DS2 else "train"


def _read_annotations(record: str, root: Path) -> tuple[_Annotations, int]:
    import wfdb

    try:
        header = _header(root / record)
        found = wfdb.rdann(str(root / record), "atr")
    except FileNotFoundError:
        raise SourceError(
            f"{root / record}.atr does not exist; it holds the beat annotations."
        ) from (None)
    except Exception as error:  # wfdb raises whatever its parsing runs into
        raise SourceError(f"The annotations of {root / record} cannot be read: {error}.") from None
    if header.rate_hz != _RATE_HZ or header.n_samples is None:
        raise SourceError(f"{root / record}.hea is not MIT-BIH's: it must state 360 Hz and length.")
    rhythms = [
        (int(sample), note.rstrip("\0"))
        for sample, symbol, note in zip(found.sample, found.symbol, found.aux_note, strict=True)
        if symbol == "+" and note.startswith("(")
    ]
    marks = _Annotations(np.asarray(found.sample), tuple(found.symbol), tuple(rhythms))
    return marks, header.n_samples


def _draw(
    record: str, marks: _Annotations, n_samples: int, half: int, source: MitbihSource
) -> list[tuple[int, str]]:
    """The indices and symbols of the central beats, in order of time."""
    symbols = [s for name in source.classes for s in AAMI[name] if s in FINDINGS]
    fit = {s: _candidates(s, marks, n_samples, half) for s in symbols}
    taken: list[tuple[int, str]] = []
    for symbol in sorted(symbols, key=lambda s: (len(fit[s]), s)):
        order = sorted(
            fit[symbol], key=lambda place: _draw_order(record, marks, place, source.seed)
        )
        drawn = 0
        for place in order:
            if drawn == source.windows_per_beat:
                break
            sample = marks.samples[place]
            if all(abs(int(sample - marks.samples[other])) >= 2 * half for other, _ in taken):
                taken.append((place, symbol))
                drawn += 1
    return sorted(taken)


def _candidates(symbol: str, marks: _Annotations, n_samples: int, half: int) -> list[int]:
    """The indices of the beats of a symbol whose window is usable."""
    allowed = {symbol, "N"} | _NO_BEATS
    fit = []
    for place in (n for n, found in enumerate(marks.symbols) if found == symbol):
        start, end = int(marks.samples[place]) - half, int(marks.samples[place]) + half
        if start < 0 or end > n_samples:
            continue
        first, last = np.searchsorted(marks.samples, [start, end])
        in_rhythm = _rhythms(marks, start, end) <= set(_RHYTHMS.get(symbol, _SINUS))
        if in_rhythm and set(marks.symbols[first:last]) <= allowed:
            fit.append(place)
    return fit


def _rhythms(marks: _Annotations, start: int, end: int) -> set[str]:
    """The rhythms within a window; before the first annotation, the first one."""
    before = [name for sample, name in marks.rhythms if sample <= start] or [
        name for _, name in marks.rhythms[:1]
    ]
    within = [name for sample, name in marks.rhythms if start < sample < end]
    return {*(before[-1:] or [""]), *within}


def _draw_order(record: str, marks: _Annotations, place: int, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{record}\0{marks.samples[place]}".encode()).digest()
