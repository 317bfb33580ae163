"""Choose a font that has the glyphs of a text.

Glyphs are looked up before anything is drawn, because a font without Japanese silently draws empty
boxes. The order of preference is DejaVu Sans (bundled with matplotlib), then the user's font
(`--font` or ECGPIPE_FONT), then IPAexGothic from the package matplotlib-fontja. Fonts of the system
are ignored, so that a picture looks the same on every machine.
"""

import functools
import importlib.util
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecgpipe.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

VARIABLE = "ECGPIPE_FONT"


@dataclass(frozen=True)
class Fonts:
    """The font files to draw with."""

    latin: Path
    latin_bold: Path
    fallbacks: tuple[Path, ...]
    """Fonts to use when the Latin font lacks a glyph, in order of preference."""

    def printable(self, text: str, bold: bool = False) -> tuple[str, Path]:
        """Return the text as it can be drawn, and the font that covers most of it.

        Glyphs missing from that font and control characters become question marks.
        """
        plain = "".join("?" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
        fonts = (self.latin_bold if bold else self.latin, *self.fallbacks)
        font = min(fonts, key=lambda path: len(missing_glyphs(path, plain)))
        missing = missing_glyphs(font, plain)
        return "".join("?" if c in missing else c for c in plain), font


def find_fonts(user_font: Path | None = None) -> Fonts:
    """Find the fonts to draw with.

    Args:
        user_font: preferred over IPAexGothic; None for ECGPIPE_FONT, if it is set.

    Raises:
        ConfigError: the user's font file cannot be read.
    """
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    if user_font is None and (name := os.environ.get(VARIABLE, "").strip()):
        user_font = Path(name)
    if user_font is not None:
        try:
            _load_face(user_font)
        except (OSError, RuntimeError):
            raise ConfigError(
                f"{user_font} cannot be read as a font. Give a .ttf, .otf or .ttc file with --font"
                f" or {VARIABLE}."
            ) from None
    fallbacks = (bundled_font(),) if user_font is None else (user_font, bundled_font())
    return Fonts(folder / "DejaVuSans.ttf", folder / "DejaVuSans-Bold.ttf", fallbacks)


def missing_glyphs(font: Path, text: str) -> frozenset[str]:
    """Return the characters of a text that a font file has no glyph for."""
    face = _load_face(font)
    return frozenset(letter for letter in set(text) if face.get_char_index(ord(letter)) == 0)


def bundled_font() -> Path:
    """Return the path of IPAexGothic, which is installed with the package matplotlib-fontja."""
    # Found without importing it: the import would change the settings of all figures.
    spec = importlib.util.find_spec("matplotlib_fontja")
    assert spec is not None, "matplotlib-fontja is a dependency of ecgpipe"
    assert spec.origin is not None
    return Path(spec.origin).parent / "fonts" / "ipaexg.ttf"


@functools.cache
def _load_face(path: Path) -> "FT2Font":
    from matplotlib.ft2font import FT2Font

    return FT2Font(str(path))
