"""The house: rooms are where they are said to be, arrows point one way, `--help` is quick."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from sources import DOOR, FOLDERS, ROOMS, ROOT, SOURCES, imported, layer, module_name

ALLOWED = {
    "ground": {"ground"},
    "cache": {"cache", "ground"},
    "read_ecg": {"read_ecg", "cache", "ground"},
    "embed_text": {"embed_text", "cache", "ground"},
    "train_ecg": {"train_ecg", "cache", "ground"},
    "evaluate": {"evaluate", "drawing", "cache", "ground"},
    "apply_model": {
        "apply_model", "read_ecg", "embed_text", "train_ecg", "evaluate", "drawing", "cache",
        "ground",
    },
    "write_report": {"write_report", "apply_model", "evaluate", "ground"},
    "drawing": {"drawing", "ground"},
    "cluster": {"cluster", "ground"},
    "stages": {
        "stages", "write_report", "apply_model", "read_ecg", "embed_text", "train_ecg", "evaluate",
        "drawing", "cluster", "cache", "ground",
    },
    "commands": {"commands", "stages", "evaluate", "ground"},
}  # fmt: skip


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_a_folder_at_the_root_and_a_link_in_the_package(room: str) -> None:
    link = ROOT / "ecgpipe" / room
    # A clone without symbolic links would build a wheel without this room, silently.
    assert link.is_symlink(), f"ecgpipe/{room} is not a link; set git's core.symlinks=true"
    assert link.readlink() == Path("..") / room
    assert not (ROOT / room).is_symlink()
    assert (ROOT / room / "__init__.py").exists()


def test_the_shipped_pipeline_is_the_one_at_the_root() -> None:
    link = ROOT / "ecgpipe" / "pipeline.yaml"
    assert link.is_symlink()
    assert link.readlink() == Path("../pipeline.yaml")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_arrows_point_one_way(path: Path) -> None:
    if path == DOOR:
        return  # test_importing_ecgpipe_imports_nothing_heavy
    own = layer(module_name(path))
    for module in imported(path):
        assert module.split(".")[0] not in ROOMS, f"{path} imports bare {module}"
        if module.split(".")[0] == "ecgpipe":
            assert layer(module) in ALLOWED[own], f"{module_name(path)} ({own}) imports {module}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_arrows_point_one_way_among_the_children_of_a_folder(folder: Path) -> None:
    graph = {name: set(targets) for name, targets in arrows_between_children(folder).items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"{folder.relative_to(ROOT)}: {' -> '.join(reversed(error.args[1]))}")


def arrows_between_children(folder: Path) -> dict[str, set[str]]:
    """Which modules and folders directly in a folder import which others of it."""
    package = module_name(folder / "x.py").removesuffix(".x")
    children: dict[str, set[str]] = {}
    for path in SOURCES:
        name = module_name(path)
        if path.name != "__init__.py" and name.startswith(f"{package}."):
            own = name.removeprefix(f"{package}.").split(".")[0]
            found = {
                module.removeprefix(f"{package}.").split(".")[0]
                for module in imported(path)
                if module.startswith(f"{package}.")
            }
            children.setdefault(own, set()).update(found - {own})
    return children


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_says_what_each_of_its_children_is_and_of_no_other(folder: Path) -> None:
    if folder == ROOT / "ecgpipe":
        return  # docs/architecture.md shows it
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8")))
    assert text is not None
    table = [line for line in text.split("\n\n")[-1].splitlines() if not line.startswith(" ")]
    # Names, then their meaning; a long name may leave one space.
    heads = [re.match(r"(\S+, )*\S+", line) for line in table]
    listed = {name for head in heads if head for name in head[0].split(", ")}
    folders = {f"{path.parent.name}/" for path in folder.glob("*/*.[pcy]*")} - {"__pycache__/"}
    assert listed == {path.stem for path in folder.glob("*.py")} - {"__init__"} | folders


def test_the_stores_know_only_files_and_errors() -> None:
    for path in (ROOT / "cache").rglob("*.py"):
        grounds = {m for m in imported(path) if m.startswith("ecgpipe.") and layer(m) == "ground"}
        assert grounds <= {"ecgpipe.errors", "ecgpipe.files"}, path


def test_drawing_knows_of_the_ground_only_what_can_go_wrong() -> None:
    for path in (ROOT / "ecgpipe" / "drawing").glob("*.py"):
        grounds = {m for m in imported(path) if m.startswith("ecgpipe.") and layer(m) == "ground"}
        assert grounds <= {"ecgpipe.errors"}, path


def test_the_cluster_folder_starts_processes_in_one_place_only() -> None:
    for path in (ROOT / "ecgpipe" / "cluster").glob("*.py"):
        if path.stem != "queueing":
            assert not {"subprocess", "os"} & set(imported(path)), path


def test_nobody_touches_the_state_that_all_figures_share() -> None:
    for path in SOURCES:
        assert not {"matplotlib.pyplot", "pylab", "matplotlib_fontja"} & set(imported(path)), path


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        (
            "transformers",
            (
                "ecgpipe.embed_text.attention",
                "ecgpipe.embed_text.causal_model",
                "ecgpipe.embed_text.language_model",
                "ecgpipe.embed_text.loading",
            ),
        ),
        (
            "huggingface_hub",
            (
                "ecgpipe.embed_text.hub",
                "ecgpipe.embed_text.model_files",
                "ecgpipe.embed_text.model_fetch",
                "ecgpipe.apply_model.export.model_hub",
            ),
        ),
        ("accelerate", ("ecgpipe.train_ecg",)),
        (
            "torch",
            (
                "ecgpipe.train_ecg",
                "ecgpipe.embed_text.causal_model",
                "ecgpipe.embed_text.language_model",
                "ecgpipe.embed_text.loading",
                "ecgpipe.embed_text.embedding",
                "ecgpipe.embed_text.pooling",
                "ecgpipe.embed_text.processor",
                "ecgpipe.torch_device",
                "ecgpipe.write_report.connector",
                "ecgpipe.write_report.writer",
                "ecgpipe.stages.reports.writers",
                "ecgpipe.apply_model.export.onnx_encoder",
            ),
        ),
        ("onnx", ("ecgpipe.apply_model.export.onnx_encoder",)),
        ("onnxruntime", ("ecgpipe.apply_model.export.onnx_encoder",)),
        (
            "h5py",
            (
                "ecgpipe.cache.vectors.part",
                "ecgpipe.cache.vectors.exchange",
                "ecgpipe.read_ecg.formats.hdf5",
                "ecgpipe.evaluate.score_file",
                "ecgpipe.apply_model.archive",
            ),
        ),
        ("wfdb", ("ecgpipe.read_ecg.formats.wfdb", "ecgpipe.read_ecg.datasets.mitbih")),
        ("neurokit2", ("ecgpipe.evaluate.analyses.delineation",)),
        ("scipy", ("ecgpipe.read_ecg.", "ecgpipe.evaluate.")),
        ("sklearn", ("ecgpipe.evaluate.analyses.probe",)),
        ("pydicom", ("ecgpipe.read_ecg.formats.dicom",)),
        (
            "ecgdatakit",
            (
                "ecgpipe.read_ecg.formats.clinical",
                "ecgpipe.read_ecg.formats.aecg",
                "ecgpipe.read_ecg.formats.scp",
                "ecgpipe.read_ecg.formats.muse",
                "ecgpipe.read_ecg.formats.philips",
                "ecgpipe.read_ecg.formats.mfer",
                "ecgpipe.read_ecg.formats.edf",
            ),
        ),
        (
            "matplotlib",
            (
                "ecgpipe.drawing.fonts",
                "ecgpipe.drawing.rendering",
                "ecgpipe.drawing.plot_rendering",
            ),
        ),
        ("sacrebleu", ("ecgpipe.write_report.overlap_scores",)),
        ("jinja2", ("ecgpipe.evaluate.report.html",)),
        ("starlette", ("ecgpipe.apply_model.server.app", "ecgpipe.apply_model.server.uploads")),
        ("uvicorn", ("ecgpipe.stages.apply.serve",)),
        ("fontTools", ("ecgpipe.drawing.web_font",)),
        ("defusedxml", ("ecgpipe.read_ecg.formats.xml",)),
        ("click", ("ecgpipe.commands.",)),
    ],
)
def test_each_heavy_package_has_its_home(package: str, homes: tuple[str, ...]) -> None:
    for path in SOURCES:
        if any(module.split(".")[0] == package for module in imported(path)):
            message = f"{path} imports {package}; if it belongs there, add it to the homes here"
            assert module_name(path).startswith(homes), message


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_nothing_is_ever_unpickled(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"\bpickle\b|torch\.load|allow_pickle|joblib|yaml\.load\((?!.*Loader)", text
    )
    assert "trust_remote_code=True" not in text


def test_importing_ecgpipe_imports_nothing_heavy() -> None:
    program = (
        "import sys; import ecgpipe; ecgpipe.load_model\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_help_does_not_import_torch_and_answers_at_once() -> None:
    program = (
        "import sys, time; start = time.process_time()\n"
        "from click.testing import CliRunner; from ecgpipe.commands.main import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "heavy = {'torch', 'transformers', 'numpy', 'h5py', 'pyarrow', 'zarr', 'pydantic',\n"
        "         'matplotlib', 'scipy', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)), time.process_time() - start)\n"
    )
    times = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        loaded, seconds = done.stdout.rsplit(maxsplit=1)
        assert loaded == "[]"
        times.append(float(seconds))
    assert min(times) < 0.5
