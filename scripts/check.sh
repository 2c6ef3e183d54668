#!/bin/sh
# Everything that needs no root: types, lint and format, layers, dead code, unit, model and scenario tests.
set -eu
cd "$(dirname "$0")/.."
for step in types lint layers dead unit; do
  echo "== $step"
  npm run --silent "$step"
done
