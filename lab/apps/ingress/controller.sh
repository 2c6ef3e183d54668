#!/bin/sh
# The Ingress controller in its pod. A controller that dies is started again here, so that the
# container stays ready: HAProxy beside it serves meanwhile.
here=$(dirname "$(readlink -f "$0")")
project=$here/../../..
trap 'kill -TERM "$pid"; wait "$pid"; exit 0' TERM
while :; do
  "$project/node_modules/node/bin/node" --disable-warning=ExperimentalWarning \
    "$project/control/ingress/controller/main.ts" "$@" &
  pid=$!
  wait "$pid"
  echo "the controller ended with $?: starting it again" >&2
  sleep 0.2
done
