#!/bin/sh
# Every test, on a fresh machine: installs what is missing, then checks and end-to-end tests.
set -eu
cd "$(dirname "$0")/.."
. scripts/bootstrap.sh
# shellcheck disable=SC2086
bootstrap $TOOLS_RUN $TOOLS_TEST
npm test
