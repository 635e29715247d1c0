#!/bin/bash
# A study on the nodes of a Slurm job: Ray starts on all of them, the study runs, and both end with the job.
#
#   sbatch --nodes=4 --gpus-per-node=4 deploy/slurm.sh STUDY [OPTION...]
#
# To be submitted in the root of a clone whose environment is made (make env), on a file system that all nodes see. What stands after the
# study goes to `margin-studies run`; its work directory is margin-runs in this folder, unless told otherwise. A job that is requeued,
# or submitted again, goes on where the last one stopped: two minutes before its time is up Slurm lets the study end in order.
#SBATCH --job-name=margin-study
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
set -euo pipefail

if [ $# -lt 1 ]; then
  echo "usage: sbatch [--nodes=N] [--gpus-per-node=N] deploy/slurm.sh STUDY [OPTION...]" >&2
  exit 2
fi

bin=$(pwd)/.venv/bin
cpus=${SLURM_CPUS_ON_NODE:-1}
gpus=${SLURM_GPUS_ON_NODE:-0}
port=$((20000 + SLURM_JOB_ID % 20000))
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
address=$(getent ahostsv4 "$head" | awk 'NR == 1 { print $1 }'):$port

# Nodes of Slurm are shared in turn: without a token, whoever reaches the port would run programs as you.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
export RAY_AUTH_TOKEN
export RAY_USAGE_STATS_ENABLED=0

trap 'kill $(jobs -p) 2> /dev/null || true' EXIT

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap \
  "$bin/ray" start --head --block --node-ip-address="${address%:*}" --port="$port" --include-dashboard=false \
  --num-cpus="$cpus" --num-gpus="$gpus" &
until "$bin/ray" status --address="$address" > /dev/null 2>&1; do
  jobs -r | grep -q . || { echo "Ray's head did not start" >&2; exit 1; }
  sleep 1
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --ntasks-per-node=1 --exclude="$head" --overlap \
    "$bin/ray" start --address="$address" --block --num-cpus="$cpus" --num-gpus="$gpus" &
fi

"$bin/margin-studies" run "$@" --address "$address" &
study=$!
trap 'kill -TERM "$study"' TERM
# A signal ends the first wait before the study has ended; the second one waits for its end in order.
wait "$study" || { trap - TERM; wait "$study"; }
