#!/bin/sh
# Check that this image works: run the first steps of the demo in a temporary folder (half a minute).
set -eu
root=${ECGPIPE_ROOT:-/opt/ecgpipe}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

ecgpipe --version
python -c 'import torch, transformers, accelerate
print("torch", torch.__version__, "sees", torch.cuda.device_count(), "GPUs")'
python "$root/examples/simulated/make_ecgs.py" "$folder/ecgs" --patients 20
ecgpipe prepare -c "$root/examples/simulated/pipeline.yaml" --set work_dir="$folder/work" \
  --set data.sources.0.table="$folder/ecgs/records.csv" --set data.workers=1
echo "self-test: passed"
