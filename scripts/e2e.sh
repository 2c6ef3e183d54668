#!/bin/sh
# End-to-end tests. Most files own a lab of their own name and run two at a time.
# test/e2e/alone holds files that load the machine or share names: they run one at a time.
set -eu
cd "$(dirname "$0")/.."
run() {
  node --test --test-reporter=spec "$@"
}
run --test-concurrency=2 'test/e2e/*.test.ts' 'test/e2e/kubectl/*.test.ts' 'test/e2e/informers/*.test.ts' ||
  failed=1
run --test-concurrency=1 'test/e2e/alone/*.test.ts' || failed=1
[ -z "${failed:-}" ]
