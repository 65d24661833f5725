#!/usr/bin/env bash
# Each fault many times, with a table of what came of it: scripts/faults.sh [TIMES, default 20] [FAULT …]
#
# A fault is a test that plays it; suites that loop over it by themselves are told to strike once per run. Code 1 if any
# time failed; the log of the first failure is kept and named.
set -uo pipefail
cd "$(dirname "$0")/.."

times=${1:-20}
[ $# -gt 0 ] && shift
# What strikes: the suite, and the test in it.
faults=(
  "server killed and back: faults a_server_that_is_killed_and_comes_back"
  "server gone: faults a_server_that_dies_is_survived_each_time"
  "SIGTERM with drain: faults sigterm_lets_statements_end_and_cuts_what_does_not"
  "SIGKILL of the proxy: faults sigkill_of_the_proxy_is_seen_by_both_sides"
  "slow client: faults slow_clients_hold_their_servers_back_and_not_our_memory"
  "half-close: faults half_closed_streams_still_answer"
  "half-open: faults peers_that_vanish_without_a_word_are_found"
  "storm of resets: faults a_storm_of_resets_leaves_nothing_behind"
  "reset inside a row: faults a_reset_inside_a_row_gets_no_words_of_ours"
  "malformed frames: faults a_malformed_frame_in_any_state_from_either_side_passes"
  "analyzer stalled: faults an_analyzer_that_cannot_follow_costs_records_that_are_counted"
  "disk full: captures a_full_disk_costs_lines_and_nothing_else"
  "clock jump: faults_machine a_wall_clock_that_jumps_changes_no_duration"
  "128 MiB of memory: faults_machine a_machine_with_128_mib_refuses_new_sessions_and_keeps_old_ones"
  "certificate rotation: tls hangup_reads_the_certificate_again"
  "bad certificate: operations a_certificate_that_cannot_be_read_is_named_with_its_line_and_changes_nothing"
  "bad reload: operations a_reload_takes_over_what_may_change_and_keeps_the_rest"
  "slow start-up: attacks_wire row_6_a_slow_start_is_closed_and_reaches_no_server"
)
# Without it the tests that need root or a tool skip themselves, and would count as passed.
export CI=1 PGSONDE_FAULT_ROUNDS=1
work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/faults
mkdir -p "$work"

code=0
printf '%-24s %8s %8s %9s\n' fault times passed seconds
for line in "${faults[@]}"; do
  fault=${line%%:*}
  read -r suite test <<<"${line#*: }"
  [ $# -eq 0 ] || [[ " $* " == *" $suite "* || " $* " == *" $test "* ]] || continue
  passed=0 started=$SECONDS kept=
  for ((time = 0; time < times; time++)); do
    log=$work/$test.log
    # A name that no test has would pass as well.
    if cargo test --quiet --workspace --test "$suite" -- --exact "$test" >"$log" 2>&1 && grep -q '^test result: ok. 1 passed' "$log"; then
      passed=$((passed + 1))
    else
      [ -n "$kept" ] || { kept=$work/$test.failed.log; cp "$log" "$kept"; }
    fi
  done
  printf '%-24s %8d %8d %9d%s\n' "$fault" "$times" "$passed" $((SECONDS - started)) "${kept:+  $kept}"
  [ "$passed" -eq "$times" ] || code=1
done
exit $code
