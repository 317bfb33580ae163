"""`ecgpipe figures`: the report's charts at a journal's width, from the results alone."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.image import imread
from png_files import png_facts
from results_example import example_results

from ecgpipe.commands.main import main
from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.plot_rendering import Size, render_plot
from ecgpipe.evaluate.report.charts import all_charts

LONG = {
    "ja": "二枝ブロック（完全右脚ブロック＋左脚前枝ブロック）",
    "en": "Bifascicular block (right bundle branch block and left anterior fascicular block)",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of an evaluated run; one class has the longest name of findings98."""
    results = example_results()
    results["tasks"]["findings"]["classes"]["1"]["names"] = LONG
    results["tasks"] = {"findings": results["tasks"]["findings"]}
    results["analyses"] = {}
    (tmp_path / "run" / "eval").mkdir(parents=True)
    (tmp_path / "run" / "eval" / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return tmp_path / "run"


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["figures", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "pixels", "dpi"),
    [
        ((), 1004, 300),  # 85 mm / 25.4 * 300
        (("--columns", "2"), 2008, 300),
        (("--columns", "2", "--dpi", "150"), 1004, 150),
    ],
)
def test_a_figure_is_as_wide_as_a_journal_asks_for(
    run: Path, tmp_path: Path, arguments: tuple[str, ...], pixels: int, dpi: int
) -> None:
    result = invoke(run, "-o", tmp_path / "paper", *arguments)
    assert result.exit_code == 0, result.stderr
    pngs = sorted((tmp_path / "paper").glob("*.png"))
    names = {f"findings-{what}" for what in ("roc", "pr", "confusion", "reliability")}
    assert {path.stem for path in pngs} == names | {"training"}
    for path in pngs:
        width, resolution = png_facts(path.read_bytes())
        assert width == pixels
        assert resolution == pytest.approx(dpi, abs=0.02)
    svg = (tmp_path / "paper" / "training.svg").read_text(encoding="utf-8")
    width_pt = float(svg.partition('width="')[2].partition("pt")[0])
    assert width_pt / 72 * 25.4 == pytest.approx(170 if "2" in arguments else 85, abs=0.1)


@pytest.mark.parametrize("width_mm", [85, 170])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_nothing_is_cut_off_at_the_edge_whatever_a_class_is_called(
    language: str, width_mm: int
) -> None:
    results = example_results()
    for task, class_id in (("findings", "1"), ("superclass", "CD")):
        results["tasks"][task]["classes"][class_id]["names"] = LONG
    drawn = ("findings-roc", "findings-confusion", "map")
    for chart in (chart for chart in all_charts(results) if chart.name in drawn):
        png = render_plot(chart, find_fonts(), language, "png", Size(width_mm, 100, titled=False))
        ink = imread(io.BytesIO(png), format="png")[..., :3].mean(axis=2) < 0.9
        edge = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
        assert not edge.any(), chart.name


def test_the_letters_of_a_figure_are_as_large_in_two_columns_as_in_one() -> None:
    """Of the axes' titles, in millimetres: the height of what stands left of the axes."""
    roc = next(c for c in all_charts(example_results()) if c.name == "findings-roc")
    heights = []
    for width_mm in (85, 170):
        png = render_plot(roc, find_fonts(), "ja", "png", Size(width_mm, 254, titled=False))
        ink = imread(io.BytesIO(png), format="png")[..., :3].mean(axis=2) < 0.5
        title = ink[:, : round(0.2 * 254)]  # 10 pixels a millimetre; the ticks are further right
        rows = np.flatnonzero(title.any(axis=1))
        heights.append(rows[-1] - rows[0])
    assert abs(heights[0] - heights[1]) <= 1


def test_the_language_is_the_one_that_is_asked_for_and_else_the_reports(
    run: Path, tmp_path: Path
) -> None:
    results = example_results()
    results |= {"tasks": {}, "analyses": {}}  # the training chart alone
    (run / "eval" / "results.json").write_text(json.dumps(results), encoding="utf-8")

    def drawn(*arguments: str) -> bytes:
        assert invoke(run, "-o", tmp_path / "paper", *arguments).exit_code == 0
        return (tmp_path / "paper" / "training.svg").read_bytes()

    assert drawn() == drawn("--language", "ja") != drawn("--language", "en")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "is not the folder of an evaluated run"),
        (None, "No run was named, and there is no pipeline.yaml here"),
    ],
)
def test_without_an_evaluated_run_it_is_said_what_to_name(
    name: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*([name] if name else []))
    assert result.exit_code == 1
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
