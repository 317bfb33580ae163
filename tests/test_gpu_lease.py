"""A lease of a GPU machine: nothing measured is lost, whatever fails, hangs or is missing."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from sources import imported

from benchmarks.gpu import packages
from benchmarks.gpu.lease import PLANS, Section, run_plan, table
from benchmarks.gpu.packages import missing, needed, provide

ROOT = Path(__file__).resolve().parents[1]
WORKS = """
import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
(out / "{name}.jsonl").open("a").write('{{"what": "measured"}}\\n')
"""


@pytest.fixture
def plan(tmp_path: Path) -> list[Section]:
    """Sections that fail, hang after their first result, and work."""
    ends = {
        "fails": "raise SystemExit('no luck')",
        "hangs": "input() if 0 else __import__('time').sleep(600)",
    }
    for name in ("fails", "hangs", "works"):
        text = WORKS.format(name=name) + ends.get(name, "") + "\n"
        (tmp_path / f"section_{name}.py").write_text(text)
    limits = {"fails": 60.0, "hangs": 2.0, "works": 60.0}
    return [Section(name, f"section_{name}", (), limit) for name, limit in limits.items()]


def test_a_section_that_fails_or_hangs_stops_no_other_and_keeps_what_it_measured(
    plan: list[Section], tmp_path: Path
) -> None:
    outcomes = run_plan(plan, tmp_path, 5, os.environ | {"PYTHONPATH": str(tmp_path)})
    assert [outcome.how for outcome in outcomes] == [
        "FAILED with exit code 1",
        "CUT at its limit of 2 s",
        "ok",
    ]
    assert [outcome.results for outcome in outcomes] == [1, 1, 1]
    written = (tmp_path / "sections.txt").read_text()
    assert written == table(outcomes) + "\n"
    assert "failed: fails, hangs" in written
    assert "no luck" in (tmp_path / "fails.txt").read_text()


def test_no_section_begins_when_the_lease_is_over(plan: list[Section], tmp_path: Path) -> None:
    outcomes = run_plan(plan, tmp_path, 0.01, os.environ)
    assert {outcome.how for outcome in outcomes} == {"LEFT OUT: no time was left"}


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_fits_into_ten_minutes(name: str) -> None:
    assert sum(section.limit_s for section in PLANS[name]) <= 9.5 * 60


def write_wheel(folder: Path, name: str, tags: str) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-{tags}.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", f"FROM = {tags!r}\n")
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Name: {name}\nVersion: 1.0\n")


def test_what_a_bare_machine_lacks_is_unpacked_from_the_wheel_that_fits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = f"cp{sys.version_info.major}{sys.version_info.minor}"
    monkeypatch.setattr(packages, "needed", lambda: ["numpy", "lacking_one", "lacking-two"])
    for tags in ("cp38-cp38-linux_x86_64", f"{ours}-{ours}-manylinux_2_28_x86_64"):
        write_wheel(tmp_path / "wheels", "lacking_one", tags)
    write_wheel(tmp_path / "wheels", "lacking_two", "py3-none-any")
    (site,) = provide(tmp_path / "wheels", tmp_path / "site")
    assert sorted(path.name for path in site.iterdir()) == [
        "lacking_one",
        "lacking_one-1.0.dist-info",
        "lacking_two",
        "lacking_two-1.0.dist-info",
    ]
    assert ours in (site / "lacking_one" / "__init__.py").read_text()
    monkeypatch.syspath_prepend(site)
    assert missing(packages.needed()) == []


def test_a_wheel_that_nobody_brought_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "needed", lambda: ["lacking_one"])
    write_wheel(tmp_path / "wheels", "lacking_one", "cp38-cp38-linux_x86_64")
    with pytest.raises(SystemExit, match=r"lacking_one is not installed.*wheels\.sh"):
        provide(tmp_path / "wheels", tmp_path / "site")


def test_the_benchmarks_import_nothing_that_a_bare_machine_lacks_and_nobody_brings() -> None:
    program = (
        "import sys, json, benchmarks.gpu.first_checks, benchmarks.gpu.first_speed,"
        " benchmarks.gpu.train, benchmarks.gpu.embed\n"
        "print(json.dumps([m.__file__ for n, m in sys.modules.items()"
        " if n.startswith(('ecgpipe', 'benchmarks')) and getattr(m, '__file__', None)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    ours = {"ecgpipe", "benchmarks", *sys.stdlib_module_names}
    found = {
        module.split(".")[0]
        for path in json.loads(done.stdout.splitlines()[-1])
        for module in imported(Path(path))
    } - ours
    # What transformers itself requires, besides what is brought.
    there = {"torch", "transformers", "numpy", "safetensors", "huggingface_hub", "tqdm", "yaml"}
    late = {"rich", "tensorboard"}  # inside functions, for a terminal and if it is installed
    assert found - there - late <= {name.replace("-", "_") for name in needed()}


def run_in_miniature(script: str, out: Path) -> None:
    """Run a lease's script to its end; all its sections must end well."""
    done = subprocess.run(
        ["bash", f"benchmarks/gpu/{script}", "--miniature", "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable},
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all sections ended well\n")


@pytest.mark.pipeline
def test_the_first_lease_runs_in_miniature_and_all_its_checks_hold(tmp_path: Path) -> None:
    run_in_miniature("run.sh", tmp_path / "out")
    lines = {
        section.name: [
            json.loads(line)
            for line in (tmp_path / "out" / f"{section.name}.jsonl").read_text().splitlines()
        ]
        for section in PLANS["first"]
    }
    assert sum("captured to plain" in line["what"] for line in lines["captures"]) == 15
    assert sum("GPU to CPU" in line["what"] for line in lines["against_cpu"]) == 14
    steps = [line for line in lines["train_speed"] if line["what"] == "training step"]
    assert {(line["preset"], line["graph"]) for line in steps} == {
        (preset, graph) for preset in ("paper", "recommended") for graph in (True, False)
    }


@pytest.mark.slow
def test_the_second_lease_runs_in_miniature_and_leaves_its_figures(tmp_path: Path) -> None:
    run_in_miniature("run_rest.sh", tmp_path)
    for section in PLANS["rest"]:
        (written,) = tmp_path.glob(f"gpu-{section.name}-*.json")
        assert json.loads(written.read_text())
