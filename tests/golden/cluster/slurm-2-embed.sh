#!/bin/bash
#SBATCH --job-name=ecgpipe-embed
#SBATCH --output=%x-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --signal=B:USR1@600
#SBATCH --time=04:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --mem=64G
#SBATCH --account=ecg-group
#SBATCH --partition=gpu
#SBATCH --array=0-7
#SBATCH --mail-type=END

# The stage embed of trial, written by `ecgpipe submit` 1.0.
# By hand, in this folder: sbatch --parsable 2-embed.sh

# A signal is passed on; then the command saves, and its own exit code is awaited.
children=() asked='' was_asked=''
pass_on() {
  asked=1 was_asked=1
  kill -s USR1 "${children[@]}" 2>/dev/null
}
trap pass_on USR1 USR2 TERM XCPU

cd '/data/心電図/it'"'"'s $5' || exit 1
type module >/dev/null 2>&1 || . /etc/profile.d/modules.sh
module load cuda/12.4
source .venv/bin/activate
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_DATASETS_OFFLINE=1
export OMP_NUM_THREADS=8 TOKENIZERS_PARALLELISM=false
scratch="/local/${USER-}/my cache"
scratch=${scratch:-/tmp}/ecgpipe-$(id -u)
export TRITON_CACHE_DIR=$scratch/triton TORCHINDUCTOR_CACHE_DIR=$scratch/inductor

start() {
  ecgpipe embed \
      --config '/data/心電図/it'"'"'s $5/kept/runs/trial/jobs/settings-0a1b2c3d.yaml' \
      --shard array/8 \
      --max-minutes 230 &
  children+=($!)
}

status=0
# Asked to stop while modules were loaded: then nothing is begun.
if [ -n "$was_asked" ]; then
  status=75
else
  start
  # Asked while it started: a child not yet noted heard nothing, and to ask twice does no harm.
  if [ -n "$was_asked" ]; then sleep 1; pass_on; fi
fi
for child in "${children[@]}"; do
  while asked=''; wait "$child"; code=$?; [ -n "$asked" ]; do :; done
  # Asked to stop (USR1, TERM) before it could listen: then it had not begun.
  if [ -n "$was_asked" ] && { [ "$code" -eq 138 ] || [ "$code" -eq 143 ]; }; then
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
    echo "Stopped with everything saved; back into the queue."
    scontrol requeue "$me"
  fi
fi
exit "$status"
