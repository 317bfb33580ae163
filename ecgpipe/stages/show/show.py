"""show: ECGs to pictures of a size that can be measured on.

Owns which file a picture becomes, its captions and language, and that one ECG that cannot be drawn
does not keep the others from it. Where everything lies on the sheet is `ecgpipe.drawing`'s.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ecgpipe.drawing.ecg_chart import SHOWN_S, Ecg
from ecgpipe.drawing.ecg_sheet import Captions, ecg_sheet
from ecgpipe.drawing.fonts import Fonts, find_fonts
from ecgpipe.drawing.rendering import render
from ecgpipe.drawing.shapes import Sheet
from ecgpipe.errors import ConfigError, EcgpipeError
from ecgpipe.files import write_atomic
from ecgpipe.read_ecg.quality.inspection import inspect
from ecgpipe.read_ecg.signal.record import LEADS
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.show.records import Finder, Found, shown_part

_FORMATS = ("png", "svg")
_LONGEST_NAME_BYTES = 200


@dataclass(frozen=True)
class Style:
    """What the user may say about a picture."""

    format: Literal["png", "svg"] | None = None
    """None: what --out ends with, else png."""

    start_s: float | None = None
    """Where in a longer recording the picture begins; None: where the preparation begins."""

    font: Path | None = None
    language: Literal["ja", "en"] | None = None
    """None: text.language; without an experiment, en."""


@dataclass
class Shown:
    """What became of the pictures that were asked for."""

    files: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Name to what was wrong."""

    remarks: list[str] = field(default_factory=list)
    """What the user should know besides, each once."""

    def remark(self, text: str) -> None:
        """Add a remark that is not there yet."""
        if text and text not in self.remarks:
            self.remarks.append(text)


def run_show(
    names: Sequence[str],
    open_experiment: Callable[[], Experiment] | None,
    out: Path | None,
    style: Style,
) -> Shown:
    """Draw each ECG into a file of its own.

    Args:
        names: record ids, or paths of recordings.
        open_experiment: None where there is none, for paths.
        out: a file name ending in .png or .svg (for one ECG), or a folder; None: this folder.
        style: what else was said.

    Raises:
        ConfigError: `out` or the font cannot be what was asked for.
    """
    file, folder, format = out_place(out, style.format, one=len(names) == 1)
    finder = Finder(open_experiment)
    shown = Shown()
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        try:
            found = finder.find(name)
            content, remark = draw_found(found, format, style, _language(style, open_experiment))
            path = file or folder / free_name(found.title, format, taken)
            write_atomic(path, content)
        except ConfigError:
            raise
        except EcgpipeError as error:
            shown.failed[name] = str(error)
        except OSError as error:
            shown.failed[name] = f"it cannot be read: {error.strerror or error}"
        else:
            shown.files.append(path)
            shown.remark(remark)
    return shown


def draw_found(
    found: Found, format: Literal["png", "svg"], style: Style, language: str
) -> tuple[bytes, str]:
    """The bytes of an ECG's sheet, and what the user should know of it, or ''.

    Raises:
        RecordError: the recording ends before style.start_s.
        ConfigError: the font that was named is none.
    """
    start_s = found.start_s if style.start_s is None else style.start_s
    part, flat = shown_part(found.record, start_s, SHOWN_S)
    ecg = Ecg(part.signal_mv, part.rate_hz, LEADS)
    origin = found.origin.get(language, "")
    captions = Captions(
        title=found.title,
        findings=_named(found, language),
        length_s=found.record.duration_s,
        start_s=start_s,
        heart_rate_bpm=inspect(part).heart_rate_bpm,
        flat_leads=flat,
        remarks=(origin,) if origin else (),
        notice=found.notice,
    )
    sheet = ecg_sheet(ecg, captions, language)
    fonts = find_fonts(style.font)
    return render(sheet, fonts, format), _lacking(sheet, fonts)


def out_place(
    out: Path | None, format: Literal["png", "svg"] | None, one: bool
) -> tuple[Path | None, Path, Literal["png", "svg"]]:
    """The file that was named, or None; the folder for names of our own; and the format.

    Raises:
        ConfigError: one file is named for several pictures, or its ending is another format's.
    """
    if out is None or out.is_dir():
        return None, out or Path(), format or "png"
    ending = out.suffix.casefold().removeprefix(".")
    if ending not in _FORMATS:
        return None, out, format or "png"
    if not one:
        raise ConfigError(f"{out} is one file for several pictures. Name a folder with --out.")
    if format is not None and format != ending:
        raise ConfigError(f"{out} ends in .{ending}, and --format says {format}.")
    return out, out.parent, "svg" if ending == "svg" else "png"


def free_name(title: str, format: str, taken: set[str]) -> str:
    """A file name for a title that no other picture of this call has.

    Ids come from tables and may hold what no file name may: such characters become '_'.
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
    except EcgpipeError:  # a file was asked for; the experiment's mistakes are its own
        return "en"


def _named(found: Found, language: str) -> tuple[str, ...] | None:
    if found.findings is None:
        return None
    names = tuple(finding.name(language) for finding in found.findings)
    if not found.n_not_named:
        return names
    n = found.n_not_named
    return (*names, f"リスト外 {n} 件" if language == "ja" else f"{n} not in the list of findings")


def _lacking(sheet: Sheet, fonts: Fonts) -> str:
    """What to say when a title holds letters that no font here has."""
    lacking = sorted({c for c in _unprintable(sheet, fonts)})
    if not lacking:
        return ""
    codes = ", ".join(f"U+{ord(letter):04X}" for letter in lacking[:8])
    return f"No font here has {codes}; '?' stands for them. Name a font with --font."


def _unprintable(sheet: Sheet, fonts: Fonts) -> Iterator[str]:
    for text in sheet.all_texts():
        drawn, _ = fonts.printable(text.text, text.bold)
        yield from (c for c, d in zip(text.text, drawn, strict=True) if c != d)
