#!/bin/sh
# End-to-end tests. Each file has a lab with its own name. scripts/e2e.ts defines which files run
# together.
set -eu
cd "$(dirname "$0")/.."
# Test files and clients start faster with compiled code; labs find it in the same place.
: "${NODE_COMPILE_CACHE:=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/kubetun}"
export NODE_COMPILE_CACHE
exec node_modules/node/bin/node --disable-warning=ExperimentalWarning scripts/e2e.ts "$@"
