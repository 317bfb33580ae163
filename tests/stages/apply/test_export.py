"""`ecgpipe export`: the folder scores as the run did, alone, and refuses to be anything else."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from toy_experiment import Experiment as Toy

from ecgpipe.apply_model.applied_model import AppliedModel, load_model
from ecgpipe.apply_model.export.model_folder import (
    CARD,
    MANIFEST,
    PATIENTS,
    check_target,
    read_folder,
    write_folder,
)
from ecgpipe.apply_model.export.onnx_encoder import as_millivolts
from ecgpipe.apply_model.export.patients import read as read_patients
from ecgpipe.config.file import load_config
from ecgpipe.errors import CheckpointError, StoreError
from ecgpipe.evaluate.score_file import ScoreFile, read_scores
from ecgpipe.evaluate.table import area
from ecgpipe.files import sha256_file
from ecgpipe.stages.experiment import Experiment


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of the exported folder."""
    return Path(shutil.copytree(exported, tmp_path / "elsewhere"))


def scored_signals(toy: Toy) -> tuple[np.ndarray, ScoreFile]:
    """The prepared ECGs of the run's evaluation, and the scores that it kept."""
    experiment, kept = Experiment(load_config(toy.path)), read_scores(toy.eval_folder / "scores.h5")
    slot_of = {r.record_id: r.slot for r in experiment.records.records}
    return experiment.signals.read(np.array([slot_of[one] for one in kept.record_ids])), kept


# What it answers --------------------------------------------------------------------------------


def test_the_moved_folder_scores_as_the_run_did_when_the_run_is_gone(
    experiment: Toy, tmp_path: Path
) -> None:
    code, out, err = experiment.run("export", "--to", "out", "--json")
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])["export"]
    assert summary["onnx_difference"] < 1e-5
    assert summary["onnx_ecgs"] > 10
    signals, kept = scored_signals(experiment)
    (experiment.folder / "out").rename(tmp_path / "moved")
    shutil.rmtree(experiment.folder / "work")
    model = load_model(tmp_path / "moved")
    ecgs = model.encode_ecg(signals)
    for name, task in kept.tasks.items():
        np.testing.assert_allclose(model.scores(ecgs, name), task.scores_NC, atol=1e-5)


def test_the_folder_is_the_run_it_came_from(exported: Path, applied: AppliedModel) -> None:
    model = load_model(exported)
    assert model.digest == applied.digest
    assert model.contract == applied.contract
    assert model.tasks == applied.tasks
    assert next(iter(model.tasks)) == "findings"
    for language in ("ja", "en"):
        names = [c.names[language] for c in model.task().classes]
        np.testing.assert_array_equal(
            model.encode_texts(names, language), applied.encode_texts(names, language)
        )
        np.testing.assert_array_equal(
            model.nearness(names, language), applied.nearness(names, language)
        )


def card_blocks(folder: Path) -> list[str]:
    return re.findall(
        r"```python\n(.*?)```", (folder / CARD).read_text(encoding="utf-8"), re.DOTALL
    )


def test_the_cards_own_lines_score_with_numpy_and_onnx_runtime_alone(
    finished: tuple[Toy, Any], folder: Path, tmp_path: Path
) -> None:
    signals, kept = scored_signals(finished[0])
    np.save(folder / "ecg.npy", as_millivolts(signals))
    lines = card_blocks(folder)[1]
    assert len([line for line in lines.splitlines() if line.strip()]) <= 15
    # Nothing else can be imported, whatever this environment holds.
    allowed = {"numpy", "onnxruntime", "flatbuffers", "google", "packaging"}
    guard = (
        "import sys\n"
        "class Only:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {sorted(OTHERS - allowed)!r}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Only())\n"
    )
    program = f"{guard}{lines}\nnp.save('scores.npy', scores)\n"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5 * len(signals)
    found = np.load(folder / "scores.npy")
    np.testing.assert_allclose(found, kept.tasks["findings"].scores_NC, atol=1e-4)


OTHERS = {
    "torch", "ecgpipe", "safetensors", "onnx", "onnxscript", "transformers", "scipy", "pydantic",
    "h5py", "yaml", "sympy", "zarr", "pyarrow", "huggingface_hub",
}  # fmt: skip


def test_the_cards_python_lines_score_a_recording(
    exported: Path, ecgs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = next(iter(sorted(ecgs.rglob("*.hea"))))
    lines = card_blocks(exported)[0]
    lines = lines.replace('"this-folder"', repr(str(exported)))
    exec(lines.replace('"recording.dcm"', repr(str(header))), {})
    assert len(capsys.readouterr().out.splitlines()) == 5


# What it says -----------------------------------------------------------------------------------


def test_the_card_has_the_reports_figures(finished: tuple[Toy, Any], exported: Path) -> None:
    text, results = (exported / CARD).read_text(encoding="utf-8"), finished[0].results()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "unknown"
    assert "To be answered before" in text
    assert "Not a medical device" in text
    for entry, (name, task) in zip(
        front["model-index"][0]["results"], results["tasks"].items(), strict=True
    ):
        for metric in entry["metrics"]:
            assert metric["value"] == task["summary"][metric["type"]]["value"]
        assert f"`{name}`" in text
        ece = area(task["calibration"]["ece"])
        assert f"Expected calibration error {ece}" in text
        assert f"Expected calibration error {ece}" in finished[0].report()
    assert f"{results['tasks']['findings']['n']:,} ECGs of the test part" in text
    assert "SIMULATED" in text


def test_classes_without_enough_validation_ecgs_say_none(
    exported: Path, applied: AppliedModel
) -> None:
    text = (exported / CARD).read_text(encoding="utf-8")
    for c in applied.task().classes:
        (row,) = re.findall(rf"^\| {c.id} \| {re.escape(c.names['en'])} \|.*$", text, re.MULTILINE)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[-2] == str(c.n_val)
        assert (cells[-3] == "none") == (c.threshold is None)


def test_nothing_of_a_person_or_of_this_machine_is_in_the_folder(
    finished: tuple[Toy, Any], exported: Path, ecgs: Path, tiny_llama: Path
) -> None:
    table = (ecgs / "records.csv").read_text(encoding="utf-8")
    records = list(csv.DictReader(table.splitlines()))
    words = {row[key] for row in records for key in ("record_id", "patient_id")}
    words |= {str(ecgs), str(tiny_llama.parent), str(finished[0].folder)}
    words |= {sys.prefix, str(Path.cwd())}
    for path in exported.iterdir():
        content = path.read_bytes()
        assert not [word for word in words if len(word) > 4 and word.encode() in content], path


def test_patients_can_be_recognised_and_left_out(
    experiment: Toy, exported: Path, ecgs: Path
) -> None:
    records = Experiment(load_config(experiment.path)).records
    known = read_patients(exported / PATIENTS)
    for split in ("train", "val", "test"):
        patients = records.of_split(split).patients
        assert known.contains(patients, [split]) == set(patients)
    code, _, err = experiment.run("export", "--to", "out", "--without-patients")
    assert code == 0, err
    assert not (experiment.folder / "out" / PATIENTS).exists()
    load_model(experiment.folder / "out")


# What it refuses --------------------------------------------------------------------------------


def test_a_folder_with_other_files_is_left_alone_and_an_older_export_is_replaced(
    experiment: Toy, exported: Path
) -> None:
    out = experiment.folder / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years")
    code, _, err = experiment.run("export", "--to", "out")
    assert code == 1
    assert "holds other files (thesis.tex); nothing was written" in " ".join(err.split())
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    (out / "thesis.tex").rename(out / "config.json")  # a name of ours, but no export
    assert experiment.run("export", "--to", "out")[0] == 1
    shutil.rmtree(out)
    shutil.copytree(exported, out)
    (out / "encoder.onnx").write_bytes(b"old")
    code, _, err = experiment.run("export", "toy", "--to", "out")
    assert code == 0, err
    assert sha256_file(out / "model.safetensors") == sha256_file(exported / "model.safetensors")
    assert load_model(out).digest == load_model(exported).digest
    assert [path.name for path in experiment.folder.glob(".out*")] == []


def damage(name: str) -> Callable[[Path], None]:
    def flip(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return flip


def rewrite(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    """Change a JSON file and its line in the manifest, as a careful hand would."""

    def work(folder: Path) -> None:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
        change(value)
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
        manifest = json.loads((folder / MANIFEST).read_text())
        if name != MANIFEST:
            entry = {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
            manifest["files"][name] = entry
            (folder / MANIFEST).write_text(json.dumps(manifest))

    return work


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage("model.safetensors"), "is not the file that was exported: its SHA-256"),
        (damage("encoder.onnx"), "encoder.onnx is not the file"),
        (damage("patients.json"), "patients.json is not the file"),
        (lambda f: (f / "prompts.safetensors").unlink(), "prompts.safetensors is missing"),
        (lambda f: (f / "taxonomy.csv").write_bytes(b""), "has 0 bytes instead of"),
        (lambda f: (f / MANIFEST).unlink(), "is no exported model: it has no manifest.json"),
        (lambda f: (f / MANIFEST).write_text("{"), "cannot be read as JSON"),
        (rewrite(MANIFEST, lambda m: m["files"].pop("config.json")), "it lacks config.json"),
        (rewrite(MANIFEST, lambda m: m.update(format="ecgpipe-export/2")), "'ecgpipe-export/2'"),
        (rewrite(MANIFEST, lambda m: m["files"].update({"../x": {"bytes": 1, "sha256": ""}})), "x"),
        (rewrite(MANIFEST, lambda m: m.update(files=[])), "is damaged"),
        (rewrite(MANIFEST, lambda m: m["files"]["config.json"].update(bytes="1")), "is damaged"),
        (rewrite("config.json", lambda c: c["contract"].update(version=0)), "of version 0"),
        (rewrite("config.json", lambda c: c["contract"].pop("rate_hz")), "it lacks rate_hz"),
        (rewrite("config.json", lambda c: c.pop("tasks")), "not an object with"),
        (rewrite("config.json", lambda c: c["tasks"][0].update(kind="odd")), "kind"),
        (rewrite("config.json", lambda c: c["shape"].update(text_width=3)), "is not the model"),
    ],
)
def test_a_folder_that_is_not_what_was_exported_is_refused(
    folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_model(folder)


def test_the_card_may_be_edited(folder: Path) -> None:
    (folder / CARD).write_text("license: cc-by-4.0")
    read_folder(folder)


def test_a_run_is_no_exported_folder_and_says_how_to_make_one(finished: tuple[Toy, Any]) -> None:
    with pytest.raises(CheckpointError, match="It is a run; export it with `ecgpipe export`"):
        load_model(finished[0].eval_folder.parent)


def test_an_export_into_the_folder_one_is_in_is_refused(
    experiment: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (experiment.folder / "out").mkdir()
    monkeypatch.chdir(experiment.folder / "out")
    with pytest.raises(StoreError, match=r"is the folder you are in.*--to"):
        check_target(Path("."))


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    for content in (b"old", b"new"):
        write_folder(tmp_path / "link", {CARD: content})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / CARD).read_bytes() == b"new"


def test_an_export_that_fails_leaves_nothing(
    experiment: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecgpipe.apply_model.export.onnx_encoder.TOLERANCE", 1e-12)
    code, _, err = experiment.run("export", "--to", "out")
    assert code == 1
    assert "encoder.onnx computes other vectors than torch" in " ".join(err.split())
    before = sorted(path.name for path in experiment.folder.iterdir())
    assert not [name for name in before if "out" in name]


def test_before_a_run_there_is_nothing_to_export(fresh: Toy) -> None:
    code, _, err = fresh.run("export", "--to", "out")
    assert code == 1
    assert "ecgpipe prepare" in err
