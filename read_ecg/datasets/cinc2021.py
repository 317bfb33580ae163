"""Adapter: the training set of the PhysioNet/CinC Challenge 2021.

Owns the comment lines of its headers and the meaning of its SNOMED CT codes. There are no patient
ids, so each record counts as one patient. Three databases are known to have recorded people several
times, so each of them counts as one patient and stays in one split.

Source: Reyna et al. 2021, doi 10.13026/34va-7q14; codes the challenge scores as one diagnosis are
those of its evaluation's dx_mapping_scored.csv.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ecgpipe.config.data import Cinc2021Source
from ecgpipe.errors import SourceError
from ecgpipe.read_ecg.datasets.row_table import RowTable
from ecgpipe.read_ecg.datasets.source import SourceRow, SourceRows, parse_number

# By the first letters of a record's name.
_DATABASES = {
    "A": "cpsc2018",
    "Q": "cpsc2018-extra",
    "I": "incart",
    "S": "ptb",
    "HR": "ptb-xl",
    "E": "georgia",
    "JS": "chapman-ningbo",
}
_RECORD = re.compile(r"^(?P<letters>[A-Z]+)\d+$")
_SEVERAL_OF_ONE_PERSON = ("incart", "ptb", "ptb-xl")
_ALSO_IN_PTBXL = ("ptb", "ptb-xl")

# The challenge scores each of these pairs as one diagnosis.
_SAME = {
    "59118001": "713427006",  # right bundle branch block: complete
    "164909002": "733534002",  # left bundle branch block: complete
    "63593006": "284470004",  # supraventricular premature beats: premature atrial contraction
    "17338001": "427172004",  # ventricular premature beats: premature ventricular contraction
    # Scored in no year, but what CPSC 2018 calls PVC: its 700 records with that label have it.
    "164884008": "427172004",  # ventricular ectopics
}
# Codes that several findings of findings98 have, and the one that means exactly the same. The
# others are narrower. None of the seven for 164865005, myocardial infarction, does.
_NAMES = {
    "164889003": "Atrial fibrillation",
    "54329005": "Anterior wall infarction",
    "164934002": "T-wave abnormality",
}
_SEX = {"male": "male", "m": "male", "female": "female", "f": "female"}
_MAX_HEADER_BYTES = 1 << 16


def read_cinc2021(source: Cinc2021Source) -> SourceRows:
    """All records of the chosen databases; record ids are 'cinc2021-' and the record's name.

    Raises:
        SourceError: there is none below the root, or a header cannot be read.
    """
    headers = cinc2021_headers(source)
    rows = (_row(header, source) for header in headers)
    return SourceRows(
        name=source.called,
        kind=source.kind,
        root=source.root,
        table=source.root,
        rows=RowTable.of(rows),
    )


def cinc2021_headers(source: Cinc2021Source) -> list[Path]:
    """The headers of all its records, sorted.

    Raises:
        SourceError: there is none.
    """
    if found := sorted(_headers_below(source.root, source.databases)):
        return found
    raise SourceError(
        f"{source.root} has no record of {', '.join(source.databases)}, such as A0001.hea, at any"
        " depth. Set data.sources.N.root to the unpacked folder of the challenge's archive."
    )


def _headers_below(root: Path, databases: tuple[str, ...]) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in names:
            stem = name.removesuffix(".hea")
            if stem != name and _database(stem) in databases:
                yield Path(folder, name)


def _database(record: str) -> str | None:
    match = _RECORD.match(record)
    return _DATABASES.get(match["letters"]) if match else None


def _row(header: Path, source: Cinc2021Source) -> SourceRow:
    name = header.stem
    database = _database(name) or ""
    said = _comments(header)
    together = database in _SEVERAL_OF_ONE_PERSON
    return SourceRow(
        record_id=f"cinc2021-{name}",
        patient_id=f"cinc2021-{database if together else name}",
        path=header.relative_to(source.root).with_suffix("").as_posix(),
        findings=_findings(said.get("dx", "")),
        public_codes=True,
        also_in="ptbxl" if database in _ALSO_IN_PTBXL else None,
        age=parse_number(said.get("age", "")),
        sex=_SEX.get(said.get("sex", "").casefold()),
        site=database,
        place=f"{name} of {source.called}",
    )


def _comments(header: Path) -> dict[str, str]:
    """The values of lines such as '#Age: 74', by name."""
    try:
        with header.open("rb") as file:
            text = file.read(_MAX_HEADER_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{header} cannot be read: {error.strerror}.") from None
    pairs = (line.lstrip("# ").split(":", 1) for line in text.splitlines() if line[:1] == "#")
    return {pair[0].strip().casefold(): pair[1].strip() for pair in pairs if len(pair) == 2}


def _findings(codes: str) -> tuple[str, ...]:
    written = (code.strip() for code in codes.split(","))
    merged = (_SAME.get(code, code) for code in written if code)
    return tuple(dict.fromkeys(_NAMES.get(code, code) for code in merged))
