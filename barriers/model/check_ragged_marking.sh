#!/usr/bin/env bash
# Checks ragged_marking.pml with spin: the protocol holds, and each mutant violates the assertion.
# usage: check_ragged_marking.sh FOLDER-FOR-THE-VERIFIER
set -euo pipefail
model="$(cd "$(dirname "$0")" && pwd)/ragged_marking.pml"
mkdir -p "$1"
cd "$1"

# Prints the verifier's verdict: "errors: 0" or "errors: 1".
verify() {
  spin -a "$@" "$model" >/dev/null
  gcc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c
  ./pan -m100000 -w24 >pan.log
  grep -q 'error: max search depth too small' pan.log && { echo "search depth too small"; return; }
  grep -o 'errors: [0-9]*' pan.log
}

failed=0
expect() {
  local wanted="$1" name="$2"
  shift 2
  local verdict
  verdict="$(verify "$@")"
  echo "$name: $verdict, $(grep -o '[0-9.e+]* states, stored' pan.log)"
  if [ "$verdict" != "errors: $wanted" ]; then
    echo "expected errors: $wanted" >&2
    failed=1
  fi
}

for mutant in NO_DELETION NO_INSERTION TRACE_EARLY MERGE_ROUNDS WHITE NO_HAND_IN ONE_ROUND SILENT; do
  expect 1 "mutant $mutant" "-D$mutant"
done
expect 0 "the protocol"
exit "$failed"
