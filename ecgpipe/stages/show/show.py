"""Draw ECGs to scale, one sheet per file.

Owns file names, captions and language, and that one bad ECG does not stop the others. The layout of
the sheet belongs to `ecgpipe.drawing`.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ecgpipe.drawing.ecg_chart import SHOWN_S, Ecg
from ecgpipe.drawing.ecg_sheet import Captions, ecg_sheet
from ecgpipe.drawing.fonts import Fonts, find_fonts
from ecgpipe.drawing.rendering import PNG_DPI, render
from ecgpipe.drawing.shapes import Sheet
from ecgpipe.errors import ConfigError, EcgpipeError
from ecgpipe.files import write_atomic
from ecgpipe.read_ecg.quality.inspection import inspect
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.show.records import Finder, Found, shown_part

_FORMATS = ("png", "svg")
_OTHER_FORMATS = ("pdf", "jpg", "jpeg", "gif", "tif", "tiff", "bmp", "webp", "eps", "ps", "html")
_LONGEST_NAME_BYTES = 200


@dataclass(frozen=True)
class Style:
    """Options of a picture."""

    format: Literal["png", "svg"] | None = None
    """None: the suffix of --out, else png."""

    start_s: float | None = None
    """Where to begin in a longer recording; None: where `prepare` begins."""

    font: Path | None = None
    language: Literal["ja", "en"] | None = None
    """None: text.language, or en without an experiment."""

    dpi: int = PNG_DPI
    """Resolution of a PNG."""


@dataclass
class ShowResult:
    """Which pictures were written, and which were not."""

    files: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Name to error message."""

    remarks: list[str] = field(default_factory=list)
    """What else the user should know."""

    def remark(self, text: str) -> None:
        """Add a remark, once."""
        if text and text not in self.remarks:
            self.remarks.append(text)


def run_show(
    names: Sequence[str],
    open_experiment: Callable[[], Experiment] | None,
    out: Path | None,
    style: Style,
) -> ShowResult:
    """Draw each ECG into its own file.

    Args:
        names: record ids, or paths of recordings.
        open_experiment: opens the experiment; None without one: then names are paths.
        out: a file name ending in .png or .svg (for one ECG), or a folder; None: this folder.
        style: options of the pictures.

    Raises:
        ConfigError: `out` or the font cannot be used.
    """
    file, folder, format = choose_output(out, style.format, one=len(names) == 1)
    finder = Finder(open_experiment)
    shown = ShowResult()
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        try:
            found = finder.find(name)
            content, remark = draw_sheet(found, format, style, _language(style, open_experiment))
            path = file or folder / free_name(found.title, format, taken)
            write_atomic(path, content)
        except ConfigError:
            raise
        except EcgpipeError as error:
            shown.failed[name] = str(error)
        except OSError as error:
            shown.failed[name] = f"cannot be read: {error.strerror or error}"
        else:
            shown.files.append(path)
            shown.remark(remark)
    return shown


def draw_sheet(
    found: Found, format: Literal["png", "svg"], style: Style, language: str
) -> tuple[bytes, str]:
    """The bytes of an ECG's sheet, and a remark for the user, or ''.

    Raises:
        RecordError: the recording ends before style.start_s.
        ConfigError: style.font is not a font.
    """
    start_s = found.start_s if style.start_s is None else style.start_s
    part, flat = shown_part(found.record, start_s, SHOWN_S)
    ecg = Ecg(part.signal_mv, part.rate_hz, LEADS)
    origin = found.origin.get(language, "")
    captions = Captions(
        title=found.title,
        findings=_finding_names(found, language),
        length_s=found.record.duration_s,
        start_s=start_s,
        heart_rate_bpm=inspect(part).heart_rate_bpm,
        flat_leads=flat,
        remarks=(origin,) if origin else (),
        notice=found.notice,
    )
    sheet = ecg_sheet(ecg, captions, language)
    fonts = find_fonts(style.font)
    return render(sheet, fonts, format, style.dpi), _missing_letters(sheet, fonts)


def choose_output(
    out: Path | None, format: Literal["png", "svg"] | None, one: bool
) -> tuple[Path | None, Path, Literal["png", "svg"]]:
    """The file that the user named, or None; the folder to write into; and the format.

    Raises:
        ConfigError: one file is named for several pictures, its suffix contradicts `format`, or is
            of a format that cannot be written.
    """
    if out is None or out.is_dir():
        return None, out or Path(), format or "png"
    ending = out.suffix.casefold().removeprefix(".")
    if ending in _OTHER_FORMATS:
        raise ConfigError(
            f"--out {out}: .{ending} cannot be written. Name a file that ends in .png or .svg (the"
            " latter can be enlarged without loss), or a folder."
        )
    if ending not in _FORMATS:
        return None, out, format or "png"
    if not one:
        raise ConfigError(
            f"--out names one file, {out}, for several pictures. Name a folder instead."
        )
    if format is not None and format != ending:
        raise ConfigError(
            f"--out {out} ends in .{ending}, but --format is {format}. Make them agree."
        )
    return out, out.parent, "svg" if ending == "svg" else "png"


def free_name(title: str, format: str, taken: set[str]) -> str:
    """A file name for a title, different from those in `taken`, to which it is added.

    Ids come from tables; characters that a file name cannot hold become '_'.
    """
    plain = unicodedata.normalize("NFC", title)
    plain = re.sub(r"[\x00-\x1f\x7f/\\:*?\"<>|\s]+", "_", plain).lstrip(".") or "ecg"
    while len(plain.encode()) > _LONGEST_NAME_BYTES:
        plain = plain[:-1]
    name, number = f"{plain}.{format}", 1
    while name.casefold() in taken:
        number += 1
        name = f"{plain}-{number}.{format}"
    taken.add(name.casefold())
    return name


def _language(style: Style, open_experiment: Callable[[], Experiment] | None) -> str:
    if style.language is not None:
        return style.language
    if open_experiment is None:
        return "en"
    try:
        return open_experiment().config.text.language
    except EcgpipeError:  # a broken pipeline.yaml must not keep a file from being drawn
        return "en"


def _finding_names(found: Found, language: str) -> tuple[str, ...] | None:
    if found.findings is None:
        return None
    names = tuple(finding.name(language) for finding in found.findings)
    if not found.n_not_named:
        return names
    n = found.n_not_named
    return (*names, f"リスト外 {n} 件" if language == "ja" else f"{n} not in the list of findings")


def _missing_letters(sheet: Sheet, fonts: Fonts) -> str:
    """A remark if a text has letters that no font here has."""
    missing: set[str] = set()
    for text in sheet.all_texts():
        drawn, _ = fonts.printable(text.text, text.bold)
        missing |= {c for c, d in zip(text.text, drawn, strict=True) if c != d}
    if not missing:
        return ""
    codes = ", ".join(f"U+{ord(letter):04X}" for letter in sorted(missing)[:8])
    return f"No font here has {codes}, so '?' is drawn instead. Name a font with --font."
