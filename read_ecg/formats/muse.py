"""GE MUSE XML, the most common export of American hospitals.

Owns only what is read; ecgdatakit decodes. MUSE stores I, II and V1 to V6; the other limb leads are
derived in `leads`.
"""

from pathlib import Path

from ecgpipe.read_ecg.formats.clinical import channels_of, describe, parse_with, reasons, to_record
from ecgpipe.read_ecg.formats.xml import check_document, root_name
from ecgpipe.read_ecg.signal.record import EcgRecord

FORMAT = "GE MUSE XML"
_VERDICTS = {
    "Additional rhythm waveform": "only the first of several recordings",
    "is non-zero for": "constant offset of a lead not applied",
}


def is_muse(head: bytes, path: Path) -> bool:
    """Whether these are the first bytes of a file of this format."""
    return (root_name(head) or "").casefold() == "restingecg"


def read_muse(path: Path) -> EcgRecord:
    """Read the rhythm waveform, not the median beat; raises RecordError."""
    with reasons(path, FORMAT):
        from ecgdatakit.parsing.parsers.ge_muse_xml import GEMuseXMLParser

        check_document(path)
        parsed, notes = parse_with(GEMuseXMLParser(), path, _VERDICTS)
        return to_record(channels_of(parsed), path, notes, describe(FORMAT, parsed))
