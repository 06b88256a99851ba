#!/bin/sh
# Run a command again and again: `every.sh SECONDS COMMAND…`. A run that takes longer delays the next one. Statuses from 10
# on are states that skline reports (docs/monitoring.md, docs/retraining.md); other failures are logged, and tried again.
set -u
seconds=$1
shift
trap 'exit 0' TERM INT
while :; do
  start=$(date +%s)
  "$@" &
  wait $!
  status=$?
  echo "$(date -u +%FT%TZ) '$*' ended with status $status"
  rest=$((start + seconds - $(date +%s)))
  if [ "$rest" -gt 0 ]; then
    sleep "$rest" &
    wait $!
  fi
done
