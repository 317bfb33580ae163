"""Untrusted XML, read safely.

Owns which document a file is, and what is refused before a format's parser sees it: entity
declarations, external entities, and documents that are too large or deep.
"""

import codecs
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.clinical import checked_bytes
from ecgpipe.read_ecg.signal.record import Reason

MAX_XML_BYTES = 16 << 20  # five minutes of twelve leads in decimal numbers take 9 MB
_MAX_ELEMENTS = 200_000
_MAX_DEPTH = 100

_CUT_SHORT = (3, 5, 6, 20)  # expat: no element found, unclosed token, partial character, CDATA
_SKIPPED = (("<?", "?>"), ("<!--", "-->"))
_START_TAG = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)[\s/>]")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def root_name(head: bytes) -> str | None:
    """The name of the root element, without namespace; None if this is not XML."""
    text = _text(head).lstrip("\ufeff \t\r\n")
    while text.startswith("<"):
        if text.startswith("<!DOCTYPE"):
            start, end = text.find("["), text.find(">")
            inner = 0 <= start < end
            text = text[text.find("]", start) + 1 :] if inner else text
            text = text[text.find(">") + 1 :].lstrip() if ">" in text else ""
            continue
        for opening, closing in _SKIPPED:
            if text.startswith(opening):
                text = text[text.find(closing) + len(closing) :].lstrip() if closing in text else ""
                break
        else:
            found = _START_TAG.match(text)
            return found[1] if found else None
    return None


def check_document(path: Path) -> ET.Element:
    """Parse a document for its structure alone.

    Returns:
        The root; tags carry their namespace as '{uri}name'.

    Raises:
        RecordError: it is too large, too deep, declares entities, or is not well-formed.
    """
    data = checked_bytes(path, MAX_XML_BYTES)
    try:
        return _parse(data, path)
    except ET.ParseError as error:
        first = error
    # Bytes that do not match the declared encoding: read as Latin-1, in which every byte is valid.
    try:
        return _parse(_DECLARATION.sub("", data.decode("latin-1"), count=1), path)
    except ET.ParseError:
        cut = first.code in _CUT_SHORT
        raise RecordError(
            Reason.TRUNCATED if cut else Reason.UNREADABLE,
            f"{path.name} {'ends in the middle of' if cut else 'is not well-formed'} XML",
        ) from None


def _parse(data: bytes | str, path: Path) -> ET.Element:
    import defusedxml
    from defusedxml.ElementTree import DefusedXMLParser

    parser = DefusedXMLParser(target=_BoundedTree(path))
    try:
        parser.feed(data)
        root: ET.Element = parser.close()
    except defusedxml.DefusedXmlException:
        raise RecordError(
            Reason.UNREADABLE, f"{path.name} declares XML entities, which are not supported"
        ) from None
    return root


class _BoundedTree(ET.TreeBuilder):
    """A tree of limited size."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._depth, self._elements = path, 0, 0

    def start(self, tag: Any, attrs: Any) -> Any:
        """Count, then build."""
        self._depth += 1
        self._elements += 1
        if self._depth > _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise RecordError(
                Reason.UNREADABLE,
                f"{self._path.name}: its XML is deeper than {_MAX_DEPTH} or has more than"
                f" {_MAX_ELEMENTS:,} elements",
            )
        return super().start(tag, attrs)

    def end(self, tag: Any) -> Any:
        """Count, then build."""
        self._depth -= 1
        return super().end(tag)


def _text(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", errors="ignore")
    if head[:4] in (b"<\0?\0", b"<\0!\0"):
        return head.decode("utf-16-le", errors="ignore")
    return head.decode("utf-8", errors="ignore")
