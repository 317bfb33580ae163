"""Lay out one ECG on an A4 sheet, like a printout of an electrocardiograph.

Owns the margins, the header and the footer. Deliberately has no field for the patient's identity.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ecgpipe.drawing.ecg_chart import FULL, LAYOUT, SHOWN_S, Ecg, ecg_chart
from ecgpipe.drawing.emphasis import Emphasis
from ecgpipe.drawing.shapes import A4_LANDSCAPE_MM, Chart, Sheet, Text, truncate, width_of, wrap
from ecgpipe.drawing.words import Words, words_in

_LEFT_MM, _BOTTOM_MM = 16.0, 14.0
_TITLE_MM, _BODY_MM, _SMALL_MM = 5.0, 3.6, 2.8
_TITLE_Y_MM = 201.5
_FACTS_Y_MM = 195.5
_FINDINGS_Y_MM = 189.5
_LINE_MM = 5.2
_REMARKS_Y_MM = 179.1
_LEGEND_Y_MM = 5.2
_FINDINGS_LINES = 2
_MARGIN_MM = 2.0


@dataclass(frozen=True)
class Captions:
    """The text around an ECG. Must not hold patient ids or report texts."""

    title: str
    """The record id or file name."""

    findings: tuple[str, ...] | None = None
    """Names in the sheet's language; None if unknown."""

    length_s: float | None = None
    """Duration of the whole recording, if only a part is drawn."""

    start_s: float = 0.0
    """Where in the recording the drawn part begins."""

    heart_rate_bpm: float | None = None
    flat_leads: tuple[str, ...] = ()
    """Leads that were removed because they are constant."""

    remarks: tuple[str, ...] = ()
    """Further facts about the signal, such as that the prepared signal is shown."""

    notice: str = ""
    """A warning at the top, such as that the ECG is simulated."""


def ecg_sheet(
    ecg: Ecg, captions: Captions, language: str = "en", emphasis: Emphasis | None = None
) -> Sheet:
    """Lay out a full sheet.

    Args:
        ecg: the signal to draw.
        captions: the text around it, with findings in `language`.
        language: of the fixed text, ja or en.
        emphasis: what to mark below the traces.
    """
    words = words_in(language)
    chart = ecg_chart(ecg, _LEFT_MM, _BOTTOM_MM, FULL, words, emphasis)
    texts = (
        *_header(ecg, captions, words, chart),
        *_column_times(ecg, chart),
        *_footer(words, chart),
        *(_legend(emphasis, chart) if emphasis is not None else ()),
    )
    return Sheet(*A4_LANDSCAPE_MM, (chart,), texts)


def chart_sheet(ecg: Ecg, language: str = "en") -> Sheet:
    """Lay out only the ECG and its scale, to be shown in a page with captions of its own."""
    chart = ecg_chart(ecg, _MARGIN_MM, _MARGIN_MM + _SMALL_MM + 2.5, FULL, words_in(language))
    scale = Text(chart.box.left_mm, _MARGIN_MM, str(FULL), _SMALL_MM + 0.6, bold=True)
    texts = (scale, *_column_times(ecg, chart))
    height_mm = chart.box.top_mm + _MARGIN_MM + 2 * _SMALL_MM
    return Sheet(chart.box.right_mm + _MARGIN_MM, height_mm, (chart,), texts)


def _header(ecg: Ecg, captions: Captions, words: Words, chart: Chart) -> Iterator[Text]:
    left_mm, right_mm, width_mm = chart.box.left_mm, chart.box.right_mm, chart.box.width_mm
    notice = truncate(captions.notice, _BODY_MM, 0.55 * width_mm, bold=True)
    room_mm = width_mm - width_of(notice, _BODY_MM, bold=True) - 5
    title = truncate(captions.title, _TITLE_MM, room_mm, bold=True)
    yield Text(left_mm, _TITLE_Y_MM, title, _TITLE_MM, bold=True)
    if notice:
        yield Text(right_mm, _TITLE_Y_MM, notice, _BODY_MM, align="right", bold=True)
    facts = truncate("   ".join(_facts(ecg, captions, words)), _BODY_MM, width_mm)
    yield Text(left_mm, _FACTS_Y_MM, facts, _BODY_MM)
    for number, line in enumerate(_findings_lines(captions, words, width_mm)):
        yield Text(left_mm, _FINDINGS_Y_MM - number * _LINE_MM, line, _BODY_MM)
    remarks = truncate("   ".join(_lead_remarks(ecg, captions, words)), _BODY_MM, width_mm)
    if remarks:
        yield Text(left_mm, _REMARKS_Y_MM, remarks, _BODY_MM)


def _facts(ecg: Ecg, captions: Captions, words: Words) -> Iterator[str]:
    yield f"{ecg.rate_hz:g} Hz"
    end_s = captions.start_s + ecg.end_s
    length_s = end_s if captions.length_s is None else captions.length_s
    # 0.05 s is below the printed precision.
    if captions.start_s > 0 or length_s > end_s + 0.05:
        yield words["shown"].format(f"{captions.start_s:.1f}–{end_s:.1f}", f"{length_s:.1f}")
    else:
        yield f"{length_s:.1f} s"
    if captions.heart_rate_bpm is not None:
        yield words["heart_rate"].format(f"{captions.heart_rate_bpm:.0f}")
    yield from captions.remarks


def _findings_lines(captions: Captions, words: Words, width_mm: float) -> list[str]:
    unknown = words["unknown"] if captions.findings is None else words["none_stated"]
    first, *others = captions.findings or (unknown,)
    parts = [words["findings"] + first, *others]
    return wrap(parts, words["separator"], _BODY_MM, width_mm, _FINDINGS_LINES)


def _lead_remarks(ecg: Ecg, captions: Captions, words: Words) -> Iterator[str]:
    twelve = [lead for column in zip(*LAYOUT, strict=True) for lead in column]
    shown_or_flat = (*ecg.present_leads, *captions.flat_leads)
    if missing := [lead for lead in twelve if lead not in shown_or_flat]:
        yield words["missing_leads"] + ", ".join(missing)
    if captions.flat_leads:
        yield words["flat_leads"] + ", ".join(captions.flat_leads)


def _column_times(ecg: Ecg, chart: Chart) -> Iterator[Text]:
    """The time span of each column, which is shifted in a short recording."""
    spans = dict.fromkeys((p.left_mm, p.start_s, p.end_s) for p in chart.panels)
    for left_mm, start_s, end_s in spans:
        if end_s - start_s < SHOWN_S:
            yield Text(
                left_mm,
                chart.box.top_mm + 1.2,
                f"{start_s:g}–{min(end_s, max(ecg.end_s, start_s)):.3g} s",
                _SMALL_MM,
                faint=True,
            )


def _legend(emphasis: Emphasis, chart: Chart) -> Iterator[Text]:
    for number, line in enumerate(emphasis.legend):
        shown = truncate(line, _SMALL_MM, chart.box.width_mm)
        yield Text(chart.box.left_mm, _LEGEND_Y_MM - 3.6 * number, shown, _SMALL_MM)


def _footer(words: Words, chart: Chart) -> Iterator[Text]:
    y_mm = chart.box.bottom_mm - 5.0
    yield Text(chart.box.left_mm, y_mm, str(FULL), _BODY_MM, bold=True)
    middle_mm = chart.box.left_mm + chart.box.width_mm / 2
    yield Text(middle_mm, y_mm, words["baseline"], _SMALL_MM, align="center", faint=True)
    research = f"ecgpipe. {words['research']}"
    yield Text(chart.box.right_mm, y_mm, research, _SMALL_MM, align="right", faint=True)
