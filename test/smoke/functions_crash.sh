#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The control plane is killed with -9 a hundred times at any point of deployments on two hosts, half of them before it
# has answered: what was acknowledged is there after each restart, what was not is there whole or not at all, no
# instance is started twice, and in the end exactly what is wanted runs. Unix sockets and loopback; needs jq, not root.
#
# usage: functions_crash.sh BUILD_DIR [options of run.sh, which mean nothing here]
# PENSTOCK_CRASH_ROUNDS=N: another number of kills.
set -uo pipefail

[ $# -ge 1 ] && [ -d "$1" ] || { echo "usage: ${0##*/} BUILD_DIR" >&2; exit 2; }
build=$(cd "$1" && pwd)
rounds=${PENSTOCK_CRASH_ROUNDS:-100}
command -v jq >/dev/null || { echo "jq is missing: apt install jq" >&2; exit 2; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/penstock-crash.XXXXXX")
port=$((20000 + $$ % 20000))
failed=0
control=
declare -A host=()

cleanup() {
	local pid
	disown -a
	if [ "$failed" != 0 ]; then
		penstock get functions -o json | jq -c '.[] | [.metadata.name, .status]' >&2
		penstock get instances -o json | jq -c '.[] | [.metadata.name, .spec, .status]' >&2
		tail -n 5 "$dir"/*.log >&2
		[ -z "${SMOKE_LOGS:-}" ] || cp "$dir"/*.log "$SMOKE_LOGS"/
	fi
	for pid in $control "${host[@]}" $(pgrep -f "$dir/host-"); do
		kill -KILL "$pid" 2>/dev/null
	done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

expect() {
	local sentence=$1
	shift
	if "$@"; then
		echo "  ok    $sentence"
	else
		failed=$((failed + 1))
		echo "  WRONG $sentence"
	fi
}

penstock() { "$build/tools/cli/penstock" --socket "$dir/control.sock" "$@"; }

# wait_for SECONDS COMMAND...
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.02
	done
}

# Also notes what there is: a line a function.
answers() {
	penstock get functions -o json 2>/dev/null >"$dir/functions.json" &&
		jq -r '.[] | "\(.metadata.name) \(.spec.scale.min) \(.spec.env.LEVEL)"' "$dir/functions.json" \
			>"$dir/functions"
}

start_control() {
	"$build/controlplane/penstock-controlplane" --control "$dir/control.sock" --peer "$dir/peer.sock" \
		--state "$dir/state" --metrics off --log-level warn >>"$dir/control.log" 2>&1 &
	control=$!
	wait_for 10 answers || { echo "the control plane does not start" >&2; failed=1; exit 1; }
}

start_host() {
	"$build/fnhost/penstock-fnhost" --config /dev/null --name "$1" --control "unix:$dir/peer.sock" --listen "127.0.0.1:$2" \
		--state "$dir/host-$1" --functions "$build/fnhost/demo" --shim "$build/fnhost/shim/penstock-shim" \
		>"$dir/$1.log" 2>&1 &
	host[$1]=$!
}

put() {
	printf 'apiVersion: penstock/v1\nkind: Function\nmetadata: {name: %s}\nspec:\n' "$1"
	printf '  command: [demo-echo]\n  scale: {min: %s, max: 100}\n  env: {LEVEL: "%s"}\n' "$2" "$3"
	printf '  resources: {cpu_milli: 10, memory: 16Mi}\n'
}

# change: one function gets another count or level. Sets name and what.
change() {
	name=f$((RANDOM % 3))
	what="$((RANDOM % 6)) l$((RANDOM % 2))"
	# shellcheck disable=SC2086
	put $name $what >"$dir/manifest.yaml"
	penstock apply -f "$dir/manifest.yaml" >/dev/null 2>&1
}
some_time() { sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"; }
settled() {
	[ "$(penstock get function "$1" -o json |
		jq -c '[.status.instances, .status.ready, .status.starting, .status.stopping]')" = "[$2,$2,0,0]" ]
}
# Ids that were started more than once: every start has a pid of its own.
started_twice() {
	cat "$dir"/n?.log | grep -oE '[0-9a-f]{32} of [^ ]* is ready, pid [0-9]+' | sort -u |
		awk '{ print $1 }' | uniq -d
}

start_control
start_host n1 $port
start_host n2 $((port + 1))
declare -A have=()
lost=0
halves=0
refused=0
unanswered=0
for ((round = 0; round < rounds; round++)); do
	answered=yes
	if [ $((round % 2)) = 0 ]; then
		change || refused=$((refused + 1))
		some_time
		kill -KILL "$control"
	else
		{ some_time; kill -KILL "$control"; } &
		killer=$!
		change || answered=
		wait "$killer"
	fi
	wait "$control" 2>/dev/null
	start_control
	while read -r f is; do
		[ "$is" != "${have[$f]-}" ] || continue
		if [ "$f" != "$name" ] || [ "$is" != "$what" ]; then halves=$((halves + 1)); fi
		have[$f]=$is
		[ -n "$answered" ] || unanswered=$((unanswered + 1))
	done <"$dir/functions"
	[ -z "$answered" ] || grep -qx "$name $what" "$dir/functions" || lost=$((lost + 1))
	[ "$(wc -l <"$dir/functions")" = "${#have[@]}" ] || lost=$((lost + 1))
done
echo "  $rounds kills; $unanswered changes were there that had not been answered"
expect "all changes before a kill were acknowledged" test "$refused" = 0
expect "nothing that was acknowledged is lost" test "$lost" = 0
expect "nothing is there that nobody wanted" test "$halves" = 0
sum=0
for f in "${!have[@]}"; do
	count=${have[$f]% *}
	expect "$f has $count instances" wait_for 40 settled "$f" "$count"
	sum=$((sum + count))
done
running() { [ "$(pgrep -f "$dir/host-n./" | while read -r pid; do cat "/proc/$pid/comm"; done | grep -c shim)" = "$sum" ]; }
expect "as many run as are wanted: $sum" wait_for 10 running
expect "no instance was started twice" test -z "$(started_twice)"
expect "many were started" test "$(cat "$dir"/n?.log | grep -c 'is ready, pid')" -ge $((rounds / 3))
echo "functions_crash.sh: $failed wrong"
[ "$failed" = 0 ]
