"""The command line, end to end: one experiment on simulated ECGs and a tiny Llama."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_experiment import ENVIRONMENT, Experiment, python, worked

from ecgpipe.config.file import load_config
from ecgpipe.evaluate.report.verdict import BASELINES
from ecgpipe.stages.experiment import Experiment as OpenedExperiment
from ecgpipe.stages.texts import task_sentences


def test_one_command_goes_from_files_to_results(
    finished: tuple[Experiment, dict[str, Any]], ecgs: Path
) -> None:
    experiment, summary = finished
    assert worked(summary) == ["prepare", "embed", "train", "eval"]
    n = len((ecgs / "records.csv").read_text().splitlines()) - 1
    assert summary["prepare"]["prepared"] == n
    results = experiment.results()
    assert results["format"] == "ecgpipe-results/3"
    assert results["run"] == "toy"
    assert results["data"]["prepared"] == n
    assert results["text"]["distinct"] == summary["embed"]["distinct"]
    assert set(results["tasks"]) == {"findings", "superclass", "rhythm"}
    for task in results["tasks"].values():
        assert set(task["baselines"]) == set(BASELINES)
        assert 0 <= task["summary"]["hit@1_micro"]["value"] <= 1
    report = (experiment.folder / "work" / "runs" / "toy" / "eval" / "report.md").read_text()
    assert "**SIMULATED**" in report
    assert f"| Records prepared | {n} |\n| Patients | 60 |" in report


def test_a_run_leaves_its_settings_log_and_model(
    finished: tuple[Experiment, dict[str, Any]],
) -> None:
    run = finished[0].folder / "work" / "runs" / "toy"
    assert yaml.safe_load((run / "config.yaml").read_text())["train"]["epochs"] == 2
    assert len((run / "log.jsonl").read_text().splitlines()) == 2
    card = json.loads((run / "model" / "config.json").read_text())
    assert card["leads"][:4] == ["I", "II", "III", "aVR"]
    assert card["notice"] == "SIMULATED"
    assert card["provenance"]["packages"]["torch"]
    assert (run / "model" / "model.safetensors").exists()
    files = [path for path in run.rglob("*") if path.is_file()]
    names = {path.suffix for path in files if path.parent.name != "tensorboard"}
    pictures_and_tables = {".html", ".csv", ".png", ".svg"}
    assert names <= {".yaml", ".json", ".jsonl", ".safetensors", ".md", ".h5"} | pictures_and_tables


def seconds_of_children() -> float:
    """Processor time, which other work on this machine hardly changes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_second_run_does_no_work_and_says_so_at_once(experiment: Experiment) -> None:
    def times() -> dict[Path, int]:
        made = (path for path in experiment.folder.rglob("*.*") if "status" not in path.parts)
        return {path: path.stat().st_mtime_ns for path in made}

    before, used = times(), seconds_of_children()
    process = experiment.start("run")
    _, err = process.communicate(timeout=120)
    seconds = seconds_of_children() - used
    assert process.returncode == 0, err
    assert "no work was done" in err
    assert err.count("nothing to do") == 4
    assert seconds < 5
    assert times() == before


def test_a_different_pooling_embeds_and_trains_again_and_keeps_the_signals(
    experiment: Experiment,
) -> None:
    assert worked(experiment.did("--set", "text.pooling=mean")) == ["embed", "train", "eval"]
    runs = experiment.folder / "work" / "runs"
    assert (runs / "toy.old-1" / "model" / "model.safetensors").exists()  # nothing is overwritten
    assert worked(experiment.did("--set", "text.pooling=mean")) == []


def test_more_epochs_only_train(experiment: Experiment) -> None:
    log = experiment.folder / "work" / "runs" / "toy" / "log.jsonl"
    first = log.read_text()
    assert worked(experiment.did("--set", "train.epochs=3")) == ["train", "eval"]
    assert log.read_text().startswith(first)  # continued, not begun again
    assert not (log.parent.parent / "toy.old-1").exists()


def test_fewer_epochs_are_a_new_run_and_the_old_one_is_kept(experiment: Experiment) -> None:
    assert worked(experiment.did("--set", "train.epochs=1")) == ["train", "eval"]
    runs = experiment.folder / "work" / "runs"
    assert len((runs / "toy" / "log.jsonl").read_text().splitlines()) == 1
    assert len((runs / "toy.old-1" / "log.jsonl").read_text().splitlines()) == 2


def test_a_refused_setting_leaves_the_finished_run_where_it_is(experiment: Experiment) -> None:
    runs = experiment.folder / "work" / "runs"
    code, _, err = experiment.run("train", "--set", "train.global_batch_size=4096")
    assert code == 2
    assert "fewer than train.global_batch_size 4096" in err
    assert not (runs / "toy.old-1").exists()
    assert worked(experiment.did()) == []


def test_a_run_that_is_set_aside_is_reported_and_restored_with_its_settings(
    experiment: Experiment,
) -> None:
    run = experiment.folder / "work" / "runs" / "toy"
    first = (run / "model" / "model.safetensors").read_bytes()
    code, _, err = experiment.run("train", "--set", "train.lr=0.002")
    assert code == 0
    assert (
        "train: the previous run had other settings (train.lr was 0.001 and is 0.002); it"
        " was kept as toy.old-1" in err
    )
    assert (run / "model" / "model.safetensors").read_bytes() != first
    code, _, err = experiment.run("train")
    assert code == 0
    assert "(train.lr was 0.002 and is 0.001); it was kept as toy.old-2" in err
    assert "train: toy.old-1, a run with these settings, was moved back" in err
    assert "nothing to do" in err
    assert (run / "model" / "model.safetensors").read_bytes() == first
    assert not run.with_name("toy.old-1").exists()


def test_a_longer_run_survives_a_call_with_fewer_epochs(experiment: Experiment) -> None:
    assert worked(experiment.did("--set", "train.epochs=3")) == ["train", "eval"]
    run = experiment.folder / "work" / "runs" / "toy"
    longer = (run / "log.jsonl").read_text()
    code, _, err = experiment.run("eval")
    assert code == 1
    assert "It was trained for longer: set train.epochs and train.patience" in " ".join(err.split())
    code, _, err = experiment.run("train")
    assert "trained for longer than these settings say; it was kept as toy.old-1" in err
    assert worked(experiment.did("--set", "train.epochs=3")) == []
    assert (run / "log.jsonl").read_text() == longer


def test_more_patience_continues_and_evaluation_settings_do_not_retrain(
    experiment: Experiment,
) -> None:
    run = experiment.folder / "work" / "runs" / "toy"
    weights = (run / "model" / "model.safetensors").read_bytes()
    assert worked(experiment.did("--set", "train.patience=50")) == []
    assert worked(experiment.did("--set", "eval.bootstrap_draws=120")) == ["eval"]
    assert (run / "model" / "model.safetensors").read_bytes() == weights


def test_a_failed_run_does_not_stop_the_rest_of_a_sweep(experiment: Experiment) -> None:
    code, _, err = experiment.run(
        "train", "--grid", "train.global_batch_size=4096,8", "--set", "train.encoder=cnn1d"
    )
    assert code == 2
    assert "fewer than train.global_batch_size 4096" in err
    assert "toy+global_batch_size=8: run 2 of 2" in err
    assert "1 of 2 runs failed, for the reasons above: toy+global_batch_size=4096." in err
    runs = experiment.folder / "work" / "runs"
    assert (runs / "toy+global_batch_size=8" / "model" / "config.json").exists()
    assert not (runs / "toy+global_batch_size=4096").exists()


def test_a_failed_evaluation_does_not_stop_the_rest_of_a_sweep(
    experiment: Experiment,
) -> None:
    runs = experiment.folder / "work" / "runs"
    sweep = ("--grid", "eval.bootstrap_draws=110,120", "--set", "train.encoder=cnn1d")
    assert experiment.run("train", *sweep)[0] == 0
    in_the_way = runs / "toy+bootstrap_draws=110" / "evals"
    in_the_way.write_text("")
    code, _, err = experiment.run("run", *sweep)
    assert code == 1
    assert f"Cannot write {in_the_way}" in err
    assert "1 of 2 runs failed, for the reasons above: toy+bootstrap_draws=110." in err
    assert (runs / "toy+bootstrap_draws=120" / "eval" / "results.json").exists()


def test_a_closed_terminal_does_not_fail_a_finished_run(experiment: Experiment) -> None:
    ours, theirs = os.openpty()
    os.close(ours)
    command = [*python(), "-m", "ecgpipe", "run", "--json", "-c", str(experiment.path)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, env=ENVIRONMENT, text=True, check=False
    )
    os.close(theirs)
    assert done.returncode == 0
    assert worked(json.loads(done.stdout.splitlines()[-1])) == []


@pytest.mark.parametrize("minutes", ["nan", "-nan", "inf", "0"])
def test_a_time_limit_of_nan_or_infinity_is_refused(experiment: Experiment, minutes: str) -> None:
    code, _, err = experiment.run("train", "--max-minutes", minutes)
    assert code == 2, err


def test_profile_measures_one_run_only(experiment: Experiment) -> None:
    code, _, err = experiment.run("train", "--profile", "2", "--seeds", "0..1")
    assert code == 2
    assert "leave out --seeds" in err
    code, out, _ = experiment.run("train", "--profile", "2", "--json")
    assert json.loads(out.splitlines()[-1])["profile"]["batch"] == 16


def test_a_different_wording_embeds_only_new_texts(experiment: Experiment) -> None:
    summary = experiment.did("--set", "text.prompt=心電図所見：{text}。")
    assert worked(summary) == ["embed", "train", "eval"]
    assert summary["embed"]["embedded"] > summary["embed"]["distinct"] / 2  # not the English ones
    assert worked(experiment.did()) == []  # back again: the first run comes back as well


def test_different_bootstrap_draws_only_evaluate(experiment: Experiment) -> None:
    assert worked(experiment.did("--set", "eval.bootstrap_draws=120")) == ["eval"]


def test_a_second_language_is_scored_without_training_again(
    experiment: Experiment,
) -> None:
    did = experiment.did("--set", "eval.tasks=[superclass, superclass@en]")
    assert worked(did) == ["eval"]  # both languages' prompts have vectors from the start
    tasks = experiment.results()["tasks"]
    assert [(name, task["language"]) for name, task in tasks.items()] == [
        ("superclass", "ja"),
        ("superclass@en", "en"),
    ]
    first, second = (task["classes"]["MI"] for task in tasks.values())
    assert (first["n"], first["patients"]) == (second["n"], second["patients"])
    assert (first["wordings"], second["wordings"]) == (["心筋梗塞"], ["Myocardial infarction"])
    assert first["auroc"] != second["auroc"]


def test_findings_have_vectors_to_rank_checkpoints_by_though_another_task_is_scored(
    finished: tuple[Experiment, dict[str, Any]],
) -> None:
    opened = OpenedExperiment(load_config(finished[0].path, ["eval.tasks=[superclass]"]))
    assert set(task_sentences(opened.ranking_task, opened.config.text)) <= set(opened.texts)


def test_only_the_chosen_sources_are_scored_and_an_unknown_one_is_refused(
    experiment: Experiment,
) -> None:
    assert worked(experiment.did("--set", "eval.sources=[records]")) == ["eval"]
    for command in ("eval", "check", "run"):
        code, _, err = experiment.run(command, "--set", "eval.sources=[record]")
        assert code == 2
        told = " ".join(err.split())
        assert "eval.sources names 'record', which is no source. Did you mean 'records'?" in told


def test_a_source_of_another_name_is_prepared_again_but_not_trained_again(
    experiment: Experiment,
) -> None:
    renamed = ("--set", "data.sources.0.name=外来 2024", "--set", "eval.sources=[外来 2024]")
    stores = list((experiment.folder / "work" / "signals").iterdir())
    assert worked(experiment.did(*renamed)) == ["prepare", "eval"]
    assert list((experiment.folder / "work" / "signals").iterdir()) == stores
    assert worked(experiment.did(*renamed)) == []


def test_a_model_can_be_trained_on_reports(fresh: Experiment, tmp_path: Path) -> None:
    settings = yaml.safe_load(fresh.path.read_text())
    table = Path(settings["data"]["sources"][0]["table"])
    lines = table.read_text().splitlines()
    place = lines[0].split(",").index("findings")
    new = [lines[0] + ",report"]
    new += [f"{line},{line.split(',')[place]}を認めます。" for line in lines[1:]]
    (tmp_path / "records.csv").write_text("\n".join(new))
    summary = fresh.did(
        "--set", f"data.sources.0={{kind: table, table: records.csv, root: {table.parent}}}",
        "--set", "text.source=report",
    )  # fmt: skip
    assert worked(summary) == ["prepare", "embed", "train", "eval"]


def test_the_report_counts_single_sentences_of_reports(fresh: Experiment, ecgs: Path) -> None:
    lines = ["record_id,patient_id,path,report"]
    for line in (ecgs / "records.csv").read_text().splitlines()[1:]:
        record, patient, path = line.split(",")[:3]
        lines.append(f"{record},{patient},{path},洞調律。記録{record}です。")
    (fresh.folder / "reports.csv").write_text("\n".join(lines))
    summary = fresh.did(
        "--set", f"data.sources.0={{kind: table, table: reports.csv, root: {ecgs}}}",
        "--set", "text.source=report", "--set", "eval.tasks=[findings]",
        "--set", "eval.candidates=taxonomy", "--set", "train.text=sampled_finding",
        "--set", "train.epochs=1",
    )  # fmt: skip
    # Each record: its report, and one sentence of its own; a rhythm that all of them share.
    n = summary["prepare"]["prepared"]
    assert summary["embed"]["distinct"] >= 2 * n + 1
    assert fresh.results()["text"]["distinct"] == summary["embed"]["distinct"]


def test_stages_run_alone_say_what_must_come_first(fresh: Experiment) -> None:
    for stage, before in (("embed", "prepare"), ("train", "prepare"), ("eval", "prepare")):
        code, _, err = fresh.run(stage)
        assert code == 1
        assert f"Run `ecgpipe {before}`" in err
    assert fresh.run("prepare")[0] == 0
    code, _, err = fresh.run("train")
    assert code == 1
    assert "Run `ecgpipe embed`" in err
    assert fresh.run("embed")[0] == 0
    code, _, err = fresh.run("eval")
    assert code == 1
    assert "Run `ecgpipe train`" in err


@pytest.mark.parametrize(
    ("override", "code", "message"),
    [
        ("train.epoch=3", 2, "Did you mean train.epochs?"),
        ("data.sources.0.table=none.csv", 1, "none.csv does not exist"),
        ("data.taxonomy=findings99", 1, "There is no taxonomy 'findings99'"),
        ("eval.tasks=[superclas]", 1, "There is no task 'superclas'"),
        ("text.model=/no/such/model", 1, "no such file or folder"),
        ("text.model=nobody/nothing", 1, "HF_HUB_OFFLINE is set"),
        ("work_dir=pipeline.yaml", 1, "choose another work_dir"),
        ("train.global_batch_size=4096", 2, "fewer than train.global_batch_size"),
        ("text.source=report", 1, "nothing to learn from"),
    ],
)
def test_a_mistake_is_one_clear_paragraph(
    experiment: Experiment, override: str, code: int, message: str
) -> None:
    got, _, err = experiment.run("run", "--set", override)
    assert got == code, err
    assert message in err
    assert "ecgpipe: " in err


def test_vectors_of_another_fingerprint_are_refused(experiment: Experiment) -> None:
    folder = next((experiment.folder / "work" / "embeddings").glob("*/fingerprint.json"))
    fields = json.loads(folder.read_text())
    folder.write_text(json.dumps({**fields, "pooling": "mean"}))
    code, _, err = experiment.run("run")
    assert code == 1
    assert "pooling: found 'mean', wanted 'last_token'" in err


def test_a_damaged_part_is_named_and_removing_it_fixes_the_cache(experiment: Experiment) -> None:
    part = next((experiment.folder / "work" / "embeddings").glob("*/part-*.h5"))
    part.write_bytes(part.read_bytes()[:-100])
    code, _, err = experiment.run("run")
    assert code == 1
    assert part.name in err
    part.unlink()
    assert worked(experiment.did()) == ["embed"]


def test_evaluations_with_other_settings_are_kept_side_by_side(experiment: Experiment) -> None:
    run = experiment.folder / "work" / "runs" / "toy"
    first = (run / "eval").resolve()
    kept = (first / "results.json").read_bytes()
    assert worked(experiment.did("--set", "eval.tasks=[superclass]")) == ["eval"]
    second = (run / "eval").resolve()
    assert first.parent == second.parent == run.resolve() / "evals"
    assert (first / "results.json").read_bytes() == kept
    assert json.loads((run / "eval" / "results.json").read_text())["tasks"].keys() == {"superclass"}
    assert worked(experiment.did()) == []  # the first is found again, and shown again
    assert (run / "eval").resolve() == first
    assert worked(experiment.did("--set", "eval.bootstrap_draws=120")) == ["eval"]
    code, out, err = experiment.run("compare", str(first), str((run / "eval").resolve()))
    assert code == 0, err
    assert f"toy/{first.name}" in out


def test_a_run_copied_without_links_keeps_its_evaluation(experiment: Experiment) -> None:
    run = experiment.folder / "work" / "runs" / "toy"
    first = (run / "eval").resolve()
    (run / "eval").unlink()
    shutil.copytree(first, run / "eval")
    assert worked(experiment.did()) == []
    assert (run / "eval").resolve() == first
    (run / "eval").unlink()
    first.rename(run / "eval")
    (run / "eval" / "results.json").write_bytes(b"damaged")
    assert worked(experiment.did()) == ["eval"]
    assert (run / "evals" / "unreadable").exists()


def test_eval_without_vectors_says_to_embed(experiment: Experiment) -> None:
    shutil.rmtree(experiment.folder / "work" / "embeddings")
    code, _, err = experiment.run("eval", "--set", "eval.split=val")
    assert code == 1
    assert "Run `ecgpipe embed`." in err


def wait_for(path: Path, pattern: str, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not list(path.glob(pattern)):
        assert time.monotonic() < deadline, f"{pattern} never came"
        time.sleep(0.05)


def test_a_terminated_run_exits_75_and_continues_where_it_stopped(experiment: Experiment) -> None:
    long = ("--set", "name=long")
    process = experiment.start("run", *long, "--set", "train.epochs=400")
    wait_for(experiment.folder, "work/runs/long/checkpoints/step-*")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "Stopped by SIGTERM in epoch" in err
    log = experiment.folder / "work" / "runs" / "long" / "log.jsonl"
    done = len(log.read_text().splitlines())
    summary = experiment.did(*long, "--set", f"train.epochs={done + 1}")
    assert worked(summary) == ["train", "eval"]
    assert summary["train"]["epochs"] == done + 1


def test_a_killed_run_continues_where_it_stopped(fresh: Experiment) -> None:
    process = fresh.start("run")
    wait_for(fresh.folder, "work/signals/*/done/0.json")
    process.kill()
    process.communicate()
    process = fresh.start("run")
    wait_for(fresh.folder, "work/embeddings/*/part-*.h5")
    process.kill()
    process.communicate()
    assert worked(fresh.did())[-2:] == ["train", "eval"]


def test_a_profile_shows_the_parts_of_a_step_and_trains_nothing(experiment: Experiment) -> None:
    log = experiment.folder / "work" / "runs" / "toy" / "log.jsonl"
    before = log.read_text()
    code, out, err = experiment.run("train", "--profile", "2")
    assert code == 0, err
    for part in ("load", "copy", "prepare", "forward", "backward", "update", "step"):
        assert re.search(rf"^{part} +[0-9.]+ ms", out, re.MULTILINE), part
    assert "One step of 16 ECGs in float32 on cpu" in out
    assert log.read_text() == before


def test_a_sweep_makes_one_run_for_each_valid_combination(fresh: Experiment) -> None:
    code, out, err = fresh.run(
        "run", "--grid", "train.text=sentence,all_findings", "--grid", "train.loss=siglip,clip",
        "--set", "train.encoder=cnn1d", "--set", "train.epochs=1",
    )  # fmt: skip
    assert code == 0, err
    assert "left out: train.text=all_findings train.loss=clip" in err
    names = {path.parent.parent.name for path in fresh.folder.glob("work/runs/*/eval/report.md")}
    assert names == {
        "toy+text=sentence+loss=siglip",
        "toy+text=sentence+loss=clip",
        "toy+text=all_findings+loss=siglip",
    }
    assert "run 3 of 3" in err
    assert out.count("Report: ") == 3


def test_a_second_process_cannot_train_the_same_run(experiment: Experiment) -> None:
    busy = ("--set", "name=busy", "--set", "train.encoder=cnn1d")
    process = experiment.start("train", *busy, "--set", "train.epochs=4000")
    wait_for(experiment.folder, "work/runs/busy/checkpoints/step-*")
    code, _, err = experiment.run("train", *busy, "--set", "train.epochs=4000")
    process.kill()
    process.communicate()
    assert code == 1
    assert "Another process trains this run" in err
    assert experiment.run("train", *busy, "--set", "train.epochs=1")[0] == 0


def test_two_processes_run_all_stages_together(fresh: Experiment) -> None:
    small = ("--set", "train.epochs=1", "--set", "eval.tasks=[superclass]")
    together = (*python(2), "-m", "ecgpipe")
    process = fresh.start("run", "--seeds", "0..1", *small, launcher=together)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err.count("epochs trained") == 2  # only the first process speaks
    assert out.count("Report: ") == 2
    for seed in (0, 1):
        steps = (fresh.folder / f"work/runs/toy+seed={seed}/steps.jsonl").read_text()
        assert json.loads(steps.splitlines()[-1])["epoch"] == 1
    alone = fresh.run("run", "--seeds", "0..1", *small)
    assert alone[0] == 0
    assert alone[2].count("nothing to do") == 8
    assert alone[2].count("1 epochs trained") == 2
    anew = fresh.run("run", "--seeds", "0..1", *small, "--set", "eval.bootstrap_draws=200")
    assert anew[0] == 0
    assert anew[2].count("nothing to do") == 6  # one process evaluates what two have trained


def test_init_writes_the_shipped_file_and_never_overwrites(fresh: Experiment) -> None:
    command = [sys.executable, "-m", "ecgpipe", "init", "own.yaml"]
    assert subprocess.run(command, cwd=fresh.folder, capture_output=True).returncode == 0
    own = fresh.folder / "own.yaml"
    assert own.read_text() == Path("pipeline.yaml").read_text()
    again = subprocess.run(command, cwd=fresh.folder, capture_output=True, text=True)
    assert again.returncode == 1
    assert "already exists" in again.stderr


def test_no_report_patient_or_name_reaches_the_log(experiment: Experiment) -> None:
    code, _, err = experiment.run("run", "--set", "text.pooling=mean")
    assert code == 0, err
    assert "texts embedded" in err
    for secret in ("p0000", "洞性頻脈", "この心電図"):
        assert secret not in err


def test_a_lost_model_is_rebuilt_from_its_checkpoints(experiment: Experiment) -> None:
    weights = experiment.folder / "work" / "runs" / "toy" / "model" / "model.safetensors"
    good = weights.read_bytes()
    for damage in (b"", good[:-20]):
        weights.write_bytes(damage)
        assert worked(experiment.did()) == ["train"]
        assert weights.read_bytes() == good


def test_a_lost_report_is_written_again(experiment: Experiment) -> None:
    report = experiment.folder / "work" / "runs" / "toy" / "eval" / "report.md"
    report.unlink()
    assert worked(experiment.did()) == ["eval"]
    assert report.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("model/config.json", "[]"), ("run.json", "{"), ("eval/results.json", "{}")],
)
def test_a_damaged_file_of_a_run_is_written_again(
    experiment: Experiment, name: str, content: str
) -> None:
    (experiment.folder / "work" / "runs" / "toy" / name).write_text(content)
    assert experiment.run("run")[0] == 0


def test_a_model_can_be_trained_on_reports_without_findings(fresh: Experiment, ecgs: Path) -> None:
    rows = (ecgs / "records.csv").read_text(encoding="utf-8-sig").splitlines()
    header = rows[0].split(",")
    wanted = [header.index(name) for name in ("record_id", "patient_id", "path")]
    lines = ["record_id,patient_id,path,report"]
    for number, row in enumerate(rows[1:]):
        cells = row.split(",")
        lines.append(",".join([*(cells[place] for place in wanted), f"所見{number % 7}"]))
    (fresh.folder / "reports.csv").write_text("\n".join(lines))
    changes = (
        "--set", f"data.sources.0={{kind: table, table: reports.csv, root: {ecgs}}}",
        "--set", "text.source=report", "--set", "eval.tasks=[findings]",
        "--set", "eval.analyses=[retrieval]",
    )  # fmt: skip
    _, out, _ = fresh.run("check", *changes)
    assert "the task is to find the ECG of a report (retrieval)" in " ".join(out.split())
    assert "task without positives" not in out
    assert "cannot be scored" not in out
    code, out, err = fresh.run("run", "--json", *changes)
    assert code == 0, err
    assert "text to ECG on" in err
    assert "median rank" in err
    training = fresh.results()["training"]
    assert training["best_by"] == "retrieval_mrr"
    values = training["values"]
    assert all(0 < value <= 1 for value in values)
    assert training["best_epoch"] == 1 + values.index(max(values))
    assert "best retrieval_mrr" in fresh.run("status", *changes)[1]
    assert worked(fresh.did(*changes)) == []


def test_a_terminal_without_japanese_still_shows_the_tables(experiment: Experiment) -> None:
    for encoding in ("ascii", "cp932"):
        environment = {**ENVIRONMENT, "PYTHONIOENCODING": encoding}
        command = [sys.executable, "-m", "ecgpipe", "run", "-c", str(experiment.path)]
        done = subprocess.run(command, capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert b"hit@1" in done.stdout


def test_a_closed_output_is_no_error(experiment: Experiment) -> None:
    command = f"{sys.executable} -m ecgpipe run -c {experiment.path} >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr


def test_cluster_settings_do_not_change_any_output(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = "cluster={scheduler: slurm, queue: elsewhere, account: me, embed: {shards: 9}}"
    assert worked(experiment.did("--set", block)) == []
    code, out, err = experiment.run("submit", "--resume", "--set", block)
    assert code == 0, err
    assert "Everything is up to date; nothing is queued." in out
    runs = experiment.folder / "work" / "runs" / "toy"
    assert "elsewhere" not in (runs / "config.yaml").read_text()
    code, out, err = experiment.run("submit", "--resume", "--dry-run", "--json", "--set", block,
                                    "--set", "train.epochs=3")  # fmt: skip
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert [job["stage"] for job in summary["submit"]["jobs"]] == ["train", "eval"]
    assert not (experiment.folder / "work" / "jobs").exists()


def test_a_stage_with_incomplete_input_fails_at_once(fresh: Experiment) -> None:
    assert fresh.run("prepare", "--shard", "0/1")[0] == 0
    assert fresh.run("embed", "--shard", "0/2")[0] == 0
    code, _, err = fresh.run("train")
    assert code == 1
    assert "Run `ecgpipe embed`" in err
    assert not (fresh.folder / "work" / "runs" / "toy" / "model").exists()
    code, _, err = fresh.run("eval")
    assert code == 1
    assert "Run `ecgpipe" in err


def test_rows_that_are_added_are_read_and_embedded_alone(fresh: Experiment, ecgs: Path) -> None:
    head, *rows = (ecgs / "records.csv").read_text(encoding="utf-8").splitlines()
    table = fresh.folder / "records.csv"

    def made(rows: list[str], stage: str) -> dict[str, Any]:
        table.write_text("\n".join([head, *rows]), encoding="utf-8")
        code, out, err = fresh.run(stage, "--json")
        assert code == 0, err
        done: dict[str, Any] = json.loads(out)[stage]
        return done

    settings = yaml.safe_load(fresh.path.read_text())
    source = {"kind": "table", "table": str(table), "root": str(ecgs)}
    settings["data"]["sources"] = [source]
    fresh.path.write_text(yaml.safe_dump(settings, allow_unicode=True))
    first = made(rows[:-10], "prepare")
    assert (first["read"], first["reused"]) == (len(rows) - 10, 0)
    before = made(rows[:-10], "embed")
    second = made(rows, "prepare")
    assert (second["read"], second["reused"]) == (10, len(rows) - 10)
    after = made(rows, "embed")
    assert before["embedded"] == before["distinct"]
    assert after["embedded"] == after["distinct"] - before["distinct"]
    code, _, err = fresh.run("prepare")
    assert code == 0
    assert "nothing to do" in err
    assert "recordings read" not in err
