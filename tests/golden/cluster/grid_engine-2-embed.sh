#!/bin/bash
#$ -N ecgpipe-embed
#$ -S /bin/bash
#$ -cwd
#$ -j y
#$ -r y
#$ -l h_rt=04:00:00
#$ -l gpu_1=1
#$ -q gpu
#$ -t 1-8

# The stage embed of trial, written by ecgpipe 1.0.
# To queue it by hand, in this folder: qsub -terse -g ecg-group 2-embed.sh

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
  counter='/data/心電図/it'"'"'s $5/kept/runs/trial/jobs/.restarts-embed-'$JOB_ID-$SGE_TASK_ID
  count=$(cat "$counter" 2>/dev/null || echo 0)
  if [ "$count" -lt 3 ]; then
    echo $((count + 1)) >"$counter"
    echo "Stopped with everything saved; requeued."
    exit 99
  fi
fi
exit "$status"
