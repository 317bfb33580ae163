"""A font that has the glyphs of what is to be written.

Owns where fonts are looked for, and that a glyph is looked up before it is drawn: a font without
Japanese draws empty boxes and tells nobody. Latin letters come from DejaVu Sans, which comes with
matplotlib; what it lacks comes from, in this order,

1. the font the user names (`--font`, or ECGPIPE_FONT),
2. a Japanese font of the system,
3. IPAexGothic out of the package matplotlib-fontja: only the file is read, since importing the
   package would change the settings of every figure of the process.
"""

import functools
import importlib.util
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecgpipe.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

VARIABLE = "ECGPIPE_FONT"
HOW_TO_GET_ONE = (
    "Install one: `pip install matplotlib-fontja` (IPAexGothic, 4 MB), or a package of the system"
    f" such as fonts-noto-cjk or fonts-ipaexfont; or name a font file with --font or {VARIABLE}"
)

# By file name, the best first; what is found is trusted only after its glyphs were looked up.
_KNOWN = (
    r"NotoSansCJK(jp)?-Regular\.(ttc|otf)",
    r"NotoSansJP-Regular\.(otf|ttf)",
    r"NotoSansJP\[wght\]\.ttf",
    r"ipaexg\.ttf",
    r"ipagp?\.ttf",
    r"Takao(Ex|P)?Gothic\.ttf",
    r"ヒラギノ角ゴシック W3\.ttc",
    r"(Hiragino Sans|HiraginoSans-)W3\.(ttc|otf)",
    r"YuGoth(M|R)\.ttc",
    r"yugothic\.ttf",
    r"meiryo\.ttc",
    r"msgothic\.ttc",
    r"VL-P?Gothic-Regular\.ttf",
)


@dataclass(frozen=True)
class Fonts:
    """The font files that a sheet is written with."""

    latin: Path
    latin_bold: Path
    japanese: Path | None
    """A font with the glyphs that the Latin one lacks; None where none has them."""

    def has_all(self, text: str) -> bool:
        """Whether every letter of a text can be drawn."""
        lacking = missing_glyphs(self.latin, text)
        if self.japanese is not None:
            lacking &= missing_glyphs(self.japanese, text)
        return not lacking

    def printable(self, text: str, bold: bool = False) -> tuple[str, Path]:
        """The text as it can be drawn, and the font for it.

        A letter that the font lacks, and what is no letter (a line break, a control character),
        becomes a question mark.
        """
        plain = "".join("?" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
        latin = self.latin_bold if bold else self.latin
        fonts = [latin] if self.japanese is None else [latin, self.japanese]
        font = min(fonts, key=lambda path: len(missing_glyphs(path, plain)))
        lacking = missing_glyphs(font, plain)
        return "".join("?" if c in lacking else c for c in plain), font


def find_fonts(needed: str, wished: str = "", wanted: Path | None = None) -> Fonts:
    """Fonts for a text.

    Args:
        needed: every letter that must be drawn rightly.
        wished: letters that would be good to have too, such as those of a record's id.
        wanted: a font file that is tried first; None for ECGPIPE_FONT, if it is set.

    Raises:
        ConfigError: the font file that was named is missing, or no font.
    """
    latin, latin_bold = _of_matplotlib("DejaVuSans"), _of_matplotlib("DejaVuSans-Bold")
    named = wanted or _from_environment()
    if named is not None:
        _check_font(named)
    for letters in (needed + wished, needed):
        lacking = "".join(sorted(missing_glyphs(latin, letters)))
        if named is not None and not missing_glyphs(named, lacking):
            return Fonts(latin, latin_bold, named)
        if lacking and (found := _first_with(lacking)) is not None:
            return Fonts(latin, latin_bold, found)
    return Fonts(latin, latin_bold, named)


def missing_glyphs(font: Path, text: str) -> frozenset[str]:
    """Letters of a text that a font file has no glyph for."""
    face = _face(font)
    return frozenset(letter for letter in set(text) if face.get_char_index(ord(letter)) == 0)


def bundled_font() -> Path | None:
    """IPAexGothic of the package matplotlib-fontja, if that is installed."""
    spec = importlib.util.find_spec("matplotlib_fontja")  # finds, and does not import
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "fonts" / "ipaexg.ttf"
        if path.is_file():
            return path
    return None


@functools.cache
def _first_with(letters: str) -> Path | None:
    """The first font of system and package that has all these letters."""
    for path in _candidates():
        try:
            if not missing_glyphs(path, letters):
                return path
        except (OSError, RuntimeError):  # a damaged font is somebody else's matter
            continue
    return None


def _candidates() -> Iterator[Path]:
    by_name: dict[str, list[Path]] = {}
    for path in _system_fonts():
        # macOS spells its file names in decomposed kana.
        by_name.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
    for pattern in _KNOWN:
        for name in sorted(by_name):
            if re.fullmatch(pattern, name, re.IGNORECASE):
                yield from sorted(by_name[name])
    if (bundled := bundled_font()) is not None:
        yield bundled


@functools.cache
def _system_fonts() -> tuple[Path, ...]:
    from matplotlib.font_manager import findSystemFonts

    found = {Path(name) for name in findSystemFonts()}
    if sys.platform == "darwin":
        found |= set(Path("/System/Library/Fonts").glob("*.tt[cf]"))
    return tuple(sorted(found))


def _from_environment() -> Path | None:
    name = os.environ.get(VARIABLE, "").strip()
    return Path(name) if name else None


def _check_font(path: Path) -> None:
    try:
        _face(path)
    except (OSError, RuntimeError):
        raise ConfigError(
            f"{path} is no font file that can be read. Name a .ttf, .otf or .ttc with --font or"
            f" {VARIABLE}."
        ) from None


def _of_matplotlib(name: str) -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"


@functools.cache
def _face(path: Path) -> "FT2Font":
    from matplotlib.ft2font import FT2Font

    return FT2Font(str(path))
