#!/bin/bash
# Runs C test programs one after the other and adds up their summaries.
#
#     Scripts/run_c_tests.sh PROGRAM...
#
# RUNNER is put before each program ("valgrind --quiet"), TIMEOUT bounds each one (300 seconds).
# A program that ends badly without a summary (a crash, a sanitizer's report) has at least one
# failure.
set -uo pipefail

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

if (($# == 0)); then
    echo "C tests: there is no program to run" >&2
    exit 2
fi

passed=0
failed=0
for program in "$@"; do
    # shellcheck disable=SC2086 # RUNNER is a command with its arguments
    timeout "${TIMEOUT:-300}" ${RUNNER:-} "$program" 2>&1 | tee "$program.log"
    status=${PIPESTATUS[0]}
    summary=$(sed -nE 's/^.*: ([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$program.log" | tail -n 1)
    read -r here_passed here_failed <<<"${summary:-0 0}"
    if ((status == 124)); then
        echo "$program: did not end within ${TIMEOUT:-300} seconds"
    fi
    if ((status != 0 && here_failed == 0)); then
        echo "$program: ended with status $status"
        here_failed=$(grep -c ': FAILED$' "$program.log")
        here_failed=$((here_failed > 0 ? here_failed : 1))
    elif ((status == 0)) && [[ -z $summary ]]; then
        echo "$program: printed no summary"
        here_failed=1
    fi
    passed=$((passed + here_passed))
    failed=$((failed + here_failed))
done

echo "C tests: $passed passed, $failed failed"
((failed == 0))
