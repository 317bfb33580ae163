"""The ECG sheet: geometry checked against values worked out by hand, its text, and its bytes."""

import itertools
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import wfdb

from ecgpipe.drawing.contact_sheet import Thumbnail, contact_sheets
from ecgpipe.drawing.ecg_chart import FULL, HALF, Ecg, column_starts, ecg_chart
from ecgpipe.drawing.ecg_sheet import Captions, ecg_sheet
from ecgpipe.drawing.fonts import bundled_font, find_fonts, missing_glyphs
from ecgpipe.drawing.rendering import render
from ecgpipe.drawing.shapes import Chart, Panel, Sheet, break_lines, width_of, wrap
from ecgpipe.drawing.words import words_in
from ecgpipe.errors import ConfigError
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.read_ecg.signal.record import LEADS

# The chart of a full sheet starts at (16, 14) mm; traces start 10 mm further right.
LEFT, BASELINES = 26.0, (154.0, 114.0, 74.0, 34.0)


def silence(seconds: float = 10.0, rate_hz: float = 500) -> npt.NDArray[np.float64]:
    return np.zeros((12, round(seconds * rate_hz)))


def chart_of(signal_mv: npt.NDArray[np.floating], rate_hz: float = 500) -> Chart:
    return ecg_chart(Ecg(signal_mv, rate_hz, LEADS), 16.0, 14.0, FULL, words_in("en"))


def panels_of(chart: Chart, lead: str) -> list[Panel]:
    return [panel for panel in chart.panels if panel.lead == lead]


def texts_of(sheet: Sheet) -> list[str]:
    return [text.text for text in sheet.all_texts()]


def real(real_data: Path, number: int) -> Ecg:
    name = real_data / "ptbxl" / "records500" / "00000" / f"{number:05}_hr"
    return Ecg(wfdb.rdrecord(str(name)).p_signal.T, 500, LEADS)


def test_a_millivolt_is_ten_millimetres_and_a_second_twenty_five() -> None:
    signal_mv = silence()
    signal_mv[1, 3000:] = 1.0  # lead II rises by 1 mV at 6 s
    (trace,) = panels_of(chart_of(signal_mv), "II")[1].traces
    np.testing.assert_allclose(trace[0], (LEFT, 34.0))
    np.testing.assert_allclose(trace[2999], (LEFT + 5.998 * 25, 34.0))
    np.testing.assert_allclose(trace[3000], (LEFT + 150.0, 44.0))
    np.testing.assert_allclose(trace[500], (LEFT + 25.0, 34.0))


def test_four_columns_of_two_and_a_half_seconds_in_three_rows_and_a_rhythm_strip() -> None:
    panels = [(p.lead, p.start_s, p.left_mm, p.baseline_mm) for p in chart_of(silence()).panels]
    assert panels == [
        ("I", 0.0, 26.0, 154.0), ("aVR", 2.5, 88.5, 154.0),
        ("V1", 5.0, 151.0, 154.0), ("V4", 7.5, 213.5, 154.0),
        ("II", 0.0, 26.0, 114.0), ("aVL", 2.5, 88.5, 114.0),
        ("V2", 5.0, 151.0, 114.0), ("V5", 7.5, 213.5, 114.0),
        ("III", 0.0, 26.0, 74.0), ("aVF", 2.5, 88.5, 74.0),
        ("V3", 5.0, 151.0, 74.0), ("V6", 7.5, 213.5, 74.0),
        ("II", 0.0, 26.0, 34.0),
    ]  # fmt: skip


def test_a_column_shows_its_own_seconds() -> None:
    signal_mv = silence()
    signal_mv[6, 2500] = 2.0  # V1, at 5 s
    signal_mv[6, 3750] = -1.0  # V1, at 7.5 s: the last sample of its column
    ((trace,),) = (panel.traces for panel in panels_of(chart_of(signal_mv), "V1"))
    np.testing.assert_allclose(trace[0], (151.0, 174.0))
    np.testing.assert_allclose(trace[-1], (151.0 + 62.5, 144.0))


def test_the_scale_does_not_depend_on_the_sampling_rate() -> None:
    signal_mv = silence(rate_hz=360)
    signal_mv[0, 360] = 0.5
    (trace,) = panels_of(chart_of(signal_mv, 360), "I")[0].traces
    np.testing.assert_allclose(trace[360], (LEFT + 25.0, 159.0))
    assert len(trace) == 901


def test_traces_hold_every_sample_of_the_file(real_data: Path) -> None:
    """Against wfdb's millivolts: nothing is filtered or dropped; only the median is subtracted."""
    ecg = real(real_data, 1)
    chart = ecg_chart(ecg, 16.0, 14.0, FULL, words_in("en"))
    for panel in chart.panels:
        lead_mv = ecg.signal_mv[LEADS.index(panel.lead)]
        (trace,) = panel.traces
        first = round(panel.start_s * 500)
        expected = lead_mv[first : first + len(trace)] - np.median(lead_mv)
        np.testing.assert_allclose((trace[:, 1] - panel.baseline_mm) / 10, expected, atol=1e-9)
        times_s = (trace[:, 0] - panel.left_mm) / 25
        np.testing.assert_allclose(times_s, np.arange(len(trace)) / 500, atol=1e-9)
        assert len(trace) == (5000 if panel.end_s == 10 and panel.start_s == 0 else
                              1250 if panel.end_s == 10 else 1251)  # fmt: skip


def test_an_offset_does_not_move_a_lead_away_from_its_row() -> None:
    signal_mv = silence() + 7.0
    assert chart_of(signal_mv).panels[0].traces[0][0, 1] == 154.0


def test_a_gap_interrupts_the_line_and_is_labelled() -> None:
    signal_mv = silence()
    signal_mv[1, 1000:2000] = np.nan
    chart = chart_of(signal_mv)
    short, strip = panels_of(chart, "II")
    assert [len(trace) for trace in short.traces] == [1000]
    assert [len(trace) for trace in strip.traces] == [1000, 3000]
    assert strip.traces[1][0, 0] == LEFT + 4 * 25
    gap = [(t.x_mm, t.y_mm) for t in chart.texts if t.text == "no reading"]
    assert [x for x, _ in gap] == [LEFT + 3 * 25]  # 12.5 mm of the short panel are too narrow
    assert 32.5 < gap[0][1] < 34  # vertically centred on the baseline


def test_an_isolated_sample_is_a_dash_one_sample_long() -> None:
    signal_mv = silence()
    signal_mv[0, 100:200] = np.nan
    signal_mv[0, 150] = 0.0
    traces = panels_of(chart_of(signal_mv), "I")[0].traces
    assert [len(trace) for trace in traces] == [100, 2, 1051]
    np.testing.assert_allclose(traces[1], [(LEFT + 7.475, 154.0), (LEFT + 7.525, 154.0)])


def test_a_missing_lead_is_a_labelled_gap_and_never_a_line() -> None:
    signal_mv = silence()
    signal_mv[7] = np.nan
    sheet = ecg_sheet(Ecg(signal_mv, 500, LEADS), Captions("x"))
    (panel,) = panels_of(sheet.charts[0], "V2")
    assert panel.traces == ()
    assert "V2" in texts_of(sheet)
    (gap,) = [text for text in sheet.all_texts() if text.text == "no signal"]
    assert (gap.x_mm, gap.align) == (151.0 + 31.25, "center")
    assert "No signal in: V2" in texts_of(sheet)


@pytest.mark.parametrize(
    ("lead", "rhythm"), [(None, "II"), ("II", "I")], ids=["lead II", "the first present lead"]
)
def test_the_rhythm_strip_shows_lead_ii_if_present(lead: str | None, rhythm: str) -> None:
    signal_mv = silence()
    if lead:
        signal_mv[LEADS.index(lead)] = np.nan
    last = chart_of(signal_mv).panels[-1]
    assert (last.lead, last.start_s, last.end_s, last.baseline_mm) == (rhythm, 0.0, 10.0, 34.0)


def test_in_a_short_recording_every_lead_is_still_shown_for_its_full_width() -> None:
    assert column_starts(10.0) == column_starts(9.998) == (0.0, 2.5, 5.0, 7.5)
    assert column_starts(7.0) == (0.0, 2.5, 4.5, 4.5)
    assert column_starts(5.04) == (0.0, 2.5, 2.5, 2.5)
    assert column_starts(2.0) == (0.0, 0.0, 0.0, 0.0)
    sheet = ecg_sheet(Ecg(silence(7.0), 500, LEADS), Captions("x"))
    (v6,) = panels_of(sheet.charts[0], "V6")
    assert (v6.left_mm, v6.traces[0][-1, 0]) == (213.5, pytest.approx(213.5 + 62.5, abs=0.06))
    assert texts_of(sheet).count("4.5–7 s") == 2
    (end,) = [text for text in sheet.all_texts() if text.text == "end of recording"]
    assert end.x_mm == pytest.approx(LEFT + 8.5 * 25)


def test_padding_after_a_short_recording_is_labelled_as_its_end() -> None:
    padded = np.full((12, 5000), np.nan)
    padded[:, :3500] = silence(7.0)
    assert chart_of(padded).texts == chart_of(silence(7.0)).texts


def test_few_leads_get_a_row_each() -> None:
    signal_mv = np.full((12, 5000), np.nan)
    signal_mv[[1, 6]] = 0.0
    chart = chart_of(signal_mv)
    assert [(p.lead, p.baseline_mm, len(p.traces[0])) for p in chart.panels] == [
        ("II", 154.0, 5000),
        ("V1", 114.0, 5000),
    ]
    absent = "I, III, aVR, aVL, aVF, V2, V3, V4, V5, V6: no signal"
    assert absent in [text.text for text in chart.texts]


def test_a_recording_without_samples_is_all_gaps() -> None:
    chart = chart_of(np.full((12, 5000), np.nan))
    assert not any(panel.traces for panel in chart.panels)
    assert [text.text for text in chart.texts].count("no signal") == 13


def test_the_calibration_pulse_is_a_millivolt_for_a_fifth_of_a_second() -> None:
    pulses = chart_of(silence()).marks[:4]
    for pulse, baseline in zip(pulses, BASELINES, strict=True):
        assert (np.ptp(pulse[:, 1]), pulse[0, 1]) == (10.0, baseline)
        high = pulse[pulse[:, 1] == baseline + 10, 0]
        assert np.ptp(high) == 5.0
        assert pulse[:, 0].max() < LEFT


def test_the_grid_has_lines_every_1_and_5_mm_and_baselines_are_on_it() -> None:
    chart = chart_of(silence())
    assert (chart.fine_mm, chart.coarse_mm) == (1.0, 5.0)
    fine, coarse = chart.grid_lines(1.0), chart.grid_lines(5.0)
    assert (len(fine), len(coarse)) == (266 + 161, 54 + 33)
    vertical = [line[0, 0] for line in coarse[:54]]
    horizontal = [line[0, 1] for line in coarse[54:]]
    assert vertical[:3] == [16.0, 21.0, 26.0]
    assert set(BASELINES) <= set(horizontal)
    assert LEFT in vertical
    assert LEFT + 62.5 not in vertical  # 2.5 s are 12.5 large squares


def test_half_size_halves_time_voltage_and_grid() -> None:
    signal_mv = silence()
    signal_mv[1, 3000:] = 1.0
    chart = ecg_chart(Ecg(signal_mv, 500, LEADS), 0.0, 0.0, HALF, words_in("en"))
    (trace,) = panels_of(chart, "II")[1].traces
    np.testing.assert_allclose(trace[3000] - trace[0], (75.0, 5.0))
    assert (chart.coarse_mm, chart.fine_mm) == (2.5, None)


def test_lead_names_do_not_overlap_the_traces(real_data: Path) -> None:
    crossed = n_names = 0
    for number in range(1, 41):
        chart = ecg_chart(real(real_data, number), 16.0, 14.0, FULL, words_in("en"))
        traces = np.concatenate([trace for panel in chart.panels for trace in panel.traces])
        for text, panel in zip(chart.texts, chart.panels, strict=True):
            box = text.box
            n_names += 1
            assert text.text == panel.lead
            assert panel.baseline_mm < box.bottom_mm < box.top_mm < panel.baseline_mm + 20
            assert 0 < text.x_mm - panel.left_mm <= 62.5 / 2
            crossed += bool(
                (
                    (traces[:, 0] > box.left_mm)
                    & (traces[:, 0] < box.right_mm)
                    & (traces[:, 1] > box.bottom_mm)
                    & (traces[:, 1] < box.top_mm)
                ).any()
            )
    assert n_names == 40 * 13
    assert crossed <= 2  # some traces leave no free space


LONG = Captions(
    "a" * 200,
    tuple(f"finding number {number}" for number in range(40)),
    length_s=1805.6,
    start_s=600,
    heart_rate_bpm=61.6,
    flat_leads=("V5", "V6"),
    remarks=("as prepared",),
    notice="SIMULATED ECGs; the figures say nothing about patients",
)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_text_overlaps_another_or_leaves_the_sheet(language: str) -> None:
    signal_mv = silence()
    signal_mv[[3, 10, 11]] = np.nan
    sheet = ecg_sheet(Ecg(signal_mv, 500, LEADS), LONG, language)
    boxes = [(text.text, text.box) for text in sheet.all_texts()]
    for text, box in boxes:
        assert box.left_mm > 5, text
        assert box.right_mm < 292, text
        assert box.bottom_mm > 5, text
        assert box.top_mm < 207, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = (
            a.right_mm <= b.left_mm
            or b.right_mm <= a.left_mm
            or a.top_mm <= b.bottom_mm
            or b.top_mm <= a.bottom_mm
        )
        assert apart, (one, other)
    header = "\n".join(texts_of(sheet))
    assert "62/" in header  # rounded, not cut
    assert "600.0–610.0" in header
    assert "1805.6" in header
    assert re.search(r"\(\+\d+\)", header)  # the number of findings that did not fit


def test_unknown_findings_differ_from_no_findings() -> None:
    ecg = Ecg(silence(), 500, LEADS)
    assert "Findings: unknown" in texts_of(ecg_sheet(ecg, Captions("x")))
    assert "Findings: none stated" in texts_of(ecg_sheet(ecg, Captions("x", ())))
    assert "所見：洞調律、左室肥大" in texts_of(
        ecg_sheet(ecg, Captions("x", ("洞調律", "左室肥大")), "ja")
    )


def test_lines_break_between_findings_and_count_the_omitted_ones() -> None:
    parts = ["aaaa", "bbbb", "cccc", "dddd"]
    room = width_of("aaaa; bbbb (+2)", 3.0) + 0.1
    assert wrap(parts, "; ", 3.0, room, 1) == ["aaaa; bbbb (+2)"]
    assert wrap(parts, "; ", 3.0, room, 2) == ["aaaa; bbbb;", "cccc; dddd"]
    assert wrap(parts, "; ", 3.0, 1000, 2) == ["aaaa; bbbb; cccc; dddd"]
    assert wrap(["aaaa bbbb"], " ", 3.0, width_of("aaaa b…", 3.0) + 0.1, 1) == ["aaaa b…"]


def test_text_is_not_wider_than_estimated() -> None:
    """Against FreeType's widths, for the name of every finding."""
    from matplotlib.ft2font import FT2Font

    found = find_fonts()
    for finding in (*load_taxonomy("findings98").findings, *load_taxonomy("ptbxl").findings):
        for name in (finding.japanese, finding.english):
            _, path = found.printable(name)
            face = FT2Font(str(path))
            face.set_size(100, 72)
            face.set_text(name)
            drawn = face.get_width_height()[0] / 64 / 100
            assert drawn <= width_of(name, 1.0) * 1.05 + 0.3, name


def test_the_fonts_have_all_glyphs_of_findings_and_fixed_text() -> None:
    names = {
        finding.japanese
        for name in ("findings98", "ptbxl")
        for finding in load_taxonomy(name).findings
    }
    found = find_fonts()
    for name in (*names, *words_in("ja").values(), *words_in("en").values()):
        drawn, path = found.printable(name)
        assert drawn == name
        assert missing_glyphs(path, name) == frozenset()


def test_the_bundled_font_is_found_without_importing_its_package() -> None:
    program = (
        "import sys; from ecgpipe.drawing.fonts import bundled_font, missing_glyphs\n"
        "assert missing_glyphs(bundled_font(), '心房細動') == frozenset()\n"
        "assert 'matplotlib_fontja' not in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_users_font_without_japanese_falls_back_to_the_bundled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latin = find_fonts().latin_bold
    assert find_fonts(latin).printable("心房細動") == ("心房細動", bundled_font())
    users_font = tmp_path / "own.ttf"
    users_font.write_bytes(bundled_font().read_bytes())
    assert find_fonts(users_font).printable("心房細動") == ("心房細動", users_font)
    assert find_fonts(users_font).printable("AF") == ("AF", find_fonts().latin)
    monkeypatch.setenv("ECGPIPE_FONT", str(users_font))
    assert find_fonts().printable("心房細動") == ("心房細動", users_font)


def test_a_users_font_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ttf"
    damaged.write_bytes(b"no font")
    for path in (damaged, tmp_path / "absent.ttf"):
        with pytest.raises(ConfigError, match="cannot be read as a font"):
            find_fonts(path)


def test_a_character_without_a_glyph_becomes_a_question_mark() -> None:
    private_use = "\ue000"
    assert find_fonts().printable(f"a{private_use}b\nc")[0] == "a?b?c"


def ecg_with_a_step() -> Ecg:
    signal_mv = silence()
    signal_mv[:, 1000:1100] = 1.0
    return Ecg(signal_mv, 500, LEADS)


def png_pixels(content: bytes) -> npt.NDArray[np.uint8]:
    import io

    from matplotlib.image import imread

    pixels = imread(io.BytesIO(content), format="png")[..., :3]
    return np.rint(pixels * 255).astype(np.uint8)


def test_a_png_has_the_true_size_and_ten_pixels_per_millimetre() -> None:
    content = render(ecg_sheet(ecg_with_a_step(), Captions("x")), find_fonts(), "png")
    assert struct.unpack(">II", content[16:24]) == (2970, 2100)
    place = content.index(b"pHYs")
    assert struct.unpack(">IIB", content[place + 4 : place + 13]) == (10000, 10000, 1)


def test_pixels_of_grid_and_trace_match_the_geometry() -> None:
    content = render(ecg_sheet(ecg_with_a_step(), Captions("x")), find_fonts(), "png")
    darkness = 255 - png_pixels(content).mean(axis=2)
    # At y = 37.5 mm, above the last baseline, there is only the grid up to the step.
    row = darkness[2100 - 375, 270:750]
    fine, coarse = np.unique(row[row > 10])[[0, -1]]
    assert fine < coarse
    at = 270 + np.flatnonzero(row == coarse)
    np.testing.assert_array_equal(at[::2], np.arange(310, 751, 50) - 1)  # 2 pixels: 31, 36, ... mm
    np.testing.assert_array_equal(at[1::2], np.arange(310, 751, 50))
    assert (row == fine).sum() == 48 - 9  # 1 pixel at every other millimetre
    # The step of lead II's rhythm strip: high from x = 26 + 50 to 26 + 55 mm at y = 44 mm.
    top = darkness[2100 - 440, :]
    black = np.flatnonzero(top > 200)
    black = black[black > 270]
    assert abs(black.min() - 760) <= 2
    assert abs(black.max() - 810) <= 3


def test_huge_amplitudes_are_clipped_to_the_grid() -> None:
    huge = np.random.default_rng(0).normal(0, 1e6, (12, 5000))
    calm = png_pixels(render(ecg_sheet(Ecg(silence(), 500, LEADS), Captions("x")),
                             find_fonts(), "png"))  # fmt: skip
    wild = png_pixels(render(ecg_sheet(Ecg(huge, 500, LEADS), Captions("x")),
                             find_fonts(), "png"))  # fmt: skip
    around = np.ones((2100, 2970), bool)
    around[355:1965, 155:2815] = False
    assert (calm[around] == wild[around]).all()
    assert (calm != wild).any()


def test_an_svg_has_the_true_size_outlined_text_and_no_date() -> None:
    sheet = ecg_sheet(ecg_with_a_step(), Captions("x$1$", ("洞調律",)), "ja")
    svg = render(sheet, find_fonts(), "svg").decode()
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2]
    assert float(width) / 72 * 25.4 == pytest.approx(297, abs=1e-3)
    assert float(height) / 72 * 25.4 == pytest.approx(210, abs=1e-3)
    assert "<text" not in svg
    assert "font-family" not in svg
    assert "dc:date" not in svg
    assert "x$1$" in svg  # not typeset as a formula


def test_the_same_sheet_gives_the_same_bytes_whatever_the_settings(tmp_path: Path) -> None:
    """In different processes, with different hash seeds, with and without a user's matplotlibrc."""
    (tmp_path / "matplotlibrc").write_text(
        "lines.linewidth: 7\nsvg.hashsalt: mine\nfont.size: 30\nsavefig.bbox: tight\n"
        "path.simplify: True\ntext.usetex: False\nfigure.facecolor: black\n"
    )
    program = (
        "import hashlib, numpy as np\n"
        "from ecgpipe.drawing.ecg_sheet import *; from ecgpipe.drawing.ecg_chart import Ecg\n"
        "from ecgpipe.drawing.fonts import find_fonts\n"
        "from ecgpipe.drawing.rendering import render\n"
        "x = np.sin(np.arange(60000).reshape(12, 5000) / 50)\n"
        "leads = ('I','II','III','aVR','aVL','aVF','V1','V2','V3','V4','V5','V6')\n"
        "sheet = ecg_sheet(Ecg(x, 500, leads), Captions('x', ('a',)))\n"
        "for f in ('png', 'svg'):\n"
        "    print(hashlib.sha256(render(sheet, find_fonts(), f)).hexdigest())\n"
    )
    outputs = set()
    for number in range(2):
        settings = {"MATPLOTLIBRC": str(tmp_path)} if number else {}
        environment = {**os.environ, **settings, "PYTHONHASHSEED": str(number)}
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_rendering_does_not_change_matplotlibs_settings() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    render(ecg_sheet(ecg_with_a_step(), Captions("x")), find_fonts(), "svg")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("text", "room", "lines"),
    [
        ("Left ventricular hypertrophy", "Left ventricular", ["Left ventricular", "hypertrophy"]),
        ("第1度房室ブロック", "第1度房室ブロ", ["第1度房室", "ブロック"]),  # katakana is one word
        (
            "左脚前枝（完全）",
            "左脚前枝（",
            ["左脚前枝", "（完全）"],
        ),  # no bracket at the end of a line
        ("one two three", "two", ["one", "tw…"]),  # two lines at most
    ],
)
def test_a_line_is_broken_where_a_reader_expects_it(text: str, room: str, lines: list[str]) -> None:
    assert break_lines(text, 3.0, width_of(room, 3.0) + 0.1, 2) == lines


def test_a_contact_sheet_has_six_ecgs_per_page_each_with_its_reason() -> None:
    ecg = ecg_with_a_step()
    thumbnails = [Thumbnail(ecg, f"r{number}", (f"reason {number}",)) for number in range(8)]
    pages = contact_sheets(thumbnails, "Suspects", "SIMULATED")
    assert [len(page.charts) for page in pages] == [6, 2]
    words = texts_of(pages[1])
    assert {"r6   500 Hz", "reason 7", "Suspects (2/2)", "SIMULATED"} <= set(words)
    for page in pages:
        boxes = [chart.box for chart in page.charts]
        for a, b in itertools.combinations(boxes, 2):
            assert a.right_mm < b.left_mm or b.top_mm < a.bottom_mm
        for box in boxes:
            assert box.bottom_mm > 5
            assert box.right_mm < 292
    assert contact_sheets([], "Suspects") == []
