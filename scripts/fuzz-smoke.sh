#!/usr/bin/env bash
# Each fuzz body for a while: scripts/fuzz-smoke.sh [SECONDS per body, default 60] [BODY …]
#
# With cargo-fuzz (installed from the registry when it is missing) and a compiler that takes its flags; the stable one
# does with RUSTC_BOOTSTRAP=1. Without, or with PGSONDE_FUZZ=seeded, the seeded mutator of the test suite runs the
# same bodies for about as long. Prints a table; code 1 if a body failed.
set -uo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -gt 0 ] && shift
bodies=("$@")
[ ${#bodies[@]} -gt 0 ] || bodies=(frames startup exchange lexer ingest config)
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work=$target/fuzz-work
export PATH="$target/tools/bin:$PATH" CARGO_TARGET_DIR=$target/fuzz RUSTC_BOOTSTRAP=1
mkdir -p "$work"

seeded() {
  printf 'fuzz-smoke: the seeded mutator of the test suite instead of cargo-fuzz\n' >&2
  unset RUSTC_BOOTSTRAP
  export CARGO_TARGET_DIR=$target PGSONDE_FUZZ_CASES=20000
  local end=$((SECONDS + seconds * ${#bodies[@]})) rounds=0
  while [ "$rounds" -eq 0 ] || [ "$SECONDS" -lt "$end" ]; do
    PGSONDE_FUZZ_SEED=$((rounds * 20000 + 1)) cargo test --workspace --test fuzz -- --nocapture >"$work/seeded.log" 2>&1 || {
      tail -20 "$work/seeded.log"; exit 1; }
    rounds=$((rounds + 1))
  done
  printf '%-10s %12s  %s\n' body inputs outcome
  printf '%-10s %12d  ok\n' "each" $((rounds * 20000))
  exit 0
}

[ "${PGSONDE_FUZZ:-}" != seeded ] || seeded
command -v cargo-fuzz >/dev/null || {
  printf 'fuzz-smoke: cargo install cargo-fuzz (into %s)\n' "$target/tools" >&2
  env -u RUSTC_BOOTSTRAP CARGO_TARGET_DIR="$target/tools/build" cargo install -q cargo-fuzz --root "$target/tools" || seeded
}
# No address sanitizer: the code is safe Rust, and the C parser is built without it.
options=(--fuzz-dir tests/fuzz -s none)
cargo fuzz build "${options[@]}" >"$work/build.log" 2>&1 || { tail -5 "$work/build.log" >&2; seeded; }

code=0
printf '%-10s %12s %10s  %s\n' body inputs corpus outcome
for body in "${bodies[@]}"; do
  mkdir -p "$work/$body"
  if cargo fuzz run "${options[@]}" "$body" "$work/$body" "tests/corpus/$body" -- \
      -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
      -artifact_prefix="$work/" >"$work/$body.log" 2>&1; then outcome=ok; else outcome="FAILED: $work/$body.log"; code=1; fi
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$body.log")
  printf '%-10s %12s %10s  %s\n' "$body" "${inputs:-?}" "$(ls "$work/$body" | wc -l)" "$outcome"
done
exit $code
