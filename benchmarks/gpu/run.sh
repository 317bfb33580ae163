#!/usr/bin/env bash
# The GPU benchmarks that matter most, within ten minutes of a bare machine: checks, then speed.
#   bash benchmarks/gpu/run.sh --out DIR [--wheels DIR] [--miniature]
set -euo pipefail
cd "$(dirname "$0")/../.."
exec "${PYTHON:-python3}" -m benchmarks.gpu.lease first "$@"
