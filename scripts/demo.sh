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

step "300 connections from the pod client to 10.96.0.20: who answered"
inside client -- sh -c 'i=0; while [ $i -lt 300 ]; do curl -s -m 5 http://10.96.0.20/hostname; echo; i=$((i+1)); done' |
  sort | uniq -c

step "a NodePort from the internet, through node1, where no such pod runs"
show inside internet -- curl -s -m 5 http://172.18.0.11:30080/hostname
echo

step "a pod reaches the internet; the server there sees the node, not the pod"
echo "the pod's address: $(inside client -- hostname -I)"
show inside client -- curl -s -m 5 http://203.0.113.10/clientip
echo

step "one request as seen on the pod's cable and on kt0, before and after translation"
captures=$(mktemp -d)
link=$(inside node/node1 -- ip -o route get "$(inside client -- hostname -I | tr -d ' \n')" | sed 's/.* dev \([^ ]*\).*/\1/')
for device in "$link" kt0; do
  inside node/node1 -- tcpdump -Z root -U -lnti "$device" -c 200 'tcp port 80 or tcp port 8080' >"$captures/$device" 2>"$captures/$device.err" &
done
while ! grep -q listening "$captures/$link.err" "$captures/kt0.err" 2>/dev/null ||
  [ "$(grep -l listening "$captures/$link.err" "$captures/kt0.err" | wc -l)" -lt 2 ]; do sleep 0.1; done
inside client -- curl -s -m 5 -o /dev/null http://10.96.0.20/hostname
sleep 1
inside node/node1 -- sh -c 'for p in $(ip netns pids "$(ip netns identify $$)" 2>/dev/null); do grep -qs tcpdump /proc/$p/comm && kill $p; done' || true
wait
echo "-- $link, the pod's cable: client and Service, never a pod of the Service"
grep -F 10.96.0.20 "$captures/$link" | cut -c1-110 | head -n 4
echo "-- kt0, the datapath's device: each packet twice, as it came and as it left"
head -n 6 "$captures/kt0" | cut -c1-110
rm -rf "$captures"

step "iperf3 through the Service: every byte through the userspace datapath"
show inside client -- iperf3 -c 10.96.0.30 -t 3 -C cubic

step "the entries behind it"
scripts/kubetun conntrack list --node node1 --service default/iperf:iperf3 2>/dev/null ||
  scripts/kubetun conntrack list --node node1

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
