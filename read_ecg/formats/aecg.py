"""HL7 annotated ECG (aECG), the format of drug trials and of Mindray's and Mortara's carts.

Owns that the rhythm is read, not the representative beat, and the exact rate. ecgdatakit decodes:
value = origin + scale x digit, leads by their MDC codes.

Source: ANSI/HL7 V3 ECG R1-2004.
"""

from pathlib import Path

from ecgpipe.read_ecg.formats.clinical import channels_of, describe, parse_with, reasons, to_record
from ecgpipe.read_ecg.formats.xml import check_document, root_name
from ecgpipe.read_ecg.signal.record import EcgRecord

FORMAT = "HL7 aECG"
_VERDICTS = {
    "rhythm series found": "only the first of several recordings",
    "in the rhythm series; only the first is read": "only the first of several parts",
    "Unrecognised sequences ignored in the rhythm": "other signals left out",
}


def is_aecg(head: bytes, path: Path) -> bool:
    """Whether these are the first bytes of a file of this format."""
    return root_name(head) == "AnnotatedECG"


def read_aecg(path: Path) -> EcgRecord:
    """Read the first rhythm series; raises RecordError."""
    with reasons(path, FORMAT):
        from ecgdatakit.parsing.parsers.hl7_aecg import HL7aECGParser

        check_document(path)
        parsed, notes = parse_with(HL7aECGParser(), path, _VERDICTS)
        rate_hz = float(parsed.raw_metadata["rhythm_time"]["sampling_rate_exact"])
        channels = channels_of(parsed, [_without_rounding(rate_hz)] * len(parsed.leads))
        return to_record(channels, path, notes, describe(FORMAT, parsed))


def _without_rounding(rate_hz: float) -> float:
    """A whole rate that floating point missed, as in 1 / 0.002."""
    nearest = round(rate_hz)
    return float(nearest) if abs(rate_hz - nearest) < 1e-6 * rate_hz else rate_hz
