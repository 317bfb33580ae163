"""The few letters of a Japanese font that a page needs, as a font that lies in the page itself.

Owns that a report shows its findings in Japanese on a computer without any Japanese font. Only the
font that is installed along (IPAexGothic) is taken: its licence allows it to be embedded in a
document for the display of that document, which one cannot know of the system's fonts.
"""

import io
import logging

from ecgpipe.drawing.fonts import bundled_font

_FIRST_EMBEDDED = "\u0100"  # whatever a system lacks, it has the letters before


def embedded_font(text: str) -> bytes | None:
    """A WOFF font with the glyphs of a text; None where IPAexGothic is not installed.

    Args:
        text: every letter that may be shown.
    """
    path = bundled_font()
    letters = {letter for letter in text if letter >= _FIRST_EMBEDDED}
    if path is None or not letters:
        return None
    from fontTools import subset
    from fontTools.ttLib import TTFont

    logging.getLogger("fontTools").setLevel(logging.ERROR)
    options = subset.Options()
    options.layout_features = []
    options.hinting = False
    options.name_IDs = ["*"]  # its name and licence stay in it
    with TTFont(path, recalcTimestamp=False) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(text="".join(sorted(letters)))
        subsetter.subset(font)
        font.flavor = "woff"
        file = io.BytesIO()
        font.save(file)
    return file.getvalue()
