# Sourced by demo.sh and test.sh. Prepares a Debian or Ubuntu machine with Node >= 20 and npm.
# Installs missing parts only: system packages (apt), npm packages, add-ons for the pinned Node.

fail() {
  echo "kubetun: $1" >&2
  exit "${2:-1}"
}

# Commands and their Debian packages.
TOOLS_RUN="ip:iproute2 nsenter:util-linux openssl:openssl catatonit:catatonit curl:curl iperf3:iperf3 tcpdump:tcpdump dig:bind9-dnsutils haproxy:haproxy"
TOOLS_TEST="scapy:python3-scapy ethtool:ethtool ping:iputils-ping tshark:tshark nft:nftables iptables:iptables ps:procps musl-gcc:musl-tools"

# install_tools NAME:PACKAGE...
install_tools() {
  missing=""
  for tool in "$@"; do
    command -v "${tool%%:*}" >/dev/null 2>&1 || missing="$missing ${tool#*:}"
  done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null 2>&1 ||
    fail "missing packages:$missing: this is not Debian or Ubuntu, so install them by hand"
  echo "== system packages:$missing"
  # Do not start services that the packages contain.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1
  apt-get update -qq
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $missing >/dev/null </dev/null ||
    fail "apt-get could not install:$missing: see its message above"
}

install_npm() {
  command -v npm >/dev/null 2>&1 || fail "npm is missing: install Node.js 20 or later with npm"
  stamp=node_modules/.kubetun-lock
  if ! cmp -s package-lock.json "$stamp" 2>/dev/null; then
    echo "== npm packages"
    npm ci --no-audit --no-fund --loglevel=error
    rebuild_addons
    cp package-lock.json "$stamp"
  fi
  # Sources may have changed since npm ci.
  npm run --silent bundle
  echo "== Node $(node_modules/node/bin/node --version)"
}

# Compiles C++ add-ons with the pinned Node and its headers.
rebuild_addons() {
  node_bin=$(readlink -f node_modules/node/bin)
  headers=$(find node_modules/node/node_modules -maxdepth 1 -name 'node-linux-*' 2>/dev/null | head -n 1)
  PATH=$node_bin:$PATH npm_config_nodedir=${headers:+$PWD/$headers} npm rebuild --loglevel=error >/dev/null
}

bootstrap() {
  [ "$(uname -s)" = Linux ] || fail "kubetun needs Linux"
  [ "$(id -u)" = 0 ] || fail "network namespaces need root: run this with sudo"
  [ -c /dev/net/tun ] || fail "/dev/net/tun is missing: modprobe tun"
  # shellcheck disable=SC2086
  install_tools "$@"
  install_npm
}
