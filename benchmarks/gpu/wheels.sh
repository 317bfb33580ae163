#!/usr/bin/env bash
# Fetches the wheels that a bare GPU machine lacks into a folder, to be brought along (8 MB).
#   bash benchmarks/gpu/wheels.sh DIR [3.12]
set -euo pipefail
folder=$(realpath -m "$1") python=${2:-3.12}
cd "$(dirname "$0")/../.."
mkdir -p "$folder"
"${PYTHON:-python3}" -m pip download --quiet --no-deps --only-binary=:all: \
  --implementation cp --python-version "$python" \
  --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
  --constraint constraints.txt --requirement benchmarks/gpu/needed.txt --dest "$folder"
ls -l "$folder"
