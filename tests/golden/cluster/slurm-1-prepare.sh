#!/bin/bash
#SBATCH --job-name=ecgpipe-prepare
#SBATCH --output=%x-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --signal=B:USR1@600
#SBATCH --time=04:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --account=ecg-group
#SBATCH --partition=cpu
#SBATCH --array=0-3
#SBATCH --mail-type=END

# The stage prepare of trial, written by ecgpipe 1.0.
# To queue it by hand, in this folder: sbatch --parsable 1-prepare.sh

# Forward signals to the command, which then saves everything and exits.
children=() interrupted='' stopping=''
forward() {
  interrupted=1 stopping=1
  kill -s USR1 "${children[@]}" 2>/dev/null
}
trap forward USR1 USR2 TERM XCPU

cd '/data/心電図/it'"'"'s $5' || exit 1
type module >/dev/null 2>&1 || . /etc/profile.d/modules.sh
module load cuda/12.4
source .venv/bin/activate
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_DATASETS_OFFLINE=1
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
scratch="/local/${USER-}/my cache"
scratch=${scratch:-/tmp}/ecgpipe-$(id -u)
export TRITON_CACHE_DIR=$scratch/triton TORCHINDUCTOR_CACHE_DIR=$scratch/inductor

start() {
  ecgpipe prepare \
      --config '/data/心電図/it'"'"'s $5/kept/runs/trial/jobs/settings-0a1b2c3d.yaml' \
      --shard array/4 \
      --set data.workers=8 \
      --max-minutes 230 &
  children+=($!)
}

status=0
# A signal arrived while modules were loading: do not start.
if [ -n "$stopping" ]; then
  status=75
else
  start
  # A signal arrived while starting: a child not yet listed missed it. Repeating it is harmless.
  if [ -n "$stopping" ]; then sleep 1; forward; fi
fi
for child in "${children[@]}"; do
  while interrupted=''; wait "$child"; code=$?; [ -n "$interrupted" ]; do :; done
  # Killed by USR1 or TERM before it could handle them: it had not started.
  if [ -n "$stopping" ] && { [ "$code" -eq 138 ] || [ "$code" -eq 143 ]; }; then
    code=75
  fi
  if [ "$code" -ne 0 ] && { [ "$status" -eq 0 ] || [ "$status" -eq 75 ]; }; then
    status=$code
  fi
done

if [ "$status" -eq 75 ]; then
  me=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
  me=${me:-$SLURM_JOB_ID}
  state=$(squeue --noheader --job "$me" --format %T)
  if [ "$state" = RUNNING ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
    echo "Stopped with everything saved; requeued."
    scontrol requeue "$me"
  fi
fi
exit "$status"
