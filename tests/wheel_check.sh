#!/bin/sh
# Build the wheel, install it into an empty environment, run the command and import every room.
# Usage: wheel_check.sh PYTHON
set -eu
python=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m build --wheel --outdir "$folder/dist" . >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
"$python" -m venv "$folder/venv"
pip="$folder/venv/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt"
$pip torch
$pip "$folder"/dist/*.whl
cd "$folder"  # away from the sources
venv/bin/ecgpipe --help >/dev/null
venv/bin/python -W error::ImportWarning - <<'EOF'
import importlib, importlib.util

for room in ("read_ecg.prepare.preparation", "cache.vectors.reader", "embed_text.language_model",
             "train_ecg.loop.training", "evaluate.evaluation", "stages.model_bridge",
             "drawing.rendering", "apply_model.applied_model", "apply_model.export.onnx_encoder",
             "write_report.template"):
    importlib.import_module(f"ecgpipe.{room}")
for bare in ("read_ecg", "cache", "embed_text", "train_ecg", "evaluate", "apply_model", "write_report"):
    assert importlib.util.find_spec(bare) is None, f"a bare {bare} was installed"
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.evaluate.tasks.task import load_task
assert len(load_task("superclass", load_taxonomy("ptbxl"), None).classes) == 5
from ecgpipe.evaluate.report import html as report_html
from ecgpipe.drawing.plot_rendering import DrawnPlots
from ecgpipe.evaluate import words
assert words.all_words() and report_html._template(DrawnPlots())
EOF
venv/bin/ecgpipe init pipeline.yaml
test -s pipeline.yaml
venv/bin/ecgpipe init --language ja pipeline.ja.yaml
test -s pipeline.ja.yaml
echo "wheel: installs into an empty environment, runs, and every room imports"
