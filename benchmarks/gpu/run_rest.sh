#!/usr/bin/env bash
# What run.sh leaves for a second lease: every placement, precision and token budget.
#   bash benchmarks/gpu/run_rest.sh --out DIR [--wheels DIR] [--miniature]
set -euo pipefail
cd "$(dirname "$0")/../.."
exec "${PYTHON:-python3}" -m benchmarks.gpu.lease rest "$@"
