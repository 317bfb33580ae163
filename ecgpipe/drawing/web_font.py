"""A subset of a Japanese font, small enough to embed in an HTML page.

A report thereby shows its findings on a computer without Japanese fonts. Always taken from
IPAexGothic, whose licence allows embedding in a document; a system font's may not.
"""

import io
import logging

from ecgpipe.drawing.fonts import bundled_font

_FIRST_EMBEDDED = "\u0100"  # every system has the Latin-1 characters before it


def embedded_font(text: str) -> bytes | None:
    """Return a WOFF font with the glyphs of a text; None if it is all Latin-1.

    Args:
        text: every character that the page may show.
    """
    letters = {letter for letter in text if letter >= _FIRST_EMBEDDED}
    if not letters:
        return None
    from fontTools import subset
    from fontTools.ttLib import TTFont

    logging.getLogger("fontTools").setLevel(logging.ERROR)
    options = subset.Options()
    options.layout_features = []
    options.hinting = False
    options.name_IDs = ["*"]  # keep the font's name and licence
    with TTFont(bundled_font(), recalcTimestamp=False) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(text="".join(sorted(letters)))
        subsetter.subset(font)
        font.flavor = "woff"
        file = io.BytesIO()
        font.save(file)
    return file.getvalue()
