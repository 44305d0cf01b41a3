#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# First figures: calls over net_tap through the gateway, beside the same calls over loopback straight to the backend.
# usage: test/bench/tap.sh BUILD_DIR [--workers N] [--no-huge]      (as root, about five minutes; see docs/PERFORMANCE.md)
#
# Three runs of each case in turn; medians with minimum and maximum. CPU of the gateway: cycles of iterations
# that found work, by its own count, over calls. Everything shares two cores here, so these are no
# absolute speeds: compare columns of one run.
. "${0%/*}/../smoke/lib.sh"
smoke_start

rounds=3 seconds=4
gen=$(stack_program penstock-gen)
work=$stack_run/bench
mkdir -p "$work"

busy_cycles() { stats '.counters["worker.cycles_busy"]'; }

# run NAME ROUND TO [FLAGS]: one measurement, as JSON.
run() {
	local name=$1 round=$2 to=$3 before after
	shift 3
	sleep 1.5  # until the gateway has reported
	before=$(busy_cycles)
	stack_in "$gen" load --to "$to" --duration "$seconds" --quiet --json "$work/raw.json" "$@" \
		>/dev/null 2>"$work/raw.err" || warn "$name: $(tail -n 1 "$work/raw.err")"
	sleep 1.5
	after=$(busy_cycles)
	jq --argjson cycles $((after - before)) '. + {cycles_per_call: ($cycles / ([.calls, 1] | max))}' \
		"$work/raw.json" >"$work/$name.$round.json"
}

# One column of a case: median (min-max) over the rounds.
figure() {
	jq -rs --arg f "$2" --argjson scale "$3" 'map(.[$f] * $scale) | sort
		| "\(.[length / 2 | floor] | . * 10 | round / 10) (\(.[0] | round)-\(.[-1] | round))"' "$work/$1".*.json
}

cases=(
	"rr32-c8x64 --connections 8 --outstanding 64"
	"rr32-c8x1 --connections 8 --outstanding 1"
	"rr32-c1x1 --connections 1 --outstanding 1"
	"rr32-c1000x1 --connections 1000 --outstanding 1"
	"rr64k-c8x4 --connections 8 --outstanding 4 --size 65536"
	"stream-c8x8 --connections 8 --outstanding 8 --functions stream:count:1000 --credit 128"
)
for ((round = 1; round <= rounds; round++)); do
	for case in "${cases[@]}"; do
		read -ra words <<<"$case"
		run "gateway-${words[0]}" "$round" "$stack_gateway:$stack_port" "${words[@]:1}"
		run "direct-${words[0]}" "$round" "$stack_host:7000" "${words[@]:1}"
	done
done

printf '%-14s %-8s %28s %26s %26s %24s\n' case subject "calls/s" "p50 us" "p99 us" "gateway cycles a call"
for case in "${cases[@]}"; do
	name=${case%% *}
	for subject in gateway direct; do
		cycles=-
		[ "$subject" = direct ] || cycles=$(figure "gateway-$name" cycles_per_call 1)
		printf '%-14s %-8s %28s %26s %26s %24s\n' "$name" "$subject" \
			"$(figure "$subject-$name" calls_per_s 1)" "$(figure "$subject-$name" p50_us 1)" \
			"$(figure "$subject-$name" p99_us 1)" "$cycles"
	done
done
errors=$(jq -s 'map(.errors_total) | add' "$work"/*.*.json)
say "errors in all: $errors"
[ "$errors" = 0 ]
