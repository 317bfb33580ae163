#!/usr/bin/env bash
# Runs every GPU benchmark on the card that is here. The results go to benchmarks/results.
#   PYTHON=.venv/bin/python bash benchmarks/gpu/run.sh [arguments of benchmarks.gpu.train]
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1
PYTHON=${PYTHON:-python3}
nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used --format=csv
# A target or check that one misses does not keep the other from running.
status=0
"$PYTHON" -m benchmarks.gpu.train "$@" || status=$?
"$PYTHON" -m benchmarks.gpu.embed || status=$?
exit "$status"
