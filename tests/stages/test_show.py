"""ecgpipe show: which ECG a name means, what stands on its sheet, and what becomes of the rest."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import wfdb
import yaml
from click.testing import CliRunner, Result
from png_files import png_facts
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.commands.main import main
from ecgpipe.config.file import load_config
from ecgpipe.drawing.ecg_chart import Ecg
from ecgpipe.drawing.ecg_sheet import Captions, ecg_sheet
from ecgpipe.drawing.shapes import Panel, Sheet
from ecgpipe.errors import ConfigError
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.show import show as show_stage
from ecgpipe.stages.show import suspects as show_suspects
from ecgpipe.stages.show.records import Finder, shown_part, similar_ids
from ecgpipe.stages.show.show import choose_output, free_name

PATIENT = "SATO-4711"


class Ward:
    """Twelve ECGs, their table and settings; commands run beside them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.rows = [
            {
                "record_id": f"ecg-{number:03}",
                "patient_id": f"{PATIENT}-{number}",
                "path": f"ecg/{number:03}",
                "findings": "左室肥大、洞調律",
            }
            for number in range(12)
        ]
        for number in range(12):
            self.write(number, ecg_like(seed=number))
        self.settings: dict[str, Any] = {
            "name": "ward",
            "notice": "SIMULATED",
            "data": {
                "sources": [{"kind": "table", "table": "records.csv", "root": "."}],
                "taxonomy": "findings98",
                "workers": 1,
                "max_rejected_fraction": 0.5,
            },
            "text": {"model": "none"},
        }
        monkeypatch.chdir(folder)

    def write(self, number: int, adc: npt.NDArray[np.int16], **header: Any) -> None:
        write_wfdb(self.folder / "ecg", f"{number:03}", adc, **header)

    def write_settings(self) -> None:
        with (self.folder / "records.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        (self.folder / "pipeline.yaml").write_text(yaml.safe_dump(self.settings))

    def run(self, *arguments: str) -> Result:
        result = CliRunner().invoke(main, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    def show(self, *arguments: str) -> tuple[Result, list[Sheet]]:
        """The command's end, and the sheets that it drew."""
        sheets: list[Sheet] = []

        def noting(sheet: Sheet, *others: Any) -> bytes:
            sheets.append(sheet)
            return b"drawn"

        self.write_settings()
        with self.monkeypatch.context() as patch:
            for module in (show_stage, show_suspects):
                patch.setattr(module, "render", noting)
            result = self.run("show", *arguments)
        return result, sheets

    def prepare(self) -> None:
        self.write_settings()
        result = self.run("prepare")
        assert result.exit_code == 0, result.stderr


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ward:
    return Ward(tmp_path, monkeypatch)


def said(sheet: Sheet) -> str:
    return "\n".join(text.text for text in sheet.all_texts())


def strip(sheet: Sheet) -> Panel:
    return sheet.charts[0].panels[-1]


def test_a_prepared_record_is_drawn_from_the_store_with_its_findings(ward: Ward) -> None:
    ward.prepare()
    shutil.rmtree(ward.folder / "ecg")  # the recordings are no longer needed
    result, (sheet,) = ward.show("ecg-003")
    assert result.exit_code == 0, result.stderr
    assert (ward.folder / "ecg-003.png").read_bytes() == b"drawn"
    assert "wrote ecg-003.png" in result.stderr
    words = said(sheet)
    # In the taxonomy's order, as the model reads them.
    assert "所見：洞調律、左室肥大" in words
    assert "prepare 後の信号" in words
    assert "SIMULATED" in words
    lead_mv = ecg_like(seed=3)[1] / 1000
    drawn_mv = (strip(sheet).traces[0][:, 1] - 34) / 10
    np.testing.assert_allclose(drawn_mv, lead_mv - np.median(lead_mv), atol=1e-6)


@pytest.mark.parametrize(
    "arguments", [("ecg-003",), ("--suspects", "-n", "1")], ids=["sheet", "suspects"]
)
def test_a_sheet_has_the_resolution_that_is_asked_for(
    ward: Ward, arguments: tuple[str, ...]
) -> None:
    ward.write_settings()
    result = ward.run("show", *arguments, "-o", "drawn.png", "--dpi", "100")
    assert result.exit_code == 0, result.stderr
    width, dpi = png_facts((ward.folder / "drawn.png").read_bytes())
    assert width == pytest.approx(297 / 25.4 * 100, abs=1)  # A4 is 297 mm wide
    assert dpi == pytest.approx(100, abs=0.02)


def test_what_is_not_prepared_is_drawn_from_its_source(ward: Ward) -> None:
    ward.rows[3]["findings"] = "左室肥大;Herr Meier"
    result, (sheet,) = ward.show("ecg-003", "--language", "en")
    assert result.exit_code == 0, result.stderr
    words = said(sheet)
    assert "Findings: Left ventricular hypertrophy; 1 not in the list of findings" in words
    assert "Meier" not in words + result.output
    assert "as recorded, not prepared" in words


def test_a_prepared_ptbxl_record_is_what_wfdb_reads(
    tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = Ward(tmp_path, monkeypatch)
    ward.settings["data"] |= {
        "sources": [
            {"kind": "ptbxl", "root": str(real_data / "ptbxl"), "split_column": "subset_split"}
        ],
        "taxonomy": "ptbxl",
        "limit": 20,
    }
    ward.prepare()
    result, (sheet,) = ward.show("ptbxl-00017")
    assert result.exit_code == 0, result.stderr
    assert "心房細動" in said(sheet)
    name = real_data / "ptbxl" / "records500" / "00000" / "00017_hr"
    signal_mv = wfdb.rdrecord(str(name)).p_signal.T
    for panel in sheet.charts[0].panels:
        lead_mv = signal_mv[LEADS.index(panel.lead)]
        (trace,) = panel.traces
        first = round(panel.start_s * 500)
        expected = lead_mv[first : first + len(trace)] - np.median(lead_mv)
        # Stored to 1 µV, which is 0.01 mm.
        np.testing.assert_allclose((trace[:, 1] - panel.baseline_mm) / 10, expected, atol=6e-4)


@pytest.mark.parametrize("prepared", [True, False])
def test_no_patient_id_reaches_a_sheet(ward: Ward, prepared: bool) -> None:
    if prepared:
        ward.prepare()
    ward.write_settings()
    result = ward.run("show", "ecg-001", "--format", "svg", "-o", "out")
    assert result.exit_code == 0, result.stderr
    svg = (ward.folder / "out" / "ecg-001.svg").read_text()
    assert "ecg-001" in svg  # words stand in the file as comments
    assert "所見" in svg
    assert PATIENT not in svg
    assert PATIENT not in result.output


def test_mit_bih_has_its_two_leads_in_rows(
    tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = Ward(tmp_path, monkeypatch)
    ward.settings["data"] |= {
        "sources": [{"kind": "mitbih", "root": str(real_data / "mitdb"), "windows_per_beat": 1}],
        "min_leads": 2,
    }
    ward.settings["eval"] = {"tasks": ["mitbih"]}
    ward.write_settings()
    finder = Finder(lambda: Experiment(load_config(ward.folder / "pipeline.yaml")))
    name = next(name for name in finder._rows if name.startswith("mitbih-201"))
    result, (sheet,) = ward.show(name)
    assert result.exit_code == 0, result.stderr
    panels = sheet.charts[0].panels
    assert [(p.lead, p.end_s, len(p.traces)) for p in panels] == [("II", 10, 1), ("V1", 10, 1)]
    assert "信号のない誘導：I, III, aVR, aVL, aVF, V2, V3, V4, V5, V6" in said(sheet)
    sample = int(name.rpartition("-")[2])
    signals = wfdb.rdrecord(str(real_data / "mitdb" / "201"), channel_names=["MLII"]).p_signal
    lead_mv = signals[sample - 1800 : sample + 1800, 0]
    drawn_mv = (panels[0].traces[0][:3600, 1] - 154) / 10
    np.testing.assert_allclose(drawn_mv, lead_mv - np.median(lead_mv), atol=1e-6)


def test_an_unknown_id_suggests_similar_ids_and_the_others_are_drawn(ward: Ward) -> None:
    result, sheets = ward.show("ecg-3", "ecg-004", "nothing at all", "--json")
    assert result.exit_code == 1
    assert len(sheets) == 1
    assert "ward has no record 'ecg-3' (similar: ecg-003" in result.stderr
    assert "ward has no record 'nothing at all' (no id is similar)" in result.stderr
    summary = json.loads(result.stdout.splitlines()[-1])["show"]
    assert summary["files"] == ["ecg-004.png"]
    assert set(summary["failed"]) == {"ecg-3", "nothing at all"}


def test_similar_ids_have_the_same_number_or_spelling() -> None:
    ids = [f"ptbxl-{number:05}" for number in range(30_000)]
    assert similar_ids("17", ids)[0] == "ptbxl-00017"
    assert similar_ids("ptbxl-2", ids)[0] == "ptbxl-00002"
    assert similar_ids("ptbx-29999", ids)[0] == "ptbxl-29999"
    assert similar_ids("", ids) == []


def test_a_path_needs_no_experiment(ward: Ward, real_data: Path) -> None:
    file = real_data / "formats" / "ecgtoolkit_Example.scp"
    result = ward.run("show", str(file), "-o", "here/a.svg")
    assert result.exit_code == 0, result.stderr
    svg = (ward.folder / "here" / "a.svg").read_text()
    assert "ecgtoolkit_Example.scp" in svg
    assert "Findings: unknown" in svg


def test_every_format_that_can_be_read_can_be_drawn(ward: Ward, real_data: Path) -> None:
    good = [
        str(file)
        for file in sorted((real_data / "formats").iterdir())
        if "invalid" not in file.name
    ]
    result, sheets = ward.show(*good, str(real_data / "cinc2021" / "A0001"), "-o", "all")
    assert result.exit_code == 0, result.stderr
    assert len(sheets) == len(list((ward.folder / "all").iterdir())) == len(good) + 1
    for sheet in sheets:
        assert any(panel.traces for panel in sheet.charts[0].panels)


def test_an_unreadable_file_is_reported_and_the_others_are_drawn(ward: Ward) -> None:
    (ward.folder / "letter.txt").write_text("Dear colleague,")
    ward.write(5, ecg_like(seed=5)[:, :4000])
    (ward.folder / "ecg" / "005.dat").write_bytes(b"\0" * 100)
    result, sheets = ward.show("letter.txt", "ecg-005", "ecg/004", "ecg-006")
    assert result.exit_code == 1
    assert len(sheets) == 2
    assert "letter.txt: letter.txt has an unknown format" in result.stderr
    assert "ecg-005: " in result.stderr
    assert "Traceback" not in result.stderr


def test_an_id_wins_over_a_file_of_its_name_unless_a_folder_is_named(ward: Ward) -> None:
    shutil.copy(ward.folder / "ecg" / "001.dat", ward.folder / "ecg-002.dat")
    header = (ward.folder / "ecg" / "001.hea").read_text().replace("001", "ecg-002")
    (ward.folder / "ecg-002.hea").write_text(header)
    _, (of_table,) = ward.show("ecg-002")
    _, (of_file,) = ward.show("./ecg-002")
    assert "左室肥大" in said(of_table)
    assert "所見：不明" in said(of_file)


def test_a_broken_pipeline_does_not_keep_a_file_from_being_drawn(ward: Ward) -> None:
    ward.settings["data"]["taxonmy"] = "x"
    result, sheets = ward.show("./ecg/001")
    assert (result.exit_code, len(sheets)) == (0, 1), result.stderr
    result, _ = ward.show("ecg-001")
    assert result.exit_code == 2
    assert "taxonmy" in result.stderr


def test_without_experiment_an_unknown_name_says_what_to_do(ward: Ward) -> None:
    result = ward.run("show", "ecg-001")
    assert result.exit_code == 1
    assert "there is no pipeline.yaml here" in result.stderr
    assert ward.run("show", "ecg-001", "-c", "absent.yaml").exit_code == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [(".", ". is a folder"), ("/", "/ is a folder"), ("", "'' is not a recording")],
)
def test_a_folder_is_no_record(ward: Ward, name: str, message: str) -> None:
    result = ward.run("show", name)
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_rejected_record_can_still_be_looked_at(ward: Ward) -> None:
    ward.write(2, ecg_like(seed=2)[:8], leads=LEADS[:8])
    ward.prepare()
    result, (sheet,) = ward.show("ecg-002")
    assert result.exit_code == 0, result.stderr
    assert "信号のない誘導：V3, V4, V5, V6" in said(sheet)


def test_masked_leads_and_gaps_of_the_store_are_no_lines(ward: Ward) -> None:
    flat = ecg_like(seed=7)
    flat[6] = 0
    ward.write(7, flat)
    ward.write(8, ecg_like(seed=8)[:, :3500])
    before = [ward.show(name)[1][0] for name in ("ecg-007", "ecg-008")]
    ward.settings["data"]["min_leads"] = 11
    ward.prepare()
    after = [ward.show(name)[1][0] for name in ("ecg-007", "ecg-008")]
    for of_flat, of_short in (before, after):
        (v1,) = [panel for panel in of_flat.charts[0].panels if panel.lead == "V1"]
        assert v1.traces == ()
        assert "信号なし" in said(of_flat)
        assert strip(of_short).traces[0][-1, 0] == pytest.approx(26 + 7 * 25, abs=0.06)
        assert "記録終了" in said(of_short)
        assert "4.5–7 s" in said(of_short)
    assert "平坦のため非表示：V1" in said(before[0])
    assert "信号のない誘導：V1" in said(after[0])


def test_another_part_of_a_long_recording(ward: Ward) -> None:
    long = ecg_like(samples=15_000, seed=1)
    ward.write(1, long)
    _, (first,) = ward.show("ecg-001")
    _, (later,) = ward.show("ecg-001", "--start", "12")
    assert "0.0–10.0 / 全 30.0 s" in said(first)
    assert "12.0–22.0 / 全 30.0 s" in said(later)
    lead_mv = long[1] / 1000
    drawn = (strip(later).traces[0][:, 1] - 34) / 10
    part = lead_mv[6000:11001]
    np.testing.assert_allclose(drawn, part - np.median(part), atol=1e-6)
    ward.settings["data"]["crop"] = "centre"
    _, (centre,) = ward.show("ecg-001")
    assert "10.0–20.0 / 全 30.0 s" in said(centre)
    result, _ = ward.show("ecg-001", "--start", "31")
    assert result.exit_code == 1
    assert "lasts 30.0 s, so it cannot be drawn from 31 s on" in result.stderr


def test_leads_that_do_not_move_are_taken_out_and_named() -> None:
    signal_mv = np.random.default_rng(0).normal(0, 1, (12, 5000)).astype(np.float32)
    signal_mv[4] = 0.7
    signal_mv[4, 100:200] = np.nan
    part, flat = shown_part(EcgRecord(signal_mv, 500.0), 0.0, 10.0)
    assert flat == ("aVL",)
    assert np.isnan(part.signal_mv[4]).all()
    assert np.isfinite(signal_mv[4, 0])  # the recording itself stays


def test_ids_become_file_names_that_any_system_takes(ward: Ward) -> None:
    taken: set[str] = set()
    assert free_name("a/b\\c:d*?", "png", taken) == "a_b_c_d_.png"
    assert free_name("../../etc/passwd", "png", taken) == "_.._etc_passwd.png"
    assert free_name("A/B\\C:D*?", "png", taken) == "A_B_C_D_-2.png"
    assert free_name("...", "svg", taken) == "ecg.svg"
    assert len(free_name("心" * 300, "svg", taken).encode()) < 255
    ward.rows[4]["record_id"] = "2024/04"
    ward.rows[5]["record_id"] = "2024_04"
    result, sheets = ward.show("2024/04", "2024_04", "2024_04", "-o", "out")
    assert result.exit_code == 0, result.stderr
    assert len(sheets) == 2
    assert sorted(p.name for p in (ward.folder / "out").iterdir()) == [
        "2024_04-2.png",
        "2024_04.png",
    ]


def test_where_pictures_go(tmp_path: Path) -> None:
    assert choose_output(None, None, one=True) == (None, Path(), "png")
    assert choose_output(tmp_path / "a.SVG", None, one=True) == (
        tmp_path / "a.SVG",
        tmp_path,
        "svg",
    )
    assert choose_output(tmp_path / "new", "svg", one=False) == (None, tmp_path / "new", "svg")
    (tmp_path / "old.png").mkdir()
    assert choose_output(tmp_path / "v1.2", None, one=True)[1] == tmp_path / "v1.2"
    assert choose_output(tmp_path / "old.png", None, one=False)[1] == tmp_path / "old.png"
    with pytest.raises(ConfigError, match=r"one file, .*, for several"):
        choose_output(tmp_path / "a.png", None, one=False)
    with pytest.raises(ConfigError, match=r"ends in \.png, but --format is svg"):
        choose_output(tmp_path / "a.png", "svg", one=True)
    with pytest.raises(ConfigError, match=r"\.pdf cannot be written.*\.svg"):
        choose_output(tmp_path / "a.pdf", None, one=True)


def test_a_picture_replaces_its_older_self_whole(ward: Ward) -> None:
    (ward.folder / "ecg-001.png").write_bytes(b"old")
    ward.show("ecg-001")
    assert (ward.folder / "ecg-001.png").read_bytes() == b"drawn"
    assert not list(ward.folder.glob(".*.tmp"))


@pytest.mark.parametrize("arguments", [(), ("ecg-001", "--suspects")])
def test_records_or_suspects_must_be_asked_for(ward: Ward, arguments: tuple[str, ...]) -> None:
    result, _ = ward.show(*arguments)
    assert result.exit_code == 2
    assert "Name one or more records, or use --suspects." in result.stderr


def plant(ward: Ward, change: Callable[[npt.NDArray[np.int16]], None], number: int) -> None:
    adc = limbs(number)
    change(adc)
    ward.write(number, adc)


def limbs(seed: int) -> npt.NDArray[np.int16]:
    """An ECG whose limb leads agree, so that it is not suspicious."""
    adc = ecg_like(seed=seed)
    one, two = adc[0].astype(float), adc[1].astype(float)
    for row, lead in enumerate((two - one, -(one + two) / 2, one - two / 2, two - one / 2), 2):
        adc[row] = np.rint(lead)
    return adc


def test_suspects_are_shown_with_their_reasons_the_grave_ones_first(ward: Ward) -> None:
    for number in range(12):
        ward.write(number, limbs(number))
    ward.write(4, limbs(4), gain="1(0)/mV")
    for number in (6, 7, 8):
        plant(ward, lambda adc: adc[7].fill(0), number)
    plant(ward, lambda adc: np.negative(adc[0], out=adc[0]), 9)
    ward.write(10, limbs(3))
    result, (page,) = ward.show("--suspects", "-n", "5", "-o", "s.svg")
    assert result.exit_code == 0, result.stderr
    titles = [t.text.split()[0] for t in page.texts if t.bold and t.text.startswith("ecg-")]
    assert titles == ["ecg-004", "ecg-009", "ecg-006", "ecg-010", "ecg-007"]
    words = " ".join(said(page).split("\n"))
    assert "amplitude is wrong by a power of ten" in words
    assert "limb leads contradict each other" in words
    assert "a lead is flat: V2" in words
    assert "waveform is identical to that of ecg-003" in words
    assert "5 of 6 suspects, 12 of 12 opened" in words
    assert "SIMULATED" in words
    assert PATIENT not in said(page)
    assert (ward.folder / "s.svg").exists()


def test_suspects_are_named_in_the_language_of_messages(ward: Ward) -> None:
    for number in range(12):
        ward.write(number, limbs(number))
    plant(ward, lambda adc: adc[7].fill(0), 6)
    ward.monkeypatch.setenv("ECGPIPE_LANG", "ja")
    result, (page,) = ward.show("--suspects")
    assert result.exit_code == 0, result.stderr
    words = said(page)
    assert "平坦な誘導がある：V2" in words
    assert "疑わしいもの 1 件のうち 1 件、12 件のうち 12 件を開いた" in words
    assert "研究用。診断ではありません。" in words


def test_pages_of_suspects_are_numbered(ward: Ward) -> None:
    for number in range(8):
        plant(ward, lambda adc: adc[7].fill(0), number)
    result, pages = ward.show("--suspects", "-o", "out", "--format", "svg", "--all")
    assert result.exit_code == 0, result.stderr
    assert sorted(p.name for p in (ward.folder / "out").iterdir()) == [
        f"suspects-{number + 1}.svg" for number in range(len(pages))
    ]
    assert len(pages) == 2


def test_nothing_suspicious_is_an_answer(ward: Ward) -> None:
    for number in range(12):
        ward.write(number, limbs(number))
    result, pages = ward.show("--suspects")
    assert (result.exit_code, pages) == (0, [])
    assert "0 of 0 suspects, 12 of 12 opened" in result.stderr


def test_the_sheet_needs_no_experiment_to_be_drawn() -> None:
    """As the report of an evaluation will: millivolts and words in, a sheet out."""
    signal_mv = np.random.default_rng(0).normal(0, 0.2, (12, 5000))
    sheet = ecg_sheet(Ecg(signal_mv, 500, LEADS), Captions("best", ("a",)))
    assert len(sheet.charts[0].panels) == 13
