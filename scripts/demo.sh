#!/bin/sh
# From a fresh machine to a cluster that shows what it does: installs what is missing, starts the lab, follows a few
# packets through it. The lab stays up; `scripts/demo.sh --down` ends it.
set -eu
cd "$(dirname "$0")/.."
. scripts/bootstrap.sh

usage() {
  echo "usage: scripts/demo.sh [--down]    starts the lab and shows it; --down ends it"
}

case "${1:-}" in
  '') ;;
  --down) exec scripts/kubetun lab down ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

step() {
  printf '\n\033[1m== %s\033[0m\n' "$1"
}

# Says what is run before it is run.
show() {
  printf '\033[2m$ %s\033[0m\n' "$*"
  "$@"
}

inside() {
  scripts/kubetun lab exec "$@"
}

# shellcheck disable=SC2086
bootstrap $TOOLS_RUN

step "a cluster of network namespaces: two nodes, a cloud, an internet, six pods"
show scripts/kubetun lab up -f scripts/demo.yaml
show scripts/kubetun lab status

step "the Service web, as node1's datapath has it"
show scripts/kubetun services --node node1

step "what would become of a packet from the pod client to that Service, and why"
show scripts/kubetun explain --from client --to svc/web

step "300 connections from the pod client to 10.96.0.20: who answered"
inside client -- sh -c 'i=0; while [ $i -lt 300 ]; do curl -s -m 5 http://10.96.0.20/hostname; echo; i=$((i+1)); done' |
  sort | uniq -c

step "a NodePort from the internet, through node1, where no such pod runs, by the node's public address"
show scripts/kubetun lab exec internet -- curl -s -m 5 http://198.51.100.11:30080/hostname
echo

step "a load balancer of the cloud: web has an address of its own in the internet, nodes are behind it"
show scripts/kubetun services --node cloud
show scripts/kubetun lab exec internet -- curl -s -m 5 http://198.51.100.254/hostname
echo
echo "policy Local: the pod sees who asks"
show scripts/kubetun lab exec internet -- curl -s -m 5 http://198.51.100.254/clientip
echo
show scripts/kubetun explain --from 203.0.113.10 --to 198.51.100.254:80

step "a pod reaches the internet; the server there sees the node's public address, not the pod"
echo "the pod's address: $(inside client -- hostname -I)"
show scripts/kubetun lab exec client -- curl -s -m 5 http://203.0.113.10/clientip
echo

step "one request as seen on the pod's cable and on kt0, before and after translation"
captures=$(mktemp -d)
trap 'rm -rf "$captures"' EXIT
# A shell that is ended by a signal would leave without looking at the trap above.
trap 'exit 130' INT TERM
pod=$(inside client -- hostname -I | tr -d ' \n')
cable=$(inside node/node1 -- ip -o route show "$pod/32" | sed 's/.* dev \([^ ]*\).*/\1/')
for device in "$cable" kt0; do
  # It ends by itself: a few seconds are enough for one request.
  inside node/node1 -- timeout -s INT 4 tcpdump -Z root -U -lnti "$device" 'tcp port 80 or tcp port 8080' \
    >"$captures/$device" 2>"$captures/$device.err" &
done
sleep 1.5
inside client -- curl -s -m 5 -o /dev/null http://10.96.0.20/hostname
wait
echo "-- $cable, the pod's cable: the client and the Service, never a pod of the Service"
cut -c1-100 "$captures/$cable" | head -n 4
echo "-- kt0, the datapath's device: every packet twice, as it came and as it left"
cut -c1-100 "$captures/kt0" | head -n 6

step "iperf3 through the Service: every byte through the userspace datapath"
show scripts/kubetun lab exec client -- iperf3 -c 10.96.0.30 -t 3 -C cubic

step "the conntrack entries behind it"
show scripts/kubetun conntrack list --node node1 --service default/iperf

step "look further"
cat <<EOF
  export KUBECONFIG=$(scripts/kubetun lab kubeconfig)
  scripts/kubetun conntrack list --node node1
  scripts/kubetun lab exec client -- bash
  scripts/kubetun lab exec node/node1 -- tcpdump -ni kt0
  scripts/kubetun lab forward 8080:svc/web      # then http://127.0.0.1:8080/hostname
  scripts/kubetun lab --help
EOF
echo
echo "The lab stays up. End it with: scripts/demo.sh --down"
