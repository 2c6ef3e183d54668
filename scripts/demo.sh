#!/bin/sh
# Installs what is missing, starts a lab and follows a few packets through it.
# The lab stays up. `scripts/demo.sh --down` ends it.
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

# Prints a command, then runs it.
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

step "the way of a packet from the pod client to that Service, with reasons"
show scripts/kubetun explain --from client --to svc/web

step "names: cluster DNS answers at 10.96.0.10, from two pods"
show scripts/kubetun lab exec client -- curl -s -m 5 http://web/hostname
echo
show scripts/kubetun lab exec client -- dig +search +noall +answer web
show scripts/kubetun lab exec client -- dig +noall +answer www.example.test

step "the same packet by name: each query of the pod's resolver, then the way of the packet"
show scripts/kubetun explain --from client --to web:80
echo "a name that does not resolve, and why:"
show scripts/kubetun explain --from client --to wbe:80

step "300 connections from the pod client to 10.96.0.20: answers per pod"
inside client -- sh -c 'i=0; while [ $i -lt 300 ]; do curl -s -m 5 http://10.96.0.20/hostname; echo; i=$((i+1)); done' |
  sort | uniq -c

step "a NodePort from the internet, on the public address of node1, which runs no such pod"
show scripts/kubetun lab exec internet -- curl -s -m 5 http://198.51.100.11:30080/hostname
echo

step "a load balancer of the cloud: web has a public address with nodes behind it"
show scripts/kubetun services --node cloud
show scripts/kubetun lab exec internet -- curl -s -m 5 http://198.51.100.254/hostname
echo
echo "policy Local: the pod sees the client's address"
show scripts/kubetun lab exec internet -- curl -s -m 5 http://198.51.100.254/clientip
echo
show scripts/kubetun explain --from 203.0.113.10 --to 198.51.100.254:80

step "an Ingress: HAProxy leads hosts and paths to Services, and tells the pod the client's address"
ingress=$(scripts/kubetun lab status | sed -n 's/.* shop .* \(198\.51\.100\.[0-9]*\).*/\1/p')
show scripts/kubetun lab exec internet -- curl -s -m 5 -H 'Host: shop.example.test' "http://$ingress/hostname"
echo
show scripts/kubetun lab exec internet -- \
  curl -s -m 5 -H 'Host: shop.example.test' "http://$ingress/header?key=x-forwarded-for"
echo

step "a pod reaches the internet; the server there sees the node's public address, not the pod"
echo "the pod's address: $(inside client -- hostname -I)"
show scripts/kubetun lab exec client -- curl -s -m 5 http://203.0.113.10/clientip
echo

step "one request as seen by the client and by the pod that answers: before and after translation"
captures=$(mktemp -d)
trap 'rm -rf "$captures"' EXIT
# Without this, a shell that ends by a signal skips the trap above.
trap 'exit 130' INT TERM
for pod in client web-1 web-2 web-3; do
  # Four seconds are enough for one request.
  inside "$pod" -- timeout -s INT 4 tcpdump -Z root -U -lnti eth0 'tcp port 80 or tcp port 8080' \
    >"$captures/$pod" 2>"$captures/$pod.err" &
done
sleep 1.5
inside client -- curl -s -m 5 -o /dev/null http://10.96.0.20/hostname
wait
echo "-- eth0 of client: the client and the Service, never a pod of the Service"
cut -c1-100 "$captures/client" | head -n 4
for pod in web-1 web-2 web-3; do
  grep -q '^IP' "$captures/$pod" || continue
  echo "-- eth0 of $pod: the client and this pod, never the Service"
  cut -c1-100 "$captures/$pod" | head -n 4
done

step "iperf3 through the Service: every byte through the userspace datapath"
show scripts/kubetun lab exec client -- iperf3 -c 10.96.0.30 -t 3 -C cubic

step "the conntrack entries behind it"
show scripts/kubetun conntrack list --node node1 --service default/iperf

step "look further"
cat <<EOF
  export KUBECONFIG=$(scripts/kubetun lab kubeconfig)
  scripts/kubetun conntrack list --node node1
  scripts/kubetun lab exec client -- bash
  scripts/kubetun lab exec client -- tcpdump -ni eth0
  scripts/kubetun lab forward 8080:svc/web      # then http://127.0.0.1:8080/hostname
  scripts/kubetun lab --help
EOF
echo
echo "The lab stays up. End it with: scripts/demo.sh --down"
