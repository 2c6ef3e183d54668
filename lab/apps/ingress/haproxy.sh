#!/bin/sh
# HAProxy in a pod of the Ingress controller: haproxy.sh FOLDER. It starts with the first
# configuration that the controller beside it writes. SIGTERM lets open connections end.
config=$1/current/haproxy.cfg
trap 'exit 0' TERM
until [ -e "$config" ]; do
  sleep 0.05
done
haproxy -W -db -S "$1/master.sock,mode,600" -f "$config" &
pid=$!
trap 'kill -USR1 "$pid"' TERM
# A signal ends `wait` early.
while kill -0 "$pid" 2>/dev/null; do
  wait "$pid"
  code=$?
done
exit "$code"
